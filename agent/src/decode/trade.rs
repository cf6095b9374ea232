//! What all standards say in the same way: trade item and container numbers, units, quantities, times.
//!
//! Functions put a value into an event or give the [`Fault`] that holds its document. `path` is the place in the document as
//! people who read it name it: `W1203`, `SN1/02`, `E1EDL24/LFIMG`.

use std::collections::btree_map::Entry;

use docksync_proto::{
    codes,
    event::{Container, Event, Item, Line, Party, PartyRole, RefKind, Reference, Warning},
};
use rust_decimal::Decimal;

use super::{
    assign::Fault,
    message::{Messages, doubt},
    moment::{Doubt, parse_date},
    number::SCALE_MAX,
};

/// A fault at a place of the document.
pub(super) fn fault(code: &'static str, path: &str, column: u32, found: &str, expected: impl Into<String>) -> Fault {
    let found = if found.is_empty() { "nothing".to_owned() } else { found.chars().take(200).collect() };
    Fault { code, column, field: path.to_owned(), found, expected: expected.into() }
}

impl Messages<'_, '_> {
    /// A quantity in the feed's way of writing numbers; the contract's six digits behind the point are kept.
    pub(super) fn quantity(&self, path: &str, column: u32, text: &str) -> Result<Decimal, Fault> {
        let wrong = || fault("INVALID_QUANTITY", path, column, text, "a number, as 12.5");
        let number = self.tools.number.parse(text.trim()).ok_or_else(wrong)?;
        if number.scale() > SCALE_MAX && number.normalize().scale() > SCALE_MAX {
            Ok(number.round_dp(SCALE_MAX))
        } else {
            Ok(number)
        }
    }

    /// The canonical unit: the partner's table first, then the spellings that everybody knows.
    pub(super) fn unit(&self, path: &str, column: u32, text: &str) -> Result<String, Fault> {
        self.known_unit(path, column, text).map(str::to_owned)
    }

    /// The same, as the tables have it.
    pub(super) fn known_unit(&self, path: &str, column: u32, text: &str) -> Result<&str, Fault> {
        let known = self.parse.partner("uom", text).or_else(|| codes::canonical_uom(text));
        known.ok_or_else(|| {
            fault(
                "UNKNOWN_UOM",
                path,
                column,
                text,
                "a known unit, as EA, CA or KG, or an entry in the feed's table `uom`",
            )
        })
    }

    /// The event's time. Formats are those of [`jiff::fmt::strtime`]; none means ISO 8601, also without its separators.
    pub(super) fn time(
        &mut self,
        event: &mut Event,
        path: &str,
        column: u32,
        text: &str,
        formats: &[&str],
    ) -> Result<(), Fault> {
        let formats: Vec<String> = formats.iter().map(|format| (*format).to_owned()).collect();
        let wrong = || fault("INVALID_DATE", path, column, text, "a day or time of the calendar");
        match self.tools.clockwork.read(text, &formats, &mut event.time).ok_or_else(wrong)? {
            Some(Doubt::Ambiguous) => {
                doubt(
                    event,
                    "AMBIGUOUS_TIME",
                    "event_time",
                    format!("the clock showed {text} twice; the first is taken"),
                );
            }
            Some(Doubt::Nonexistent) => {
                doubt(event, "NONEXISTENT_TIME", "event_time", format!("the clock never showed {text}"));
            }
            None => {}
        }
        if event.time.at > event.record_time && (event.time.at - event.record_time).get_seconds() > 86_400 {
            doubt(event, "FUTURE_TIME", "event_time", format!("{text} is more than a day ahead"));
        }
        Ok(())
    }
}

/// A calendar day, as `20261123` or `2026-11-23`.
pub(super) fn day(path: &str, column: u32, text: &str) -> Result<jiff::civil::Date, Fault> {
    parse_date(text, &[]).ok_or_else(|| fault("INVALID_DATE", path, column, text, "a day of the calendar, as 20261123"))
}

/// A GTIN of 8, 12, 13 or 14 digits as 14, where its check digit is right.
pub(super) fn gtin14(text: &str) -> Option<String> {
    (matches!(text.len(), 8 | 12 | 13 | 14) && codes::has_check_digit(text)).then(|| {
        let zeros = "000000".get(text.len() - 8..).unwrap_or_default();
        [zeros, text].concat()
    })
}

/// Sets the item's GTIN; one with a wrong check digit becomes a doubt and an extension, so that nothing is lost.
pub(super) fn set_gtin(item: &mut Item, doubts: &mut Vec<Warning>, path: &str, text: &str) {
    match gtin14(text) {
        Some(gtin) => item.gtin = gtin,
        None => doubts.push(Warning {
            code: "GTIN_CHECK_DIGIT".to_owned(),
            path: path.to_owned(),
            text: format!("`{text}` is no GTIN"),
        }),
    }
}

/// A container by its printed number; `sscc` says that the document calls it one (18 digits, or 20 with its identifier 00).
pub(super) fn container(doubts: &mut Vec<Warning>, path: &str, text: &str, is_sscc: bool) -> Container {
    let bare = text.strip_prefix("00").filter(|rest| rest.len() == 18).unwrap_or(text);
    let mut container = Container { container_id: text.to_owned(), ..Container::default() };
    if bare.len() == 18 && codes::has_check_digit(bare) {
        bare.clone_into(&mut container.sscc);
    } else if is_sscc {
        doubts.push(Warning {
            code: "SSCC_CHECK_DIGIT".to_owned(),
            path: path.to_owned(),
            text: format!("`{text}` is no SSCC"),
        });
    }
    container
}

/// Adds a reference; a second of the same kind and value is not added again.
pub(super) fn refer(references: &mut Vec<Reference>, kind: RefKind, value: &str) {
    if !value.is_empty() && !references.iter().any(|known| known.kind == kind && known.value == value) {
        references.push(Reference { kind, value: value.to_owned(), date: None });
    }
}

/// The party in this role, added where there is none yet.
pub(super) fn party(event: &mut Event, role: PartyRole) -> &mut Party {
    let at = event.parties.iter().position(|party| party.role == role).unwrap_or_else(|| {
        let (id, id_scheme, name, address) = Default::default();
        event.parties.push(Party { role, id, id_scheme, name, address });
        event.parties.len() - 1
    });
    &mut event.parties[at]
}

/// Leading zeros go only where all are digits (SAP conversion exit ALPHA), and one digit stays.
pub(super) fn without_zeros(text: &str) -> &str {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return text;
    }
    let stripped = text.trim_start_matches('0');
    if stripped.is_empty() { &text[text.len() - 1..] } else { stripped }
}

/// Settles what the lines of one item in a stock report say together. One without status is the whole stock (17 on hand, EDIFACT
/// 145): alone it is the balance; beside its own parts it is their total, which must not count a second time.
pub(super) fn settle_whole(lines: &mut [Line]) {
    // What is on its way is no part of what is there.
    let is_part = |line: &Line| {
        let status = line.stock_status_to.as_str();
        status != "in_transit" && codes::STOCK_STATUSES.contains(&status)
    };
    if !lines.iter().any(is_part) {
        return;
    }
    for line in lines.iter_mut().filter(|line| line.stock_status_to.is_empty()) {
        line.stock_status_to = format!("other:{}", line.status_source);
    }
}

/// Keeps what no field of the contract takes; a second value under the same key is joined to it.
pub(super) fn keep(event: &mut Event, key: impl Into<String>, value: &str) {
    if value.is_empty() {
        return;
    }
    match event.extensions.entry(key.into()) {
        Entry::Vacant(free) => drop(free.insert(value.to_owned())),
        Entry::Occupied(known) => {
            let slot = known.into_mut();
            if !slot.is_empty() {
                slot.push_str(" | ");
            }
            slot.push_str(value);
        }
    }
}
