//! Quantities as warehouse systems write them.

use rust_decimal::Decimal;

/// Most digits behind the point that the contract stores.
pub(super) const SCALE_MAX: u32 = 6;

/// How a feed writes numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberForm {
    /// Decimal mark: `.` or `,`.
    pub mark: u8,
    /// Between groups of three digits, where the feed declares one.
    pub thousands: Option<u8>,
    /// Whether `13.000-` means minus (SAP).
    pub trailing_minus: bool,
}

impl NumberForm {
    /// The number, or `None` where the text is not one in this form.
    pub(super) fn parse(&self, text: &str) -> Option<Decimal> {
        let (is_negative, digits) = self.sign(text)?;
        let number = self.plain(digits).or_else(|| self.long(digits))?;
        Some(if is_negative { -number } else { number })
    }

    fn sign<'t>(&self, text: &'t str) -> Option<(bool, &'t str)> {
        if let Some(rest) = text.strip_prefix('-') {
            return Some((true, rest));
        }
        if self.trailing_minus
            && let Some(rest) = text.strip_suffix('-')
        {
            return Some((true, rest));
        }
        Some((false, text.strip_prefix('+').unwrap_or(text)))
    }

    /// Up to 18 digits with a point: nearly every quantity there is.
    fn plain(&self, text: &str) -> Option<Decimal> {
        let (mut mantissa, mut digits, mut scale) = (0_i64, 0_u32, None);
        for byte in text.bytes() {
            if byte.is_ascii_digit() {
                if digits == 18 {
                    return None;
                }
                mantissa = mantissa * 10 + i64::from(byte - b'0');
                digits += 1;
                scale = scale.map(|s| s + 1);
            } else if byte == self.mark && scale.is_none() {
                scale = Some(0);
            } else {
                return None;
            }
        }
        (digits > 0).then(|| Decimal::new(mantissa, scale.unwrap_or(0)))
    }

    /// Long numbers, declared thousands marks, and the exponent of floats.
    fn long(&self, text: &str) -> Option<Decimal> {
        if !text.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let mut plain = String::with_capacity(text.len());
        let mut past_mark = false;
        for byte in text.bytes() {
            match byte {
                b if b == self.mark && !past_mark => {
                    past_mark = true;
                    plain.push('.');
                }
                b if Some(b) == self.thousands && !past_mark => {}
                b'0'..=b'9' | b'e' | b'E' | b'-' | b'+' => plain.push(char::from(byte)),
                _ => return None,
            }
        }
        if plain.contains(['e', 'E']) {
            return Decimal::from_scientific(&plain).ok();
        }
        Decimal::from_str_exact(&plain).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINT: NumberForm = NumberForm { mark: b'.', thousands: None, trailing_minus: false };

    fn parse(form: NumberForm, text: &str) -> Option<String> {
        form.parse(text).map(|d| d.to_string())
    }

    #[test]
    fn the_forms_of_the_samples_are_read() {
        assert_eq!(parse(POINT, "-13.000").as_deref(), Some("-13.000"));
        assert_eq!(parse(POINT, "00000016").as_deref(), Some("16"));
        assert_eq!(parse(POINT, "5.00000").as_deref(), Some("5.00000"));
        assert_eq!(parse(POINT, "2.02546E-6").as_deref(), Some("0.00000202546"));
    }

    #[test]
    fn a_number_of_any_length_is_read_or_refused_without_overflow() {
        assert_eq!(parse(POINT, "999999999999999999").as_deref(), Some("999999999999999999"));
        assert_eq!(parse(POINT, "9999999999999999999").as_deref(), Some("9999999999999999999"));
        assert_eq!(parse(POINT, &"9".repeat(40)), None);
    }

    #[test]
    fn what_is_no_number_in_the_declared_form_is_refused() {
        for text in ["", "-", ".", "12EA", "1,5", "1.5.2", "13.000-", "1e", "1e999", "--1", "NaN", "1 2"] {
            assert_eq!(parse(POINT, text), None, "{text}");
        }
    }

    #[test]
    fn a_feed_may_declare_its_own_marks() {
        let german = NumberForm { mark: b',', thousands: Some(b'.'), trailing_minus: true };

        assert_eq!(parse(german, "1.998,61-").as_deref(), Some("-1998.61"));
    }
}
