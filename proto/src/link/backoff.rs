//! How long to wait before the next try.

use super::{Dice, Millis};

/// A number below `limit`, drawn from the dice; 0 for a limit of 0.
pub fn below(dice: Dice, limit: Millis) -> Millis {
    let [a, b, c, d, e, f, g, h, ..] = dice;
    if limit == 0 { 0 } else { u64::from_be_bytes([a, b, c, d, e, f, g, h]) % limit }
}

/// Delay before try number `failures + 1`: random between 0 and 2^failures seconds, at most `max`.
///
/// Full jitter, so that hundreds of sites that lost the centre together do not come back together.
pub fn delay(failures: u32, max: Millis, dice: Dice) -> Millis {
    let step = 1_000_u64.saturating_mul(1 << failures.min(20));
    below(dice, step.min(max)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_stays_below_its_limit_however_many_failures() {
        for failures in 0..100 {
            assert!(delay(failures, 300_000, [0xff; 16]) <= 300_000);
        }
        assert!(delay(0, 300_000, [0xff; 16]) <= 1_000);
    }
}
