//! `ca`: the authority, and putting another in its place.

use std::{io::Write, path::PathBuf};

use clap::{Args, Subcommand};
use jiff::Timestamp;

use super::CliError;
use crate::{
    config::Config,
    ledger::lock::StateLock,
    pki::{self, Authorities, Issuing, Pki, PkiError},
};

/// The certificate authority of the centre.
#[derive(Debug, Subcommand)]
pub enum CaCommand {
    /// The authority, the next one where it is being replaced, and which sites still have to renew
    Show,
    /// Begin to replace it: both count until every site has renewed by itself. Stop the service first
    Rotate(RotateArgs),
    /// End the replacement; the earlier authority counts no more. Stop the service first
    Finish(FinishArgs),
}

/// By what it is replaced.
#[derive(Debug, Args)]
pub struct RotateArgs {
    /// The company's own issuing certificate (PEM), in place of one that is made here
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// Its key (PKCS#8, PEM), readable by its owner alone; it is copied
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
}

/// How it ends.
#[derive(Debug, Args)]
pub struct FinishArgs {
    /// Even where sites have not renewed: each of them needs a new token then
    #[arg(long)]
    pub leave_behind: bool,
}

/// Runs a command about the authority.
///
/// # Errors
/// [`CliError`].
pub fn ca(config: &Config, command: &CaCommand, out: &mut dyn Write) -> Result<(), CliError> {
    let now = Timestamp::now();
    let dir = config.state_dir.join("pki");
    let open = || Pki::open_or_create(&dir, &config.centre.certificate_names, now);
    let is_there = dir.join("ca.key").exists();
    match command {
        // Looking makes none: until the first start the company's own can still be put in place at once.
        CaCommand::Show if !is_there => {
            writeln!(
                out,
                "no authority yet: the first start makes one, or `ca rotate --certificate FILE --key FILE` brings one"
            )?;
            Ok(())
        }
        CaCommand::Finish(_) if !is_there => Err(PkiError::NoRotation.into()),
        CaCommand::Show => show(&open()?.authorities(now)?, out),
        CaCommand::Rotate(args) => {
            std::fs::create_dir_all(&config.state_dir)?;
            let _lock = StateLock::take(&config.state_dir)?.ok_or(CliError::Running)?;
            let issuing = args.certificate.as_ref().zip(args.key.as_ref());
            let issuing = issuing.map(|(certificate, key)| Issuing { certificate, key });
            match issuing {
                // Before the first start nobody has to be carried over.
                Some(issuing) if !is_there => pki::install(&dir, issuing, now)?,
                _ => open()?.rotate(issuing, now)?,
            }
            show(&open()?.authorities(now)?, out)?;
            writeln!(out, "the service takes it: sudo systemctl start docksync-aggregator")?;
            Ok(())
        }
        CaCommand::Finish(args) => {
            let _lock = StateLock::take(&config.state_dir)?.ok_or(CliError::Running)?;
            let left = open()?.finish(args.leave_behind, now)?;
            show(&open()?.authorities(now)?, out)?;
            for site in left {
                writeln!(out, "{site} was left behind: docksync-aggregator sites token {site}")?;
            }
            writeln!(out, "tokens that were not used yet count no more; give new ones")?;
            writeln!(out, "next: sudo systemctl start docksync-aggregator")?;
            Ok(())
        }
    }
}

fn show(found: &Authorities, out: &mut dyn Write) -> Result<(), CliError> {
    let (fingerprint, until) = &found.present;
    writeln!(out, "authority  {fingerprint}, until {until:.0}")?;
    let Some((fingerprint, until)) = &found.next else { return Ok(()) };
    writeln!(out, "next       {fingerprint}, until {until:.0}")?;
    match found.waiting.is_empty() {
        true => writeln!(out, "no site would be locked out now: docksync-aggregator ca finish ends it")?,
        false => {
            let sites: Vec<&str> = found.waiting.iter().map(docksync_proto::site::SiteId::as_str).collect();
            writeln!(out, "sites that have not renewed yet, or only just: {}", sites.join(", "))?;
        }
    }
    Ok(())
}
