//! One frame of each kind, as version 1 writes it: these bytes stay readable for ever.
//!
//! `UPDATE_GOLDEN=1 cargo test -p docksync-proto --test golden_frames` writes missing samples; a released sample is never changed.
#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use std::{fs, path::PathBuf};

use docksync_proto::{
    codec::{self, BatchEncoder},
    event::{Action, Event, EventTime, EventType, Line, Precision, RefKind, Reference},
    fate::{Answer, Fate, FateState, Question},
    frame::{Batch, BatchHead, Beat, DayTotal, Frame, Grant, Hello, Mark, Refuse, RefuseReason, Unavailable},
    identity::{self, Chain, Incarnation},
    site::SiteId,
};
use jiff::Timestamp;
use ring::signature::{Ed25519KeyPair, KeyPair as _};

const SEED: [u8; 32] = [9; 32];

fn event() -> Event {
    let at: Timestamp = "2026-11-23T18:58:10Z".parse().unwrap();
    let time = EventTime {
        at,
        offset_secs: -21_600,
        precision: Precision::Instant,
        zone: "America/Chicago".into(),
        text: String::new(),
    };
    let mut event = Event::new(EventType::PickConfirmed, SiteId::new("DC1").unwrap(), time, at);
    event.action = Action::Add;
    event.correlation_id = "SO-1".to_owned();
    event.split = true;
    event.references.push(Reference { kind: RefKind::Transaction, value: "T1".to_owned(), date: None });
    let mut line =
        Line { line_no: "1".into(), qty: Some("1.50".parse().unwrap()), uom: "EA".into(), ..Line::default() };
    line.item.sku = "SKU-1".to_owned();
    event.lines.push(line);
    event.extensions.insert("csv:wave".to_owned(), "7".to_owned());
    event.source.file_name = "PICK.csv".to_owned();
    event.source.record_ordinal = 1;
    event
}

/// One fate of each state: their order on the wire is frozen.
fn fates() -> Vec<Fate> {
    use FateState::{Applied, Behind, LeftOut, NoErp, NotHeld, OnTheWay, Parked, Test};
    let fate = |state: FateState, is_repeat| Fate {
        seq: if is_repeat { 6 } else { 5 },
        destination: "erp".to_owned(),
        state,
        is_repeat,
        text: state.as_str().to_owned(),
    };
    let states = [NotHeld, NoErp, OnTheWay, Applied, Parked, Behind, LeftOut, Test];
    states.into_iter().map(|state| fate(state, false)).chain([fate(Applied, true)]).collect()
}

fn frames() -> Vec<(&'static str, Frame)> {
    let start = Chain::start(&SiteId::new("DC1").unwrap(), Incarnation([1; 16]));
    let mut encoder = BatchEncoder::new();
    let (id, digests) = encoder.push(&event());
    let chain_after = start.next(1, id, &digests.payload);
    let head = BatchHead { epoch: 1, session: 7, first: 1, count: 1, chain_before: start, chain_after };
    vec![
        ("answer", Frame::Answer(Answer { epoch: 1, session: 7, first: 5, last: 6, fates: fates() })),
        ("batch", Frame::Batch(Batch { head, events: encoder.finish().unwrap() })),
        (
            "beat",
            Frame::Beat(Beat {
                epoch: 1,
                head: 5,
                marked: 4,
                oldest_age_ms: 10,
                files_waiting: 2,
                disk_used_bytes: 3,
                disk_free_bytes: 4,
                clock_ms: 6,
                totals: vec![DayTotal {
                    day: 20_261_123,
                    feed: "pick".into(),
                    event_type: 3,
                    count: 5,
                    qty_micros: 7_000_000,
                }],
            }),
        ),
        (
            "grant",
            Frame::Grant(Grant {
                nonce: [1; 16],
                epoch: 1,
                ratchet: [2; 16],
                resume_from: 5,
                marked: 4,
                chain: start,
                ledger_id: Incarnation([3; 16]),
                credit: 100,
                centre_time_ms: 9,
                version_min: 1,
            }),
        ),
        (
            "hello",
            Frame::Hello(Hello {
                incarnation: Incarnation([1; 16]),
                epoch: 1,
                ratchet: [2; 16],
                nonce: [4; 16],
                head: 5,
                head_chain: start,
                marked: 4,
                ledger_id: Incarnation([3; 16]),
                oldest_kept: 2,
                has_diverged: false,
                version: 1,
                batch_bytes_max: 65_536,
                clock_ms: 8,
                host: "dc1".into(),
            }),
        ),
        (
            "mark",
            Frame::Mark(Mark {
                epoch: 1,
                session: 7,
                marked: 4,
                chain: start,
                backed_up: 3,
                applied: 2,
                credit: 50,
                ledger_id: Incarnation([3; 16]),
                centre_time_ms: 9,
                want: vec![(1, 2)],
            }),
        ),
        ("question", Frame::Question(Question { epoch: 1, session: 7, first: 5, last: 9 })),
        (
            "refuse",
            Frame::Refuse(Refuse { epoch: 1, session: 7, expected: 5, reason: RefuseReason::Gap, nonce: [0; 16] }),
        ),
        (
            "unavailable",
            Frame::Unavailable(Unavailable { epoch: 1, session: 7, first: 5, last: 9, chain_after: start }),
        ),
    ]
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/golden/frames/v1-{name}.bin"))
}

#[test]
fn every_released_frame_is_written_and_read_as_it_was() {
    let key = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();

    for (name, frame) in frames() {
        let bytes = frame.seal(Some(&key)).unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !path(name).exists() {
            fs::create_dir_all(path(name).parent().unwrap()).unwrap();
            fs::write(path(name), &bytes).unwrap();
        }
        let golden = fs::read(path(name)).unwrap();

        assert_eq!(Frame::open(&golden, Some(key.public_key().as_ref())).unwrap(), frame, "{name} reads otherwise");
        // What zstd makes of a batch may change with its version; what it means may not.
        if name != "batch" {
            assert_eq!(bytes, golden, "{name} is written otherwise");
        }
    }
}

#[test]
fn the_identity_of_a_fact_never_changes() {
    let event = event();

    assert_eq!(identity::event_id(&event).to_string(), "575f9477-5360-5a22-9afc-5fc9fa24ef09");
    assert_eq!(
        identity::hex(&identity::digests(&event).content),
        "91530a6b5388e5631ee4ba95bd36b0055232a58f2c003ea7595b623885cb35a0"
    );
}

#[test]
fn a_batch_gives_back_its_events_with_their_hashes() {
    let mut encoder = BatchEncoder::new();
    let (id, digests) = encoder.push(&event());
    let bytes = encoder.finish().unwrap();

    let decoded = codec::decode_batch(&bytes).unwrap();

    // Decimals are normalised on the way: 1.50 and 1.5 are one quantity.
    assert_eq!(decoded[0].event, event());
    assert_eq!((decoded[0].id, decoded[0].digests), (id, digests));
}

#[test]
fn a_frame_that_was_altered_or_cut_anywhere_is_refused() {
    let key = Ed25519KeyPair::from_seed_unchecked(&SEED).unwrap();
    let public = key.public_key().as_ref();

    for (name, frame) in frames() {
        let bytes = frame.seal(Some(&key)).unwrap();
        for at in 0..bytes.len() {
            assert!(Frame::open(&bytes[..at], Some(public)).is_err(), "{name} cut at {at} was taken");
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(Frame::open(&altered, Some(public)).is_err(), "{name} altered at {at} was taken");
        }
    }
}

#[test]
fn columns_cut_or_altered_anywhere_never_panic() {
    let mut encoder = BatchEncoder::new();
    (0..20).for_each(|n| {
        let mut one = event();
        one.correlation_id = format!("SO-{n}");
        encoder.push(&one);
    });
    let bytes = encoder.finish().unwrap();

    for at in 0..bytes.len() {
        assert!(codec::decode_batch(&bytes[..at]).is_err(), "columns cut at {at} were taken");
        for bit in [1, 16, 128] {
            let mut altered = bytes.clone();
            altered[at] ^= bit;
            // Taken or refused: the chain finds what the columns cannot.
            drop(codec::decode_batch(&altered));
        }
    }
}
