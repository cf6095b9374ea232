//! A PostgreSQL server of the test's own: made, started on a free port of this machine, ended with the test.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A running server.
pub(crate) struct Server {
    dir: tempfile::TempDir,
    bin: PathBuf,
    port: u16,
}

impl Server {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Self { dir, bin: programs(), port };
        fs::create_dir(server.data()).unwrap();
        if is_root() {
            // It refuses to run as root.
            assert!(Command::new("chown").args(["-R", "postgres"]).arg(server.dir.path()).status().unwrap().success());
        }
        let data = server.data();
        server.run(
            "initdb",
            &["-D", text(&data), "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"],
        );
        server.up();
        server
    }

    /// Starts it.
    pub(crate) fn up(&self) {
        let options =
            format!("-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off", self.port);
        let (data, log) = (self.data(), self.dir.path().join("log"));
        self.run("pg_ctl", &["-D", text(&data), "-l", text(&log), "-w", "-o", &options, "start"]);
    }

    /// Stops it as a power cut does, but for the disk.
    pub(crate) fn down(&self) {
        self.run("pg_ctl", &["-D", text(&self.data()), "-m", "immediate", "-w", "stop"]);
    }

    /// Its address for a user.
    pub(crate) fn address(&self, user: &str) -> tokio_postgres::Config {
        format!("postgresql://{user}@127.0.0.1:{}/postgres", self.port).parse().unwrap()
    }

    /// What a query says, as text.
    pub(crate) fn ask(&self, query: &str) -> String {
        let port = self.port.to_string();
        let output =
            self.output("psql", &["-h", "127.0.0.1", "-p", &port, "-U", "postgres", "-X", "-A", "-t", "-c", query]);
        assert!(output.status.success(), "{query}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = self.output(program, arguments);
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.bin.join(program);
        let mut command = match is_root() {
            true => {
                let mut command = Command::new("runuser");
                command.args(["-u", "postgres", "--"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        // What it starts outlives it: pipes would be held open.
        let err = fs::File::create(self.dir.path().join("said")).unwrap();
        let mut output = command.args(arguments).current_dir("/").stderr(err).stdin(std::process::Stdio::null());
        if arguments.last() == Some(&"start") {
            output = output.stdout(std::process::Stdio::null());
            let status = output.status().unwrap();
            return Output { status, stdout: Vec::new(), stderr: fs::read(self.dir.path().join("said")).unwrap() };
        }
        let output = output.stdout(std::process::Stdio::piped()).output().unwrap();
        Output { stderr: fs::read(self.dir.path().join("said")).unwrap(), ..output }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.output("pg_ctl", &["-D", text(&self.data()), "-m", "immediate", "-w", "stop"]));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Debian keeps them where no PATH looks, one folder for each version.
fn programs() -> PathBuf {
    let all = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
    all.filter(|bin| bin.join("initdb").exists())
        .max()
        .expect("PostgreSQL is not installed: apt-get install postgresql")
}
