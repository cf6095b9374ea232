//! Throws damaged files at the decoders and watches what must always hold.
//!
//! Each input is a file of the corpus with some damage: bytes flipped, cut, doubled, swapped, replaced by words of the format,
//! pieces of other files spliced in. What must hold of every one, however it ends: no panic; both passes agree; the size of the
//! pieces in which a file is read changes nothing; and a file is read within a time that its size allows.

use std::{
    fs,
    io::{Cursor, Read, Seek, SeekFrom},
    ops::ControlFlow,
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use docksync_agent::decode::{
    Decoder, FileFacts, Record,
    profile::{self, DialectKind, Profile},
};
use docksync_proto::{identity, site::SiteId};
use jiff::{Timestamp, tz::TimeZone};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// Largest input, in bytes.
const INPUT_BYTES_MAX: usize = 64 * 1024;
/// Longest time for one input: a thousand times what a sound one takes.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);
/// Words that mean something to one format or another.
const WORDS: &[&[u8]] = &[
    b"ISA*",
    b"GS*",
    b"ST*945*0001~",
    b"SE*",
    b"IEA*1*",
    b"LX*1~",
    b"~",
    b"*",
    b"UNA:+.? '",
    b"UNB+",
    b"UNH+",
    b"UNT+",
    b"UNZ+",
    b"'",
    b"+",
    b"?",
    b":",
    b"<",
    b">",
    b"</",
    b"/>",
    b"<![CDATA[",
    b"<!DOCTYPE x>",
    b"&amp;",
    b"&#x0;",
    b"&x;",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\u0000",
    b",",
    b"\n",
    b"\r\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"-",
    b"99999999999999999999",
    b"1e9999",
    b"00000000",
    b"20261332",
    b";",
    b"|",
    b"\t",
];

/// What a run did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Done {
    /// Inputs read.
    pub inputs: u64,
    /// Of them refused as a whole.
    pub refused: u64,
    /// Events that came out.
    pub events: u64,
    /// Lines that were held.
    pub held: u64,
}

/// A decoder with the files that it is fed.
#[derive(Debug)]
pub struct Target {
    /// Its name: that of a standard or of a shipped profile.
    pub name: String,
    decoder: Decoder,
    corpus: Vec<Vec<u8>>,
}

/// Every standard and every shipped profile.
///
/// # Errors
/// Where a profile or the corpus cannot be read.
pub fn targets() -> anyhow::Result<Vec<Target>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in ["config/examples", "tests/golden", "../shared/samples"] {
        collect(&root.join(folder), &mut files);
    }
    let corpus = files.iter().map(fs::read).collect::<Result<Vec<_>, _>>()?;
    let corpus: Vec<Vec<u8>> = corpus.into_iter().filter(|bytes| bytes.len() <= INPUT_BYTES_MAX).collect();
    let mut targets = Vec::new();
    for (name, dialect) in DialectKind::WORDS {
        targets.push(target((*name).to_owned(), Profile::of_dialect(*dialect), &corpus)?);
    }
    let mut profiles: Vec<PathBuf> = Vec::new();
    collect(&root.join("config/feeds"), &mut profiles);
    for path in profiles {
        let text = fs::read_to_string(&path)?;
        let profile = profile::read(&path, &text).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
        let mut fed = corpus.clone();
        let own = profile.cases.iter().filter_map(|case| match &case.input {
            profile::CaseInput::Text(text) => Some(text.clone().into_bytes()),
            profile::CaseInput::File(_) => None,
        });
        fed.extend(own);
        targets.push(target(profile.name.clone(), profile, &fed)?);
    }
    Ok(targets)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}

/// The files that this decoder makes something of; where it makes nothing of any, all of them.
fn target(name: String, profile: Profile, corpus: &[Vec<u8>]) -> anyhow::Result<Target> {
    let decoder = Decoder::new(Arc::new(profile), &SiteId::new("DC7")?, &TimeZone::UTC, "UTC");
    let mut own: Vec<Vec<u8>> = Vec::new();
    for bytes in corpus {
        let survey = decoder.survey(&mut Cursor::new(bytes), &facts(bytes.len()))?;
        if !survey.is_refused() && !survey.counts.is_empty() {
            own.push(bytes.clone());
        }
    }
    let corpus = if own.is_empty() { corpus.to_vec() } else { own };
    anyhow::ensure!(!corpus.is_empty(), "there is no corpus for {name}");
    Ok(Target { name, decoder, corpus })
}

fn facts(size: usize) -> FileFacts {
    FileFacts {
        feed: "fuzz".to_owned(),
        name: "fuzz".to_owned(),
        sha256: "0".repeat(64),
        size: size as u64,
        record_time: Timestamp::UNIX_EPOCH,
    }
}

impl Target {
    /// Feeds damaged files for so long; the same seed damages alike.
    ///
    /// # Errors
    /// What did not hold, with the input written to a file.
    pub fn run(&self, seed: u64, time: Duration) -> anyhow::Result<Done> {
        let (mut rng, end, mut done) = (StdRng::seed_from_u64(seed), Instant::now() + time, Done::default());
        while Instant::now() < end {
            let input = self.damaged(&mut rng);
            let step = rng.random_range(1..4_000);
            let held = std::panic::catch_unwind(AssertUnwindSafe(|| self.check(&input, step)));
            let why = match held {
                Ok(Ok(one)) => {
                    done.inputs += 1;
                    done.refused += one.refused;
                    done.events += one.events;
                    done.held += one.held;
                    continue;
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => "it panicked".to_owned(),
            };
            let path = std::env::temp_dir().join(format!("docksync-fuzz-{}-{}", self.name, done.inputs));
            fs::write(&path, &input).with_context(|| format!("cannot write {}", path.display()))?;
            anyhow::bail!("{}: {why}; the input is {}, pieces of {step}", self.name, path.display());
        }
        Ok(done)
    }

    fn damaged(&self, rng: &mut StdRng) -> Vec<u8> {
        let mut bytes = self.corpus[rng.random_range(0..self.corpus.len())].clone();
        for _ in 0..rng.random_range(1..6) {
            let at = rng.random_range(0..=bytes.len());
            let end = (at + rng.random_range(0..64)).min(bytes.len());
            match rng.random_range(0..8) {
                0 if at < bytes.len() => bytes[at] ^= 1 << rng.random_range(0..8),
                1 => bytes.truncate(at),
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let piece = bytes[at..end].to_vec();
                    bytes.splice(at..at, piece);
                }
                4 => {
                    let word = WORDS[rng.random_range(0..WORDS.len())];
                    bytes.splice(at..end.min(at + word.len()), word.iter().copied());
                }
                5 => {
                    let other = &self.corpus[rng.random_range(0..self.corpus.len())];
                    let from = rng.random_range(0..=other.len());
                    let to = (from + rng.random_range(0..512)).min(other.len());
                    bytes.splice(at..at, other[from..to].iter().copied());
                }
                6 => {
                    let word = WORDS[rng.random_range(0..WORDS.len())];
                    let times = rng.random_range(1..400);
                    bytes.splice(at..at, word.iter().copied().cycle().take(word.len() * times));
                }
                _ => bytes.insert(at, rng.random()),
            }
            bytes.truncate(INPUT_BYTES_MAX);
        }
        bytes
    }

    fn check(&self, input: &[u8], step: usize) -> anyhow::Result<Done> {
        let begun = Instant::now();
        let (whole, done) = self.read(&mut Cursor::new(input), input.len())?;
        anyhow::ensure!(begun.elapsed() < INPUT_TIME_MAX, "reading took {:?}", begun.elapsed());
        let (pieces, _) = self.read(&mut Pieces(Cursor::new(input), step), input.len())?;
        anyhow::ensure!(whole == pieces, "the size of the pieces changes what comes out");
        Ok(done)
    }

    /// What comes out, in the order of records; both passes must say the same.
    fn read(&self, input: &mut (impl Read + Seek), size: usize) -> anyhow::Result<(Vec<String>, Done)> {
        let facts = facts(size);
        let survey = self.decoder.survey(input, &facts)?;
        let mut done = Done { inputs: 1, refused: u64::from(survey.is_refused()), ..Done::default() };
        let mut out: Vec<String> = survey.refusals.iter().map(|line| format!("{line:?}")).collect();
        if survey.is_refused() {
            return Ok((out, done));
        }
        self.decoder.emit(input, &facts, &survey, &mut |record, found| {
            match found {
                Record::Event(event) => {
                    done.events += 1;
                    let (id, digests) = (identity::event_id(event), identity::digests(event));
                    out.push(format!("{record} {id} {}", identity::hex(&digests.payload)));
                }
                Record::Held(lines) => {
                    done.held += lines.len() as u64;
                    out.push(format!("{record} {lines:?}"));
                }
            }
            ControlFlow::Continue(())
        })?;
        let counted: u64 = survey.counts.values().sum();
        anyhow::ensure!(counted == done.events, "the first pass counted {counted} events, the second {}", done.events);
        anyhow::ensure!(
            survey.held == done.held,
            "the first pass held {} lines, the second {}",
            survey.held,
            done.held
        );
        Ok((out, done))
    }
}

/// A file that is read in pieces of at most so many bytes.
struct Pieces<'i>(Cursor<&'i [u8]>, usize);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let most = out.len().min(self.1.max(16));
        self.0.read(&mut out[..most])
    }
}

impl Seek for Pieces<'_> {
    fn seek(&mut self, to: SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}
