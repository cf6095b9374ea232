//! `init`: from a server with exports on it to settings that can be enrolled: finds folders, guesses how their files are read, writes
//! `agent.toml`, one profile for each kind of file, and the drop-in that opens the folders to the service.
//!
//! Everything is decided before the first file is written; a file that is there is never overwritten. Asks on standard input what
//! flags do not say; with `--no-input` it asks nothing, and names every flag that is missing.

mod answers;
mod find;
mod write;

use std::{
    io::{self, BufRead, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use jiff::Timestamp;

use super::{check, exit};
use crate::config;

/// Flags of `init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Settings to be written; profiles go into feeds/ beside them
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// Code of the distribution centre, as DC7
    #[arg(long, value_name = "ID")]
    pub site: Option<String>,
    /// Its name for people
    #[arg(long)]
    pub name: Option<String>,
    /// Zone of local times in exports, as America/Chicago
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// Host name of the centre
    #[arg(long, value_name = "HOST")]
    pub centre: Option<String>,
    /// Whom people at the site should call
    #[arg(long, value_name = "TEXT")]
    pub contact: Option<String>,
    /// Folder of exports; may be given more than once. Without it they are looked for
    #[arg(long = "folder", value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Where exports are looked for; may be given more than once
    #[arg(long = "look", value_name = "DIR", default_values = find::ROOTS)]
    pub look: Vec<PathBuf>,
    /// Folder of the service's drop-ins
    #[arg(long, value_name = "DIR", default_value = write::DROP_IN_DIR)]
    pub drop_in: PathBuf,
    /// Writes no drop-in
    #[arg(long)]
    pub no_drop_in: bool,
    /// State folder, where it is not the packages'
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Asks nothing: takes flags and what is found, and fails where that is not enough
    #[arg(long)]
    pub no_input: bool,
}

/// Runs `init`; gives the exit code.
///
/// # Errors
/// Whatever reading answers or writing words gives.
pub fn init(
    args: &InitArgs,
    now: Timestamp,
    input: &mut dyn BufRead,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> io::Result<u8> {
    if args.config.exists() {
        writeln!(err, "error: {} is there already, and is never overwritten", args.config.display())?;
        writeln!(err, "next: docksync-agent config show, or move it away")?;
        return Ok(exit::CONFIG);
    }
    let answers = match answers::gather(args, input, out, err)? {
        Ok(answers) => answers,
        Err(code) => return Ok(code),
    };
    let plan = write::plan(args, &answers, now);
    for feed in &plan.feeds {
        writeln!(out, "{}: {}", feed.example.display(), feed.verdict)?;
    }
    for folder in &plan.empty {
        writeln!(out, "{}: no export lies there yet; later: docksync-agent map new FILE", folder.display())?;
    }
    if let Err(error) = plan.write() {
        writeln!(err, "error: {error}")?;
        writeln!(err, "nothing was written; next: run it as a user who may write there, as root with sudo")?;
        return Ok(exit::NO_PERMISSION);
    }
    for file in plan.paths() {
        writeln!(out, "wrote {}", file.display())?;
    }
    if let Some((path, text)) = &plan.left {
        writeln!(out, "{} is there and stays as it is; it has to hold:", path.display())?;
        text.lines().filter(|line| !line.starts_with('#')).try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    let code = check::check(&check::CheckArgs { files: vec![args.config.clone()] }, out)?;
    if code != exit::OK {
        writeln!(out, "next: correct that, then docksync-agent check")?;
        return Ok(code);
    }
    next(args, &plan, out)?;
    Ok(if plan.feeds.iter().any(|feed| feed.is_whole) { exit::OK } else { exit::PROBLEMS })
}

fn next(args: &InitArgs, plan: &write::Plan, out: &mut dyn Write) -> io::Result<()> {
    let config = args.config.display();
    let flag = if args.config == Path::new(config::MAIN_FILE) { String::new() } else { format!(" --config {config}") };
    writeln!(out, "\nnext, after a look at what is marked (guessed):")?;
    if let Some(feed) = plan.feeds.first() {
        writeln!(out, "  docksync-agent map test --profile {} {}", feed.path.display(), feed.example.display())?;
    }
    let host = &plan.centre;
    writeln!(out, "  sudo -u docksync-agent docksync-agent enroll{flag} --url https://{host}:8443 --token-file -")?;
    let reload = if plan.drop_in.is_some() { "sudo systemctl daemon-reload; " } else { "" };
    writeln!(out, "  {reload}sudo systemctl start docksync-agent")
}

#[cfg(test)]
mod tests;
