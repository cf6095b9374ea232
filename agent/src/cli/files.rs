//! `files`: what was taken, what needs a person, and taking it again.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use jiff::{Timestamp, tz::TimeZone};

use super::{exit, load};
use crate::{
    config::{self, Config},
    intake::shown,
    queue::{FileFilter, FileRow, QueueError, Reader, capture::FileId},
    requests::{self, Request},
};

/// Commands about files.
#[derive(Debug, Subcommand)]
pub enum FilesCommand {
    /// The newest files
    List(ListArgs),
    /// One file, line by line where it needs a person
    Show(ShowArgs),
    /// Read a file again: after its feed was mended, or its lines corrected
    Retry(ShowArgs),
    /// Say that a file needs nobody any more
    SetAside(SetAsideArgs),
}

/// How to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// Only those that need a person
    #[arg(long)]
    pub need_person: bool,
    /// Most files
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Which file.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// Number, as `files list` shows it
    pub id: i64,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Which file, and why.
#[derive(Debug, Args)]
pub struct SetAsideArgs {
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// Number, as `files list` shows it
    pub id: i64,
    /// Why; kept with the file
    #[arg(long)]
    pub reason: String,
}

/// Runs a command; gives the exit code.
///
/// # Errors
/// Whatever writing gives.
pub fn files(command: &FilesCommand, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let path = match command {
        FilesCommand::List(args) => &args.config,
        FilesCommand::Show(args) | FilesCommand::Retry(args) => &args.config,
        FilesCommand::SetAside(args) => &args.config,
    };
    let config = match load(path, err)? {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let writes = matches!(command, FilesCommand::Retry(_) | FilesCommand::SetAside(_));
    if writes && super::is_foreign(&config.state_dir, err)? {
        return Ok(exit::NO_PERMISSION);
    }
    let done = match command {
        FilesCommand::List(args) => list(&config, args, out)?,
        FilesCommand::Show(args) => show(&config, args, out)?,
        FilesCommand::Retry(args) => ask(&config, &Request::Retry { file: args.id }, out)?,
        FilesCommand::SetAside(args) => {
            ask(&config, &Request::SetAside { file: args.id, reason: args.reason.clone() }, out)?
        }
    };
    match done {
        Ok(code) => Ok(code),
        Err(error) => {
            writeln!(err, "error: {error:#}")?;
            Ok(exit::UNAVAILABLE)
        }
    }
}

type Done = io::Result<Result<u8, anyhow::Error>>;

fn open(config: &Config) -> Result<Reader, QueueError> {
    Reader::open(&config.state_dir.join("queue.db"))
}

fn list(config: &Config, args: &ListArgs, out: &mut dyn Write) -> Done {
    let filter = if args.need_person { FileFilter::NeedPerson } else { FileFilter::Newest };
    let rows = match open(config).and_then(|reader| reader.files(filter, args.limit)) {
        Ok(rows) => rows,
        Err(error) => return Ok(Err(error.into())),
    };
    if args.json {
        serde_json::to_writer(&mut *out, &rows)?;
        writeln!(out)?;
        return Ok(Ok(exit::OK));
    }
    writeln!(
        out,
        "{:>6}  {:<19} {:<12} {:<10} {:>8} {:>8} {:>6} {:>5}  name",
        "id", "found", "feed", "state", "lines", "new", "known", "held"
    )?;
    for row in &rows {
        let found = moment(row.found_ms, &config.site.time_zone);
        writeln!(
            out,
            "{:>6}  {found:<19} {:<12} {:<10} {:>8} {:>8} {:>6} {:>5}  {}{}",
            row.id.0,
            row.feed,
            row.state,
            row.lines,
            row.accepted,
            row.duplicate,
            row.held,
            shown(row.name.as_ref()),
            if needs_person(row) { "  <- needs a person" } else { "" },
        )?;
    }
    Ok(Ok(exit::OK))
}

fn needs_person(row: &FileRow) -> bool {
    (row.state == "refused" || row.held > 0) && row.resolved_ms.is_none()
}

fn moment(ms: i64, zone: &TimeZone) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or_default();
    at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

fn show(config: &Config, args: &ShowArgs, out: &mut dyn Write) -> Done {
    let read = open(config).and_then(|reader| {
        let file = reader.file(FileId(args.id))?;
        Ok((file, reader.held(FileId(args.id), 1_000)?))
    });
    let (file, held) = match read {
        Ok((Some(file), held)) => (file, held),
        Ok((None, _)) => return Ok(Err(requests::RequestError::NoFile { id: args.id }.into())),
        Err(error) => return Ok(Err(error.into())),
    };
    if args.json {
        serde_json::to_writer(&mut *out, &serde_json::json!({ "file": file, "held": held }))?;
        writeln!(out)?;
        return Ok(Ok(exit::OK));
    }
    writeln!(
        out,
        "{}  ({}, {} bytes, SHA-256 {})",
        shown(file.name.as_ref()),
        file.feed,
        file.size,
        &file.sha256[..16]
    )?;
    writeln!(out, "found {}, {}, now at {}", moment(file.found_ms, &config.site.time_zone), file.state, file.path)?;
    if let Some(earlier) = &file.earlier {
        writeln!(out, "the same bytes as {}", shown(earlier.as_ref()))?;
    }
    ledger(&file, out)?;
    for line in &held {
        writeln!(
            out,
            "line {} column {} {}: found {:?}, expected {} [{}]",
            line.line_no, line.column, line.field, line.found, line.expected, line.code
        )?;
        writeln!(out, "  whose move: {}   {}", line.owner, line.text)?;
    }
    if needs_person(&file) {
        writeln!(
            out,
            "next: correct it in the warehouse system and export again, or docksync-agent files retry {}",
            file.id.0
        )?;
    }
    if let Some(why) = &file.resolved_why {
        writeln!(out, "needs nobody any more: {why}")?;
    }
    Ok(Ok(exit::OK))
}

/// What became of the file's lines and of the events that were made of them: each adds up by itself, for a document of many lines
/// may be one event, and one line several.
fn ledger(file: &FileRow, out: &mut dyn Write) -> io::Result<()> {
    match file.taken {
        Some(taken) => writeln!(out, "{} lines = {taken} in events + {} held", file.lines, file.lines - taken)?,
        None => writeln!(out, "{} lines", file.lines)?,
    }
    let (new, known, revised) = (file.accepted, file.duplicate, file.revised);
    let all = new + known + revised;
    writeln!(out, "{all} events = {new} new + {known} known before + {revised} with other content than before")?;
    match file.held {
        0 => Ok(()),
        1 => writeln!(out, "1 reason to hold:"),
        count => writeln!(out, "{count} reasons to hold:"),
    }
}

fn ask(config: &Config, request: &Request, out: &mut dyn Write) -> Done {
    let id = match request {
        Request::Retry { file } | Request::SetAside { file, .. } => *file,
    };
    match open(config).and_then(|reader| reader.file(FileId(id))) {
        Ok(Some(file)) if !needs_person(&file) => {
            return Ok(Err(requests::RequestError::NotWaiting { id, name: file.name }.into()));
        }
        Ok(Some(_)) => {}
        Ok(None) => return Ok(Err(requests::RequestError::NoFile { id }.into())),
        Err(error) => return Ok(Err(error.into())),
    }
    if let Err(error) = requests::leave(&config.state_dir, request) {
        return Ok(Err(error.into()));
    }
    writeln!(out, "asked; the agent does it within a second, or when it is started")?;
    Ok(Ok(exit::OK))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(lines: i64, taken: Option<i64>, [accepted, duplicate, revised]: [i64; 3], held: i64) -> String {
        let text = String::new;
        let row = FileRow {
            id: FileId(1),
            feed: text(),
            name: text(),
            path: text(),
            state: "captured",
            found_ms: 0,
            ended_ms: None,
            size: 0,
            sha256: text(),
            lines,
            taken,
            accepted,
            duplicate,
            revised,
            held,
            earlier: None,
            first_seq: None,
            last_seq: None,
            resolved_ms: None,
            resolved_why: None,
        };
        let mut out = Vec::new();
        ledger(&row, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_and_events_of_a_file_add_up_each_by_itself() {
        let rows = said(411, Some(409), [400, 9, 0], 2);
        let sets = said(44, Some(22), [3, 0, 1], 1);

        let expected = "411 lines = 409 in events + 2 held\n409 events = 400 new + 9 known before + 0 with other content than before\n\
                        2 reasons to hold:\n";
        assert_eq!(rows, expected);
        let expected = "44 lines = 22 in events + 22 held\n4 events = 3 new + 0 known before + 1 with other content than before\n\
                        1 reason to hold:\n";
        assert_eq!(sets, expected);
    }

    #[test]
    fn of_a_file_whose_lines_were_not_counted_nothing_is_made_up() {
        let said = said(44, None, [3, 0, 0], 0);

        assert_eq!(said, "44 lines\n3 events = 3 new + 0 known before + 0 with other content than before\n");
    }
}
