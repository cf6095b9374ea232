//! What a piece of each item is worth, from a file that somebody else keeps: rows of `item,price`, a header and blank lines are skipped.
//!
//! Read again at each use: it is small beside the books, and may have changed. A row that cannot be read is left out and said.

use std::{collections::BTreeMap, fs, path::Path};

use rust_decimal::Decimal;

/// Largest file that is read.
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Prices by item.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prices(BTreeMap<String, Decimal>);

impl Prices {
    /// Reads the file; nothing where none is named. What cannot be read is logged: a comparison without values is better than none.
    pub fn read(path: Option<&Path>) -> Self {
        let Some(path) = path else { return Self::default() };
        match fs::metadata(path).map(|meta| meta.len()) {
            Ok(bytes) if bytes <= BYTES_MAX => {}
            Ok(bytes) => {
                tracing::warn!(path = %path.display(), bytes, "prices are not read: the file is too large");
                return Self::default();
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "prices cannot be read; drifts have no value");
                return Self::default();
            }
        }
        match fs::read_to_string(path) {
            Ok(text) => {
                let (prices, wrong) = Self::parse(&text);
                if let Some((line, text)) = wrong.first() {
                    let (count, path) = (wrong.len(), path.display());
                    tracing::warn!(%path, count, line, text, "rows of prices were left out; expected item,price");
                }
                prices
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "prices cannot be read; drifts have no value");
                Self::default()
            }
        }
    }

    /// Prices of a text, and the rows that are none, with their numbers.
    fn parse(text: &str) -> (Self, Vec<(usize, String)>) {
        let (mut prices, mut wrong) = (BTreeMap::new(), Vec::new());
        for (at, row) in
            text.trim_start_matches('\u{feff}').lines().enumerate().filter(|(_, row)| !row.trim().is_empty())
        {
            let read =
                row.rsplit_once([',', ';']).and_then(|(item, price)| Some((item.trim(), price.trim().parse().ok()?)));
            match read {
                Some((item, price)) => drop(prices.insert(item.trim_matches('"').to_owned(), price)),
                None if at == 0 => {}
                None => wrong.push((at + 1, row.chars().take(80).collect())),
            }
        }
        (Self(prices), wrong)
    }

    /// Value of a quantity in millionths, without its sign; `None` where the item has no price.
    pub fn value(&self, item: &str, micros: i64) -> Option<Decimal> {
        let price = self.0.get(item)?;
        Some((Decimal::new(micros, 6) * price).abs().round_dp(2).normalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_what_is_none_is_told_with_its_line() {
        let (prices, wrong) = Prices::parse("\u{feff}item,price\nA,12.50\n\n\"B,1\";3\nC\nD,x\n");

        assert_eq!(prices.value("A", -2_000_000), Some(Decimal::from(25)));
        assert_eq!(prices.value("B,1", 500_000), Some(Decimal::new(15, 1)));
        assert_eq!(prices.value("Z", 1), None);
        assert_eq!(wrong, [(5, "C".to_owned()), (6, "D,x".to_owned())]);
    }
}
