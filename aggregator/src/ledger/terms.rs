//! By which texts an event is found: one 64-bit hash per distinct text and batch.

use docksync_proto::event::Event;

/// Hash of a search text: FNV-1a over upper-case ASCII with a final mix. Stored, hence frozen.
pub fn term_hash(text: &str) -> i64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let hash = text.trim().bytes().fold(OFFSET, |h, b| (h ^ u64::from(b.to_ascii_uppercase())).wrapping_mul(PRIME));
    // FNV's low bits are weak for short texts; the multiply-shift of MurmurHash3 spreads them.
    let mixed = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ (mixed >> 33)).cast_signed()
}

/// Every text by which the event is found: order, references, items, containers, tracking numbers, file.
pub fn each_term<'e>(event: &'e Event, mut each: impl FnMut(&'e str)) {
    let mut some = |text: &'e str| {
        if !text.is_empty() {
            each(text);
        }
    };
    some(&event.source.file_name);
    some(&event.correlation_id);
    event.references.iter().for_each(|r| some(&r.value));
    for line in &event.lines {
        some(&line.item.sku);
        some(&line.container_ref);
        line.references.iter().for_each(|r| some(&r.value));
    }
    for container in &event.containers {
        some(&container.container_id);
        some(&container.sscc);
        some(&container.tracking_no);
        container.contents.iter().for_each(|c| some(&c.sku));
    }
}

/// Whether the event carries this text.
pub fn carries(event: &Event, text: &str) -> bool {
    let mut found = false;
    each_term(event, |term| found |= term.trim().eq_ignore_ascii_case(text.trim()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_term_is_found_in_any_case_and_never_changes_its_hash() {
        assert_eq!(term_hash("ord-1"), term_hash(" ORD-1 "));
        assert_eq!(term_hash("100482"), -2_704_912_489_580_684_119);
    }
}
