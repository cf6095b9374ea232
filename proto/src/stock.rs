//! Effect of an event on stock: which balance it moves, and by how much. Pure; the table is EVENTS section 2.
//!
//! Quantities are summed in millionths (19 digits, 6 behind the point): exact, and fast enough to keep every balance
//! of every site in step with the ledger.

use rust_decimal::Decimal;

use crate::{
    canonical,
    event::{Action, Event, EventType, Line},
};

/// Millionths in one unit.
pub const MICROS: i64 = 1_000_000;

/// A change of one balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement<'e> {
    /// Item.
    pub sku: &'e str,
    /// Lot; empty where the item has none.
    pub lot: &'e str,
    /// Stock status; empty means `available`.
    pub status: &'e str,
    /// Unit of the quantity; empty means pieces.
    pub uom: &'e str,
    /// Signed quantity in millionths of the line's unit.
    pub micros: i64,
}

/// The quantity in millionths; saturates where validation would have refused it.
pub fn micros(quantity: Decimal) -> i64 {
    match canonical::check_decimal(quantity) {
        Ok((mantissa, scale)) => mantissa.saturating_mul(10_i64.pow(6 - u32::from(scale))),
        Err(_) => 0,
    }
}

/// Sum of the quantities that the event speaks of, in millionths: the control total of completeness proofs.
pub fn moved_micros(event: &Event) -> i64 {
    event.lines.iter().filter_map(stated).map(micros).fold(0, i64::saturating_add)
}

fn stated(line: &Line) -> Option<Decimal> {
    line.qty.or(line.qty_shipped).or(line.qty_received).or(line.qty_after).or(line.qty_ordered)
}

/// Changes of balances that the event makes at its site, through `each`.
pub fn movements<'e>(event: &'e Event, mut each: impl FnMut(Movement<'e>)) {
    let direction = match (event.action, event.event_type) {
        // Its type says already that it takes a shipment back; documents call such an event void as well.
        (_, EventType::ShipmentVoided) => 1,
        (Action::Void, _) => -1,
        (Action::Add | Action::Change, _) => 1,
    };
    for line in &event.lines {
        let movement = |status: &'e str, quantity: Decimal, sign: i64| Movement {
            sku: &line.item.sku,
            lot: &line.lot,
            status: if status == "available" { "" } else { status },
            uom: &line.uom,
            micros: micros(quantity).saturating_mul(sign * direction),
        };
        match event.event_type {
            EventType::ShipmentConfirmed | EventType::TransferShipped => {
                if let Some(q) = line.qty_shipped.or(line.qty) {
                    each(movement(&line.stock_status_from, q, -1));
                }
            }
            EventType::ShipmentVoided => {
                if let Some(q) = line.qty_shipped.or(line.qty) {
                    each(movement(&line.stock_status_from, q, 1));
                }
            }
            EventType::ReceiptConfirmed | EventType::ReturnReceived => {
                receive(line, &mut |status, q| each(movement(status, q, 1)));
            }
            EventType::InventoryAdjusted => {
                if let Some(q) = line.qty {
                    each(movement(&line.stock_status_to, q, 1));
                }
            }
            EventType::InventoryStatusChanged => {
                if let Some(q) = line.qty {
                    each(movement(&line.stock_status_from, q, -1));
                    each(movement(&line.stock_status_to, q, 1));
                }
            }
            EventType::CycleCountCompleted => match (line.qty_before, line.qty_after, line.qty) {
                (Some(before), Some(after), _) | (Some(before), None, Some(after)) => {
                    each(movement(&line.stock_status_to, after - before, 1));
                }
                // A report of differences (X12 947 with reason AA) tells neither side.
                (None, None, Some(delta)) => each(movement(&line.stock_status_to, delta, 1)),
                _ => {}
            },
            // Demand, work in progress, moves within the site, statements and answers change no balance.
            EventType::OrderSubmitted
            | EventType::OrderAcknowledged
            | EventType::PickConfirmed
            | EventType::CartonPacked
            | EventType::ShipmentManifested
            | EventType::ReceiptExpected
            | EventType::InventorySnapshot
            | EventType::InventoryTransferred
            | EventType::ReplenishmentTriggered
            | EventType::ExceptionRaised
            | EventType::DocumentAcknowledged
            | EventType::EpcisOther => {}
        }
    }
}

/// Damaged goods are part of what was received and go to their own status.
fn receive<'e>(line: &'e Line, each: &mut impl FnMut(&'e str, Decimal)) {
    let Some(received) = line.qty_received.or(line.qty) else { return };
    let damaged = line.qty_damaged.unwrap_or(Decimal::ZERO);
    if !damaged.is_zero() {
        each("damaged", damaged);
    }
    if received != damaged {
        each(&line.stock_status_to, received - damaged);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{event::EventTime, site::SiteId};

    fn moved(event_type: EventType, action: Action, line: Line) -> Vec<i64> {
        let site = SiteId::new("DC7").unwrap();
        let mut event = Event::new(event_type, site, EventTime::utc(Timestamp::UNIX_EPOCH), Timestamp::UNIX_EPOCH);
        event.action = action;
        event.lines.push(line);
        let mut all = Vec::new();
        movements(&event, |movement| all.push(movement.micros / MICROS));
        all
    }

    #[test]
    fn a_voided_shipment_is_put_back_once_whatever_its_action_says() {
        let line = || Line { qty_shipped: Some(3.into()), ..Line::default() };

        assert_eq!(moved(EventType::ShipmentConfirmed, Action::Add, line()), [-3]);
        assert_eq!(moved(EventType::ShipmentConfirmed, Action::Void, line()), [3]);
        assert_eq!(moved(EventType::ShipmentVoided, Action::Add, line()), [3]);
        assert_eq!(moved(EventType::ShipmentVoided, Action::Void, line()), [3]);
    }

    #[test]
    fn a_count_moves_by_its_two_sides_or_by_the_difference_that_alone_is_told() {
        let count = |before: Option<i64>, after: Option<i64>, qty: Option<i64>| Line {
            qty_before: before.map(Into::into),
            qty_after: after.map(Into::into),
            qty: qty.map(Into::into),
            ..Line::default()
        };
        let moved = |line| moved(EventType::CycleCountCompleted, Action::Add, line);

        assert_eq!(moved(count(Some(10), Some(7), None)), [-3]);
        assert_eq!(moved(count(Some(10), None, Some(7))), [-3]);
        assert_eq!(moved(count(None, None, Some(-3))), [-3]);
        assert_eq!(moved(count(None, Some(7), None)), Vec::<i64>::new());
    }
}
