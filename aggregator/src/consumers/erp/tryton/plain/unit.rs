//! Units of Tryton, and quantities from one into the other: exact or not at all. Pure.

use rust_decimal::Decimal;
use serde_json::Value;

use super::batch::Told;
use crate::consumers::erp::{quantity, single::reject};

/// A unit of measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) id: i64,
    pub(super) symbol: String,
    pub(super) category: i64,
    /// Of the category's own unit, how much one of it is; and the other way round.
    pub(super) factor: Decimal,
    pub(super) rate: Decimal,
    /// Decimals that it holds.
    pub(super) digits: u32,
}

/// Fields that [`Unit::read`] needs.
pub(super) const FIELDS: &[&str] = &["symbol", "category", "factor", "rate", "digits"];

impl Unit {
    pub(super) fn read(row: &Value) -> Option<Self> {
        Some(Self {
            id: row["id"].as_i64()?,
            symbol: row["symbol"].as_str().unwrap_or_default().to_owned(),
            category: row["category"].as_i64()?,
            factor: quantity::decimal(&row["factor"])?,
            rate: quantity::decimal(&row["rate"])?,
            digits: u32::try_from(row["digits"].as_i64()?).ok()?,
        })
    }

    /// Of rate and factor one is rounded; Tryton takes the one with fewer decimals (`UomConversionMixin.accurate_field`).
    fn is_by_factor(&self) -> bool {
        self.factor.normalize().scale() <= self.rate.normalize().scale()
    }

    /// A quantity of this unit in another of its category.
    ///
    /// # Errors
    /// Refused where the other cannot hold it.
    pub(super) fn told_in(&self, quantity: Decimal, other: &Self) -> Told<Decimal> {
        let converted = if self.id == other.id { Some(quantity) } else { self.convert(quantity, other) };
        let held = converted.map(|exact| (exact, exact.round_dp(other.digits)));
        // What is below is the conversion's own noise: events carry six decimals.
        let noise = Decimal::new(1, 7);
        match held {
            Some((exact, rounded)) if (exact - rounded).abs() <= noise => Ok(rounded.normalize()),
            _ => {
                let reason = format!(
                    "{quantity} {} cannot be told in {}, which has {} decimals",
                    self.symbol, other.symbol, other.digits
                );
                Err(reject("QUANTITY", reason))
            }
        }
    }

    fn convert(&self, quantity: Decimal, other: &Self) -> Option<Decimal> {
        let base =
            if self.is_by_factor() { quantity.checked_mul(self.factor) } else { quantity.checked_div(self.rate) }?;
        if other.is_by_factor() { base.checked_div(other.factor) } else { base.checked_mul(other.rate) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(id: i64, factor: &str, rate: &str, digits: u32) -> Unit {
        let (factor, rate) = (factor.parse().unwrap(), rate.parse().unwrap());
        Unit { id, symbol: format!("u{id}"), category: 1, factor, rate, digits }
    }

    #[test]
    fn a_quantity_is_told_in_another_unit_exactly_or_not_at_all() {
        let (kilo, gram, ounce) =
            (unit(1, "1", "1", 3), unit(2, "0.001", "1000", 0), unit(3, "0.02834952", "35.27396195", 2));
        let of = |text: &str| text.parse::<Decimal>().unwrap();

        assert_eq!(kilo.told_in(of("2.5"), &gram), Ok(of("2500")));
        assert_eq!(gram.told_in(of("1500"), &kilo), Ok(of("1.5")));
        assert_eq!(kilo.told_in(of("2.5"), &kilo), Ok(of("2.5")));
        assert!(kilo.told_in(of("2.0005"), &gram).is_err(), "half a gram");
        assert!(kilo.told_in(of("2.00055"), &kilo).is_err());
        assert!(ounce.told_in(of("1"), &kilo).is_err());
    }
}
