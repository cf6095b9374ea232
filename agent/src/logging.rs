//! The journal: one subscriber for the whole program, to standard error.

use tracing_subscriber::{EnvFilter, Registry, fmt, prelude::*, reload};

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

/// The journal that was started; its level can change.
#[derive(Debug, Clone)]
pub struct Journal(reload::Handle<EnvFilter, Registry>);

impl Journal {
    /// Sets the level.
    ///
    /// # Errors
    /// [`LoggingError::Level`] where it cannot be read.
    pub fn set(&self, level: &str) -> Result<(), LoggingError> {
        let filter = read(level)?;
        if let Err(error) = self.0.reload(filter) {
            tracing::debug!(%error, "the journal has ended");
        }
        Ok(())
    }
}

fn read(level: &str) -> Result<EnvFilter, LoggingError> {
    level.parse().map_err(|source| LoggingError::Level { level: level.to_owned(), source })
}

/// Starts the journal. systemd adds time and unit, hence lines for people carry no time when it reads them.
///
/// # Errors
/// [`LoggingError`] where the level cannot be read, or on a second call.
pub fn init(config: &LogConfig) -> Result<Journal, LoggingError> {
    let (filter, handle) = reload::Layer::new(read(&config.level)?);
    let registry = tracing_subscriber::registry().with(filter);
    let is_journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let layer =
        fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    match (config.format, is_journal) {
        (LogFormat::Json, _) => registry.with(layer.json().flatten_event(true)).try_init(),
        (LogFormat::Text, true) => registry.with(layer.without_time().with_ansi(false)).try_init(),
        (LogFormat::Text, false) => registry.with(layer).try_init(),
    }
    .map_err(LoggingError::Started)?;
    Ok(Journal(handle))
}
