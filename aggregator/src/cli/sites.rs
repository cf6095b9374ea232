//! `sites` and `broker`.

use std::{io::Write, path::PathBuf, time::Duration};

use clap::{Args, Subcommand};
use docksync_proto::site::SiteId;
use jiff::{Timestamp, tz::TimeZone};

use super::CliError;
use crate::{
    config::Config,
    pki::{Pki, TOKEN_TTL, Token},
    receive::mosquitto::{self, MosquittoSettings},
};

const DAY_SECS: u64 = 24 * 3600;
/// Batches that an outside broker may hold for the centre unacknowledged.
const INFLIGHT_MAX: u16 = 256;

/// Sites and their machines.
#[derive(Debug, Subcommand)]
pub enum SitesCommand {
    /// Add a site and print the one-time enrolment token
    Add(AddArgs),
    /// Print another one-time token for a site: a new machine of it, or one whose certificate has expired
    Token(TokenArgs),
    /// Every site
    List(SitesListArgs),
    /// Take away a site's certificates; its session ends within seconds
    Revoke(RevokeArgs),
    /// Let in a machine that was set aside: a restored image, a copy, or a replaced disk
    Approve(ApproveArgs),
}

/// Which site.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// Code of the site: A-Z, 0-9 and -
    pub site: String,
    /// Name for people
    #[arg(long, default_value = "")]
    pub name: String,
    /// IANA time zone
    #[arg(long, default_value = "UTC")]
    pub time_zone: String,
    /// Hours for which the token is good
    #[arg(long, default_value_t = 24)]
    pub hours: u64,
}

/// For which site.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Code of the site
    pub site: String,
    /// Hours for which the token is good
    #[arg(long, default_value_t = 24)]
    pub hours: u64,
}

/// How to list.
#[derive(Debug, Args)]
pub struct SitesListArgs {
    /// As JSON
    #[arg(long)]
    pub json: bool,
}

/// Which site.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// Code of the site
    pub site: String,
}

/// Which machine.
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Code of the site
    pub site: String,
    /// Nonce of the machine, as the sites page shows it (32 hex digits)
    pub nonce: String,
    /// Who decides; kept in the register
    #[arg(long)]
    pub by: String,
}

/// Settings for an outside broker.
#[derive(Debug, Subcommand)]
pub enum BrokerCommand {
    /// Write mosquitto.conf and acl for Mosquitto 2 into a folder
    Mosquitto(MosquittoArgs),
}

/// Where to.
#[derive(Debug, Args)]
pub struct MosquittoArgs {
    /// Folder for the files
    #[arg(long)]
    pub dir: PathBuf,
    /// Folder in which the broker keeps its sessions
    #[arg(long, default_value = "/var/lib/mosquitto/")]
    pub persistence: PathBuf,
}

fn open(config: &Config) -> Result<Pki, CliError> {
    let dir = config.state_dir.join("pki");
    Ok(Pki::open_or_create(&dir, &config.centre.certificate_names, Timestamp::now())?)
}

fn site(text: &str) -> Result<SiteId, CliError> {
    SiteId::new(text).map_err(CliError::Site)
}

/// Runs a command about sites.
///
/// # Errors
/// [`CliError`].
pub fn sites(config: &Config, command: &SitesCommand, out: &mut dyn Write) -> Result<(), CliError> {
    match command {
        SitesCommand::Add(args) => add(config, args, out),
        SitesCommand::Token(args) => {
            let (site, ttl, now) = (site(&args.site)?, ttl(args.hours), Timestamp::now());
            let token = open(config)?.new_token(&site, ttl, now)?;
            tell(config, &site, &token, now.checked_add(ttl).unwrap_or(now), out)
        }
        SitesCommand::List(args) => list(config, args, out),
        SitesCommand::Revoke(args) => {
            let site = site(&args.site)?;
            open(config)?.revoke(&site, Timestamp::now())?;
            writeln!(out, "{site} is revoked; to let it back in: docksync-aggregator sites add {site}")?;
            Ok(())
        }
        SitesCommand::Approve(args) => approve(config, args, out),
    }
}

fn add(config: &Config, args: &AddArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let site = site(&args.site)?;
    if TimeZone::get(&args.time_zone).is_err() {
        return Err(CliError::Zone { text: args.time_zone.clone() });
    }
    let ttl = ttl(args.hours);
    let name = if args.name.is_empty() { site.as_str() } else { &args.name };
    let now = Timestamp::now();
    let token = open(config)?.add_site(&site, name, &args.time_zone, ttl, now)?;
    tell(config, &site, &token, now.checked_add(ttl).unwrap_or(now), out)
}

fn ttl(hours: u64) -> Duration {
    let ttl = Duration::from_secs(hours.saturating_mul(3600)).min(Duration::from_secs(7 * DAY_SECS));
    if hours == 0 { TOKEN_TTL } else { ttl }
}

fn tell(config: &Config, site: &SiteId, token: &Token, until: Timestamp, out: &mut dyn Write) -> Result<(), CliError> {
    let host = config.centre.certificate_names.first().map_or("CENTRE", String::as_str);
    let port = config.centre.enroll.port();
    writeln!(out, "token for {site}, one use, good until {until:.0}; shown once:")?;
    writeln!(out, "{}", token.reveal())?;
    writeln!(out, "on the site server: docksync-agent enroll --url https://{host}:{port} --token-file -")?;
    Ok(())
}

fn list(config: &Config, args: &SitesListArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let entries = open(config)?.list_sites()?;
    if args.json {
        let rows: Vec<serde_json::Value> = entries
            .iter()
            .map(|e| {
                serde_json::json!({
                    "site": e.site, "name": e.name, "time_zone": e.time_zone, "created_at": e.created_at,
                    "revoked_at": e.revoked_at, "certificate_until": e.certificate_until,
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::Value::from(rows))?;
        return Ok(());
    }
    writeln!(out, "{:<16} {:<24} {:<24} state", "site", "name", "time zone")?;
    for e in entries {
        let state = match (e.revoked_at, e.certificate_until) {
            (Some(at), _) => format!("revoked {at:.0}"),
            (None, Some(until)) => format!("enrolled, certificate until {until:.0}"),
            (None, None) => "not enrolled yet".to_owned(),
        };
        writeln!(out, "{:<16} {:<24} {:<24} {state}", e.site.as_str(), e.name, e.time_zone)?;
    }
    Ok(())
}

fn approve(config: &Config, args: &ApproveArgs, out: &mut dyn Write) -> Result<(), CliError> {
    let site = site(&args.site)?;
    let bad = || CliError::Nonce { text: args.nonce.clone() };
    let mut nonce = [0_u8; 16];
    if args.nonce.len() != 32 || !args.nonce.is_ascii() {
        return Err(bad());
    }
    for (at, byte) in nonce.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&args.nonce[at * 2..at * 2 + 2], 16).map_err(|_| bad())?;
    }
    open(config)?.approve(&site, nonce, &args.by, Timestamp::now())?;
    writeln!(out, "machine {} of {site} is let in when it asks again, within half a minute", args.nonce)?;
    Ok(())
}

/// Writes settings for an outside broker.
///
/// # Errors
/// [`CliError`].
pub fn broker(config: &Config, command: &BrokerCommand, out: &mut dyn Write) -> Result<(), CliError> {
    let BrokerCommand::Mosquitto(args) = command;
    let pki = open(config)?;
    pki.refresh(Timestamp::now())?;
    let (ca, certificate, key, crl) =
        (pki.path("trust.pem"), pki.path("server.pem"), pki.path("server.key"), pki.crl_path());
    let acl = args.dir.join("acl");
    let settings = MosquittoSettings {
        addr: config.centre.mqtt,
        ca: &ca,
        certificate: &certificate,
        key: &key,
        crl: &crl,
        acl: &acl,
        persistence: &args.persistence,
        inflight_max: INFLIGHT_MAX,
    };
    std::fs::create_dir_all(&args.dir)?;
    std::fs::write(args.dir.join("mosquitto.conf"), mosquitto::config(&settings))?;
    std::fs::write(&acl, mosquitto::acl())?;
    writeln!(out, "wrote {} and {}", args.dir.join("mosquitto.conf").display(), acl.display())?;
    writeln!(out, "after `sites revoke`, send Mosquitto a HUP so that it reads {} again", crl.display())?;
    Ok(())
}
