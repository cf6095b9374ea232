//! What must hold for any bytes.

use proptest::prelude::*;

use super::fixtures::{all, outcome};
use crate::decode::{
    profile::DialectKind,
    samples::{decoder, read, read_slowly, summary},
};

#[test]
fn every_fixture_is_good() {
    for (kind, text) in all() {
        let outcome = outcome(&text);

        assert!(outcome.held.is_empty() && !outcome.survey.is_refused(), "{kind} {:?}", outcome.held);
        assert_eq!(outcome.survey.taken, outcome.survey.lines, "{kind}");
        let has_mismatch = outcome.events.iter().flat_map(|e| &e.warnings).any(|w| w.code == "TOTAL_MISMATCH");
        assert!(!has_mismatch, "{kind}");
    }
}

/// Only the terminator of the very last segment may be missing.
#[test]
fn a_file_cut_anywhere_yields_no_event() {
    let decoder = decoder(DialectKind::Edifact);
    for (kind, text) in all() {
        let whole = text.trim_end().len() - 1;
        for cut in 0..whole {
            let outcome = read(&decoder, &text.as_bytes()[..cut]);

            assert!(outcome.events.is_empty(), "{kind} at {cut}");
            let is_told = outcome.survey.refusals.iter().any(|line| line.code == "TRUNCATED_FILE");
            assert!(is_told || cut == 0, "{kind} at {cut}: {:?}", outcome.survey.refusals);
        }
        assert!(!read(&decoder, &text.as_bytes()[..whole]).events.is_empty(), "{kind}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_size_of_the_pieces_does_not_matter(which in 0_usize..9, step in 1_usize..40) {
        let decoder = decoder(DialectKind::Edifact);
        let (_, text) = all().swap_remove(which);

        let whole = summary(&read(&decoder, text.as_bytes()));
        let pieces = summary(&read_slowly(&decoder, text.as_bytes(), step.max(16)));

        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn changed_bytes_do_no_harm(
        which in 0_usize..9,
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
    ) {
        let (_, text) = all().swap_remove(which);
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }

        let outcome = read(&decoder(DialectKind::Edifact), &bytes);

        prop_assert!(outcome.survey.is_refused() || outcome.survey.lines >= outcome.survey.taken);
    }

    #[test]
    fn segments_in_any_order_do_no_harm(which in 0_usize..9, from in any::<usize>(), to in any::<usize>()) {
        let (_, text) = all().swap_remove(which);
        let mut segments: Vec<&str> = text.split_inclusive('\n').collect();
        let count = segments.len() - 4;
        segments.swap(2 + from % count, 2 + to % count);

        let outcome = read(&decoder(DialectKind::Edifact), segments.concat().as_bytes());

        prop_assert!(outcome.survey.lines >= outcome.survey.taken);
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300), has_head in any::<bool>()) {
        let mut all = Vec::new();
        if has_head {
            all.extend_from_slice(b"UNA:+.? 'UNB+UNOC:3+A+B+260714:1015+1'UNH+1+ORDERS:D:96A:UN'");
        }
        all.extend(bytes);

        let outcome = read(&decoder(DialectKind::Edifact), &all);

        prop_assert!(outcome.events.is_empty());
    }
}
