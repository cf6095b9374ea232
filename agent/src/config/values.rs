//! Settings as a flat list: every key with the value that counts, where it comes from, and whether a reload applies it.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use toml::de::{DeTable, DeValue};

use super::{Config, FeedConfig, LogFormat, problem::line_of};

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// As `queue.keep_days`; of a feed `feed.NAME.folder`.
    pub key: String,
    /// As TOML writes it.
    pub value: String,
    /// Whether a running agent takes a change without a restart.
    pub reloads: bool,
}

/// Where a value was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// File and line.
    File(PathBuf, usize),
    /// Nowhere: it is the default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// Every key in the order of the reference, feeds last. Passwords are files, so nothing here is secret.
pub fn values(config: &Config) -> Vec<Value> {
    let (now, restart) = (true, false);
    let mut all = Vec::new();
    let mut add = |key: &str, value: String, reloads: bool| all.push(Value { key: key.to_owned(), value, reloads });
    add("site.id", text(config.site.id.as_str()), restart);
    add("site.name", text(&config.site.name), now);
    add("site.time_zone", text(&config.site.time_zone_name), restart);
    add("centre.host", text(&config.centre.host), restart);
    add("centre.port", config.centre.port.to_string(), restart);
    add("centre.reconnect_max", duration(config.centre.reconnect_max), restart);
    add("state.dir", path(&config.state_dir), restart);
    add("queue.bytes_max", bytes(config.queue.bytes_max), restart);
    add("queue.keep_days", config.queue.keep_days.to_string(), now);
    add("queue.archive_days", config.queue.archive_days.to_string(), now);
    add("queue.ballast_bytes", bytes(config.queue.ballast_bytes), restart);
    add("status.listen", text(&config.status.listen.to_string()), restart);
    add("status.contact", text(&config.status.contact), now);
    if let Some(auth) = &config.status.auth {
        add("status.auth.user", text(&auth.user), restart);
        add("status.auth.password_file", path(&auth.password_file), restart);
    }
    add("intake.rescan", duration(config.intake.rescan), now);
    add("intake.workers", config.intake.workers.to_string(), now);
    add("intake.file_bytes_max", bytes(config.intake.file_bytes_max), now);
    add("log.level", text(&config.log.level), now);
    add("log.format", text(if config.log.format == LogFormat::Json { "json" } else { "text" }), restart);
    config.feeds.iter().for_each(|feed| of_feed(feed, &mut all));
    all
}

fn of_feed(feed: &FeedConfig, all: &mut Vec<Value>) {
    let mut add =
        |key: &str, value: String| all.push(Value { key: format!("feed.{}.{key}", feed.name), value, reloads: true });
    add("folder", path(&feed.folder));
    add("profile", path(&feed.profile_path));
    // A profile that was edited is another one, though its name is the same.
    add("profile_digest", text(&feed.profile_digest));
    if let Some(every) = feed.expect_every {
        add("expect_every", duration(every));
    }
    if let Some(hours) = feed.expect_hours {
        add("expect_hours", text(&hours.to_string()));
    }
    if let Some(answers) = &feed.answers {
        add("answers", path(answers));
    }
}

/// Where each key of the main file stands; those of feeds stand where their feed begins.
pub fn origins(main: &Path, config: &Config) -> BTreeMap<String, Origin> {
    let mut found = BTreeMap::new();
    let content = std::fs::read_to_string(main).unwrap_or_default();
    let (root, _) = DeTable::parse_recoverable(&content);
    walk("", root.get_ref(), &mut |key, at| {
        found.insert(key, Origin::File(main.to_path_buf(), line_of(&content, at)));
    });
    for feed in &config.feeds {
        let (file, line) = &feed.read_at;
        let mut of_feed = Vec::new();
        self::of_feed(feed, &mut of_feed);
        found.extend(of_feed.into_iter().map(|value| (value.key, Origin::File(file.clone(), *line))));
    }
    found
}

fn walk(name: &str, table: &DeTable<'_>, tell: &mut dyn FnMut(String, usize)) {
    for (key, value) in table {
        let full = if name.is_empty() { key.get_ref().to_string() } else { format!("{name}.{}", key.get_ref()) };
        match value.get_ref() {
            DeValue::Table(inner) => walk(&full, inner, tell),
            _ => tell(full, key.span().start),
        }
    }
}

/// What differs between what runs and what the files say now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Key.
    pub key: String,
    /// What runs; `None` where the key is new.
    pub runs: Option<String>,
    /// What the files say; `None` where the key is gone.
    pub says: Option<String>,
    /// Whether a reload applies it.
    pub reloads: bool,
}

/// Compares two lists of values.
pub fn differences(runs: &[Value], says: &[Value]) -> Vec<Difference> {
    let of = |all: &[Value], key: &str| all.iter().find(|v| v.key == key).map(|v| v.value.clone());
    let mut keys: Vec<&Value> = says.iter().collect();
    keys.extend(runs.iter().filter(|v| says.iter().all(|s| s.key != v.key)));
    keys.into_iter()
        .map(|v| Difference { key: v.key.clone(), runs: of(runs, &v.key), says: of(says, &v.key), reloads: v.reloads })
        .filter(|d| d.runs != d.says)
        .collect()
}

fn text(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn path(path: &Path) -> String {
    text(&path.to_string_lossy())
}

/// In the largest unit that gives a whole number.
fn duration(of: Duration) -> String {
    let millis = of.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let fits = units.iter().find(|(_, size)| millis >= *size && millis.is_multiple_of(*size)).unwrap_or(&("ms", 1));
    text(&format!("{}{}", millis / fits.1, fits.0))
}

/// In the largest unit that gives a whole number.
fn bytes(of: u64) -> String {
    let units = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1_u64)];
    let fits = units.iter().find(|(_, size)| of >= *size && of.is_multiple_of(*size)).unwrap_or(&("B", 1));
    text(&format!("{} {}", of / fits.1, fits.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{load, units};

    #[test]
    fn every_value_reads_back_as_it_was() {
        for given in ["1d", "36h", "90s", "1500ms", "10m"] {
            let shown = duration(units::duration(given).unwrap());
            assert_eq!(units::duration(shown.trim_matches('"')), units::duration(given), "{shown}");
        }
        for given in ["2 GiB", "1536 MiB", "1000 B", "8 MB"] {
            let shown = bytes(units::bytes(given).unwrap());
            assert_eq!(units::bytes(shown.trim_matches('"')), units::bytes(given), "{shown}");
        }
    }

    #[test]
    fn each_value_names_its_line_or_that_it_is_the_default() {
        let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/agent.toml");
        let config = load(&main).into_config().unwrap();

        let found = origins(&main, &config);

        let content = std::fs::read_to_string(&main).unwrap();
        for (key, word) in
            [("site.id", "id = "), ("status.contact", "contact = "), ("feed.pick-csv.folder", "[[feed]]")]
        {
            let Some(Origin::File(_, line)) = found.get(key) else { panic!("{key}: {found:?}") };
            assert!(content.lines().nth(line - 1).unwrap().starts_with(word), "{key} in line {line}");
        }
        assert!(!found.contains_key("queue.keep_days"));
        let keys: Vec<String> = values(&config).into_iter().map(|v| v.key).collect();
        assert!(found.keys().all(|key| key == "feeds_dir" || key == "feed" || keys.contains(key)), "{found:?}");
    }

    #[test]
    fn a_profile_that_was_edited_since_differs_from_the_one_that_runs() {
        let dir = tempfile::tempdir().unwrap();
        let (main, profile) = (dir.path().join("agent.toml"), dir.path().join("p.toml"));
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/feeds/pick-csv.toml");
        std::fs::copy(sample, &profile).unwrap();
        let feed = "[[feed]]\nfolder = \"/x\"\nprofile = \"p.toml\"\n";
        std::fs::write(&main, format!("[site]\nid = \"DC7\"\ntime_zone = \"UTC\"\n[centre]\nhost = \"h\"\n{feed}"))
            .unwrap();
        let runs = load(&main).into_config().unwrap();
        let text = std::fs::read_to_string(&profile).unwrap();
        std::fs::write(&profile, format!("{text}\n# edited\n")).unwrap();

        let found = differences(&values(&runs), &values(&load(&main).into_config().unwrap()));

        assert_eq!(found.iter().map(|d| d.key.as_str()).collect::<Vec<_>>(), ["feed.pick-csv.profile_digest"]);
    }

    #[test]
    fn what_differs_says_whether_a_reload_is_enough() {
        let value = |key: &str, value: &str, reloads| Value { key: key.into(), value: value.into(), reloads };
        let runs = [value("a", "1", true), value("b", "1", false), value("gone", "1", true)];
        let says = [value("a", "2", true), value("b", "1", false), value("new", "1", true)];

        let found = differences(&runs, &says);

        let shown: Vec<_> = found.iter().map(|d| (d.key.as_str(), d.runs.as_deref(), d.says.as_deref())).collect();
        assert_eq!(shown, [("a", Some("1"), Some("2")), ("new", None, Some("1")), ("gone", Some("1"), None)]);
    }
}
