//! Reads the main file.

use std::path::{Path, PathBuf};

use docksync_proto::site::SiteId;
use jiff::tz::TimeZone;

use super::{
    ARCHIVE_DAYS, BALLAST_BYTES, BYTES_MAX, CENTRE_PORT, CentreConfig, Config, FEEDS_DIR, FILE_BYTES_MAX, IntakeConfig,
    KEEP_DAYS, Loaded, LogConfig, LogFormat, QueueConfig, RECONNECT_MAX, RESCAN, STATE_DIR, STATUS_LISTEN, SiteConfig,
    StatusAuth, StatusConfig, WORKERS, WORKERS_MAX, feeds,
    problem::Problem,
    section::{Document, Section},
    units,
};

/// Reads the main file, the files of its feeds folder and every profile that they name.
pub fn load(main: &Path) -> Loaded {
    let mut loaded = Loaded { config: None, files: vec![main.to_path_buf()], problems: Vec::new() };
    let Some(text) = text_of(main, &mut loaded.problems) else { return loaded };
    let document = Document::parse(main.to_path_buf(), &text);
    let base = main.parent().unwrap_or(Path::new(""));
    // The same file, named from elsewhere, is the same settings.
    let base = std::path::absolute(base).unwrap_or_else(|_| base.to_path_buf());
    let mut all = Vec::new();
    let mut feeds_dir = base.join(FEEDS_DIR);
    let found = document.root().and_then(|root| {
        feeds_dir = base.join(root.text("feeds_dir").unwrap_or(FEEDS_DIR));
        for section in root.sections("feed") {
            all.extend(feeds::feed(section, &base, &mut loaded));
        }
        settings(root, &base)
    });
    loaded.problems.splice(0..0, document.into_problems());
    feeds::read_folder(&feeds_dir, &mut all, &mut loaded);
    feeds::refuse_twins(main, &all, &mut loaded.problems);
    if loaded.problems.is_empty() {
        loaded.config = found.map(|config| Config { feeds: all, ..config });
    }
    loaded
}

/// The state folder that a file names, whatever else is wrong with it.
pub fn state_dir_of(main: &Path) -> PathBuf {
    let text = std::fs::read_to_string(main).unwrap_or_default();
    let (root, _) = toml::de::DeTable::parse_recoverable(&text);
    let state = root.get_ref().get("state").and_then(|state| state.get_ref().as_table());
    let dir = state.and_then(|state| state.get("dir")?.get_ref().as_str());
    dir.map_or_else(|| PathBuf::from(STATE_DIR), |dir| main.parent().unwrap_or(Path::new("")).join(dir))
}

/// The file's text; a problem where it cannot be read.
pub(super) fn text_of(path: &Path, problems: &mut Vec<Problem>) -> Option<String> {
    std::fs::read_to_string(path)
        .map_err(|error| {
            let help = match error.kind() {
                std::io::ErrorKind::NotFound => "the file does not exist".to_owned(),
                _ => error.to_string(),
            };
            problems.push(whole(path, "C000", "cannot read the file".to_owned(), help));
        })
        .ok()
}

/// A problem of a file as a whole.
pub(super) fn whole(path: &Path, code: &'static str, message: String, help: String) -> Problem {
    Problem { file: path.to_path_buf(), line: 0, column: 0, width: 0, snippet: String::new(), code, message, help }
}

/// Everything but the feeds.
fn settings(root: Section<'_, '_>, base: &Path) -> Option<Config> {
    let site = required(&root, "site").and_then(site);
    let centre = required(&root, "centre").and_then(centre);
    let state_dir = root.section("state").map(|section| {
        let dir = section.text("dir").map(|dir| base.join(dir));
        section.close();
        dir
    });
    let queue = root.section("queue").map_or_else(|| Some(queue_default()), queue);
    let status = root.section("status").map_or_else(status_default, status);
    let intake = root.section("intake").map_or_else(|| Some(intake_default()), intake);
    let log = root.section("log").map_or_else(|| Some(log_default()), log);
    root.close();
    Some(Config {
        site: site?,
        centre: centre?,
        state_dir: state_dir.flatten().unwrap_or_else(|| PathBuf::from(STATE_DIR)),
        queue: queue?,
        status: status?,
        intake: intake?,
        log: log?,
        feeds: Vec::new(),
    })
}

fn required<'d, 't>(root: &Section<'d, 't>, key: &'static str) -> Option<Section<'d, 't>> {
    if root.node(key).is_none() {
        root.missing(key, format!("add [{key}]"));
    }
    root.section(key)
}

fn site(section: Section<'_, '_>) -> Option<SiteConfig> {
    let id = section.required_text("id", "the code of the distribution centre, as \"DC7\"");
    let id = id.and_then(|text| {
        let node = section.node("id")?;
        SiteId::new(text).map_err(|e| section.wrong(node, "C018", e.to_string(), "")).ok()
    });
    let name = section.text("name").map(str::to_owned);
    let zone = section.required_text("time_zone", "as \"America/Chicago\"").and_then(|text| {
        let node = section.node("time_zone")?;
        let zone = TimeZone::get(text);
        if zone.is_err() {
            section.wrong(
                node,
                "C021",
                format!("no time zone `{text}`"),
                "a name of the IANA database, as \"America/Chicago\"",
            );
        }
        Some((zone.ok()?, text.to_owned()))
    });
    section.close();
    let (id, (time_zone, time_zone_name)) = (id?, zone?);
    Some(SiteConfig { name: name.unwrap_or_else(|| id.to_string()), id, time_zone, time_zone_name })
}

fn centre(section: Section<'_, '_>) -> Option<CentreConfig> {
    let host = section.required_text("host", "name or address of the centre").map(str::to_owned);
    let port = section.number("port").unwrap_or(CENTRE_PORT);
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    if let (None, Some(node)) = (port, section.node("port")) {
        section.wrong(node, "C024", "a port is a number from 1 to 65535".to_owned(), "");
    }
    let reconnect_max = section.measured("reconnect_max", units::duration).unwrap_or(RECONNECT_MAX);
    section.close();
    Some(CentreConfig { host: host?, port: port?, reconnect_max })
}

const fn queue_default() -> QueueConfig {
    QueueConfig {
        bytes_max: BYTES_MAX,
        keep_days: KEEP_DAYS as u32,
        archive_days: ARCHIVE_DAYS as u32,
        ballast_bytes: BALLAST_BYTES,
    }
}

fn queue(section: Section<'_, '_>) -> Option<QueueConfig> {
    let default = queue_default();
    let days = |key, default: u32| {
        let days = section.number(key).unwrap_or(u64::from(default));
        u32::try_from(days).unwrap_or(u32::MAX)
    };
    let queue = QueueConfig {
        bytes_max: section.measured("bytes_max", units::bytes).unwrap_or(default.bytes_max),
        keep_days: days("keep_days", default.keep_days),
        archive_days: days("archive_days", default.archive_days),
        ballast_bytes: section.measured("ballast_bytes", units::bytes).unwrap_or(default.ballast_bytes),
    };
    if let Some(node) = section.node("bytes_max")
        && queue.bytes_max < 16 << 20
    {
        section.wrong(node, "C025", "`bytes_max` is too small to hold a day".to_owned(), "at least \"16 MiB\"");
    }
    if let Some(node) = section.node("archive_days")
        && queue.archive_days == 0
    {
        section.wrong(node, "C024", "`archive_days` is at least 1".to_owned(), "files of today may be read again");
    }
    section.close();
    Some(queue)
}

fn status_default() -> Option<StatusConfig> {
    Some(StatusConfig { listen: STATUS_LISTEN.parse().ok()?, contact: String::new(), auth: None })
}

fn status(section: Section<'_, '_>) -> Option<StatusConfig> {
    let mut status = status_default()?;
    status.contact = section.text("contact").unwrap_or("").to_owned();
    status.auth = section.section("auth").and_then(|auth| {
        let user = auth.required_text("user", "user = \"dock\"").map(str::to_owned);
        let file = auth.required_text("password_file", "a file that only the agent may read").map(PathBuf::from);
        auth.close();
        Some(StatusAuth { user: user?, password_file: file? })
    });
    if let Some(node) = section.node("listen") {
        let text = section.text_of("listen", node)?;
        match text.parse::<std::net::SocketAddr>() {
            Ok(listen) if listen.ip().is_loopback() || section.node("auth").is_some() => status.listen = listen,
            Ok(_) => {
                let message = "the page would be open to the network without a password".to_owned();
                section.wrong(node, "C026", message, "listen on 127.0.0.1, or add [status.auth]");
            }
            Err(_) => section.wrong(node, "C027", format!("`{text}` is no address with port"), "as \"127.0.0.1:8077\""),
        }
    }
    section.close();
    Some(status)
}

const fn intake_default() -> IntakeConfig {
    IntakeConfig { rescan: RESCAN, workers: WORKERS as usize, file_bytes_max: FILE_BYTES_MAX }
}

fn intake(section: Section<'_, '_>) -> Option<IntakeConfig> {
    let default = intake_default();
    let workers = section.number("workers").unwrap_or(WORKERS);
    if let Some(node) = section.node("workers")
        && !(1..=WORKERS_MAX).contains(&workers)
    {
        section.wrong(node, "C024", format!("`workers` is from 1 to {WORKERS_MAX}"), "");
    }
    let rescan = section.measured("rescan", units::duration).unwrap_or(default.rescan);
    if let Some(node) = section.node("rescan")
        && rescan < std::time::Duration::from_millis(100)
    {
        section.wrong(node, "C024", "`rescan` is at least 100 ms".to_owned(), "as \"10s\"");
    }
    let file_bytes_max = section.measured("file_bytes_max", units::bytes).unwrap_or(default.file_bytes_max);
    section.close();
    Some(IntakeConfig { rescan, workers: workers.clamp(1, WORKERS_MAX) as usize, file_bytes_max })
}

/// A word alone that is no level would be taken for the name of a target, and nothing be written at all.
fn is_level(text: &str) -> bool {
    let words = ["error", "warn", "info", "debug", "trace"];
    text.split(',').all(|part| part.contains('=') || words.contains(&part.trim()))
}

fn log_default() -> LogConfig {
    LogConfig { level: "info".to_owned(), format: LogFormat::Text }
}

fn log(section: Section<'_, '_>) -> Option<LogConfig> {
    let default = log_default();
    let level = section.text("level").map_or(default.level, str::to_owned);
    if let Some(node) = section.node("level")
        && (level.parse::<tracing_subscriber::EnvFilter>().is_err() || !is_level(&level))
    {
        section.wrong(node, "C028", format!("`{level}` is no level"), "error, warn, info, debug or trace");
    }
    let format = section.word("format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
    section.close();
    Some(LogConfig { level, format: format.unwrap_or(default.format) })
}
