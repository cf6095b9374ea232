//! The agent's program: reads the command line, runs the command, ends with its exit code.

use std::process::ExitCode;

use clap::Parser as _;
use docksync_agent::cli::{self, Cli, exit};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let code = cli::run(&cli, &mut std::io::stdout(), &mut std::io::stderr());
    // Where the output is closed, nobody is left to be told.
    ExitCode::from(code.unwrap_or(exit::UNAVAILABLE))
}
