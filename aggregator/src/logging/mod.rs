//! The journal: one subscriber, lines on standard error, where systemd reads them.

use tracing_subscriber::{EnvFilter, fmt};

use crate::config::{LogConfig, LogFormat, LogLevel};

/// Why there is no journal.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// A subscriber is set already.
    #[error("cannot start the journal twice")]
    Twice(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Starts the journal for the whole process.
///
/// # Errors
/// [`LoggingError::Twice`].
pub fn start(config: LogConfig) -> Result<(), LoggingError> {
    let builder = fmt()
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .with_writer(std::io::stderr)
        .with_env_filter(filter(config.level));
    let started = match config.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(LoggingError::Twice)
}

/// An error with everything behind it, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}

/// Our own level; what we depend on speaks from WARN.
fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    EnvFilter::new(format!("warn,docksync_aggregator={level},docksync_proto={level}"))
}
