//! Settings on real processes: taken while the agent runs, or refused whole.

use std::fs;

use docksync_tests::harness::{DEADLINE, await_that, centre::Centre, site::Site, wms::Wms};
use rustix::process::Signal;

#[test]
fn a_reload_takes_new_feeds_and_refused_settings_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let centre = Centre::start(&dir.path().join("centre"), "").unwrap();
    let mut site = Site::enrol("DC1", &dir.path().join("DC1"), &centre, centre.address("mqtt")).unwrap();
    let mut first = Wms::new("DC1", &site.export(), 1);
    first.export(40).unwrap();
    let folder = dir.path().join("second");
    fs::create_dir_all(&folder).unwrap();
    let mut second = Wms::new("DC1", &folder, 2).from(1_000);
    second.export(30).unwrap();
    let good = fs::read_to_string(site.config()).unwrap();
    let feed = format!("[[feed]]\nname = \"second\"\nfolder = \"{}\"\nprofile = \"pick.toml\"\n", folder.display());
    let differs = |site: &Site| site.try_command(&["config", "diff"]).unwrap();

    fs::write(site.config(), format!("{good}\n{feed}")).unwrap();
    let before = differs(&site);
    site.process().unwrap().signal(Signal::HUP).unwrap();

    assert_eq!(before.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&before.stdout).contains("feed.second.folder: runs (not set)"), "{before:?}");
    await_that("events of both feeds", DEADLINE, || centre.applied_count().is_ok_and(|n| n == 70))
        .unwrap_or_else(|error| panic!("{error:#}; {:?}\n{}", centre.applied_count(), site.process().unwrap().tail()));
    assert_eq!(differs(&site).status.code(), Some(0));

    fs::write(site.config(), format!("{good}\n{feed}expct_every = \"1m\"\n")).unwrap();
    site.process().unwrap().signal(Signal::HUP).unwrap();

    let refused = |site: &Site| site.status().is_ok_and(|status| status["headline"]["code"] == "S001");
    await_that("the page to say that settings were refused", DEADLINE, || refused(&site)).unwrap();
    let said = site.try_command(&["status"]).unwrap();
    assert!(String::from_utf8_lossy(&said.stderr).contains("1 problems in the settings"), "{said:?}");
    second.export(20).unwrap();
    await_that("the earlier settings to go on", DEADLINE, || centre.applied_count().is_ok_and(|n| n == 90)).unwrap();

    fs::write(site.config(), format!("{good}\n{feed}").replace("reconnect_max = \"5s\"", "reconnect_max = \"6s\""))
        .unwrap();
    site.process().unwrap().signal(Signal::HUP).unwrap();

    let waits = |site: &Site| site.status().is_ok_and(|status| status["headline"]["code"] == "S002");
    await_that("the page to name what waits for a restart", DEADLINE, || waits(&site)).unwrap();
    let cause = site.status().unwrap()["headline"]["cause"].to_string();
    assert!(cause.contains("centre.reconnect_max"), "{cause}");
    site.stop().unwrap();
}

#[test]
fn a_token_of_another_site_is_refused_before_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let centre = Centre::start(&dir.path().join("centre"), "").unwrap();
    let mut site = Site::prepare("DC1", &dir.path().join("DC1"), centre.address("mqtt"), "").unwrap();
    let (own, other) = (centre.add_site("DC1").unwrap(), centre.add_site("DC2").unwrap());

    let refused = site.enrol_with(&other, &centre).unwrap_err();

    assert!(refused.to_string().contains("the token is for site DC2, the settings say DC1"), "{refused:#}");
    assert!(!site.state().join("identity").exists());
    site.enrol_with(&own, &centre).unwrap();
    let mut foreign = Site::prepare("DC2", &dir.path().join("DC2"), centre.address("mqtt"), "").unwrap();
    foreign.enrol_with(&other, &centre).unwrap();
    for site in [&mut site, &mut foreign] {
        site.start().unwrap();
        site.stop().unwrap();
    }
}
