//! A real agent at a site.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde_json::Value;

use super::{
    centre::Centre,
    process::{self, Process},
};

/// An agent with one feed of picks, on loopback.
#[derive(Debug)]
pub struct Site {
    /// Its code.
    pub id: String,
    dir: PathBuf,
    extra: String,
    process: Option<Process>,
    page: Option<std::net::SocketAddr>,
    mqtt: std::net::SocketAddr,
}

/// Feeds beside the picks, by the names of their shipped profiles.
const BUSINESS: [&str; 6] = ["ship", "receipt", "adjust", "count", "snapshot", "transfer"];

/// A shipped profile, complete by rename, so that a file is taken when it appears.
fn profile(name: &str) -> anyhow::Result<String> {
    const RULE: &str = "complete = { rule = \"rename\" }";
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../config/feeds/{name}-csv.toml"));
    let text = fs::read_to_string(&shipped).with_context(|| format!("cannot read {}", shipped.display()))?;
    let (start, is_there) = match text.find("complete = ") {
        Some(start) => (start, true),
        None => (text.find("\n\n[parse]").context("the profile has a section after its first")? + 1, false),
    };
    let end = if is_there { start + text[start..].find('\n').context("a line ends")? } else { start };
    Ok(format!("{}{RULE}\n{}", &text[..start], &text[end..]))
}

impl Site {
    /// Enrols a new agent and starts it. `mqtt` is where it connects: the centre, or a way to it.
    ///
    /// # Errors
    /// Where a step fails.
    pub fn enrol(id: &str, dir: &Path, centre: &Centre, mqtt: std::net::SocketAddr) -> anyhow::Result<Self> {
        Self::prepare(id, dir, mqtt, "")?.begin(centre)
    }

    /// As [`Site::enrol`], with feeds for shipments, receipts, adjustments and counts beside the picks.
    ///
    /// # Errors
    /// Where a step fails.
    pub fn enrol_with_business(
        id: &str,
        dir: &Path,
        centre: &Centre,
        mqtt: std::net::SocketAddr,
    ) -> anyhow::Result<Self> {
        let mut feeds = String::new();
        for name in BUSINESS {
            let folder = dir.join(name);
            fs::create_dir_all(&folder)?;
            fs::write(dir.join(format!("{name}.toml")), profile(name)?)?;
            feeds.push_str(&format!("[[feed]]\nfolder = \"{}\"\nprofile = \"{name}.toml\"\n\n", folder.display()));
        }
        Self::prepare(id, dir, mqtt, &feeds)?.begin(centre)
    }

    fn begin(mut self, centre: &Centre) -> anyhow::Result<Self> {
        self.enrol_with(&centre.add_site(&self.id)?, centre)?;
        self.start()?;
        Ok(self)
    }

    /// Exports a file into one of the feeds beside the picks: written aside, then renamed.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn put(&self, feed: &str, name: &str, text: &str) -> anyhow::Result<()> {
        let folder = self.dir.join(feed);
        let aside = folder.join(format!("{name}.tmp"));
        fs::write(&aside, text)?;
        Ok(fs::rename(&aside, folder.join(name))?)
    }

    /// Writes folders and settings; nothing runs yet. `extra` is added to the settings.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn prepare(id: &str, dir: &Path, mqtt: std::net::SocketAddr, extra: &str) -> anyhow::Result<Self> {
        let site =
            Self { id: id.to_owned(), dir: dir.to_owned(), extra: extra.to_owned(), process: None, page: None, mqtt };
        fs::create_dir_all(site.export())?;
        fs::create_dir_all(dir.join("state"))?;
        fs::write(dir.join("pick.toml"), profile("pick")?)?;
        site.write_config()?;
        Ok(site)
    }

    fn write_config(&self) -> anyhow::Result<()> {
        let page = self.page.map_or_else(|| "127.0.0.1:0".to_owned(), |p| p.to_string());
        let text = format!(
            "[site]\nid = \"{}\"\nname = \"Site {}\"\ntime_zone = \"America/Chicago\"\n\n\
             [centre]\nhost = \"{}\"\nport = {}\nreconnect_max = \"5s\"\n\n[state]\ndir = \"{}\"\n\n[status]\nlisten = \"{page}\"\n\n\
             [intake]\nrescan = \"1s\"\n\n[[feed]]\nfolder = \"{}\"\nprofile = \"pick.toml\"\n\n{}",
            self.id,
            self.id,
            self.mqtt.ip(),
            self.mqtt.port(),
            self.state().display(),
            self.export().display(),
            self.extra,
        );
        fs::write(self.config(), text)?;
        Ok(())
    }

    /// Enrols with a token.
    ///
    /// # Errors
    /// Where the command fails; with its words.
    pub fn enrol_with(&self, token: &str, centre: &Centre) -> anyhow::Result<()> {
        let file = self.dir.join("token");
        fs::write(&file, token)?;
        let url = format!("https://{}", centre.address("enroll"));
        let file = file.to_str().context("a path of text")?;
        self.command(&["enroll", "--url", &url, "--token-file", file]).map(drop)
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn start(&mut self) -> anyhow::Result<()> {
        self.write_config()?;
        let config = self.config();
        let args = ["run", "--config", config.to_str().context("a path of text")?];
        self.process = Some(Process::start("docksync-agent", &args, &self.dir.join("agent.log"))?);
        let run: Value = serde_json::from_slice(&fs::read(self.state().join("run.json"))?)?;
        self.page = Some(run["page"].as_str().context("run.json names the page")?.parse()?);
        Ok(())
    }

    /// Where the warehouse system writes.
    pub fn export(&self) -> PathBuf {
        self.dir.join("export")
    }

    /// Where the agent keeps what it keeps.
    pub fn state(&self) -> PathBuf {
        self.dir.join("state")
    }

    /// Its settings file.
    pub fn config(&self) -> PathBuf {
        self.dir.join("agent.toml")
    }

    /// Its page.
    pub fn page(&self) -> Option<std::net::SocketAddr> {
        self.page
    }

    /// Runs one of its commands.
    ///
    /// # Errors
    /// Where the command fails; with its words.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<String> {
        let output = self.try_command(args)?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "{args:?} ended with {}: {said}", output.status);
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Runs one of its commands, whatever its end.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn try_command(&self, args: &[&str]) -> anyhow::Result<std::process::Output> {
        let config = self.config();
        let mut all: Vec<&str> = args.to_vec();
        all.extend(["--config", config.to_str().context("a path of text")?]);
        process::output("docksync-agent", &all)
    }

    /// `status --json`, which works whether the agent runs or not.
    ///
    /// # Errors
    /// Where the command fails.
    pub fn status(&self) -> anyhow::Result<Value> {
        Ok(serde_json::from_str(&self.command(&["status", "--json"])?)?)
    }

    /// The running process.
    pub fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Kills the agent.
    ///
    /// # Errors
    /// Where it cannot be killed.
    pub fn kill(&mut self) -> anyhow::Result<()> {
        self.process.take().map_or(Ok(()), Process::kill)
    }

    /// Stops the agent in order.
    ///
    /// # Errors
    /// Where it does not stop, or stops with an error.
    pub fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(process) = self.process.take() {
            let status = process.stop()?;
            anyhow::ensure!(status.success(), "the agent ended with {status}");
        }
        Ok(())
    }
}
