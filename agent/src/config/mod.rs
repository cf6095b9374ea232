//! Settings: the main file and the files of the feeds, read whole and checked whole.
//!
//! Takes paths. Gives a [`Config`] that cannot be wrong, or every [`Problem`] of every file, each with its place. No network,
//! no folder of a feed is touched: settings can be checked anywhere.

mod feeds;
pub mod problem;
mod read;
pub mod section;
pub mod units;
pub mod values;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use docksync_proto::site::SiteId;
use jiff::tz::TimeZone;

use crate::decode::profile::Profile;
use problem::Problem;
use units::Hours;

pub use read::{load, state_dir_of};

/// Where the main file lies unless said otherwise.
pub const MAIN_FILE: &str = "/etc/docksync/agent.toml";
const STATE_DIR: &str = "/var/lib/docksync-agent";
const FEEDS_DIR: &str = "feeds.d";
const CENTRE_PORT: u64 = 8883;
const RECONNECT_MAX: Duration = Duration::from_secs(300);
const BYTES_MAX: u64 = 2 << 30;
const BALLAST_BYTES: u64 = 8 << 20;
const KEEP_DAYS: u64 = 7;
const ARCHIVE_DAYS: u64 = 90;
const STATUS_LISTEN: &str = "127.0.0.1:8077";
const RESCAN: Duration = Duration::from_secs(10);
const WORKERS: u64 = 2;
/// Most worker threads.
pub const WORKERS_MAX: u64 = 16;
const FILE_BYTES_MAX: u64 = 4 << 30;
/// Most feeds of one agent.
pub const FEEDS_MAX: usize = 256;

/// The agent's settings.
#[derive(Debug, Clone)]
pub struct Config {
    /// The site.
    pub site: SiteConfig,
    /// The centre.
    pub centre: CentreConfig,
    /// Folder of everything that the agent keeps: `queue.db`, `work/`, `archive/`, `quarantine/`, `identity/`.
    pub state_dir: PathBuf,
    /// The queue.
    pub queue: QueueConfig,
    /// The local page.
    pub status: StatusConfig,
    /// Taking files.
    pub intake: IntakeConfig,
    /// The journal.
    pub log: LogConfig,
    /// Feeds, in the order in which they were read.
    pub feeds: Vec<FeedConfig>,
}

/// The site.
#[derive(Debug, Clone)]
pub struct SiteConfig {
    /// Code of the distribution centre.
    pub id: SiteId,
    /// Name for people.
    pub name: String,
    /// Zone of local times.
    pub time_zone: TimeZone,
    /// Its IANA name.
    pub time_zone_name: String,
}

/// The centre.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CentreConfig {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Longest delay before the next try after the connection was lost.
    pub reconnect_max: Duration,
}

/// The queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueConfig {
    /// Disk budget.
    pub bytes_max: u64,
    /// Days that marked events are kept.
    pub keep_days: u32,
    /// Days that archived files are kept.
    pub archive_days: u32,
    /// Space held back so that a full disk can be cleared.
    pub ballast_bytes: u64,
}

/// The local page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusConfig {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Whom people should call.
    pub contact: String,
    /// Who may look, needed where it does not listen on loopback alone.
    pub auth: Option<StatusAuth>,
}

/// Who may look at the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusAuth {
    /// User name.
    pub user: String,
    /// File with the password; never in the settings themselves.
    pub password_file: PathBuf,
}

/// Taking files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeConfig {
    /// Time between full scans.
    pub rescan: Duration,
    /// Worker threads.
    pub workers: usize,
    /// Largest file.
    pub file_bytes_max: u64,
}

/// The journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogConfig {
    /// Least level, as `info` or `docksync_agent=debug`.
    pub level: String,
    /// Shape of a line.
    pub format: LogFormat,
}

/// Shape of a line of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object for each line.
    Json,
}

/// One watched folder.
#[derive(Debug, Clone)]
pub struct FeedConfig {
    /// Name, unique on the site: that of the profile unless given.
    pub name: String,
    /// Folder in which the warehouse system puts its files.
    pub folder: PathBuf,
    /// How its files are read.
    pub profile: Arc<Profile>,
    /// File of the profile.
    pub profile_path: PathBuf,
    /// First digits of the SHA-256 of its text as it was read.
    pub profile_digest: String,
    /// Longest time without a file that is still normal.
    pub expect_every: Option<Duration>,
    /// Hours of the day in which that holds.
    pub expect_hours: Option<Hours>,
    /// Folder into which answers to files are written; below the state folder unless given.
    pub answers: Option<PathBuf>,
    /// File and line in which it begins.
    pub read_at: (PathBuf, usize),
}

/// What was read and what was found.
#[derive(Debug)]
pub struct Loaded {
    /// The settings, where there was no problem.
    pub config: Option<Config>,
    /// Every file that was read, in order.
    pub files: Vec<PathBuf>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// Why settings could not be used.
#[derive(Debug, thiserror::Error)]
#[error("{} problems in the settings; run `docksync-agent check`", problems.len())]
pub struct ConfigError {
    /// All of them.
    pub problems: Vec<Problem>,
}

impl Loaded {
    /// The settings.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem; none of them passes by itself.
    pub fn into_config(self) -> Result<Config, ConfigError> {
        self.config.ok_or(ConfigError { problems: self.problems })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main_file(dir: &std::path::Path, text: &str) -> PathBuf {
        let path = dir.join("agent.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    const LEAST: &str = "[site]\nid = \"DC7\"\ntime_zone = \"America/Chicago\"\n[centre]\nhost = \"h\"\n";

    #[test]
    fn the_sample_settings_and_every_profile_load() {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config");

        let loaded = load(&root.join("agent.toml"));

        let shown: String = loaded.problems.iter().map(ToString::to_string).collect();
        assert_eq!(shown, "");
        assert_eq!(loaded.config.unwrap().feeds.len(), 7);
        for entry in std::fs::read_dir(root.join("feeds")).unwrap() {
            let path = entry.unwrap().path();
            let read = crate::decode::profile::read(&path, &std::fs::read_to_string(&path).unwrap());
            let problems = read.err().unwrap_or_default();
            assert_eq!(problems.iter().map(ToString::to_string).collect::<String>(), "", "{}", path.display());
        }
    }

    #[test]
    fn what_the_sample_shows_in_comments_are_the_defaults() {
        let dir = tempfile::tempdir().unwrap();

        let config = load(&main_file(dir.path(), LEAST)).into_config().unwrap();

        assert_eq!(config.queue.bytes_max, units::bytes("2 GiB").unwrap());
        assert_eq!(config.status.listen.to_string(), "127.0.0.1:8077");
        assert_eq!(config.intake.rescan, Duration::from_secs(10));
        assert_eq!((config.centre.port, config.centre.reconnect_max), (8883, RECONNECT_MAX));
        assert_eq!(config.state_dir, PathBuf::from("/var/lib/docksync-agent"));
    }

    #[test]
    fn every_problem_of_every_file_is_named_at_once() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("feeds.d")).unwrap();
        std::fs::write(dir.path().join("feeds.d/20-ship.toml"), "[[feed]]\nfoldr = \"/x\"\nprofile = \"../p.toml\"\n")
            .unwrap();
        std::fs::write(dir.path().join("p.toml"), "[feed]\nname = 7\n").unwrap();
        let text = "[site]\nid = \"dc 01\"\ntime_zone = \"Mars/Olympus\"\n[centre]\nhost = \"h\"\n\
                    [queue]\nbytes_max = \"2 Gib\"\n[status]\nlisten = \"0.0.0.0:80\"\n";

        let loaded = load(&main_file(dir.path(), text));

        let codes: Vec<&str> = loaded.problems.iter().map(|p| p.code).collect();
        assert_eq!(codes[..4], ["C018", "C021", "C005", "C026"]);
        assert!(codes.contains(&"C002"), "the typo in the feed's file: {codes:?}");
        assert!(loaded.problems.iter().any(|p| p.file.ends_with("../p.toml")), "the profile's own: {codes:?}");
        let shown = loaded.problems[0].to_string();
        assert!(shown.contains("2 | id = \"dc 01\"\n  |      ^^^^^^^"), "{shown}");
    }

    #[test]
    fn a_feed_file_with_a_typo_is_named_with_the_nearest_key() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("feeds.d")).unwrap();
        std::fs::write(dir.path().join("feeds.d/20.toml"), "[[feed]]\nfoldr = \"/x\"\nprofile = \"no.toml\"\n")
            .unwrap();

        let loaded = load(&main_file(dir.path(), LEAST));

        let shown: Vec<(&str, &str)> = loaded.problems.iter().map(|p| (p.code, p.help.as_str())).collect();
        assert!(shown.contains(&("C002", "did you mean `folder`?")), "{shown:?}");
        assert!(shown.iter().any(|(code, _)| *code == "C030"), "{shown:?}");
    }

    #[test]
    fn two_feeds_of_one_name_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let profile = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../config/feeds/pick-csv.toml");
        let feed = format!("[[feed]]\nfolder = \"/a\"\nprofile = \"{}\"\n", profile.display());

        let loaded = load(&main_file(dir.path(), &format!("{LEAST}{feed}{feed}")));

        let codes: Vec<&str> = loaded.problems.iter().map(|p| p.code).collect();
        assert_eq!(codes, ["C033", "C034"]);
    }
}
