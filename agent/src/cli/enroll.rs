//! `enroll`: gets this site's certificate. The token comes from a file or standard input, never from the command line.

use std::{
    io::{self, Read as _, Write},
    path::PathBuf,
};

use clap::Args;
use jiff::Timestamp;

use super::{exit, load};
use crate::config;

/// Longest token.
const TOKEN_BYTES_MAX: u64 = 4096;

/// Flags of `enroll`.
#[derive(Debug, Args)]
pub struct EnrollArgs {
    /// The agent's settings
    #[arg(long, value_name = "FILE", default_value = config::MAIN_FILE)]
    pub config: PathBuf,
    /// Address of the centre's enrolment, as `sites add` prints it
    #[arg(long)]
    pub url: String,
    /// File that holds the token; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    pub token_file: PathBuf,
}

/// Enrols; gives the exit code.
///
/// # Errors
/// Whatever writing gives.
pub fn enroll(args: &EnrollArgs, out: &mut dyn Write, err: &mut dyn Write) -> io::Result<u8> {
    let config = match load(&args.config, err)? {
        Ok(config) => config,
        Err(code) => return Ok(code),
    };
    if super::is_foreign(&config.state_dir, err)? {
        return Ok(exit::NO_PERMISSION);
    }
    let token = match token(args) {
        Ok(token) => token,
        Err(error) => {
            writeln!(err, "error: cannot read the token from {}: {error}", args.token_file.display())?;
            return Ok(exit::UNAVAILABLE);
        }
    };
    // Asked before the centre is: a token used up for another site would leave an identity that serves neither.
    if let Ok(site) = crate::enroll::site_of(&token)
        && site != config.site.id
    {
        writeln!(err, "error: the token is for site {site}, the settings say {}", config.site.id)?;
        writeln!(err, "next: correct site.id in {} or ask for a token for {}", args.config.display(), config.site.id)?;
        return Ok(exit::CONFIG);
    }
    std::fs::create_dir_all(&config.state_dir)?;
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let dir = config.state_dir.join("identity");
    match runtime.block_on(crate::enroll::enroll(&args.url, token.trim(), &dir, Timestamp::now())) {
        Ok(identity) => {
            writeln!(out, "{} is enrolled; certificate until {:.0}", identity.site, identity.not_after)?;
            writeln!(out, "next: sudo systemctl start docksync-agent")?;
            Ok(exit::OK)
        }
        Err(error) => {
            writeln!(err, "error: {:#}", anyhow::Error::from(error))?;
            Ok(exit::UNAVAILABLE)
        }
    }
}

fn token(args: &EnrollArgs) -> io::Result<String> {
    let mut text = String::new();
    if args.token_file.as_os_str() == "-" {
        io::stdin().take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(&args.token_file)?.take(TOKEN_BYTES_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}
