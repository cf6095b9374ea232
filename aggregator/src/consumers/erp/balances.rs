//! Balances of an ERP in the words of a mapping: what every connector tells the comparison of books the same way.

use std::collections::{BTreeMap, BTreeSet};

use docksync_proto::{event::EventType, site::SiteId};
use rust_decimal::Decimal;

use super::mapping::Mapping;
use crate::reconcile::{Balances, OtherBalance, Placed};

/// One balance as an ERP tells it: item, lot, location, quantity.
pub type Told = (String, String, String, Decimal);

/// An ERP that tells its stock.
pub trait Stocked: Send {
    /// How events are told to it.
    fn mapping(&self) -> &Mapping;
    /// Balances of a warehouse, in its own words.
    ///
    /// # Errors
    /// In words: why it does not tell.
    fn stock(&mut self, warehouse: &str) -> Result<Vec<Told>, String>;
}

impl<S: Stocked> Balances for S {
    fn read(&mut self, site: &SiteId) -> Result<Vec<OtherBalance>, String> {
        let warehouse = self.mapping().warehouse(site.as_str()).map_err(|unmapped| unmapped.reason)?;
        let told = self.stock(&warehouse)?;
        Ok(gather(self.mapping(), &warehouse, told))
    }

    fn place(&self, site: &str, (sku, status, uom): (&str, &str, &str), micros: i64) -> Option<Placed> {
        let mapping = self.mapping();
        let warehouse = mapping.warehouse(site).ok()?;
        let place = mapping.location(status, &warehouse).ok()?.unwrap_or_default();
        let (quantity, _) = mapping.quantity(Decimal::new(micros, 6), uom).ok()?;
        Some(Placed { item: mapping.item(sku).to_owned(), place, micros: docksync_proto::stock::micros(quantity) })
    }

    fn renamed(&self) -> BTreeMap<String, String> {
        self.mapping().items.clone()
    }

    fn status_of(&self, site: &str, place: &str) -> Option<String> {
        if place.is_empty() {
            return Some(String::new());
        }
        let mapping = self.mapping();
        let warehouse = mapping.warehouse(site).ok()?;
        let leads = |status: &&String| mapping.location(status, &warehouse).ok().flatten().as_deref() == Some(place);
        mapping.statuses.keys().find(leads).cloned()
    }

    fn takes(&self, kind: EventType) -> bool {
        self.mapping().events.contains(&kind)
    }

    fn factors(&self) -> Vec<u32> {
        self.mapping().units.values().filter_map(|unit| unit.factor.to_string().parse().ok()).collect()
    }
}

/// Names of the places that the statuses of a site lead to.
pub fn places(mapping: &Mapping, warehouse: &str) -> BTreeSet<String> {
    let place = |status: &String| mapping.location(status, warehouse).ok().flatten();
    mapping.statuses.keys().filter_map(place).collect()
}

/// Sums by item, lot and place. Whatever is not the place of a status holds available stock.
fn gather(mapping: &Mapping, warehouse: &str, told: Vec<Told>) -> Vec<OtherBalance> {
    let named = places(mapping, warehouse);
    let mut all: BTreeMap<(String, String, String), i64> = BTreeMap::new();
    for (item, lot, location, quantity) in told {
        let place = if named.contains(&location) { location } else { String::new() };
        *all.entry((item, lot, place)).or_default() += docksync_proto::stock::micros(quantity.normalize());
    }
    let balance = |((item, lot, place), micros)| OtherBalance { item, lot, place, micros };
    all.into_iter().filter(|(_, micros)| *micros != 0).map(balance).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumers::erp::mapping::Unit;

    struct Fixed(Mapping, Vec<Told>);

    impl Stocked for Fixed {
        fn mapping(&self) -> &Mapping {
            &self.0
        }
        fn stock(&mut self, warehouse: &str) -> Result<Vec<Told>, String> {
            if warehouse == "MEM" { Ok(self.1.clone()) } else { Err(format!("no {warehouse}")) }
        }
    }

    fn fixed(told: &[(&str, &str, i64)]) -> Fixed {
        let mapping = Mapping {
            sites: BTreeMap::from([("DC01".to_owned(), "MEM".to_owned())]),
            items: BTreeMap::from([("A".to_owned(), "9001".to_owned())]),
            units: BTreeMap::from([("CA".to_owned(), Unit { symbol: "u".to_owned(), factor: 12.into() })]),
            statuses: BTreeMap::from([("damaged".to_owned(), "{warehouse}-DMG".to_owned())]),
            ..Mapping::default()
        };
        let row = |(item, place, n): &(&str, &str, i64)| {
            ((*item).to_owned(), String::new(), (*place).to_owned(), Decimal::from(*n))
        };
        Fixed(mapping, told.iter().map(row).collect())
    }

    #[test]
    fn what_lies_at_no_place_of_a_status_is_available_and_nothing_is_left_out() {
        let mut erp =
            fixed(&[("9001", "MEM-DMG", 2), ("9001", "Rack 1", 3), ("9001", "Rack 2", 4), ("9002", "Rack 1", 0)]);

        let read = erp.read(&SiteId::new("DC01").unwrap()).unwrap();

        let read: Vec<_> = read.iter().map(|b| (b.item.as_str(), b.place.as_str(), b.micros)).collect();
        assert_eq!(read, [("9001", "", 7_000_000), ("9001", "MEM-DMG", 2_000_000)]);
    }

    #[test]
    fn a_balance_of_the_book_is_told_in_the_words_of_the_erp_and_back() {
        let erp = fixed(&[]);

        let placed = erp.place("DC01", ("A", "damaged", "CA"), 2_000_000).unwrap();

        let expected = Placed { item: "9001".to_owned(), place: "MEM-DMG".to_owned(), micros: 24_000_000 };
        assert_eq!(placed, expected);
        assert_eq!(erp.status_of("DC01", "MEM-DMG").as_deref(), Some("damaged"));
        assert_eq!(erp.place("DC01", ("A", "held", "CA"), 1), None, "no mapping says");
    }

    #[test]
    fn a_site_without_a_warehouse_is_said() {
        let why = fixed(&[]).read(&SiteId::new("DC09").unwrap()).unwrap_err();

        assert!(why.contains("`DC09`"), "{why}");
    }
}
