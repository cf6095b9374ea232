//! From a folder of exports to settings that check out.

use std::{fs, path::Path};

use super::*;
use crate::config::load;

fn args(dir: &Path) -> InitArgs {
    InitArgs {
        config: dir.join("etc/agent.toml"),
        site: Some("DC7".into()),
        name: Some("Memphis".into()),
        time_zone: Some("America/Chicago".into()),
        centre: Some("centre.example.com".into()),
        contact: None,
        folders: Vec::new(),
        look: vec![dir.join("srv")],
        drop_in: dir.join("drop"),
        no_drop_in: false,
        state: None,
        no_input: true,
    }
}

/// Two kinds of files in one folder, one in another, and folders that hold none.
fn exports(dir: &Path) {
    for folder in ["srv/wms/export", "srv/wms/export/archive", "srv/wms/ship out", "srv/www"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    let ship = "order_number,shipment_number,sku,quantity,ship_time\nSO-1,S-1,SKU-1,5,2026-11-23T10:00:00\n";
    let pick = "order_number,sku,quantity,pick_time\nSO-1,SKU-1,5,2026-11-23T10:00:00\n";
    fs::write(dir.join("srv/wms/export/PICK_20261123.csv"), pick).unwrap();
    fs::write(dir.join("srv/wms/export/PICK_20261124.csv"), pick).unwrap();
    fs::write(dir.join("srv/wms/export/archive/OLD_1.csv"), pick).unwrap();
    fs::write(dir.join("srv/wms/ship out/SHIP_20261123.csv"), ship).unwrap();
    fs::write(dir.join("srv/www/logo.png"), [0, 1, 2]).unwrap();
}

fn run(args: &InitArgs, said: &str) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = init(args, Timestamp::UNIX_EPOCH, &mut said.as_bytes(), &mut out, &mut err).unwrap();
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

#[test]
fn folders_are_found_profiles_guessed_and_the_settings_check_out() {
    let dir = tempfile::tempdir().unwrap();
    exports(dir.path());
    let args = args(dir.path());

    let (code, out, err) = run(&args, "");

    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let config = load(&args.config).into_config().unwrap();
    let feeds: Vec<_> =
        config.feeds.iter().map(|f| (f.name.as_str(), f.folder.strip_prefix(dir.path()).unwrap())).collect();
    assert_eq!(feeds, [("pick-csv", Path::new("srv/wms/export")), ("ship-csv", Path::new("srv/wms/ship out"))]);
    assert!(out.contains("PICK_20261124.csv: "), "{out}");
    assert!(out.contains("next, after a look") && out.contains("https://centre.example.com:8443"), "{out}");
    let drop_in = fs::read_to_string(dir.path().join("drop/export-folder.conf")).unwrap();
    let expected = format!("ReadWritePaths=\"-{}/srv/wms/ship out\"\n", dir.path().display());
    assert!(drop_in.contains(&expected), "{drop_in}");
    let (code, _, err) = run(&args, "");
    assert_eq!(code, 78);
    assert!(err.contains("never overwritten"), "{err}");
}

#[test]
fn without_questions_every_missing_flag_is_named_at_once_and_nothing_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let args = InitArgs { site: None, time_zone: Some("Mars/Base".into()), centre: None, ..args(dir.path()) };

    let (code, _, err) = run(&args, "");

    assert_eq!(code, 2);
    for flag in
        ["--site: is missing", "--time-zone: no time zone `Mars/Base`", "--centre: is missing", "--folder: no folder"]
    {
        assert!(err.contains(flag), "{flag}: {err}");
    }
    assert!(!args.config.exists());
}

#[test]
fn questions_are_asked_again_until_the_answer_can_be_used() {
    let dir = tempfile::tempdir().unwrap();
    exports(dir.path());
    let none = InitArgs { site: None, name: None, centre: None, no_input: false, ..args(dir.path()) };

    let (code, out, err) = run(&none, "dc 7\nDC7\nMemphis\nc.example.com\nDock IT\ny\nn\n");

    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let config = load(&none.config).into_config().unwrap();
    assert_eq!(
        (config.site.name.as_str(), config.status.contact.as_str(), config.feeds.len()),
        ("Memphis", "Dock IT", 1)
    );
    let cut = InitArgs { config: dir.path().join("other/agent.toml"), ..none };
    let (code, _, err) = run(&cut, "DC7\n");
    assert_eq!(code, 2);
    assert!(err.contains("standard input ended"), "{err}");
    assert!(!cut.config.exists());
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    exports(dir.path());
    fs::create_dir_all(dir.path().join("drop")).unwrap();
    fs::write(dir.path().join("etc"), "no folder").unwrap();

    let (code, _, err) = run(&args(dir.path()), "");

    assert_eq!(code, 77);
    assert!(err.contains("nothing was written"), "{err}");
    assert!(!dir.path().join("drop/export-folder.conf").exists());
}

#[test]
fn what_is_there_stays_and_is_told() {
    let dir = tempfile::tempdir().unwrap();
    exports(dir.path());
    for (path, text) in [("etc/feeds/ship-csv.toml", "mine"), ("drop/export-folder.conf", "# mine")] {
        fs::create_dir_all(dir.path().join(path).parent().unwrap()).unwrap();
        fs::write(dir.path().join(path), text).unwrap();
    }

    let (code, out, err) = run(&args(dir.path()), "");

    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert_eq!(fs::read_to_string(dir.path().join("etc/feeds/ship-csv.toml")).unwrap(), "mine");
    assert!(dir.path().join("etc/feeds/ship-csv-2.toml").exists());
    assert!(out.contains("export-folder.conf is there and stays as it is; it has to hold:\n  [Service]\n"), "{out}");
}

#[test]
fn a_name_that_would_write_lines_of_its_own_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    exports(dir.path());
    let evil = dir.path().join("srv/x\nExecStartPre=+/bin/evil\ny");
    fs::create_dir_all(&evil).unwrap();
    fs::copy(dir.path().join("srv/wms/export/PICK_20261123.csv"), evil.join("P_1.csv")).unwrap();
    fs::copy(dir.path().join("srv/wms/export/PICK_20261123.csv"), dir.path().join("srv/wms/export/\u{e4}rger 1.csv"))
        .unwrap();

    let (code, out, _) = run(&args(dir.path()), "");
    let named = run(&InitArgs { folders: vec![evil], config: dir.path().join("b/agent.toml"), ..args(dir.path()) }, "");

    assert_eq!(code, 0, "{out}");
    assert!(!fs::read_to_string(dir.path().join("drop/export-folder.conf")).unwrap().contains("ExecStartPre"), "{out}");
    assert_eq!(named.0, 2);
    assert!(named.2.contains("control characters"), "{}", named.2);
}

#[test]
fn a_standard_gets_its_profile_too() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("edi");
    fs::create_dir_all(&folder).unwrap();
    let example = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples/945.edi")).unwrap();
    fs::write(folder.join("945_1.edi"), example).unwrap();
    // Nothing in it says what happened when.
    fs::write(folder.join("moves.csv"), "zone,walked,remarks\nA,3,none\nB,4,none\n").unwrap();

    let (code, out, err) = run(&InitArgs { folders: vec![folder], ..args(dir.path()) }, "");

    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(out.contains("945_1.edi: 4 events by profile edi"), "{out}");
    assert!(out.contains("moves.csv: profile moves-csv lacks fields"), "{out}");
    assert!(
        fs::read_to_string(dir.path().join("etc/agent.toml")).unwrap().contains("# profile = \"feeds/moves-csv.toml\"")
    );
    assert!(dir.path().join("etc/feeds/moves-csv.toml").exists());
    assert_eq!(load(&dir.path().join("etc/agent.toml")).into_config().unwrap().feeds.len(), 1, "{out}");
}
