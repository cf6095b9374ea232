//! `./tests/bench`: measures this build on this machine.

use std::{io::Write as _, process::ExitCode};

use clap::Parser;
use docksync_tests::bench::{self, Options};

/// Measures Docksync beside what this machine could do at most.
#[derive(Debug, Parser)]
struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Fewer events
    #[arg(long)]
    quick: bool,
    /// Only codec, erp, line, small, latency or memory
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
}

/// The ceiling has the allocator that the programs have.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is closed, the exit code alone has to tell.
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::from(69)
        }
    }
}

fn run(args: Args) -> anyhow::Result<()> {
    let dir = tempfile::Builder::new().prefix("docksync-bench-").tempdir()?;
    let options = Options { quick: args.quick, only: args.only };
    let rows = bench::run(&options, dir.path(), &mut std::io::stderr())?;
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::json!({ "rows": rows }))?;
    } else {
        bench::table(&rows, &mut out)?;
    }
    Ok(())
}
