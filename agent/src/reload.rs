//! Settings that change while the agent runs: read anew on SIGHUP, taken whole or not at all.
//!
//! What cannot change under a running queue or connection keeps its value, and is named. Files that are refused change nothing. Either
//! way `settings.json` in the state folder tells what runs, so that `config diff` can compare.

use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::{
    Config, Loaded,
    values::{Value, differences, values},
};

const FILE: &str = "settings.json";

/// What runs, and how the last reload ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// When these values were taken.
    pub taken_at: Option<Timestamp>,
    /// What runs.
    pub values: Vec<Value>,
    /// When files were refused; `None` where the last ones were taken.
    pub refused_at: Option<Timestamp>,
    /// What was wrong with them, the first problem in one line.
    pub refused_why: String,
    /// Keys whose new value waits for a restart.
    pub needs_restart: Vec<String>,
}

impl Standing {
    /// What a start takes.
    pub fn of(config: &Config, now: Timestamp) -> Self {
        Self { taken_at: Some(now), values: values(config), ..Self::default() }
    }

    /// What the agent of this folder runs with; `None` where it never ran.
    pub fn read(state_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(state_dir.join(FILE)).ok()?).ok()
    }

    /// Stores it beside the queue. A failure is logged: only `config diff` misses it.
    pub fn write(&self, state_dir: &Path) {
        let json = serde_json::to_vec_pretty(self).unwrap_or_default();
        let (aside, path) = (state_dir.join(".settings"), state_dir.join(FILE));
        if let Err(error) = std::fs::write(&aside, json).and_then(|()| std::fs::rename(&aside, &path)) {
            tracing::warn!(%error, path = %path.display(), "running settings could not be noted");
        }
    }

    /// In one line, for the service manager; empty where all is taken.
    pub fn words(&self) -> String {
        match (self.refused_at, self.needs_restart.is_empty()) {
            (Some(at), _) => format!("New settings were refused at {at:.0}, the earlier ones run."),
            (None, false) => format!("A restart is needed for {}.", self.needs_restart.join(", ")),
            (None, true) => String::new(),
        }
    }
}

/// What becomes of the settings that run.
#[derive(Debug)]
pub struct Outcome {
    /// What runs from now on; `None` where nothing changes.
    pub config: Option<Config>,
    /// How it stands.
    pub standing: Standing,
}

/// Decides on files that were read anew. Pure.
pub fn decide(runs: &Config, was: &Standing, read: Loaded, now: Timestamp) -> Outcome {
    let says = match read.config {
        Some(says) => says,
        None => {
            let why = read.problems.first().map(|p| format!("{}:{}: {}", p.file.display(), p.line, p.message));
            let refused_why = why.unwrap_or_default();
            return Outcome { config: None, standing: Standing { refused_at: Some(now), refused_why, ..was.clone() } };
        }
    };
    let waits: Vec<String> =
        differences(&values(runs), &values(&says)).into_iter().filter(|d| !d.reloads).map(|d| d.key).collect();
    let next = merged(runs, says);
    let standing = Standing { needs_restart: waits, ..Standing::of(&next, now) };
    Outcome { config: Some(next), standing }
}

/// What reloads of the new settings, the rest of those that run.
fn merged(runs: &Config, says: Config) -> Config {
    let mut next = runs.clone();
    // The name of another site is not this one's.
    if says.site.id == runs.site.id {
        next.site.name = says.site.name;
    }
    next.queue.keep_days = says.queue.keep_days;
    next.queue.archive_days = says.queue.archive_days;
    next.status.contact = says.status.contact;
    next.intake = says.intake;
    next.log.level = says.log.level;
    next.feeds = says.feeds;
    next
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    const MAIN: &str = "[site]\nid = \"DC7\"\ntime_zone = \"UTC\"\n[centre]\nhost = \"h\"\n";

    fn read(dir: &Path, text: &str) -> Loaded {
        let main = dir.join("agent.toml");
        std::fs::write(&main, text).unwrap();
        load(&main)
    }

    fn start(dir: &Path) -> (Config, Standing) {
        let config = read(dir, MAIN).into_config().unwrap();
        let standing = Standing::of(&config, Timestamp::UNIX_EPOCH);
        (config, standing)
    }

    #[test]
    fn what_reloads_is_taken_and_what_does_not_keeps_its_value_and_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let (config, was) = start(dir.path());
        let text = MAIN.replace("\"h\"", "\"other\"") + "[status]\ncontact = \"Kim\"\n[intake]\nrescan = \"3s\"\n";

        let outcome = decide(&config, &was, read(dir.path(), &text), Timestamp::UNIX_EPOCH);

        let next = outcome.config.unwrap();
        assert_eq!((next.status.contact.as_str(), next.intake.rescan.as_secs()), ("Kim", 3));
        assert_eq!(
            (next.centre.host.as_str(), outcome.standing.needs_restart.as_slice()),
            ("h", &["centre.host".to_owned()][..])
        );
        assert_eq!(outcome.standing.words(), "A restart is needed for centre.host.");
    }

    #[test]
    fn files_that_are_refused_change_nothing_and_the_first_problem_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (config, was) = start(dir.path());
        let bad = MAIN.to_owned() + "[queue]\nkeep_dais = 3\n";

        let outcome = decide(&config, &was, read(dir.path(), &bad), Timestamp::UNIX_EPOCH);

        assert!(outcome.config.is_none());
        assert!(outcome.standing.refused_why.contains("agent.toml:7: unknown key `keep_dais`"), "{outcome:?}");
        assert_eq!(outcome.standing.values, was.values);
        assert!(outcome.standing.words().starts_with("New settings were refused at 1970"));
    }

    #[test]
    fn every_key_that_is_said_to_reload_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let (config, was) = start(dir.path());
        let text = "[site]\nid = \"DC7\"\nname = \"N\"\ntime_zone = \"Europe/Paris\"\n[centre]\nhost = \"i\"\nport = 1\nreconnect_max = \"1s\"\n\
                    [queue]\nbytes_max = \"64 MiB\"\nkeep_days = 1\narchive_days = 2\nballast_bytes = \"1 MiB\"\n[status]\nlisten = \"127.0.0.1:1\"\n\
                    contact = \"c\"\n[intake]\nrescan = \"1s\"\nworkers = 1\nfile_bytes_max = \"1 MiB\"\n[log]\nlevel = \"warn\"\nformat = \"json\"\n";
        let says = read(dir.path(), text).into_config().unwrap();
        let all = differences(&was.values, &values(&says));

        let outcome = decide(&config, &was, read(dir.path(), text), Timestamp::UNIX_EPOCH);

        let left = differences(&outcome.standing.values, &values(&says));
        let keys = |all: &[crate::config::values::Difference], reloads: bool| -> Vec<String> {
            all.iter().filter(|d| d.reloads == reloads).map(|d| d.key.clone()).collect()
        };
        assert_eq!(keys(&left, true), Vec::<String>::new());
        assert_eq!(keys(&left, false), keys(&all, false));
        assert_eq!(outcome.standing.needs_restart, keys(&all, false));
    }
}
