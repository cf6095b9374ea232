//! The journal: one subscriber for the whole program, to standard error.

use tracing_subscriber::{EnvFilter, fmt, prelude::*};

use crate::config::{LogConfig, LogFormat};

/// Why the journal could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The level is not one.
    #[error("cannot read log level {level}")]
    Level {
        /// What was given.
        level: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another subscriber was set before.
    #[error("the journal was started before")]
    Started(#[source] tracing_subscriber::util::TryInitError),
}

/// Starts the journal. systemd adds time and unit, hence lines for people carry no time when it reads them.
///
/// # Errors
/// [`LoggingError`] where the level cannot be read, or on a second call.
pub fn init(config: &LogConfig) -> Result<(), LoggingError> {
    let level = |source| LoggingError::Level { level: config.level.clone(), source };
    let filter: EnvFilter = config.level.parse().map_err(level)?;
    let registry = tracing_subscriber::registry().with(filter);
    let is_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer =
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match (config.format, is_journal) {
        (LogFormat::Json, _) => registry.with(layer.json().flatten_event(true)).try_init(),
        (LogFormat::Text, true) => registry.with(layer.without_time().with_ansi(false)).try_init(),
        (LogFormat::Text, false) => registry.with(layer).try_init(),
    }
    .map_err(LoggingError::Started)
}
