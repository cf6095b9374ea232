//! One of our programs as a child process.

use std::{
    fs::File,
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::process::{Pid, Signal};

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

/// Path of a program of this build: beside the test's own.
///
/// # Errors
/// Names the command that builds it.
pub fn program(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let mut folder = own.parent().context("a program lies in a folder")?;
    if folder.ends_with("deps") {
        folder = folder.parent().context("deps lies in a folder")?;
    }
    let path = folder.join(name);
    anyhow::ensure!(path.exists(), "{} is not built; run `cargo build --workspace` first", path.display());
    Ok(path)
}

/// Runs a program to its end.
///
/// # Errors
/// Where it cannot be started.
pub fn output(name: &str, args: &[&str]) -> anyhow::Result<Output> {
    Ok(Command::new(program(name)?).args(args).stdin(Stdio::null()).output()?)
}

impl Process {
    /// Starts a program and waits until it says that it is ready. Its words go to `log`.
    ///
    /// # Errors
    /// Where it ends before, or does not say so within the deadline; with the end of its log.
    pub fn start(name: &str, args: &[&str], log: &Path) -> anyhow::Result<Self> {
        let mut process = Self::spawn(name, args, log, |_| {})?;
        let socket = process.1;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let end = Instant::now() + super::DEADLINE;
        let mut bytes = [0; 512];
        loop {
            if let Ok(n) = socket.recv(&mut bytes)
                && String::from_utf8_lossy(&bytes[..n]).contains("READY=1")
            {
                return Ok(process.0);
            }
            if let Some(status) = process.0.child.try_wait()? {
                anyhow::bail!("{name} ended with {status} before it was ready:\n{}", process.0.tail());
            }
            anyhow::ensure!(Instant::now() < end, "{name} is not ready:\n{}", process.0.tail());
        }
    }

    /// Starts a program without waiting.
    fn spawn(
        name: &str,
        args: &[&str],
        log: &Path,
        change: impl FnOnce(&mut Command),
    ) -> anyhow::Result<(Self, UnixDatagram)> {
        let notify = log.with_extension("notify");
        if notify.exists() {
            std::fs::remove_file(&notify)?;
        }
        let socket = UnixDatagram::bind(&notify)?;
        let file = File::options().create(true).append(true).open(log)?;
        let mut command = Command::new(program(name)?);
        command.args(args).env("NOTIFY_SOCKET", &notify).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        change(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start {name}"))?;
        Ok((Self { name: name.to_owned(), child, log: log.to_owned() }, socket))
    }

    /// Process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it at once, as a power cut of the process would.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to stop, and waits for its end.
    ///
    /// # Errors
    /// Where it does not end within the deadline.
    pub fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let end = Instant::now() + super::DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            anyhow::ensure!(Instant::now() < end, "{} does not stop:\n{}", self.name, self.tail());
            std::thread::park_timeout(Duration::from_millis(10));
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("a process has a number")?;
        rustix::process::kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// The last words of its log.
    pub fn tail(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended before; then there is nothing to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
