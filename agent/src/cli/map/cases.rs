//! Runs the tests that stand in a profile.

use std::{
    fs,
    io::{self, Cursor, Write},
    ops::ControlFlow,
    path::Path,
};

use docksync_proto::identity;
use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::source::Source;
use crate::{
    decode::{
        Decoder, FileFacts, Record, json,
        profile::{Case, CaseInput, cases::difference},
    },
    intake,
    queue::capture::HeldLine,
};

/// Runs every test of the profile; true where all hold.
pub(super) fn run(source: &Source, profile: Option<&Path>, out: &mut dyn Write) -> io::Result<bool> {
    let folder = profile.and_then(Path::parent).unwrap_or(Path::new("."));
    let mut is_good = true;
    for case in &source.decoder.profile().cases {
        match check(source, case, folder) {
            Ok(()) => writeln!(out, "test {:?} ... ok", case.name)?,
            Err(why) => {
                is_good = false;
                writeln!(out, "test {:?} ... FAILED: {why}", case.name)?;
            }
        }
    }
    Ok(is_good)
}

fn check(source: &Source, case: &Case, folder: &Path) -> Result<(), String> {
    let (name, bytes) = match &case.input {
        CaseInput::Text(text) => (case.name.clone(), text.clone().into_bytes()),
        CaseInput::File(file) => {
            let path = folder.join(file);
            (file.clone(), fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?)
        }
    };
    let (events, held) = read(&source.decoder, &source.feed, name, bytes)?;
    for (at, (expected, found)) in case.expect.iter().zip(&events).enumerate() {
        if let Some((path, found, expected)) = difference(expected, found, "") {
            return Err(format!("event {}: {path} is {found}, expected {expected}", at + 1));
        }
    }
    if case.expect.len() != events.len() {
        return Err(format!("{} events came out, expected {}", events.len(), case.expect.len()));
    }
    let rejects: Vec<String> = held.iter().map(|line| format!("{} {}", line.line_no, line.code)).collect();
    if rejects != case.rejects {
        return Err(format!("rejected: {}; expected: {}", listed(&rejects), listed(&case.rejects)));
    }
    Ok(())
}

fn listed(lines: &[String]) -> String {
    if lines.is_empty() { "nothing".to_owned() } else { lines.join(", ") }
}

fn read(decoder: &Decoder, feed: &str, name: String, bytes: Vec<u8>) -> Result<(Vec<Value>, Vec<HeldLine>), String> {
    let words = |error: crate::decode::DecodeError| intake::chain(&error);
    let hash: [u8; 32] = Sha256::digest(&bytes).into();
    let (size, sha256) = (bytes.len() as u64, identity::hex(&hash));
    // A fixed time: what a test says must not depend on the day on which it is run.
    let record_time = Timestamp::UNIX_EPOCH + jiff::SignedDuration::from_hours(24 * 365 * 80);
    let facts = FileFacts { feed: feed.to_owned(), name, sha256, size, record_time };
    let mut input = Cursor::new(bytes);
    let survey = decoder.survey(&mut input, &facts).map_err(words)?;
    if survey.is_refused() {
        return Ok((Vec::new(), survey.refusals));
    }
    let (mut events, mut held, mut failed) = (Vec::new(), Vec::new(), None);
    let mut visit = |_, record: Record<'_>| {
        match record {
            Record::Event(event) => match json::event_json(event) {
                Ok(json) => events.push(json),
                Err(error) => failed = Some(error.to_string()),
            },
            Record::Held(lines) => held.extend_from_slice(lines),
        }
        if failed.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    decoder.emit(&mut input, &facts, &survey, &mut visit).map_err(words)?;
    failed.map_or(Ok((events, held)), Err)
}
