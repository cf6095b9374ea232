//! `queue`: what waits, and whether the database is sound.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Subcommand};

use super::{exit, load};
use crate::{config, queue::Reader};

/// Commands about the queue.
#[derive(Debug, Subcommand)]
pub enum QueueCommand {
    /// How much waits
    Stat(StatArgs),
    /// Read everything, recompute every chain
    Verify(StatArgs),
}

/// Which queue.
#[derive(Debug, Args)]
pub struct StatArgs {
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs a command; gives the exit code.
///
/// # Errors
/// Whatever writing gives.
pub fn queue(command: &QueueCommand, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let (QueueCommand::Stat(args) | QueueCommand::Verify(args)) = command;
    let config = match load(&args.config, err)? {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let path = config.state_dir.join("queue.db");
    let reader = match Reader::open(&path) {
        Ok(reader) => reader,
        Err(error) => {
            writeln!(err, "error: {:#}", anyhow::Error::from(error))?;
            return Ok(exit::UNAVAILABLE);
        }
    };
    let done = match command {
        QueueCommand::Stat(_) => stat(&reader, args.json, out),
        QueueCommand::Verify(_) => verify(&reader, args.json, out),
    };
    match done? {
        Ok(code) => Ok(code),
        Err(error) => {
            writeln!(err, "error: {:#}", anyhow::Error::from(error))?;
            Ok(exit::UNAVAILABLE)
        }
    }
}

type Done = io::Result<Result<u8, crate::queue::QueueError>>;

fn stat(reader: &Reader, json: bool, out: &mut dyn Write) -> Done {
    let state = match reader.link() {
        Ok(state) => state,
        Err(error) => return Ok(Err(error)),
    };
    let Some(state) = state else {
        match json {
            true => writeln!(out, "{}", serde_json::json!({ "head": 0, "marked": 0, "applied": 0, "waiting": 0 }))?,
            false => writeln!(out, "nothing was captured yet")?,
        }
        return Ok(Ok(exit::OK));
    };
    if json {
        serde_json::to_writer(
            &mut *out,
            &serde_json::json!({
                "epoch": state.epoch, "head": state.head, "marked": state.marked, "applied": state.applied,
                "waiting": state.head - state.marked, "oldest_kept": state.oldest_kept, "chain": state.head_chain.to_string(),
            }),
        )?;
        writeln!(out)?;
        return Ok(Ok(exit::OK));
    }
    writeln!(out, "captured  {} events in epoch {}, chain {}", state.head, state.epoch, state.head_chain)?;
    writeln!(out, "waiting   {} events that the centre has not confirmed", state.head - state.marked)?;
    writeln!(out, "in ERP    through event {}", state.applied)?;
    writeln!(out, "kept      from event {}", state.oldest_kept)?;
    Ok(Ok(exit::OK))
}

fn verify(reader: &Reader, json: bool, out: &mut dyn Write) -> Done {
    let found = match reader.verify() {
        Ok(found) => found,
        Err(error) => return Ok(Err(error)),
    };
    if json {
        serde_json::to_writer(&mut *out, &found)?;
        writeln!(out)?;
    } else {
        found.faults.iter().try_for_each(|fault| writeln!(out, "fault: {fault}"))?;
        writeln!(out, "{} batches, {} events read: {} faults", found.batches, found.events, found.faults.len())?;
    }
    Ok(Ok(if found.faults.is_empty() { exit::OK } else { exit::DATA }))
}
