//! The aggregator's program: reads the command line, runs the command, ends with its exit code.

use std::{io::Write as _, process::ExitCode};

use clap::Parser as _;
use docksync_aggregator::cli::{self, Cli};

/// Batches make many short-lived texts: the system's allocator gave their pages back and fetched them again for each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli::run(&cli, &mut std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut words = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(inner) = cause {
                words.push_str(": ");
                words.push_str(&inner.to_string());
                cause = inner.source();
            }
            // Where standard error is closed, the exit code alone has to tell.
            drop(writeln!(std::io::stderr(), "error: {words}"));
            ExitCode::from(error.code())
        }
    }
}
