//! Commands. Data goes to standard output, words to standard error, the outcome into the exit code.

pub mod check;
pub mod config;
pub mod enroll;
pub mod files;
pub mod init;
pub mod map;
pub mod queue;
pub mod status;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use jiff::Timestamp;

use crate::{
    config::{self as settings, Config},
    logging,
    queue::QueueError,
};

/// Exit codes: a contract.
pub mod exit {
    /// Done, nothing wrong.
    pub const OK: u8 = 0;
    /// Ran, and found problems.
    pub const PROBLEMS: u8 = 1;
    /// Wrong flags.
    pub const USAGE: u8 = 2;
    /// A file holds what cannot be taken.
    pub const DATA: u8 = 65;
    /// The other side could not be reached.
    pub const UNAVAILABLE: u8 = 69;
    /// May work later.
    pub const TRY_LATER: u8 = 75;
    /// Not allowed.
    pub const NO_PERMISSION: u8 = 77;
    /// The settings were refused.
    pub const CONFIG: u8 = 78;
}

/// The agent's command line.
#[derive(Debug, Parser)]
#[command(name = "docksync-agent", version, about = "Carries a warehouse system's exports to the centre")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Run(ConfigArgs),
    /// How the site stands: the page's headline and facts
    Status(status::StatusArgs),
    /// Check settings and feed profiles and tell every problem of them
    Check(check::CheckArgs),
    /// Write settings for this site: finds exports, guesses how they are read, opens their folders
    Init(init::InitArgs),
    /// The settings that count, and what differs from those that run
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Mappings of files to events
    #[command(subcommand)]
    Map(map::MapCommand),
    /// Files that were taken
    #[command(subcommand)]
    Files(files::FilesCommand),
    /// What waits for the centre
    #[command(subcommand)]
    Queue(queue::QueueCommand),
    /// Get this site's certificate with a one-time token
    Enroll(enroll::EnrollArgs),
    /// Print what makes a shell complete these commands; the packages install it
    Completions(CompletionsArgs),
}

/// Which shell.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// Its name
    pub shell: Shell,
}

/// Which settings.
#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = settings::MAIN_FILE)]
    pub config: PathBuf,
}

/// Reads settings; where they are refused, every problem goes to `err`.
///
/// # Errors
/// Whatever writing gives; the exit code where the settings were refused.
pub(crate) fn load(path: &Path, err: &mut dyn Write) -> io::Result<Result<Config, u8>> {
    let loaded = settings::load(path);
    for problem in &loaded.problems {
        writeln!(err, "{problem}")?;
    }
    Ok(loaded.config.ok_or(exit::CONFIG))
}

/// Whether what a command would write into a state folder could not be read by the service: files of root among those of its user.
///
/// # Errors
/// Whatever writing gives.
pub(crate) fn is_foreign(state_dir: &Path, err: &mut dyn Write) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(state_dir).map_or(0, |meta| meta.uid());
    let is_foreign = owner != 0 && rustix::process::geteuid().is_root();
    if is_foreign {
        writeln!(
            err,
            "error: {} belongs to the user of the service, and root is not to write there",
            state_dir.display()
        )?;
        writeln!(err, "next: run it as that user, with the packages: sudo -u docksync-agent docksync-agent ...")?;
    }
    Ok(is_foreign)
}

/// Runs a command; gives the exit code.
///
/// # Errors
/// Whatever writing gives.
pub fn run(cli: &Cli, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    match &cli.command {
        Command::Run(args) => service(args, err),
        Command::Status(args) => status::status(args, out, err),
        Command::Check(args) => check::check(args, out),
        Command::Init(args) => init::init(args, Timestamp::now(), &mut io::stdin().lock(), out, err),
        Command::Config(command) => config::config(command, out, err),
        Command::Map(map::MapCommand::Test(args)) => map::test(args, Timestamp::now(), out, err),
        Command::Map(map::MapCommand::New(args)) => map::new(args, Timestamp::now(), out, err),
        Command::Files(command) => files::files(command, out, err),
        Command::Queue(command) => queue::queue(command, out, err),
        Command::Enroll(args) => enroll::enroll(args, out, err),
        Command::Completions(args) => {
            // Made in memory: a closed pipe is an error to be told, not a panic.
            let mut text = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "docksync-agent", &mut text);
            // clap_complete 4.6 writes names with a hyphen in two ways (clap-rs/clap issue 6421): bash would end after the first word.
            let text = String::from_utf8_lossy(&text).replace("docksync__subcmd__", "docksync__");
            out.write_all(text.as_bytes()).map(|()| exit::OK)
        }
    }
}

fn service(args: &ConfigArgs, err: &mut dyn Write) -> io::Result<u8> {
    let config = match load(&args.config, err)? {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    let journal = match logging::init(&config.log) {
        Ok(journal) => journal,
        Err(error) => {
            writeln!(err, "error: {error}")?;
            return Ok(exit::CONFIG);
        }
    };
    match crate::run::run(config, &args.config, &journal) {
        Ok(()) => Ok(exit::OK),
        Err(error) => {
            writeln!(err, "error: {error:#}")?;
            // Another program is needed: a restart would find the same.
            let is_other =
                |cause: &QueueError| matches!(cause, QueueError::Version { .. } | QueueError::OldSqlite { .. });
            let needs_person = error.chain().filter_map(|cause| cause.downcast_ref()).any(is_other);
            Ok(if needs_person { exit::CONFIG } else { exit::TRY_LATER })
        }
    }
}
