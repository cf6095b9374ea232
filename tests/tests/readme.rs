//! Every command of the README is run as it stands there, or is known to be run elsewhere. A new one fails here until it is.
//!
//! What a test must not touch is replaced in the text before it is run: `/etc/docksync`, the state folders, ports and the
//! centre's name; the default settings file is named where a command leaves it out. Nothing else is changed.

#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use docksync_tests::harness::process::{self, Process};

/// Commands that build or test everything: the test command runs the same, `cargo demo` is the program that this test starts.
const RUN_ELSEWHERE: &[&str] = &[
    "cargo demo",
    "./tests/run",
    // Typed in a booted Debian, by tests/boot/run.
    "./packaging/build",
    "sudo dpkg -i docksync-aggregator_*_amd64.deb",
    "sudo dpkg -i docksync-agent_*_amd64.deb",
    "sudo install -D -m 644 /usr/share/doc/docksync-agent/examples/export-folder.conf.example /etc/systemd/system/docksync-agent.service.d/export-folder.conf",
    "sudo systemctl daemon-reload",
    "sudo systemctl restart docksync-agent",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// Commands of the indented blocks, by the line of text before each block.
fn blocks() -> Vec<(String, Vec<String>)> {
    let is_command =
        |line: &str| ["cargo ", "docksync-", "./tests/", "./packaging/", "sudo "].iter().any(|c| line.starts_with(c));
    let mut blocks: Vec<(String, Vec<String>)> = Vec::new();
    let mut before = String::new();
    for line in readme().lines() {
        match line.strip_prefix("    ") {
            Some(command) if is_command(command) => {
                let command = command.split(" #").next().unwrap_or(command).trim().to_owned();
                match blocks.last_mut().filter(|(name, _)| *name == before) {
                    Some((_, commands)) => commands.push(command),
                    None => blocks.push((before.clone(), vec![command])),
                }
            }
            Some(_) => {}
            None if line.trim().is_empty() => {}
            None => line.trim().clone_into(&mut before),
        }
    }
    blocks
}

/// The machine on which the commands are typed.
struct Machine {
    dir: tempfile::TempDir,
    addresses: BTreeMap<String, String>,
    running: Vec<Process>,
    token: String,
}

impl Machine {
    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    fn here(&self, text: &str) -> String {
        let mut text = text
            .replace("/usr/share/docksync/", &format!("{}/config/", root().display()))
            .replace("/etc/docksync", &self.path("etc"))
            .replace("/var/lib/", &self.path("var/"))
            .replace("/srv/wms", &self.path("wms"))
            .replace("PICK_20261123.csv", &self.path("PICK_20261123.csv"))
            .replace("\"0.0.0.0:8883\"", "\"127.0.0.1:0\"")
            .replace("\"0.0.0.0:8443\"", "\"127.0.0.1:0\"")
            .replace("\"127.0.0.1:8078\"", "\"127.0.0.1:0\"")
            .replace("# listen = \"127.0.0.1:8077\"", "listen = \"127.0.0.1:0\"")
            .replace("[\"centre.example.com\"]", "[\"127.0.0.1\"]");
        if let Some(enroll) = self.addresses.get("enroll") {
            text = text.replace("centre.example.com:8443", enroll);
        }
        text
    }

    fn edit(&self, file: &str, change: impl Fn(String) -> String) {
        let path = self.dir.path().join("etc").join(file);
        fs::write(&path, change(self.here(&fs::read_to_string(&path).unwrap()))).unwrap();
    }

    fn type_in(&mut self, command: &str) -> String {
        if RUN_ELSEWHERE.contains(&command) {
            return String::new();
        }
        // What the service manager, and another user, would do.
        let command = match command.strip_prefix("sudo ").unwrap_or(command) {
            "systemctl start docksync-aggregator" => "docksync-aggregator run",
            "systemctl start docksync-agent" => "docksync-agent run",
            typed => typed.trim_start_matches("-u docksync-aggregator ").trim_start_matches("-u docksync-agent "),
        };
        let mut words: Vec<String> = self.here(command).split_whitespace().map(str::to_owned).collect();
        // The default settings file lies below a folder that a test must not touch: it is named where it is left out.
        if words[0] == "docksync-aggregator" && !words.iter().any(|word| word == "--config") {
            words.extend(["--config".to_owned(), self.path("etc/aggregator.toml")]);
        }
        match words.get(1).map(String::as_str) {
            Some("check") if words[0] == "docksync-agent" && words.len() == 2 => {
                words.push(self.path("etc/agent.toml"))
            }
            Some("run" | "enroll") if words[0] == "docksync-agent" => {
                words.extend(["--config".to_owned(), self.path("etc/agent.toml")]);
            }
            _ => {}
        }
        if words.get(1).map(String::as_str) == Some("run") {
            let args: Vec<&str> = words[1..].iter().map(String::as_str).collect();
            let log = self.dir.path().join(format!("{}.log", words[0]));
            self.running.push(Process::start(&words[0], &args, &log).unwrap());
            return String::new();
        }
        let program = if words[0].starts_with("docksync-") {
            process::program(&words[0]).unwrap()
        } else {
            PathBuf::from(&words[0])
        };
        let input = self.dir.path().join("input");
        fs::write(&input, &self.token).unwrap();
        let mut typed = Command::new(program);
        typed.args(&words[1..]).current_dir(root()).stdin(fs::File::open(&input).unwrap());
        let output = typed.output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{command}: {}\n{out}\n{err}", output.status);
        out.into_owned()
    }
}

#[test]
fn the_commands_of_the_readme_install_a_centre_and_a_site() {
    let dir = tempfile::tempdir().unwrap();
    let mut machine = Machine { dir, addresses: BTreeMap::new(), running: Vec::new(), token: String::new() };
    fs::create_dir_all(machine.path("etc")).unwrap();
    for folder in ["pick", "ship", "receipt", "stock", "events"] {
        fs::create_dir_all(machine.dir.path().join("wms/export").join(folder)).unwrap();
    }
    let sample = fs::read_to_string(root().join("tests/golden/feeds/pick-csv.csv")).unwrap();
    let good: Vec<&str> = sample.lines().take(2).collect();
    fs::write(machine.path("PICK_20261123.csv"), good.join("\n")).unwrap();
    let blocks = blocks();
    let known: Vec<&str> = blocks.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "On a Debian machine with Rust (1.95 or later) and a C compiler:",
        "On the machine that builds (packages run on Debian 12, Ubuntu 22.04, RHEL 9 or later; rpm is needed beside Rust):",
        "At the centre:",
        "At a site:",
        "outside its own folders, and sees nothing of /home; export folders are opened to it by a drop-in:",
        "For whoever connects a WMS. Nothing needs to run yet, and nothing is stored or sent. First see what comes out of a file of a standard:",
        "is 1 then. A file of the WMS's own form needs a profile. Have one written from an example, look over what is marked \"(guessed)\", try it:",
        "the events are on disk, into the feed's `answers` folder. Then name the folder in `agent.toml` as a `[[feed]]`, and check:",
        "`[[consumer]]` of kind `tryton`; its reference shows every key. Try it (it says which way events go), and see what waits for whom:",
        "Each site's books are compared in its own night, and at any time by hand:",
    ];
    assert_eq!(known, expected, "a new block of commands needs a place here");

    for (name, commands) in &blocks {
        for command in commands {
            let said = machine.type_in(command);
            match (name.as_str(), command) {
                ("At the centre:", c) if c.starts_with("sudo cp ") => {
                    // The second destination of the reference needs a server of its own.
                    machine.edit("aggregator.toml", |text| {
                        let (from, to) = (
                            text.find("[[consumer]]\nname = \"erp-api\"").unwrap(),
                            text.find("# Reconciliation").unwrap(),
                        );
                        format!("{}{}", &text[..from], &text[to..])
                    });
                }
                ("At the centre:", c) if c.contains("systemctl start") => {
                    let run = fs::read(machine.dir.path().join("var/docksync-aggregator/run.json")).unwrap();
                    let run: serde_json::Value = serde_json::from_slice(&run).unwrap();
                    for name in ["mqtt", "enroll"] {
                        let address = run["addresses"][name].as_str().unwrap().to_owned();
                        machine.addresses.insert(name.to_owned(), address);
                    }
                    // Commands must see where the centre listens now.
                    let enroll = machine.addresses["enroll"].clone();
                    machine.edit("aggregator.toml", |text| {
                        text.replacen("enroll = \"127.0.0.1:0\"", &format!("enroll = \"{enroll}\""), 1)
                    });
                }
                ("At the centre:", c) if c.contains("sites add") => {
                    machine.token = said.split_whitespace().find(|word| word.starts_with("dsk1-")).unwrap().to_owned();
                }
                ("At a site:", c) if c.starts_with("sudo cp ") => {
                    let port = machine.addresses["mqtt"].rsplit(':').next().unwrap().to_owned();
                    machine.edit("agent.toml", |text| {
                        text.replace("id = \"DC7\"", "id = \"DC01\"")
                            .replace("host = \"docksync.example.com\"", &format!("host = \"127.0.0.1\"\nport = {port}"))
                            .replace("# dir = \"", "dir = \"")
                    });
                }
                _ => {}
            }
        }
    }

    assert_eq!(machine.running.len(), 2);
    for mut program in machine.running {
        assert!(!program.has_ended(), "{}", program.tail());
        assert!(program.stop().unwrap().success());
    }
}

#[test]
fn every_command_of_the_table_is_there() {
    let table: Vec<String> =
        readme().lines().filter(|line| line.starts_with("| `docksync-")).map(str::to_owned).collect();
    assert!(table.len() > 5);
    for row in table {
        let cell = row.split('|').nth(1).unwrap();
        let codes: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        let words: Vec<&str> = codes[0].split_whitespace().collect();
        let (parents, last) = words[1..].split_at(words.len() - 2);
        for code in std::iter::once(&last[0]).chain(&codes[1..]) {
            let mut asked: Vec<&str> = parents.to_vec();
            let shown = if code.starts_with("--") {
                asked.extend(last);
                asked.push("--help");
                *code
            } else {
                asked.extend([*code, "--help"]);
                code
            };
            let output = process::output(words[0], &asked).unwrap();
            let help = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(output.status.success() && help.contains(shown), "{row}: {asked:?} says\n{help}");
        }
    }
}

#[test]
fn the_demo_takes_its_options_as_the_readme_writes_them() {
    let aliases: toml::Table = fs::read_to_string(root().join(".cargo/config.toml")).unwrap().parse().unwrap();
    let alias: Vec<&str> = aliases["alias"]["demo"].as_str().unwrap().split_whitespace().collect();
    let output = process::output("demo", &["--help"]).unwrap();

    // The dashes are typed: a second pair in the alias would make every option behind them a name.
    assert!(readme().contains("`cargo demo -- --for 60s --json`"));
    assert!(alias.first() == Some(&"run") && !alias.contains(&"--"), "{alias:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for option in ["--for", "--cut", "--kill", "--erp", "--night", "--json"] {
        assert!(said.contains(option), "{option} is missing in\n{said}");
    }
}

#[test]
fn the_demo_ends_by_itself_with_nothing_lost_or_doubled() {
    let output = process::output("demo", &["--for", "8s", "--json"]).unwrap();

    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{words}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for field in ["captured", "marked", "applied", "duplicates_refused", "held", "lost", "doubled", "p50_ms", "p99_ms"]
    {
        assert!(json.get(field).is_some(), "{field} is missing in {json}");
    }
    assert_eq!((json["lost"].as_u64(), json["doubled"].as_u64()), (Some(0), Some(0)));
    assert!(json["applied"].as_u64() > Some(0), "{json}");
}
