//! What must hold for any bytes.

use proptest::prelude::*;

use super::{
    super::super::{
        profile::DialectKind,
        samples::{decoder, read, read_slowly, summary},
    },
    fixtures::all,
};

#[test]
fn every_document_is_good() {
    for (kind, text) in all() {
        let outcome = read(&decoder(DialectKind::X12), text.as_bytes());

        assert!(outcome.held.is_empty() && !outcome.survey.is_refused(), "{kind} {:?}", outcome.held);
        assert_eq!(outcome.survey.taken, outcome.survey.lines, "{kind}");
    }
}

/// A torn interchange says nothing: only the terminator of the very last segment may be missing.
#[test]
fn a_file_cut_anywhere_yields_no_event() {
    let decoder = decoder(DialectKind::X12);
    for (kind, text) in all() {
        let whole = text.trim_end().len() - 1;
        for cut in 0..whole {
            let outcome = read(&decoder, &text.as_bytes()[..cut]);

            assert!(outcome.events.is_empty(), "{kind} at {cut}");
            let is_told = outcome.survey.is_refused() || !outcome.held.is_empty();
            assert!(is_told || cut == 0, "{kind} at {cut}");
        }
    }
}

#[test]
fn what_is_cut_is_told_as_such() {
    for (kind, text) in all() {
        for (cut, _) in text.match_indices('\n').filter(|(at, _)| *at + 1 < text.len()) {
            let outcome = read(&decoder(DialectKind::X12), &text.as_bytes()[..cut]);

            let [refusal] = outcome.survey.refusals.as_slice() else { panic!("{kind} at {cut}") };
            assert_eq!(refusal.code, "TRUNCATED_FILE", "{kind} at {cut}");
        }
    }
}

/// Tools that join files leave their marks between interchanges; a mark may be cut where a piece ends.
#[test]
fn byte_order_marks_are_passed_over_wherever_a_piece_ends() {
    let decoder = decoder(DialectKind::X12);
    let (_, text) = all().swap_remove(0);
    let joined = format!("{marks}{text}{marks}{text}", marks = "\u{feff}".repeat(5));

    let whole = summary(&read(&decoder, joined.as_bytes()));

    for step in 1..8 {
        assert_eq!(summary(&read_slowly(&decoder, joined.as_bytes(), step)), whole, "pieces of {step}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn the_size_of_the_pieces_does_not_matter(which in 0_usize..11, step in 1_usize..40) {
        let decoder = decoder(DialectKind::X12);
        let (_, text) = all().swap_remove(which);

        let whole = summary(&read(&decoder, text.as_bytes()));
        let pieces = summary(&read_slowly(&decoder, text.as_bytes(), step));

        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn changed_bytes_do_no_harm(which in 0_usize..11, changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8)) {
        let (_, text) = all().swap_remove(which);
        let mut bytes = text.into_bytes();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }

        let outcome = read(&decoder(DialectKind::X12), &bytes);

        prop_assert!(outcome.survey.is_refused() || outcome.survey.lines >= outcome.survey.taken);
    }

    #[test]
    fn segments_in_any_order_do_no_harm(which in 0_usize..11, from in any::<usize>(), to in any::<usize>()) {
        let (_, text) = all().swap_remove(which);
        let mut segments: Vec<&str> = text.split_inclusive('\n').collect();
        let count = segments.len() - 5;
        segments.swap(3 + from % count, 3 + to % count);

        let outcome = read(&decoder(DialectKind::X12), segments.concat().as_bytes());

        prop_assert!(outcome.survey.lines >= outcome.survey.taken);
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300), is_header in any::<bool>()) {
        let mut all = Vec::new();
        if is_header {
            let isa = "ISA*00*          *00*          *ZZ*ACME           *ZZ*NORTHDC        *260714*1015*U*00401*000000041*0*P*>~";
            all.extend_from_slice(isa.as_bytes());
        }
        all.extend(bytes);

        let outcome = read(&decoder(DialectKind::X12), &all);

        prop_assert!(outcome.events.is_empty());
    }
}
