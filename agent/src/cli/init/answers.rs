//! What flags say, what people answer, and what the machine suggests.

use std::{
    collections::BTreeSet,
    io::{self, BufRead, Write},
    path::PathBuf,
};

use docksync_proto::site::SiteId;
use jiff::tz::TimeZone;

use super::{InitArgs, find};
use crate::cli::exit;

/// Attempts at one question before the dialogue ends.
const ATTEMPTS: u32 = 3;

/// All that is needed.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) site: SiteId,
    pub(super) name: String,
    pub(super) time_zone: String,
    pub(super) centre: String,
    pub(super) contact: String,
    pub(super) folders: Vec<PathBuf>,
}

/// One question.
struct Question {
    flag: &'static str,
    text: &'static str,
    given: Option<String>,
    suggested: String,
    check: fn(&str) -> Result<(), String>,
}

/// Flags first, then questions. With `--no-input` every missing flag is named at once.
pub(super) fn gather(
    args: &InitArgs,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Result<Answers, u8>> {
    let mut told = Vec::new();
    for question in questions(args) {
        match answer(&question, args.no_input, input, out)? {
            Ok(text) => told.push(text),
            Err(why) => {
                writeln!(err, "error: {}: {why}", question.flag)?;
                told.push(String::new());
                if !args.no_input {
                    return Ok(Err(exit::USAGE));
                }
            }
        }
    }
    let folders = folders(args, input, out, err)?;
    let (Ok(site), Some(folders)) = (SiteId::new(&told[0]), folders) else { return Ok(Err(exit::USAGE)) };
    if told[2].is_empty() || told[3].is_empty() {
        return Ok(Err(exit::USAGE));
    }
    let mut told = told.into_iter().skip(1);
    let mut take = || told.next().unwrap_or_default();
    Ok(Ok(Answers { site, name: take(), time_zone: take(), centre: take(), contact: take(), folders }))
}

fn questions(args: &InitArgs) -> [Question; 5] {
    let site_of_host = rustix::system::uname().nodename().to_string_lossy().to_ascii_uppercase();
    let site_of_host =
        site_of_host.split('.').next().filter(|id| SiteId::new(id).is_ok()).unwrap_or_default().to_owned();
    [
        Question {
            flag: "--site",
            text: "Code of this distribution centre",
            given: args.site.clone(),
            suggested: site_of_host,
            check: |text| SiteId::new(text).map(drop).map_err(|error| error.to_string()),
        },
        Question {
            flag: "--name",
            text: "Its name for people",
            given: args.name.clone().or_else(|| args.no_input.then(String::new)),
            suggested: String::new(),
            check: |_| Ok(()),
        },
        Question {
            flag: "--time-zone",
            text: "Zone of local times in exports",
            given: args.time_zone.clone(),
            suggested: zone_of_machine(),
            check: |text| match TimeZone::get(text) {
                Ok(_) => Ok(()),
                Err(_) => Err(format!("no time zone `{text}`; a name of the IANA database, as America/Chicago")),
            },
        },
        Question {
            flag: "--centre",
            text: "Host name of the centre",
            given: args.centre.clone(),
            suggested: String::new(),
            check: |text| {
                let is_label =
                    |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                match text.split('.').all(is_label) {
                    true => Ok(()),
                    false => Err("a host name without port, as docksync.example.com".to_owned()),
                }
            },
        },
        Question {
            flag: "--contact",
            text: "Whom people here should call",
            given: args.contact.clone().or_else(|| args.no_input.then(String::new)),
            suggested: String::new(),
            check: |_| Ok(()),
        },
    ]
}

/// The zone of this machine, where it is one with a name.
fn zone_of_machine() -> String {
    let target = std::fs::read_link("/etc/localtime").unwrap_or_default();
    let target = target.to_string_lossy().into_owned();
    let name = target.split_once("zoneinfo/").map(|(_, name)| name.to_owned());
    name.filter(|name| TimeZone::get(name).is_ok()).unwrap_or_default()
}

fn answer(
    question: &Question,
    no_input: bool,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
) -> io::Result<Result<String, String>> {
    if let Some(given) = &question.given {
        return Ok((question.check)(given).map(|()| given.clone()));
    }
    if no_input {
        // A zone or name that the machine happens to have was chosen by nobody.
        return Ok(Err("is missing, and --no-input asks for nothing".to_owned()));
    }
    for _ in 0..ATTEMPTS {
        match question.suggested.is_empty() {
            true => write!(out, "{}: ", question.text)?,
            false => write!(out, "{} [{}]: ", question.text, question.suggested)?,
        }
        out.flush()?;
        let Some(said) = line(input)? else { return Ok(Err("standard input ended before the answer".to_owned())) };
        let said = if said.is_empty() { question.suggested.clone() } else { said };
        match (question.check)(&said) {
            Ok(()) => return Ok(Ok(said)),
            Err(why) => writeln!(out, "  {why}")?,
        }
    }
    Ok(Err(format!("no answer that can be used in {ATTEMPTS} attempts")))
}

/// A line without its end; `None` where there is none.
fn line(input: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut text = String::new();
    Ok(match input.read_line(&mut text)? {
        0 => None,
        _ => Some(text.trim().to_owned()),
    })
}

/// The folders: those of the flags, or those that are found and agreed to.
fn folders(
    args: &InitArgs,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<Option<Vec<PathBuf>>> {
    if !args.folders.is_empty() {
        let is_good = |folder: &&PathBuf| folder.is_dir() && folder.is_absolute() && find::is_plain(folder);
        for folder in args.folders.iter().filter(|folder| !is_good(folder)) {
            writeln!(
                err,
                "error: --folder {folder:?}: must be a folder that is there, start with /, and hold no control characters"
            )?;
        }
        let all: BTreeSet<PathBuf> = args.folders.iter().cloned().collect();
        return Ok(args.folders.iter().all(|folder| is_good(&folder)).then(|| all.into_iter().collect()));
    }
    let found = find::folders(&args.look);
    let mut taken = Vec::new();
    for one in &found {
        if !args.no_input {
            write!(out, "Watch {} ({} files, as {})? [Y/n]: ", one.folder.display(), one.files, one.example)?;
            out.flush()?;
            if line(input)?.is_none_or(|said| said.to_ascii_lowercase().starts_with('n')) {
                continue;
            }
        }
        taken.push(one.folder.clone());
    }
    if taken.is_empty() {
        let looked: Vec<String> = args.look.iter().map(|root| root.display().to_string()).collect();
        writeln!(
            err,
            "error: --folder: no folder of exports is named, and none was taken below {}",
            looked.join(", ")
        )?;
        return Ok(None);
    }
    Ok(Some(taken))
}
