//! One trace from the file to the destination: agent, ledger and HTTP name the same `traceparent`, also after a call that was refused.

use std::collections::BTreeMap;

use docksync_proto::{event::Event, identity};
use docksync_tests::harness::{
    DEADLINE, await_that,
    centre::Centre,
    destination::{DestinationDouble, Mode},
    site::Site,
    wms::Wms,
};

#[test]
fn agent_ledger_and_destination_name_the_same_trace() {
    let dir = tempfile::tempdir().unwrap();
    let double = DestinationDouble::start().unwrap();
    // It answers none of the first calls: they are made again.
    double.set(Mode::Refuse(503, String::new()));
    let centre = Centre::start(&dir.path().join("centre"), &double.settings("api")).unwrap();
    let mut site = Site::enrol("DC1", &dir.path().join("DC1"), &centre, centre.address("mqtt")).unwrap();
    let mut wms = Wms::new("DC1", &site.export(), 1);
    let export = wms.export(3).unwrap();
    let name = export.file_name().unwrap().to_str().unwrap().to_owned();
    await_that("a call that is refused", DEADLINE, || double.faults().1 > 0).unwrap();
    double.set(Mode::Normal);
    await_that("all three", DEADLINE, || double.count() == 3).unwrap();
    let of_destination: BTreeMap<String, String> =
        double.calls().into_iter().map(|call| (call.key, call.trace)).collect();

    let told: serde_json::Value =
        serde_json::from_str(&centre.command(&["events", "trace", "--json", &name]).unwrap()).unwrap();
    let files: serde_json::Value = serde_json::from_str(&site.command(&["files", "list", "--json"]).unwrap()).unwrap();
    let archived = files[0]["path"].as_str().unwrap().to_owned();
    let (config, profile) = (site.config(), dir.path().join("DC1/pick.toml"));
    let tried = std::process::Command::new(docksync_tests::harness::process::program("docksync-agent").unwrap())
        .args(["map", "test", "--jsonl", "--site", "DC1", "--tz", "America/Chicago", "--profile"])
        .args([profile.to_str().unwrap(), "--config", config.to_str().unwrap(), &archived])
        .output()
        .unwrap();

    let text = |value: &serde_json::Value, key: &str| value[key].as_str().unwrap().to_owned();
    let of_ledger: BTreeMap<String, String> =
        told.as_array().unwrap().iter().map(|e| (text(e, "event_id"), text(e, "traceparent"))).collect();
    let of_agent: BTreeMap<String, String> = String::from_utf8(tried.stdout)
        .unwrap()
        .lines()
        .map(|line| {
            let event: Event = serde_json::from_str(line).unwrap();
            let id = identity::event_id(&event);
            (id.to_string(), identity::traceparent(&event, id))
        })
        .collect();
    assert_eq!(of_destination, of_ledger);
    assert_eq!(of_agent, of_ledger);
    site.stop().unwrap();
}
