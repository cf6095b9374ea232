//! Looks through a feed's folder: which files may be taken, in which order.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    IntakeError, open, pattern,
    settle::{self, Readiness, Seen, Watchlist},
};
use crate::decode::{
    Charset,
    profile::{CompleteRule, DialectKind, Parse, Profile, TreeForm},
};

/// Most files of one feed that one scan looks into; the others wait for the next.
pub const SCAN_FILES_MAX: usize = 2_000;
/// Most names of one folder that one scan reads.
pub const SCAN_NAMES_MAX: usize = 200_000;

/// A file that may be taken as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) mtime_ns: i128,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Files that may be taken, in order.
    pub(super) ready: Vec<Ready>,
    /// Files that match, ready or not.
    pub(super) waiting: u64,
    /// Names that match no pattern.
    pub(super) ignored: u64,
    /// Newest name of a file that was not there before.
    pub(super) fresh: Vec<OsString>,
    /// Time after which another look is worth it.
    pub(super) look_again: Option<Duration>,
    /// Things that are never taken, with the reason.
    pub(super) refused: Vec<IntakeError>,
    /// Device of the folder.
    pub(super) device: u64,
}

/// What scans of one folder remember.
#[derive(Debug, Default)]
pub(super) struct Memory {
    list: Watchlist,
    known: BTreeSet<OsString>,
}

/// Looks through the folder once.
pub(super) fn scan(
    folder: &Path,
    profile: &Profile,
    memory: &mut Memory,
    file_bytes_max: u64,
    now: Instant,
    is_done: &dyn Fn(&Path, u64, i128) -> bool,
) -> Result<Scan, IntakeError> {
    let failed = |source| IntakeError::Folder { path: folder.to_path_buf(), source };
    let mut scan = Scan { device: std::fs::metadata(folder).map_err(failed)?.dev(), ..Scan::default() };
    let (names, all) = names(folder, profile, &mut scan).map_err(failed)?;
    memory.known.retain(|name| names.contains(name));
    memory.list.keep(|name| names.contains(name));
    let mut ready: Vec<(OsString, Ready)> = Vec::new();
    let mut looked = 0;
    for name in &names {
        // Those that were dealt with and may not be moved do not count: else they would hide every newer one.
        if looked >= SCAN_FILES_MAX {
            break;
        }
        let path = folder.join(name);
        let meta = match path.symlink_metadata() {
            Ok(meta) => meta,
            // Gone between listing and looking: the warehouse system renamed it, or another took it.
            Err(_) => continue,
        };
        if let Some(kind) = open::not_plain(&meta) {
            scan.refused.push(IntakeError::NotPlain { path, kind });
            continue;
        }
        let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        if is_done(&path, meta.len(), mtime_ns) {
            continue;
        }
        looked += 1;
        scan.waiting += 1;
        if memory.known.insert(name.clone()) {
            scan.fresh.push(name.clone());
        }
        if meta.len() > file_bytes_max {
            scan.refused.push(IntakeError::TooLarge { path, file_bytes: meta.len(), file_bytes_max });
            continue;
        }
        let seen = match look(&path, profile, &all) {
            Ok(seen) => seen,
            Err(error) => {
                scan.refused.push(error);
                continue;
            }
        };
        match memory.list.observe(name, &seen, &profile.complete, now) {
            Readiness::Ready => {
                let (size, mtime_ns) = (seen.size, seen.mtime_ns);
                ready.push((name.clone(), Ready { path, size, mtime_ns }));
            }
            Readiness::In(wait) => scan.look_again = Some(scan.look_again.map_or(wait, |least| least.min(wait))),
            Readiness::Waiting => {}
            Readiness::Stale => scan.refused.push(IntakeError::Incomplete { path }),
        }
    }
    if looked >= SCAN_FILES_MAX {
        scan.waiting += names.len().saturating_sub(SCAN_FILES_MAX) as u64;
    }
    ready.sort_by(|a, b| settle::order((&a.0, a.1.mtime_ns), (&b.0, b.1.mtime_ns), profile.sequence.as_ref()));
    scan.ready = ready.into_iter().map(|(_, ready)| ready).collect();
    Ok(scan)
}

/// Names that match the feed, and all names (companions are looked up there).
fn names(folder: &Path, profile: &Profile, scan: &mut Scan) -> io::Result<(BTreeSet<OsString>, BTreeSet<OsString>)> {
    let (mut names, mut all) = (BTreeSet::new(), BTreeSet::new());
    for entry in std::fs::read_dir(folder)?.take(SCAN_NAMES_MAX) {
        let name = entry?.file_name();
        let is_match = profile.matches.iter().any(|p| pattern::matches(p, &name));
        let is_reject = profile.rejects.iter().any(|p| pattern::matches(p, &name));
        let is_marker = matches!(&profile.complete, CompleteRule::Marker { suffix }
            if pattern::matches(&format!("*{suffix}"), &name));
        if is_match && !is_reject && !is_marker {
            names.insert(name.clone());
        } else if !is_marker && name != super::shelve::SIDE_DIR {
            scan.ignored += 1;
        }
        all.insert(name);
    }
    Ok((names, all))
}

fn look(path: &Path, profile: &Profile, all: &BTreeSet<OsString>) -> Result<Seen, IntakeError> {
    let mut opened = open::open(path)?;
    let mut seen = Seen {
        size: opened.size,
        mtime_ns: opened.mtime_ns,
        ends_hash: 0,
        has_marker: false,
        has_trailer: true,
        ends_in_nul: false,
    };
    match &profile.complete {
        CompleteRule::Rename => return Ok(seen),
        CompleteRule::Marker { suffix } => {
            let mut companion = path.file_name().unwrap_or_default().to_owned();
            companion.push(suffix);
            seen.has_marker = all.contains(&companion);
            return Ok(seen);
        }
        CompleteRule::Quiet { .. } | CompleteRule::Trailer => {}
    }
    let read = |source| IntakeError::Read { path: path.to_path_buf(), source };
    let (tail, ends_hash) = open::ends(&mut opened).map_err(read)?;
    seen.ends_hash = ends_hash;
    seen.ends_in_nul = tail.last() == Some(&0) && !is_utf16(profile, &tail);
    let root = if seen.size > 0 && is_xml(profile) { open::head(&mut opened).map_err(read)? } else { Vec::new() };
    seen.has_trailer = has_trailer(profile, &root, &tail);
    Ok(seen)
}

/// UTF-16LE text ends in a zero byte: CR or LF, then 0. Space set aside is nothing but zeros.
fn is_utf16(profile: &Profile, tail: &[u8]) -> bool {
    let is_possible = matches!(profile.encoding, None | Some(Charset::Utf16Le | Charset::Utf16Be));
    is_possible && tail.len() >= 2 && tail[tail.len() - 2] != 0
}

fn is_xml(profile: &Profile) -> bool {
    match &profile.parse {
        Parse::Tree(tree) => tree.form == TreeForm::Xml,
        Parse::Dialect(parse) => {
            matches!(parse.dialect, DialectKind::Epcis | DialectKind::Idoc | DialectKind::Gs1Xml | DialectKind::Ubl)
        }
        Parse::Csv(_) => false,
    }
}

/// Whether the file ends as its format says that it does.
fn has_trailer(profile: &Profile, head: &[u8], tail: &[u8]) -> bool {
    let plain = |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().filter(|byte| *byte != 0).collect() };
    match &profile.parse {
        Parse::Csv(_) => has_trailer_row(profile, tail),
        Parse::Dialect(parse) if parse.dialect == DialectKind::X12 => has_last_segment(&plain(tail), b"IEA"),
        Parse::Dialect(parse) if parse.dialect == DialectKind::Edifact => has_last_segment(&plain(tail), b"UNZ"),
        Parse::Tree(_) | Parse::Dialect(_) => has_closed_root(&plain(head), &plain(tail)),
    }
}

/// Whether the segment stands last, and its terminator behind it.
fn has_last_segment(tail: &[u8], name: &[u8]) -> bool {
    const SEGMENT_BYTES_MAX: usize = 100;
    let Some(at) = tail.windows(name.len()).rposition(|part| part == name) else { return false };
    let is_start = at == 0 || !tail.get(at - 1).is_some_and(u8::is_ascii_alphanumeric);
    let segment = tail.get(at + name.len()..).unwrap_or_default();
    let is_ended = segment.last().is_some_and(|byte| !byte.is_ascii_alphanumeric());
    is_start && is_ended && segment.len() <= SEGMENT_BYTES_MAX
}

/// Whether an XML document ends with the end tag of its root; of JSON, whether a bracket closes it. Other text is not judged.
fn has_closed_root(head: &[u8], tail: &[u8]) -> bool {
    let (head, tail) = (String::from_utf8_lossy(head), String::from_utf8_lossy(tail));
    let mut tail = tail.trim_end();
    let mut rest = head.trim_start_matches('\u{feff}').trim_start();
    if !rest.starts_with('<') {
        let is_json = rest.starts_with(['{', '[']);
        return !is_json || tail.ends_with(['}', ']']);
    }
    // What stands before the root: declaration, comments, instructions.
    while rest.starts_with("<?") || rest.starts_with("<!") {
        let end = if rest.starts_with("<!--") { "-->" } else { ">" };
        rest = rest.split_once(end).map_or("", |(_, rest)| rest).trim_start();
    }
    let is_name = |c: char| !(c.is_whitespace() || matches!(c, '>' | '/' | '<'));
    let name: String = rest.trim_start_matches('<').chars().take_while(|c| is_name(*c)).collect();
    while let Some(before) = tail.strip_suffix("-->").and_then(|text| text.rfind("<!--").map(|at| &text[..at])) {
        tail = before.trim_end();
    }
    let end_tag = tail.strip_suffix('>').map(str::trim_end).and_then(|text| text.strip_suffix(name.as_str()));
    let is_empty_root = tail.ends_with("/>") && rest.trim_end() == &rest[..rest.find('>').map_or(0, |at| at + 1)];
    !name.is_empty() && (end_tag.is_some_and(|text| text.ends_with("</")) || is_empty_root)
}

/// Whether the last line that is not blank is a trailer row, and ended.
fn has_trailer_row(profile: &Profile, tail: &[u8]) -> bool {
    let Parse::Csv(csv) = &profile.parse else { return true };
    let Some((column, trailer)) = csv.record_type.as_ref().and_then(|r| Some((&r.column, r.trailer.as_deref()?)))
    else {
        return true;
    };
    // Zero bytes are those of UTF-16; the words themselves are ASCII.
    let text: Vec<u8> = tail.iter().copied().filter(|byte| *byte != 0).collect();
    let Some(line) = text.rsplit(|b| *b == b'\n' || *b == b'\r').find(|line| !line.trim_ascii().is_empty()) else {
        return false;
    };
    let at = match column {
        crate::decode::profile::Column::Span { start, len } => {
            let line = String::from_utf8_lossy(line);
            return line.chars().skip(start - 1).take(*len).collect::<String>().trim() == trailer;
        }
        crate::decode::profile::Column::Index(at) => *at,
        // A named column stands in a header row that is not at hand: the word anywhere in the line must do.
        crate::decode::profile::Column::Name(_) => {
            return line.split(|b| *b == csv.dialect.delimiter).any(|cell| cell.trim_ascii() == trailer.as_bytes());
        }
    };
    line.split(|b| *b == csv.dialect.delimiter).nth(at).is_some_and(|cell| cell.trim_ascii() == trailer.as_bytes())
}
