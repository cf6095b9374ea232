//! The whole line on real processes: what is exported is applied exactly once, whatever happens between.
#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use std::{collections::BTreeSet, fs, path::Path};

use docksync_tests::{
    demo::relay::Relay,
    harness::{DEADLINE, await_that, centre::Centre, site::Site, wms::Wms},
};

/// A centre, a site behind a line that can be cut, and its warehouse system.
struct Line {
    centre: Centre,
    site: Site,
    wms: Wms,
    relay: Relay,
    dir: tempfile::TempDir,
}

impl Line {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let centre = Centre::start(&dir.path().join("centre"), "").unwrap();
        let relay = Relay::start(centre.address("mqtt")).unwrap();
        let site = Site::enrol("DC1", &dir.path().join("DC1"), &centre, relay.address()).unwrap();
        let wms = Wms::new("DC1", &site.export(), 1);
        Self { centre, site, wms, relay, dir }
    }

    /// Everything exported is applied, each line once, and nothing else.
    fn settle(&self) {
        let truth: BTreeSet<&String> = self.wms.truth.keys().collect();
        await_that("everything exported to be applied", DEADLINE, || {
            self.centre.applied_count().is_ok_and(|n| n >= truth.len() as u64)
        })
        .unwrap();
        let applied = self.centre.applied().unwrap();
        assert_eq!(applied.keys().collect::<BTreeSet<_>>(), truth);
        assert!(applied.values().all(|times| *times == 1), "an event was applied twice");
    }

    fn stat(&self, field: &str) -> u64 {
        let said = self.site.command(&["queue", "stat", "--json"]).unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(&said).ok().and_then(|v| v[field].as_u64()).unwrap_or(0)
    }

    fn files(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.site.command(&["files", "list", "--json"]).unwrap()).unwrap()
    }

    fn await_files(&self, n: usize) {
        await_that("the files to be dealt with", DEADLINE, || {
            self.files().iter().filter(|f| f["state"] != "claimed").count() >= n
        })
        .unwrap();
    }
}

#[test]
fn what_is_exported_is_applied_once_and_archived() {
    let mut line = Line::start();

    let path = line.wms.export(100).unwrap();

    line.settle();
    assert!(!path.exists(), "the export was not archived");
    let file = &line.files()[0];
    assert_eq!((file["accepted"].as_u64(), file["held"].as_u64()), (Some(100), Some(0)));
    assert!(Path::new(file["path"].as_str().unwrap()).exists(), "the archived file is not where the queue says");
    await_that("the way back from the ERP", DEADLINE, || line.stat("applied") == 100).unwrap();
}

#[test]
fn a_bad_line_is_held_with_its_place_and_the_good_ones_flow() {
    let mut line = Line::start();

    line.wms.export_with_bad_line(10).unwrap();

    line.settle();
    line.await_files(1);
    let said = line.site.command(&["files", "show", "1"]).unwrap();
    assert!(said.contains("line 12 column 5"), "{said}");
    assert!(said.contains("12EA"), "{said}");
    assert!(said.contains("whose move"), "{said}");
}

#[test]
fn the_same_file_under_another_name_adds_nothing() {
    let mut line = Line::start();
    line.wms.export(50).unwrap();
    line.await_files(1);

    line.wms.export_again().unwrap();
    line.await_files(2);

    let states: Vec<_> = line.files().iter().map(|f| f["state"].as_str().unwrap().to_owned()).collect();
    assert_eq!(states, ["duplicate", "captured"]);
    line.settle();
    assert_eq!(line.stat("head"), 50);
}

#[test]
fn a_corrected_file_adds_only_what_was_missing() {
    let mut line = Line::start();
    line.wms.export_with_bad_line(20).unwrap();
    line.await_files(1);
    line.settle();
    let archived = line.files()[0]["path"].as_str().unwrap().to_owned();
    let corrected = fs::read_to_string(archived).unwrap().replace("12EA", "12");

    let aside = line.site.export().join("aside.tmp");
    fs::write(&aside, corrected).unwrap();
    fs::rename(aside, line.site.export().join("PICK_corrected.csv")).unwrap();
    line.await_files(2);

    let file = &line.files()[0];
    assert_eq!(
        (file["accepted"].as_u64(), file["duplicate"].as_u64(), file["held"].as_u64()),
        (Some(1), Some(20), Some(0))
    );
    await_that("the missing line to be applied", DEADLINE, || line.centre.applied_count().is_ok_and(|n| n == 21))
        .unwrap();
}

#[test]
fn nothing_is_lost_or_doubled_while_the_agent_is_killed_again_and_again() {
    let mut line = Line::start();

    for _ in 0..8 {
        line.wms.export(300).unwrap();
        line.site.kill().unwrap();
        line.site.start().unwrap();
    }

    line.settle();
    let said = line.site.command(&["queue", "verify"]).unwrap();
    assert!(said.contains("0 faults"), "{said}");
}

#[test]
fn nothing_is_lost_or_doubled_while_the_centre_is_killed_again_and_again() {
    let mut line = Line::start();

    for _ in 0..6 {
        line.wms.export(300).unwrap();
        line.centre.kill().unwrap();
        line.centre.restart().unwrap();
    }

    line.settle();
}

#[test]
fn files_that_arrive_while_the_line_is_cut_are_captured_then_and_applied_later() {
    let mut line = Line::start();
    line.relay.cut(true);

    for _ in 0..20 {
        line.wms.export(50).unwrap();
    }
    line.await_files(20);

    assert_eq!(line.stat("head"), 1_000);
    assert_eq!(line.centre.applied_count().unwrap(), 0);
    line.relay.cut(false);
    line.settle();
}

#[test]
fn two_agents_on_one_database_are_told_apart() {
    let line = Line::start();

    let output = line.site.try_command(&["run"]).unwrap();

    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("already running as process"), "{said}");
    assert_eq!(output.status.code(), Some(75));
}

#[test]
fn a_second_machine_with_a_copied_disk_is_set_aside_and_let_in_by_an_operator() {
    let mut line = Line::start();
    line.wms.export(10).unwrap();
    line.settle();
    let copy = line.dir.path().join("copy");
    line.site.stop().unwrap();
    let mut clone = Site::prepare("DC1", &copy, line.relay.address(), "").unwrap();
    copy_dir(&line.site.state(), &clone.state());
    line.site.start().unwrap();
    line.wms.export(10).unwrap();
    line.settle();
    line.site.stop().unwrap();

    clone.start().unwrap();
    let mut wms = Wms::new("DC1-B", &clone.export(), 2);
    wms.export(5).unwrap();
    let log = line.dir.path().join("centre/aggregator.log");
    let said = || fs::read_to_string(&log).unwrap_or_default();
    await_that("the copy to be set aside", DEADLINE, || said().contains("set aside until a person decides")).unwrap();

    let nonce = pending_nonce(&line.centre);
    line.centre.command(&["sites", "approve", "DC1", &nonce, "--by", "the test"]).unwrap();
    await_that("the copy's events to be applied", DEADLINE, || line.centre.applied_count().is_ok_and(|n| n == 25))
        .unwrap();
    assert!(line.centre.applied().unwrap().values().all(|times| *times == 1));
}

/// Nonce of the machine that waits, from the ledger's own state.
fn pending_nonce(centre: &Centre) -> String {
    let db =
        rusqlite::Connection::open_with_flags(centre.ledger(), rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let state: Vec<u8> = db.query_row("SELECT state FROM link", [], |row| row.get(0)).unwrap();
    let link: serde_json::Value = serde_json::from_slice(&state).unwrap();
    let bytes = link["receiver"]["pending"][0]["nonce"].as_array().unwrap();
    bytes.iter().map(|b| format!("{:02x}", b.as_u64().unwrap())).collect()
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_centre_restored_from_a_backup_is_healed_by_its_sites() {
    let mut line = Line::start();
    line.wms.export(100).unwrap();
    line.settle();
    let backup = line.dir.path().join("backup.db");
    line.centre.command(&["backup", backup.to_str().unwrap()]).unwrap();
    line.wms.export(200).unwrap();
    line.settle();
    line.centre.stop().unwrap();

    let ledger = line.centre.ledger();
    for end in ["", "-wal", "-shm"] {
        let path = ledger.with_file_name(format!("{}{end}", ledger.file_name().unwrap().to_str().unwrap()));
        if path.exists() {
            fs::remove_file(path).unwrap();
        }
    }
    line.centre.command(&["restore", backup.to_str().unwrap()]).unwrap();
    line.centre.restart().unwrap();

    let held = || line.centre.command(&["events", "find", "--limit", "1000", "DC1"]).is_ok();
    await_that("the ledger to answer", DEADLINE, held).unwrap();
    await_that("the sites to send again what was lost", DEADLINE, || ledger_events(&line.centre) >= 300).unwrap();
    line.settle();
}

fn ledger_events(centre: &Centre) -> u64 {
    use docksync_aggregator::ledger::{Reads as _, reads::SqliteReader};
    SqliteReader::open(&centre.ledger()).and_then(|r| r.sites()).map(|s| s.iter().map(|f| f.new).sum()).unwrap_or(0)
}

#[test]
fn a_revoked_site_is_cut_off_and_keeps_what_it_captures() {
    let mut line = Line::start();
    line.wms.export(10).unwrap();
    line.settle();

    line.centre.command(&["sites", "revoke", "DC1"]).unwrap();
    let log = line.dir.path().join("centre/aggregator.log");
    await_that("the session to end", DEADLINE, || {
        fs::read_to_string(&log).unwrap_or_default().contains("site disconnected")
    })
    .unwrap();
    line.wms.export(10).unwrap();
    line.await_files(2);

    assert_eq!((line.stat("head"), line.centre.applied_count().unwrap()), (20, 10));
}

#[test]
fn a_full_queue_leaves_exports_where_they_are_says_so_and_recovers_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let centre = Centre::start(&dir.path().join("centre"), "").unwrap();
    let relay = Relay::start(centre.address("mqtt")).unwrap();
    let extra = "[queue]\nbytes_max = \"16 MiB\"\nballast_bytes = \"1 MiB\"\n";
    let mut site = Site::prepare("DC1", &dir.path().join("DC1"), relay.address(), extra).unwrap();
    site.enrol_with(&centre.add_site("DC1").unwrap(), &centre).unwrap();
    relay.cut(true);
    site.start().unwrap();
    let mut wms = Wms::new("DC1", &site.export(), 1);
    let is_full = || site.status().is_ok_and(|s| s["headline"]["code"] == "Q001" || s["headline"]["code"] == "Q003");

    let mut files = 0;
    while !is_full() {
        files += 1;
        assert!(files < 200, "the queue took everything");
        wms.export_wide(1_000).unwrap();
        await_that("the file to be dealt with, or refused", DEADLINE, || {
            is_full() || fs::read_dir(site.export()).unwrap().count() == 0
        })
        .unwrap();
    }
    relay.cut(false);

    await_that("everything to be applied once there is room", DEADLINE * 3, || {
        centre.applied_count().is_ok_and(|n| n == wms.truth.len() as u64)
    })
    .unwrap();
    assert!(centre.applied().unwrap().values().all(|times| *times == 1));
}

/// A file system of its own, for as long as it lives.
struct Disk<'p>(&'p Path);

impl<'p> Disk<'p> {
    /// `None` where this user may not mount.
    fn mount(at: &'p Path, mib: u32) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={mib}m");
        let mounted = std::process::Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(at))
    }

    fn grow(&self, mib: u32) {
        let size = format!("remount,size={mib}m");
        assert!(std::process::Command::new("mount").args(["-o", &size]).arg(self.0).status().unwrap().success());
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        // What still has a file open on it keeps it until then.
        drop(std::process::Command::new("umount").arg("-l").arg(self.0).status());
    }
}

#[test]
fn a_disk_of_64_mib_that_is_full_loses_nothing_and_the_page_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("DC1");
    let Some(disk) = Disk::mount(&place, 64) else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let centre = Centre::start(&dir.path().join("centre"), "").unwrap();
    let relay = Relay::start(centre.address("mqtt")).unwrap();
    // The budget is larger than the disk: the disk itself gives out.
    let extra = "[queue]\nbytes_max = \"1 GiB\"\nballast_bytes = \"2 MiB\"\n";
    let mut site = Site::prepare("DC1", &place, relay.address(), extra).unwrap();
    site.enrol_with(&centre.add_site("DC1").unwrap(), &centre).unwrap();
    relay.cut(true);
    site.start().unwrap();
    let mut wms = Wms::new("DC1", &site.export(), 1);
    let code = || site.status().map(|s| s["headline"]["code"].as_str().unwrap_or_default().to_owned());
    let is_full = || code().is_ok_and(|code| code == "Q001" || code == "Q002" || code == "Q003");

    for _ in 0..400 {
        if is_full() {
            break;
        }
        let known: BTreeSet<String> = wms.truth.keys().cloned().collect();
        if wms.export_wide(1_000).is_err() {
            // The warehouse system cannot write either: what it could not finish was never exported.
            wms.truth.retain(|transaction, _| known.contains(transaction));
            for entry in fs::read_dir(site.export()).unwrap().flatten() {
                if entry.path().extension().is_some_and(|end| end == "tmp") {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
            break;
        }
        await_that("the file to be dealt with, or refused", DEADLINE, || {
            is_full() || fs::read_dir(site.export()).unwrap().count() == 0
        })
        .unwrap();
    }
    await_that("the page to say that there is no room", DEADLINE, is_full)
        .unwrap_or_else(|e| panic!("{e}: {:?}", code()));
    assert!(!wms.truth.is_empty());
    assert!(!site.process().unwrap().has_ended(), "a full disk ends nothing");

    disk.grow(512);
    relay.cut(false);
    await_that("everything to be applied once there is room", DEADLINE * 3, || {
        centre.applied_count().is_ok_and(|n| n == wms.truth.len() as u64)
    })
    .unwrap();
    assert!(centre.applied().unwrap().values().all(|times| *times == 1));
    site.stop().unwrap();
}

#[test]
fn root_is_kept_out_of_folders_that_belong_to_the_service() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::create_dir(&state).unwrap();
    if std::os::unix::fs::chown(&state, Some(65_534), None).is_err() {
        eprintln!("skipped: this user may give no folder away");
        return;
    }
    let (centre, agent) = (dir.path().join("aggregator.toml"), dir.path().join("agent.toml"));
    fs::write(&centre, format!("[centre]\nname = \"X\"\n[state]\ndir = \"{}\"\n", state.display())).unwrap();
    let text = "[site]\nid = \"DC1\"\ntime_zone = \"UTC\"\n[centre]\nhost = \"c\"\n[state]\n";
    fs::write(&agent, format!("{text}dir = \"{}\"\n", state.display())).unwrap();
    let (centre, agent) = (centre.to_str().unwrap(), agent.to_str().unwrap());

    for (program, args) in [
        ("docksync-aggregator", vec!["sites", "add", "DC1", "--config", centre]),
        (
            "docksync-agent",
            vec!["enroll", "--url", "https://127.0.0.1:1", "--token-file", "/dev/null", "--config", agent],
        ),
    ] {
        let output = docksync_tests::harness::process::output(program, &args).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(77), "{program}: {said}");
        assert!(said.contains("sudo -u"), "{said}");
    }
    assert_eq!(fs::read_dir(&state).unwrap().count(), 0);
}

#[test]
fn wrong_settings_are_refused_with_every_mistake_and_exit_78() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("agent.toml");
    fs::write(&path, "[site]\nid = \"dc 01\"\ntime_zone = \"Mars/Base\"\n\n[centre]\nhost = \"c\"\nprot = 1\n")
        .unwrap();

    let output =
        docksync_tests::harness::process::output("docksync-agent", &["run", "--config", path.to_str().unwrap()])
            .unwrap();

    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    for mistake in ["agent.toml:2:6", "DC-01", "agent.toml:3", "agent.toml:7:1", "did you mean"] {
        assert!(said.contains(mistake), "{mistake} is missing in: {said}");
    }
}

#[test]
fn an_agent_that_is_asked_to_stop_stops_in_order_within_the_deadline() {
    let mut line = Line::start();
    line.wms.export(1_000).unwrap();

    line.site.stop().unwrap();
    line.site.start().unwrap();

    line.settle();
}

#[test]
fn the_line_holds_through_a_mosquitto_whose_disk_is_wiped() {
    if std::process::Command::new("mosquitto").arg("-h").output().is_err() {
        println!("skipped: mosquitto is not installed");
        return;
    }
    let mut line = Line::start();
    line.site.stop().unwrap();
    line.centre.stop().unwrap();
    let dir = line.dir.path().join("broker");
    let (text, data) = (dir.to_str().unwrap().to_owned(), dir.join("data"));
    fs::create_dir_all(&data).unwrap();
    let persistence = format!("{}/", data.display());
    line.centre.command(&["broker", "mosquitto", "--dir", &text, "--persistence", &persistence]).unwrap();
    let mqtt = line.centre.address("mqtt");
    line.centre.reconfigure(&format!("[broker]\nhost = \"{}\"\nport = {}\n", mqtt.ip(), mqtt.port()));
    let mut broker = mosquitto(&dir);
    line.centre.restart().unwrap();
    line.site.start().unwrap();

    line.wms.export(100).unwrap();
    line.settle();
    broker.kill().unwrap();
    broker.wait().unwrap();
    line.wms.export(100).unwrap();
    line.await_files(2);
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir_all(&data).unwrap();
    broker = mosquitto(&dir);

    line.settle();
    // A broker may keep the session of a site that is revoked: the centre takes nothing of it all the same.
    line.centre.command(&["sites", "revoke", "DC1"]).unwrap();
    let log = line.dir.path().join("centre/aggregator.log");
    let says = |word: &str| fs::read_to_string(&log).unwrap_or_default().contains(word);
    await_that("the centre to know", DEADLINE, || says("site is revoked")).unwrap();
    line.wms.export(10).unwrap();
    await_that("a frame of it to be refused", DEADLINE, || says("frame was refused")).unwrap();
    line.await_files(3);
    assert_eq!((line.stat("head"), line.centre.applied_count().unwrap()), (210, 200));
    broker.kill().unwrap();
    broker.wait().unwrap();
}

/// A broker with the generated configuration; as the user who owns its keys.
fn mosquitto(dir: &Path) -> std::process::Child {
    let config = fs::read_to_string(dir.join("mosquitto.conf")).unwrap();
    let user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned());
    fs::write(dir.join("test.conf"), format!("user {user}\n{config}")).unwrap();
    let log = fs::File::create(dir.join("mosquitto.log")).unwrap();
    let mut command = std::process::Command::new("mosquitto");
    command.arg("-c").arg(dir.join("test.conf")).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}
