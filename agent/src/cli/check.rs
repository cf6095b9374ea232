//! `check`: reads settings and profiles as the agent would, and names every mistake.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use super::exit;
use crate::{
    config::{self, Loaded, problem::Problem},
    decode::profile,
};

/// Flags of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Settings or feed profiles; without any, the agent's own settings.
    pub files: Vec<PathBuf>,
}

/// Checks the files; words go to `out`. Gives the exit code.
///
/// # Errors
/// Whatever writing gives.
pub fn check(args: &CheckArgs, out: &mut dyn Write) -> io::Result<u8> {
    let files = if args.files.is_empty() { vec![PathBuf::from(config::MAIN_FILE)] } else { args.files.clone() };
    if args.files.is_empty() && !files[0].exists() {
        writeln!(out, "nothing to check: no file given and no {}", config::MAIN_FILE)?;
        writeln!(out, "next: docksync-agent check FILE...")?;
        return Ok(exit::CONFIG);
    }
    let (mut read, mut problems, mut feeds) = (Vec::new(), Vec::new(), 0);
    for file in &files {
        let loaded = check_file(file);
        feeds += loaded.config.as_ref().map_or(0, |config| config.feeds.len());
        read.extend(loaded.files);
        problems.extend(loaded.problems);
    }
    problems.dedup();
    for problem in &problems {
        writeln!(out, "{problem}")?;
    }
    for file in &read {
        let count = problems.iter().filter(|p| p.file == *file).count();
        let verdict = if count == 0 { "ok".to_owned() } else { format!("{count} {}", plural(count, "error")) };
        writeln!(out, "{}: {verdict}", file.display())?;
    }
    let (files, errors) = (read.len(), problems.len());
    writeln!(
        out,
        "checked {files} {}, {feeds} {}: {errors} {}",
        plural(files, "file"),
        plural(feeds, "feed"),
        plural(errors, "error")
    )?;
    Ok(if problems.is_empty() { exit::OK } else { exit::CONFIG })
}

fn plural(count: usize, word: &str) -> String {
    if count == 1 { word.to_owned() } else { format!("{word}s") }
}

/// A file with `[parse]` is a profile, any other the main settings.
fn check_file(path: &Path) -> Loaded {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let is_profile = text.lines().any(|line| line.trim() == "[parse]" || line.trim() == "[[field]]");
    if !is_profile {
        return config::load(path);
    }
    let problems: Vec<Problem> = profile::read(path, &text).err().unwrap_or_default();
    Loaded { config: None, files: vec![path.to_path_buf()], problems }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(files: &[PathBuf]) -> (u8, String) {
        let mut out = Vec::new();
        let code = check(&CheckArgs { files: files.to_vec() }, &mut out).unwrap();
        (code, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_mistake_is_shown_at_its_place_with_what_was_meant() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, "[site]\nid = \"DC7\"\ntime_zone = \"UTC\"\n[centre]\nhots = \"h\"\n").unwrap();

        let (code, text) = run(std::slice::from_ref(&path));

        assert_eq!(code, 78);
        let expected = format!(
            "error[C003]: missing key `host` in [centre]\n --> {0}:4:1\n  |\n4 | [centre]\n  | ^^^^^^^^ name or address of the centre\n\n\
             error[C002]: unknown key `hots` in [centre]\n --> {0}:5:1\n  |\n5 | hots = \"h\"\n  | ^^^^ did you mean `host`?\n\n\
             {0}: 2 errors\nchecked 1 file, 0 feeds: 2 errors\n",
            path.display()
        );
        assert_eq!(text, expected);
    }

    #[test]
    fn good_files_are_all_named() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config");

        let (code, text) = run(&[root.join("agent.toml")]);

        assert_eq!(code, 0, "{text}");
        assert!(text.contains("feeds/pick-csv.toml: ok"), "{text}");
        assert!(text.ends_with("checked 8 files, 7 feeds: 0 errors\n"), "{text}");
    }

    #[test]
    fn nothing_to_check_is_an_error() {
        let (code, text) = run(&[]);

        assert_eq!(code, 78);
        assert!(text.starts_with("nothing to check"), "{text}");
    }
}
