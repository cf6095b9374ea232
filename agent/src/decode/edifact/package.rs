//! The packing tree of a despatch advice: CPS, PAC, PCI and GIN.

use std::collections::HashMap;

use docksync_proto::event::Warning;

use super::{
    CONTAINERS_MAX, codes,
    item::measure,
    parse::{Pack, Parser, Part, keep},
    segment::Segment,
};
use crate::decode::{
    hold,
    message::{Message, Messages},
    trade,
};

impl Parser {
    pub(super) fn open_pack(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        self.close_line(messages, message);
        self.part = Part::Package;
        if self.packs.len() >= CONTAINERS_MAX {
            return self.too_many(message, segment);
        }
        let (id, parent) = (segment.at(1, 1).to_owned(), segment.at(2, 1).to_owned());
        self.packs.push(Pack { id, parent, ..Pack::default() });
    }

    fn too_many(&self, message: &mut Message, segment: &Segment) {
        let expected = format!("at most {CONTAINERS_MAX} packages and containers");
        let fault = hold::whole("DOCUMENT_TOO_LARGE", segment.tag(), "more", expected);
        message.fault(segment.ordinal, fault, &segment.shown());
    }

    pub(super) fn pack_segment(&mut self, messages: &mut Messages<'_, '_>, message: &mut Message, segment: &Segment) {
        let id = self.packs.last().map(|pack| pack.id.clone()).unwrap_or_default();
        let prefix = format!("edifact:CPS+{id}/");
        match segment.tag() {
            "PAC" => {
                if let Some(pack) = self.packs.last_mut().filter(|pack| pack.containers.is_empty()) {
                    segment.at(3, 1).clone_into(&mut pack.kind);
                }
                keep(&mut self.document.event, &prefix, "", segment);
            }
            "GIN" if matches!(segment.at(1, 1), "BJ" | "AW" | "ML") => {
                let mut warnings = Vec::new();
                let made = self.containers(segment, &mut warnings, message);
                self.document.event.warnings.append(&mut warnings);
                if let Some(pack) = self.packs.last_mut() {
                    pack.containers.extend(made);
                }
            }
            "MEA" => self.pack_measure(messages, message, segment, &prefix),
            _ => keep(&mut self.document.event, &prefix, "", segment),
        }
    }

    /// The containers of a GIN, ranges written out; gives their places in the document.
    pub(super) fn containers(
        &mut self,
        segment: &Segment,
        warnings: &mut Vec<Warning>,
        message: &mut Message,
    ) -> Vec<usize> {
        let is_sscc = segment.at(1, 1) != "ML";
        let kind = self.packs.last().and_then(|pack| codes::container_kind(&pack.kind));
        let mut made = Vec::new();
        for element in 2..=segment.len() {
            for number in range(segment.at(element, 1), segment.at(element, 2), is_sscc) {
                let known = self.document.containers.iter().position(|c| c.container_id == number);
                if let Some(at) = known {
                    made.push(at);
                    continue;
                }
                if self.document.containers.len() >= CONTAINERS_MAX {
                    self.too_many(message, segment);
                    return made;
                }
                let mut container = trade::container(warnings, "GIN/C208.7402", &number, is_sscc);
                container.kind = kind;
                made.push(self.document.containers.len());
                self.document.containers.push(container);
            }
        }
        made
    }

    fn pack_measure(&mut self, messages: &Messages<'_, '_>, message: &mut Message, segment: &Segment, prefix: &str) {
        let Some(pack) = self.packs.last_mut() else { return };
        let dimension = match segment.at(2, 1) {
            "LN" => Some(0),
            "WD" => Some(1),
            "HT" | "HM" => Some(2),
            _ => None,
        };
        match (measure(messages, segment), dimension) {
            (Ok(Some(measure)), Some(at)) => {
                if let Some(slot) = pack.dims.get_mut(at) {
                    *slot = measure.value.normalize().to_string();
                }
                measure.unit.clone_into(&mut pack.dims_unit);
            }
            (Ok(Some(weight)), None)
                if pack.weight.is_none() && matches!(segment.at(2, 1), "AAB" | "G" | "AAD" | "WT") =>
            {
                pack.weight = Some(weight);
            }
            (Ok(_), _) => keep(&mut self.document.event, prefix, "", segment),
            (Err(fault), _) => message.fault(segment.ordinal, fault, &segment.shown()),
        }
    }

    /// Tells each container what its package weighs and which container it stands in.
    pub(super) fn close_packs(&mut self) {
        let places: HashMap<String, usize> =
            self.packs.iter().enumerate().rev().map(|(at, pack)| (pack.id.clone(), at)).collect();
        for at in 0..self.packs.len() {
            let holder = self.holder(at, |id| places.get(id).copied());
            let Some(pack) = self.packs.get(at) else { continue };
            let dims = pack.dims.iter().filter(|d| !d.is_empty()).cloned().collect::<Vec<_>>().join("x");
            for place in &pack.containers {
                let Some(container) = self.document.containers.get_mut(*place) else { continue };
                if let Some(holder) = &holder
                    && *holder != container.container_id
                {
                    holder.clone_into(&mut container.parent_id);
                }
                // One weight over several containers is that of all of them.
                if pack.containers.len() == 1 {
                    container.weight.clone_from(&pack.weight);
                }
                if !dims.is_empty() {
                    container.dims = format!("{dims} {}", pack.dims_unit).trim().to_owned();
                }
            }
        }
    }

    /// The nearest container above a package. Steps are bounded: a ring of parents ends too.
    pub(super) fn holder(&self, at: usize, find: impl Fn(&str) -> Option<usize>) -> Option<String> {
        let mut parent = self.packs.get(at)?.parent.as_str();
        for _ in 0..32 {
            if parent.is_empty() {
                return None;
            }
            let above = self.packs.get(find(parent)?)?;
            if let [place] = above.containers.as_slice() {
                return self.document.containers.get(*place).map(|c| c.container_id.clone());
            }
            parent = above.parent.as_str();
        }
        None
    }
}

/// Numbers from the first to the last; check digits of SSCCs are made anew. A range that makes no sense is its first number.
fn range(first: &str, last: &str, is_sscc: bool) -> Vec<String> {
    let single = || if first.is_empty() { Vec::new() } else { vec![first.to_owned()] };
    if last.is_empty() || last == first {
        return single();
    }
    let body = |text: &str| {
        let digits = if is_sscc { text.get(..text.len().checked_sub(1)?)? } else { text };
        if codes::is_digits(digits) && digits.len() <= 20 { digits.parse::<u128>().ok() } else { None }
    };
    let (Some(from), Some(to)) = (body(first), body(last)) else { return vec![first.to_owned(), last.to_owned()] };
    let is_sane = first.len() == last.len() && from < to && to - from < CONTAINERS_MAX as u128;
    if !is_sane {
        return vec![first.to_owned(), last.to_owned()];
    }
    let width = first.len() - usize::from(is_sscc);
    let made = |n: u128| {
        let digits = format!("{n:0>width$}");
        if is_sscc { with_check_digit(&digits) } else { digits }
    };
    (from..=to).map(made).collect()
}

/// GS1 General Specifications 7.9.
fn with_check_digit(digits: &str) -> String {
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(at, b)| u32::from(b.wrapping_sub(b'0')) * if at % 2 == 0 { 3 } else { 1 })
        .sum();
    format!("{digits}{}", (10 - sum % 10) % 10)
}
