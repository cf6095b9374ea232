//! `./tests/fuzz --for 60s`: damaged files for every decoder; `--only NAME` for one of them, `--seed N` for other damage.

use std::{io::Write as _, process::ExitCode, time::Duration};

use clap::Parser;
use docksync_tests::fuzz;

/// Throws damaged files at the decoders.
#[derive(Debug, Parser)]
struct Args {
    /// Time for each decoder, as 10s or 10m.
    #[arg(long = "for", default_value = "10s", value_parser = docksync_agent::config::units::duration)]
    time: Duration,
    /// Only the decoder of this name: a standard, as x12, or a shipped profile.
    #[arg(long)]
    only: Option<String>,
    /// Only the standards.
    #[arg(long)]
    standards: bool,
    /// Where the damage starts from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> anyhow::Result<bool> {
    let mut out = std::io::stdout().lock();
    let standards = docksync_agent::decode::profile::DialectKind::WORDS;
    let is_asked = |name: &str| {
        args.only.as_ref().is_none_or(|only| only == name)
            && (!args.standards || standards.iter().any(|(word, _)| *word == name))
    };
    let targets: Vec<_> = fuzz::targets()?.into_iter().filter(|target| is_asked(&target.name)).collect();
    anyhow::ensure!(!targets.is_empty(), "there is no such decoder");
    let mut is_good = true;
    for target in targets {
        match target.run(args.seed, args.time) {
            Ok(done) => writeln!(
                out,
                "fuzz {}: {} inputs, {} refused, {} events, {} lines held ... ok",
                target.name, done.inputs, done.refused, done.events, done.held
            )?,
            Err(error) => {
                is_good = false;
                writeln!(out, "fuzz {} ... FAILED: {error:#}", target.name)?;
            }
        }
    }
    Ok(is_good)
}
