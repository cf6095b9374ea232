//! `cargo demo`: three sites and a centre on this machine. `cargo demo -- --for 60s --json` ends by itself.

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::Parser;
use docksync_tests::demo::{self, Options};

/// Runs Docksync on this machine: three sites, a centre, a destination.
#[derive(Debug, Parser)]
struct Args {
    /// End by itself after so long, as 60s
    #[arg(long = "for", value_parser = seconds)]
    run_for: Option<Duration>,
    /// Take the network away for so long
    #[arg(long, value_parser = seconds)]
    cut: Option<Duration>,
    /// Kill processes and start them again
    #[arg(long)]
    kill: bool,
    /// Bring up a real ERP, apply the events to it and compare its stock with the ledger
    #[arg(long, value_parser = ["tryton"])]
    erp: Option<String>,
    /// Compare the books of a second night, with drifts planted by day
    #[arg(long)]
    night: bool,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    number.parse().map(Duration::from_secs).map_err(|_| format!("`{text}` is no time; give seconds, as 60s"))
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where standard error is closed, the exit code alone has to tell.
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::from(69)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let dir = tempfile::Builder::new().prefix("docksync-demo-").tempdir()?;
    let stop = demo::stop_on_signals()?;
    let options = Options {
        run_for: args.run_for,
        cut: args.cut,
        kill: args.kill,
        erp: args.erp.is_some(),
        night: args.night,
        json: args.json,
    };
    let outcome = if args.json {
        demo::run(options, dir.path(), &stop, &mut std::io::stderr())?
    } else {
        demo::run(options, dir.path(), &stop, &mut std::io::stdout())?
    };
    let mut out = std::io::stdout();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
    } else {
        writeln!(out, "{}", serde_json::to_string_pretty(&outcome)?)?;
        let verdict = if outcome.is_good() { "nothing lost, nothing doubled" } else { "A PROMISE WAS BROKEN" };
        writeln!(out, "{verdict}")?;
    }
    Ok(outcome.is_good())
}
