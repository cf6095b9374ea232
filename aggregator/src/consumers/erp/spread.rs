//! How a quantity is spread over the lines that an order has for it. Pure.

use rust_decimal::Decimal;

/// Parts by index: each line up to its room, what is more on the last. The rooms are left with what they still hold.
pub fn spread(rooms: &mut [Decimal], quantity: Decimal) -> Vec<(usize, Decimal)> {
    let mut rest = quantity;
    let mut parts = Vec::new();
    let last = rooms.len().saturating_sub(1);
    for (at, room) in rooms.iter_mut().enumerate() {
        let part = if at == last { rest } else { rest.min((*room).max(Decimal::ZERO)) };
        if !part.is_zero() {
            *room -= part;
            rest -= part;
            parts.push((at, part));
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_takes_what_it_has_room_for_and_the_last_the_rest() {
        let mut rooms = [4.into(), 4.into(), 2.into()];

        let first = spread(&mut rooms, 5.into());
        let second = spread(&mut rooms, 7.into());

        assert_eq!(first, [(0, 4.into()), (1, 1.into())]);
        assert_eq!(second, [(1, 3.into()), (2, 4.into())]);
        assert_eq!(rooms, [0.into(), 0.into(), (-2).into()]);
        assert_eq!(spread(&mut [], 1.into()), []);
    }
}
