//! `./tests/sim --seeds N [--from S]` runs seeds; `./tests/sim --seed S` replays one and prints its script.

use std::{
    io::Write as _,
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use clap::Parser;
use docksync_tests::sim::{self, Plan};

/// Simulates the link under faults.
#[derive(Debug, Parser)]
struct Args {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Replay this seed and print what happened.
    #[arg(long)]
    seed: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 2)]
    threads: u64,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let result = match args.seed {
        Some(seed) => replay(seed),
        None => many(&args),
    };
    match result {
        Ok(ok) if ok => ExitCode::SUCCESS,
        Ok(_) | Err(_) => ExitCode::FAILURE,
    }
}

fn replay(seed: u64) -> std::io::Result<bool> {
    let mut out = std::io::stdout().lock();
    let mut plan = Plan::of(seed);
    plan.trace = true;
    writeln!(out, "{plan:?}")?;
    match sim::run(plan) {
        Ok(summary) => {
            writeln!(out, "seed {seed}: {summary:?}")?;
            Ok(true)
        }
        Err(failure) => {
            for line in &failure.script {
                writeln!(out, "{line}")?;
            }
            writeln!(out, "{failure}")?;
            Ok(false)
        }
    }
}

fn many(args: &Args) -> std::io::Result<bool> {
    let begun = Instant::now();
    let (next, failed) = (AtomicU64::new(args.from), AtomicU64::new(0));
    let (captured, faults) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= args.from + args.seeds {
                        return;
                    }
                    match sim::run(Plan::of(seed)) {
                        Ok(summary) => {
                            captured.fetch_add(summary.captured as u64, Ordering::Relaxed);
                            faults.fetch_add(summary.faults as u64, Ordering::Relaxed);
                        }
                        Err(failure) => {
                            failed.fetch_add(1, Ordering::Relaxed);
                            let said = writeln!(std::io::stdout().lock(), "FAILED {failure}");
                            debug_assert!(said.is_ok(), "standard output is open");
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner();
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} seeds, {} events, {} faults in {:.1} s: {} passed, {failed} failed",
        args.seeds,
        captured.into_inner(),
        faults.into_inner(),
        begun.elapsed().as_secs_f64(),
        args.seeds - failed
    )?;
    Ok(failed == 0)
}
