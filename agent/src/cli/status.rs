//! `status`: the page's headline and facts, from the running agent, or from its database where none runs.

use std::{
    io::{self, Read as _, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::{exit, load};
use crate::{
    config::{self, Config, units},
    queue::Reader,
    status::{facts::SiteCard, offline_snapshot, snapshot::Snapshot, text},
};

/// Longest wait for the running agent.
const WITHIN: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: u64 = 4 << 20;
/// What monitoring takes for "cannot tell".
const UNKNOWN: u8 = 3;

/// Flags of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// As JSON
    #[arg(long, conflicts_with = "check")]
    pub json: bool,
    /// One line for monitoring; exit 0 ok, 1 warning, 2 critical, 3 unknown
    #[arg(long)]
    pub check: bool,
    /// Age of the oldest waiting event that is a warning, as 10m
    #[arg(long, default_value = "10m", requires = "check")]
    pub warn_age: String,
    /// Age of the oldest waiting event that is critical, as 1h
    #[arg(long, default_value = "1h", requires = "check")]
    pub crit_age: String,
}

/// Tells how the site stands; gives the exit code.
///
/// # Errors
/// Whatever writing gives.
pub fn status(args: &StatusArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let loaded = config::load(&args.config);
    let state_dir = loaded.config.as_ref().map_or_else(|| config::state_dir_of(&args.config), |c| c.state_dir.clone());
    let ages = match (units::duration(&args.warn_age), units::duration(&args.crit_age)) {
        (Ok(warn), Ok(crit)) => (warn, crit),
        _ => {
            writeln!(err, "error: give ages as 90s, 10m or 1h")?;
            return Ok(if args.check { UNKNOWN } else { exit::USAGE });
        }
    };
    if let Err(error) = std::fs::metadata(state_dir.join("run.json"))
        && error.kind() == io::ErrorKind::PermissionDenied
    {
        writeln!(err, "error: no permission to look into {}", state_dir.display())?;
        writeln!(err, "next: sudo docksync-agent status")?;
        return Ok(if args.check { UNKNOWN } else { exit::NO_PERMISSION });
    }
    if let Some(answer) = running(&state_dir, args, ages) {
        // What runs took its settings before: files that would be refused now do not hide it.
        if loaded.config.is_none() {
            writeln!(
                err,
                "{} problems in the settings, what runs has earlier ones; next: docksync-agent check",
                loaded.problems.len()
            )?;
        }
        return tell_running(args, &answer, out);
    }
    let config = match load(&args.config, err)? {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    match stored(&config) {
        Some(snapshot) => tell_stored(args, &snapshot, ages, out),
        None => {
            writeln!(err, "error: nothing was captured yet, and no agent runs; next: docksync-agent run")?;
            Ok(if args.check { UNKNOWN } else { exit::UNAVAILABLE })
        }
    }
}

fn tell_running(args: &StatusArgs, answer: &str, out: &mut dyn Write) -> io::Result<u8> {
    if !args.check {
        write!(out, "{}{}", answer, if answer.ends_with('\n') { "" } else { "\n" })?;
        return Ok(exit::OK);
    }
    let (code, line) = answer.split_once('\n').unwrap_or(("3", answer));
    write!(out, "{line}")?;
    Ok(code.parse().unwrap_or(UNKNOWN))
}

fn tell_stored(
    args: &StatusArgs,
    snapshot: &Snapshot,
    ages: (Duration, Duration),
    out: &mut dyn Write,
) -> io::Result<u8> {
    if args.check {
        let check = text::check(snapshot, ages.0, ages.1);
        writeln!(out, "{}", check.line)?;
        return Ok(check.exit);
    }
    if args.json {
        writeln!(out, "{}", text::json(snapshot)?)?;
    } else {
        write!(out, "{}", text::lines(snapshot))?;
    }
    Ok(exit::OK)
}

/// What the running agent says, in the form that was asked for.
fn running(state_dir: &Path, args: &StatusArgs, (warn, crit): (Duration, Duration)) -> Option<String> {
    let run: Value = serde_json::from_slice(&std::fs::read(state_dir.join("run.json")).ok()?).ok()?;
    let page: SocketAddr = run["page"].as_str()?.parse().ok()?;
    let path = match (args.check, args.json) {
        (true, _) => format!("/check.txt?warn_secs={}&crit_secs={}", warn.as_secs(), crit.as_secs()),
        (false, true) => "/status.json".to_owned(),
        (false, false) => "/status.txt".to_owned(),
    };
    String::from_utf8(get(page, &path).ok()?).ok()
}

/// One request over loopback: the page speaks plain HTTP/1.1 there.
fn get(page: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&page, WITHIN)?;
    stream.set_read_timeout(Some(WITHIN))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {page}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    let start = answer.windows(4).position(|w| w == b"\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    if !answer.starts_with(b"HTTP/1.") || !answer[8..].starts_with(b" 200") {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(answer.split_off(start + 4))
}

/// What the database says where no agent runs.
fn stored(config: &Config) -> Option<Snapshot> {
    let path = config.state_dir.join("queue.db");
    let reader = Reader::open(&path).ok()?;
    let used = std::fs::metadata(&path).map_or(0, |m| m.len());
    offline_snapshot(&reader, SiteCard::of(config), used, config.queue.bytes_max, Timestamp::now()).into()
}
