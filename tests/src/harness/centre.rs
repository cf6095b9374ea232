//! A real aggregator.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use rusqlite::{Connection, OpenFlags};

use super::process::{self, Process};

/// Name in the centre's certificate, and the address by which sites reach it.
const HOST: &str = "127.0.0.1";

/// An aggregator with the `sql` consumer, on loopback.
#[derive(Debug)]
pub struct Centre {
    dir: PathBuf,
    extra: String,
    has_destination: bool,
    process: Option<Process>,
    addresses: BTreeMap<String, SocketAddr>,
}

impl Centre {
    /// Starts one in a folder; `extra` is added to its settings.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn start(dir: &Path, extra: &str) -> anyhow::Result<Self> {
        Self::start_with(dir, extra, true)
    }

    /// Starts one without any destination: its ledger is the end.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn start_bare(dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(dir, "", false)
    }

    fn start_with(dir: &Path, extra: &str, has_destination: bool) -> anyhow::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (dir, extra) = (dir.to_owned(), extra.to_owned());
        let mut centre = Self { dir, extra, has_destination, process: None, addresses: BTreeMap::new() };
        centre.restart()?;
        Ok(centre)
    }

    /// Starts it again; it listens where it did before.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.write_config()?;
        let config = self.config();
        let args = ["run", "--config", config.to_str().context("a path of text")?];
        self.process = Some(Process::start("docksync-aggregator", &args, &self.dir.join("aggregator.log"))?);
        let run: serde_json::Value = serde_json::from_slice(&std::fs::read(self.dir.join("state/run.json"))?)?;
        for name in ["mqtt", "enroll", "page"] {
            let text = run["addresses"][name].as_str().context("run.json names its addresses")?;
            self.addresses.insert(name.to_owned(), text.parse()?);
        }
        // Its commands, too, must see where it listens now.
        self.write_config()
    }

    /// Changes what is added to its settings; counts from the next start.
    pub fn reconfigure(&mut self, extra: &str) {
        extra.clone_into(&mut self.extra);
    }

    fn write_config(&self) -> anyhow::Result<()> {
        let at = |name: &str| self.addresses.get(name).map_or_else(|| format!("{HOST}:0"), ToString::to_string);
        let destination = format!(
            "[[consumer]]\nname = \"erp\"\nkind = \"sql\"\nerp = true\npath = \"{}\"\n\n",
            self.staging().display()
        );
        let text = format!(
            "[centre]\nname = \"Centre\"\nmqtt = \"{}\"\nenroll = \"{}\"\npage = \"{}\"\ncertificate_names = [\"{HOST}\"]\n\n\
             [state]\ndir = \"{}\"\n\n[ledger]\nroom_bytes_min = 67108864\n\n{}{}",
            at("mqtt"),
            at("enroll"),
            at("page"),
            self.dir.join("state").display(),
            if self.has_destination { destination.as_str() } else { "" },
            self.extra,
        );
        std::fs::write(self.config(), text)?;
        Ok(())
    }

    /// Its settings file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("aggregator.toml")
    }

    /// The staging database of its consumer.
    pub fn staging(&self) -> PathBuf {
        self.dir.join("staging.db")
    }

    /// Its ledger.
    pub fn ledger(&self) -> PathBuf {
        self.dir.join("state/ledger.sqlite")
    }

    /// Where it listens: `mqtt`, `enroll` or `page`.
    pub fn address(&self, name: &str) -> SocketAddr {
        self.addresses[name]
    }

    /// Runs one of its commands.
    ///
    /// # Errors
    /// Where the command fails; with its words.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<String> {
        let config = self.config();
        let mut all: Vec<&str> = args.to_vec();
        all.extend(["--config", config.to_str().context("a path of text")?]);
        let output = process::output("docksync-aggregator", &all)?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{all:?} ended with {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Adds a site; gives its enrolment token.
    ///
    /// # Errors
    /// Where the command fails.
    pub fn add_site(&self, site: &str) -> anyhow::Result<String> {
        let said = self.command(&["sites", "add", site, "--name", site, "--time-zone", "America/Chicago"])?;
        let token = said.split_whitespace().find(|word| word.starts_with("dsk1-"));
        Ok(token.with_context(|| format!("no token in: {said}"))?.to_owned())
    }

    /// The running process.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Kills it.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Stops it in order.
    ///
    /// # Errors
    /// Where it does not stop, or stops with an error.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(process) = self.process.take() {
            let status = process.stop()?;
            anyhow::ensure!(status.success(), "the aggregator ended with {status}");
        }
        Ok(())
    }

    /// Transaction numbers applied so far, with how often: the destination's own books, not ours.
    ///
    /// # Errors
    /// Where the staging database cannot be read.
    pub fn applied(&self) -> anyhow::Result<BTreeMap<String, u32>> {
        let mut found = BTreeMap::new();
        if !self.staging().exists() {
            return Ok(found);
        }
        let db = Connection::open_with_flags(self.staging(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(super::DEADLINE)?;
        let mut rows = db.prepare(
            "SELECT json_extract(r.value, '$.value') FROM docksync_event e, json_each(e.json, '$.references') r
             WHERE json_extract(r.value, '$.type') = 'transaction'",
        )?;
        let mut rows = rows.query([])?;
        while let Some(row) = rows.next()? {
            *found.entry(row.get(0)?).or_default() += 1;
        }
        Ok(found)
    }

    /// How many events were applied so far.
    ///
    /// # Errors
    /// Where the staging database cannot be read.
    pub fn applied_count(&self) -> anyhow::Result<u64> {
        if !self.staging().exists() {
            return Ok(0);
        }
        let db = Connection::open_with_flags(self.staging(), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        db.busy_timeout(super::DEADLINE)?;
        let tables: i64 =
            db.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'docksync_event'", [], |r| r.get(0))?;
        if tables == 0 {
            return Ok(0);
        }
        Ok(u64::try_from(db.query_row("SELECT count(*) FROM docksync_event", [], |r| r.get::<_, i64>(0))?)?)
    }
}
