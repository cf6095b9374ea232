//! What must hold for any bytes.

use proptest::prelude::*;

use super::{
    fixtures::{all, outcome},
    flat::SHIPMENT,
};
use crate::decode::{
    profile::DialectKind,
    samples::{decoder, read, read_slowly, summary},
};

fn every() -> Vec<String> {
    let mut every = all();
    every.push(SHIPMENT());
    every
}

#[test]
fn every_fixture_is_good() {
    for text in every() {
        let outcome = outcome(&text);

        assert!(outcome.held.is_empty() && !outcome.survey.is_refused(), "{:?}", outcome.held);
        assert!(!outcome.events.is_empty());
        assert_eq!(outcome.survey.taken, outcome.survey.lines);
    }
}

#[test]
fn an_xml_file_cut_anywhere_yields_no_event() {
    let decoder = decoder(DialectKind::Idoc);
    for text in all() {
        let whole = text.trim_end().len();
        for cut in 0..whole {
            let outcome = read(&decoder, &text.as_bytes()[..cut]);

            assert!(outcome.events.is_empty(), "{cut}");
            assert!(outcome.survey.is_refused() || text[..cut].trim().is_empty(), "{cut}");
        }
    }
}

/// A flat file has no trailer: what is cut between two records is seen by the feed's rule of completeness alone.
#[test]
fn a_flat_file_cut_within_a_record_yields_no_event() {
    let decoder = decoder(DialectKind::Idoc);
    let text = SHIPMENT();
    for cut in (1..text.len()).filter(|cut| text.as_bytes()[cut - 1] != b'\n') {
        let outcome = read(&decoder, &text.as_bytes()[..cut]);

        assert!(outcome.events.is_empty() && outcome.survey.is_refused(), "{cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_size_of_the_pieces_does_not_matter(which in 0_usize..6, step in 16_usize..60) {
        let decoder = decoder(DialectKind::Idoc);
        let text = every().swap_remove(which);

        let whole = summary(&read(&decoder, text.as_bytes()));
        let pieces = summary(&read_slowly(&decoder, text.as_bytes(), step));

        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn changed_bytes_do_no_harm(
        which in 0_usize..6,
        changes in proptest::collection::vec((any::<usize>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = every().swap_remove(which).into_bytes();
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }

        let outcome = read(&decoder(DialectKind::Idoc), &bytes);

        prop_assert!(outcome.survey.is_refused() || outcome.survey.lines >= outcome.survey.taken);
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..300), head in 0_u8..3) {
        let mut all = match head {
            0 => Vec::new(),
            1 => b"EDI_DC40  100\n".to_vec(),
            _ => b"<A><IDOC><EDI_DC40><MESTYP>SHPCON".to_vec(),
        };
        all.extend(bytes);

        let outcome = read(&decoder(DialectKind::Idoc), &all);

        prop_assert!(outcome.events.is_empty());
    }
}
