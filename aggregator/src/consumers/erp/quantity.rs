//! Quantities as JSON numbers, for ERPs that take no text there: exact or not at all. Pure.

use rust_decimal::Decimal;
use serde_json::{Number, Value};

/// The number that reads back as exactly this quantity; `None` where binary floating point, in which such an ERP reads it, has none.
pub fn number(quantity: Decimal) -> Option<Value> {
    let near: f64 = quantity.to_string().parse().ok()?;
    let number = Number::from_f64(near)?;
    (decimal(&Value::Number(number.clone())) == Some(quantity)).then_some(Value::Number(number))
}

/// A number of an answer as the decimal that its shortest text is.
pub fn decimal(value: &Value) -> Option<Decimal> {
    let text = value.as_number()?.to_string();
    text.parse().ok().or_else(|| Decimal::from_scientific(&text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_exact_or_there_is_none() {
        let of = |text: &str| number(text.parse().unwrap());

        assert_eq!(of("0.1").unwrap().to_string(), "0.1");
        assert_eq!(of("-12.5").unwrap().to_string(), "-12.5");
        assert_eq!(of("123456789.123456").unwrap().to_string(), "123456789.123456");
        assert_eq!(of("9999999999999.999999"), None, "nineteen digits are more than a double holds");
        assert_eq!(decimal(&of("24").unwrap()), Some(24.into()));
    }

    #[test]
    fn an_answer_is_read_as_it_is_written() {
        assert_eq!(decimal(&serde_json::json!(4)), Some(4.into()));
        assert_eq!(decimal(&serde_json::json!(1e-6)), Some(Decimal::new(1, 6)));
        assert_eq!(decimal(&serde_json::json!("4")), None);
    }
}
