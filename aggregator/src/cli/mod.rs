//! Commands of the aggregator: typed arguments, text or JSON on the given output, exit codes as the README lists them.
//!
//! Reads go to the ledger on a connection of their own. Decisions go through the running service, or, where none holds the state
//! folder's lock, are made by the command itself.

mod authority;
mod check;
mod consumers;
mod copies;
mod decide;
mod edit;
mod erp;
mod events;
mod parked;
mod preview;
mod recon;
mod sites;

use std::{
    io,
    path::{Path, PathBuf},
};

pub use authority::{CaCommand, ca};
pub use check::check;
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
pub use copies::{backup, restore};
pub use decide::{DecideArgs, retry, skip};
pub use erp::{status as erp_status, test as erp_test};
pub use events::{find, trace};
pub use parked::{groups, list, show};
pub use sites::{BrokerCommand, SitesCommand, broker, sites};

use docksync_proto::site::SiteIdError;

use crate::{
    backups::BackupError,
    config::{CONFIG_FILE, Config, ConfigError},
    deliver::DeliverError,
    ledger::LedgerError,
    logging::LoggingError,
    pki::PkiError,
    reconcile::ReconcileError,
};

/// The aggregator's command line.
#[derive(Debug, Parser)]
#[command(name = "docksync-aggregator", version, about = "The centre of Docksync")]
pub struct Cli {
    /// Configuration file.
    #[arg(long, global = true, default_value = CONFIG_FILE)]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service
    Run,
    /// Check the configuration and tell every problem of it
    Check,
    /// Sites and their machines
    #[command(subcommand)]
    Sites(SitesCommand),
    /// The certificate authority, and putting another in its place
    #[command(subcommand)]
    Ca(CaCommand),
    /// Settings for an outside broker
    #[command(subcommand)]
    Broker(BrokerCommand),
    /// Find events and tell what became of them
    #[command(subcommand)]
    Events(EventsCommand),
    /// Events that wait for a person
    #[command(subcommand)]
    Parked(ParkedCommand),
    /// Destinations: how far each is, and whether it is paused
    #[command(subcommand)]
    Consumers(ConsumersCommand),
    /// ERPs and how they can be reached
    #[command(subcommand)]
    Erp(ErpCommand),
    /// Compare warehouse systems, ledger and ERPs, and decide on what differs
    #[command(subcommand)]
    Recon(recon::ReconCommand),
    /// Copy the ledger while it runs, and check the copy
    Backup(CopyArgs),
    /// Put a checked backup in the place of the ledger
    Restore(RestoreArgs),
    /// Print what makes a shell complete these commands; the packages install it
    Completions(CompletionsArgs),
}

/// Which shell.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Its name
    pub shell: Shell,
}

/// Find events.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Every event that carries this order, shipment, item, carton, event id or file name
    Find(SearchArgs),
    /// Every hop of these events, from the file to each consumer
    Trace(SearchArgs),
}

/// What to look for.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Order, shipment, item, carton, tracking number, file name or event id
    pub text: String,
    /// Most events
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Destinations.
#[derive(Debug, Subcommand)]
pub enum ConsumersCommand {
    /// How far each is with each site, what waits for a person, and whether it is paused
    List(FormArgs),
    /// Send nothing to it until it is resumed; what comes waits in order
    Pause(PauseArgs),
    /// Go on
    Resume(ResumeArgs),
    /// Send it everything again, from the beginning or from a moment: it was emptied or put back
    Reset(ResetArgs),
}

/// How to write the answer.
#[derive(Debug, Args)]
pub struct FormArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Which destination is paused.
#[derive(Debug, Args)]
pub struct PauseArgs {
    /// Its name in the configuration
    pub consumer: String,
    /// Why; kept in the audit trail
    #[arg(long)]
    pub reason: String,
    /// Who decides; kept in the audit trail
    #[arg(long)]
    pub by: String,
}

/// Which destination goes on.
#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Its name in the configuration
    pub consumer: String,
    /// Who decides; kept in the audit trail
    #[arg(long)]
    pub by: String,
}

/// Which destination is sent everything again.
#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Its name in the configuration
    pub consumer: String,
    /// Only what was received from then on: 2026-11-20, or 2026-11-20T06:00:00Z
    #[arg(long)]
    pub from: Option<String>,
    /// Why; kept in the audit trail
    #[arg(long)]
    pub reason: String,
    /// Who decides; kept in the audit trail
    #[arg(long)]
    pub by: String,
}

/// ERPs and how they can be reached.
#[derive(Debug, Subcommand)]
pub enum ErpCommand {
    /// How far each ERP is, whether it takes events, and since when it does not
    Status(FormArgs),
    /// Log in to every ERP of the configuration and see whether it takes events; nothing is sent
    Test,
}

/// Events that wait for a person.
#[derive(Debug, Subcommand)]
pub enum ParkedCommand {
    /// One row for each cause: what it is about, how many wait for it and since when
    Groups(ListArgs),
    /// All of them
    List(ListArgs),
    /// One of them, with the event
    Show(ShowArgs),
    /// Try again
    Retry(DecideArgs),
    /// Send another content to one consumer in place of what it refused; the original is kept
    Edit(edit::EditArgs),
    /// Leave out, for ever
    Skip(DecideArgs),
}

/// How to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Most rows
    #[arg(long, default_value_t = 200)]
    pub limit: usize,
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Which event.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Place as `parked list` shows it
    pub place: String,
}

/// From where or to where.
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// File of the backup
    pub file: PathBuf,
}

/// From where.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// File of the backup
    pub file: PathBuf,
    /// The authority that is there counts, though it is another than the backup's: it has replaced that one since
    #[arg(long)]
    pub keep_authority: bool,
}

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Configuration refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Deliveries.
    #[error(transparent)]
    Deliver(#[from] DeliverError),
    /// Output cannot be written.
    #[error("cannot write the answer")]
    Output(#[from] io::Error),
    /// The register of sites.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// Not the name of a site.
    #[error(transparent)]
    Site(SiteIdError),
    /// Not a time zone.
    #[error("`{text}` is no IANA time zone: give one like America/Chicago")]
    Zone {
        /// What was given.
        text: String,
    },
    /// Not a nonce.
    #[error("`{text}` names no machine: give the 32 hex digits that the sites page shows")]
    Nonce {
        /// What was given.
        text: String,
    },
    /// The service ended with an error.
    #[error("the aggregator ended: {0:#}")]
    Service(anyhow::Error),
    /// The journal.
    #[error(transparent)]
    Logging(#[from] LoggingError),
    /// Not a place in the ledger.
    #[error("`{text}` is no place in the ledger: give one as `parked list` shows it, like 17.3")]
    Place {
        /// What was given.
        text: String,
    },
    /// Nothing waits there.
    #[error("event {place} does not wait for a person: see parked list")]
    NotParked {
        /// Place.
        place: String,
    },
    /// An event that cannot be edited.
    #[error("event {place} cannot be edited for {consumer}{}{why}: see parked list", if why.is_empty() { "" } else { "; " })]
    NotEditable {
        /// Place.
        place: String,
        /// Consumer.
        consumer: String,
        /// Why not; empty where it does not wait there.
        why: &'static str,
    },
    /// A change that makes no event.
    #[error("{text}: {why}; nothing was changed")]
    Edit {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// Not the name of a destination.
    #[error("no destination is called {name}: the configuration names {known}")]
    NoSuchConsumer {
        /// What was given.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// Nothing waits under that code.
    #[error("no event waits under {code}: see parked groups")]
    NoSuchGroup {
        /// Code, consumer and site that were given.
        code: String,
    },
    /// An ERP cannot be reached, or does not take events.
    #[error("{failed} of {tested} ERPs do not take events; each says why above")]
    ErpTest {
        /// How many do not.
        failed: usize,
        /// How many there are.
        tested: usize,
    },
    /// Backups.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// Comparison of books.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// A run that found nothing out.
    #[error("run {run_no} failed: {why}")]
    RunFailed {
        /// Run.
        run_no: i64,
        /// Its words.
        why: String,
    },
    /// What is needed to speak to an ERP.
    #[error(transparent)]
    Consumer(#[from] crate::consumers::ConsumerError),
    /// The service refused.
    #[error("refused: {answer}")]
    Refused {
        /// Its words.
        answer: String,
    },
    /// A person stopped it.
    #[error("stopped after {done} of {total}; the same command goes on with the rest")]
    Stopped {
        /// Decisions that were made.
        done: usize,
        /// Decisions that were asked for.
        total: usize,
    },
    /// What has no key and cannot be asked.
    #[error(
        "{name} cannot be reset: it keeps no key and cannot be asked, so that what it has had would take effect twice"
    )]
    NotRepeatable {
        /// Its name.
        name: String,
    },
    /// The ledger holds nothing as late as that.
    #[error("no event was received at {from} or later")]
    NothingSince {
        /// What was given.
        from: String,
    },
    /// Not a moment.
    #[error("`{text}` is no moment: give a date like 2026-11-20, or 2026-11-20T06:00:00Z")]
    Moment {
        /// What was given.
        text: String,
    },
    /// The service has not answered yet.
    #[error("request {op_id} is stored, the running service has not answered yet: see parked list in a moment")]
    Unanswered {
        /// Number of the request.
        op_id: i64,
    },
    /// Root would leave files that the service cannot read.
    #[error(
        "{dir} belongs to the user of the service, and root is not to write there: run it as that user, with the packages: \
         sudo -u docksync-aggregator docksync-aggregator ..."
    )]
    Foreign {
        /// Folder.
        dir: PathBuf,
    },
    /// The service runs and must not.
    #[error("the service is running: stop it first with systemctl stop docksync-aggregator")]
    Running,
}

impl CliError {
    /// Exit code (UX: 1 problems found, 65 bad data, 69 unavailable, 75 later, 77 permission, 78 configuration).
    pub fn code(&self) -> u8 {
        match self {
            Self::Config(_) => 78,
            Self::Moment { .. } | Self::Place { .. } | Self::Site(_) | Self::Zone { .. } | Self::Nonce { .. } => 2,
            Self::Pki(error) if error.is_callers() => 1,
            Self::Service(error) => error.chain().find_map(|cause| cause.downcast_ref()).map_or(69, ledger_code),
            Self::Foreign { .. } => 77,
            Self::Pki(_) | Self::Logging(_) => 69,
            Self::NoSuchConsumer { .. }
            | Self::NotParked { .. }
            | Self::NotEditable { .. }
            | Self::NoSuchGroup { .. }
            | Self::NotRepeatable { .. }
            | Self::NothingSince { .. }
            | Self::Refused { .. } => 1,
            Self::Edit { .. } => 65,
            Self::ErpTest { .. } => 69,
            Self::Consumer(_) => 78,
            Self::Unanswered { .. } | Self::Stopped { .. } | Self::Running => 75,
            Self::Output(_) => 69,
            Self::RunFailed { .. } => 69,
            Self::Backup(BackupError::Ledger(error)) => ledger_code(error),
            Self::Backup(BackupError::Books(error)) => recon_code(error),
            Self::Backup(BackupError::Folder { source, .. }) if source.kind() == io::ErrorKind::PermissionDenied => 77,
            Self::Backup(_) => 69,
            Self::Reconcile(ReconcileError::Ledger(error)) => ledger_code(error),
            Self::Reconcile(error) => recon_code(error),
            Self::Ledger(error) => ledger_code(error),
            Self::Deliver(DeliverError::Ledger { source, .. }) => ledger_code(source),
            Self::Deliver(DeliverError::Stored { .. } | DeliverError::Outcomes { .. }) => 65,
        }
    }
}

fn recon_code(error: &ReconcileError) -> u8 {
    match error {
        ReconcileError::NoRun { .. }
        | ReconcileError::NoInputs { .. }
        | ReconcileError::NoDrift { .. }
        | ReconcileError::Step { .. } => 1,
        ReconcileError::Open { .. } => 69,
        ReconcileError::NewerSchema { .. } => 78,
        ReconcileError::Sql { .. } => 75,
        ReconcileError::Stored { .. } | ReconcileError::Damaged { .. } | ReconcileError::Correction { .. } => 65,
        ReconcileError::Ledger(error) => ledger_code(error),
    }
}

fn ledger_code(error: &LedgerError) -> u8 {
    match error {
        LedgerError::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 77,
        LedgerError::Missing { .. }
        | LedgerError::Open { .. }
        | LedgerError::Io { .. }
        | LedgerError::Poisoned { .. }
        | LedgerError::Closed => 69,
        LedgerError::Stored { .. } | LedgerError::Damaged { .. } => 65,
        LedgerError::NewerSchema { .. } | LedgerError::OldSqlite { .. } => 78,
        LedgerError::Sql { .. } => 75,
        LedgerError::Discontinuous { .. }
        | LedgerError::Miscounted { .. }
        | LedgerError::Absent { .. }
        | LedgerError::Exists { .. } => 1,
    }
}

/// Even a command that only reads leaves the log of a database behind.
fn refuse_foreign(dir: &Path) -> Result<(), CliError> {
    use std::os::unix::fs::MetadataExt as _;
    let owner = std::fs::metadata(dir).map_or(0, |meta| meta.uid());
    match owner != 0 && rustix::process::geteuid().is_root() {
        true => Err(CliError::Foreign { dir: dir.to_owned() }),
        false => Ok(()),
    }
}

/// Runs a command of this room; what it says goes to `out`.
///
/// # Errors
/// [`CliError`], whose code is the program's.
pub fn run(cli: &Cli, out: &mut dyn io::Write) -> Result<(), CliError> {
    if let Command::Completions(args) = &cli.command {
        // Made in memory: a closed pipe is an error to be told, not a panic.
        let mut text = Vec::new();
        clap_complete::generate(args.shell, &mut Cli::command(), "docksync-aggregator", &mut text);
        // clap_complete 4.6 writes names with a hyphen in two ways (clap-rs/clap issue 6421): bash would end after the first word.
        let text = String::from_utf8_lossy(&text).replace("docksync__subcmd__", "docksync__");
        return out.write_all(text.as_bytes()).map_err(CliError::Output);
    }
    let config = Config::load(&cli.config)?;
    if !matches!(cli.command, Command::Run | Command::Check) {
        refuse_foreign(&config.state_dir)?;
    }
    match &cli.command {
        Command::Run => {
            crate::logging::start(config.log)?;
            crate::run::run(&config).map_err(CliError::Service)
        }
        Command::Check => check(&config, &cli.config, out),
        Command::Sites(command) => sites(&config, command, out),
        Command::Ca(command) => ca(&config, command, out),
        Command::Broker(command) => broker(&config, command, out),
        Command::Events(EventsCommand::Find(args)) => find(&config, args, out),
        Command::Events(EventsCommand::Trace(args)) => trace(&config, args, out),
        Command::Consumers(ConsumersCommand::List(args)) => consumers::list(&config, args, out),
        Command::Consumers(ConsumersCommand::Pause(args)) => consumers::pause(&config, args, out),
        Command::Consumers(ConsumersCommand::Resume(args)) => consumers::resume(&config, args, out),
        Command::Consumers(ConsumersCommand::Reset(args)) => consumers::reset(&config, args, out),
        Command::Erp(ErpCommand::Status(args)) => erp_status(&config, args, out),
        Command::Erp(ErpCommand::Test) => erp_test(&config, out),
        Command::Recon(command) => recon::recon(&config, command, out),
        Command::Parked(ParkedCommand::Groups(args)) => groups(&config, args, out),
        Command::Parked(ParkedCommand::List(args)) => list(&config, args, out),
        Command::Parked(ParkedCommand::Show(args)) => show(&config, args, out),
        Command::Parked(ParkedCommand::Retry(args)) => retry(&config, args, out),
        Command::Parked(ParkedCommand::Edit(args)) => edit::edit(&config, args, out),
        Command::Parked(ParkedCommand::Skip(args)) => skip(&config, args, out),
        Command::Backup(args) => backup(&config, args, out),
        Command::Restore(args) => restore(&config, args, out),
        Command::Completions(_) => Ok(()),
    }
}

/// A moment as people and machines read it.
fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests;
