//! `config`: the settings that count, where each was read, and what differs from those that run.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use super::{exit, load};
use crate::{
    config::{
        self,
        values::{Difference, Origin, differences, origins, values},
    },
    reload::Standing,
};

/// Commands about settings.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Every setting with the value that counts
    Show(ShowArgs),
    /// What differs between the running agent and the files; exit 1 where something does
    Diff(DiffArgs),
}

/// How to show them.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// Say behind each where it was read
    #[arg(long)]
    pub origin: bool,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// What to compare.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs a command; gives the exit code.
///
/// # Errors
/// Whatever writing gives.
pub fn config(command: &ConfigCommand, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    match command {
        ConfigCommand::Show(args) => show(args, out, err),
        ConfigCommand::Diff(args) => diff(args, out, err),
    }
}

fn show(args: &ShowArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let config = match load(&args.config, err)? {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let origins = origins(&args.config, &config);
    let of = |key: &str| origins.get(key).unwrap_or(&Origin::Default);
    let all = values(&config);
    if args.json {
        let rows: Vec<_> = all
            .iter()
            .map(|v| serde_json::json!({ "key": v.key, "value": v.value, "origin": of(&v.key).to_string(), "reloads": v.reloads }))
            .collect();
        serde_json::to_writer_pretty(&mut *out, &rows)?;
        writeln!(out)?;
        return Ok(exit::OK);
    }
    for value in &all {
        match args.origin {
            true => writeln!(out, "{} = {}  # {}", value.key, value.value, of(&value.key))?,
            false => writeln!(out, "{} = {}", value.key, value.value)?,
        }
    }
    Ok(exit::OK)
}

fn diff(args: &DiffArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let config = match load(&args.config, err)? {
        Ok(config) => config,
        Err(code) => {
            writeln!(err, "a reload would be refused; what runs goes on")?;
            return Ok(code);
        }
    };
    let Some(standing) = Standing::read(&config.state_dir) else {
        writeln!(err, "error: no agent has run on {} yet; next: docksync-agent run", config.state_dir.display())?;
        return Ok(exit::UNAVAILABLE);
    };
    let found = differences(&standing.values, &values(&config));
    if args.json {
        serde_json::to_writer_pretty(&mut *out, &found)?;
        writeln!(out)?;
    } else {
        found.iter().try_for_each(|one| line(one, out))?;
        writeln!(out, "{}", next(&found))?;
    }
    Ok(if found.is_empty() { exit::OK } else { exit::PROBLEMS })
}

fn line(one: &Difference, out: &mut dyn Write) -> io::Result<()> {
    let absent = "(not set)".to_owned();
    let (runs, says) = (one.runs.as_ref().unwrap_or(&absent), one.says.as_ref().unwrap_or(&absent));
    let how = if one.reloads { "reload" } else { "restart" };
    writeln!(out, "{}: runs {runs}, file says {says}  ({how})", one.key)
}

fn next(found: &[Difference]) -> &'static str {
    match (found.is_empty(), found.iter().all(|d| d.reloads)) {
        (true, _) => "nothing differs",
        (false, true) => "next: sudo systemctl reload docksync-agent",
        (false, false) => "next: sudo systemctl restart docksync-agent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(command: &ConfigCommand) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = config(command, &mut out, &mut err).unwrap();
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn the_difference_says_what_takes_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        let text = format!(
            "[site]\nid = \"DC7\"\ntime_zone = \"UTC\"\n[centre]\nhost = \"h\"\n[state]\ndir = {:?}\n",
            dir.path().display().to_string()
        );
        std::fs::write(&path, &text).unwrap();
        let command = ConfigCommand::Diff(DiffArgs { config: path.clone(), json: false });
        let before = run(&command);
        let running = config::load(&path).into_config().unwrap();
        Standing::of(&running, jiff::Timestamp::UNIX_EPOCH).write(dir.path());
        let same = run(&command);
        std::fs::write(&path, text.replace("\"h\"", "\"i\"") + "[queue]\nkeep_days = 9\n").unwrap();

        let (code, out, _) = run(&command);
        let shown = run(&ConfigCommand::Show(ShowArgs { config: path.clone(), origin: true, json: false })).1;

        assert_eq!((before.0, same.0, same.1.as_str(), code), (69, 0, "nothing differs\n", 1));
        let expected = "centre.host: runs \"h\", file says \"i\"  (restart)\nqueue.keep_days: runs 7, file says 9  (reload)\n\
                        next: sudo systemctl restart docksync-agent\n";
        assert_eq!(out, expected);
        assert!(shown.contains(&format!("queue.keep_days = 9  # {}:9\n", path.display())), "{shown}");
        assert!(shown.contains("centre.port = 8883  # default\n"), "{shown}");
    }
}
