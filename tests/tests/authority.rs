//! Another authority takes over on real processes: nobody stands still, nothing is lost or doubled.
#![expect(clippy::unwrap_used, reason = "what a test cannot have, it cannot go on without")]

use docksync_tests::harness::{DEADLINE, await_that, centre::Centre, site::Site, wms::Wms};

struct Pair {
    centre: Centre,
    exported: usize,
}

impl Pair {
    /// A site exports, and the centre has it.
    fn flows(&mut self, wms: &mut Wms) {
        wms.export(10).unwrap();
        self.exported += 10;
        let all = u64::try_from(self.exported).unwrap();
        await_that("what was exported to arrive", DEADLINE, || self.centre.applied_count().is_ok_and(|n| n >= all))
            .unwrap();
        let applied = self.centre.applied().unwrap();
        assert_eq!(applied.len(), self.exported);
        assert!(applied.values().all(|times| *times == 1));
    }

    fn with_service_stopped(&mut self, args: &[&str]) -> Result<String, String> {
        self.centre.stop().unwrap();
        let said = self.centre.command(args).map_err(|error| format!("{error:#}"));
        self.centre.restart().unwrap();
        said
    }
}

#[test]
fn an_authority_is_replaced_while_sites_flow() {
    let dir = tempfile::tempdir().unwrap();
    let centre = Centre::start(&dir.path().join("centre"), "").unwrap();
    let mut old = Site::enrol("DC1", &dir.path().join("DC1"), &centre, centre.address("mqtt")).unwrap();
    let mut first = Wms::new("DC1", &old.export(), 1);
    let mut pair = Pair { centre, exported: 0 };
    pair.flows(&mut first);
    let running = pair.centre.command(&["ca", "rotate"]).unwrap_err();
    let early = pair.with_service_stopped(&["ca", "finish"]).unwrap_err();

    let begun = pair.with_service_stopped(&["ca", "rotate"]).unwrap();

    assert!(format!("{running:#}").contains("the service is running"), "{running:#}");
    assert!(early.contains("begin with `ca rotate`"), "{early}");
    assert!(begun.contains("next       "), "{begun}");
    pair.flows(&mut first);
    let mut new = Site::enrol("DC2", &dir.path().join("DC2"), &pair.centre, pair.centre.address("mqtt")).unwrap();
    let mut second = Wms::new("DC2", &new.export(), 2);
    pair.flows(&mut second);
    let refused = pair.with_service_stopped(&["ca", "finish"]).unwrap_err();
    assert!(refused.contains("DC1, DC2 would be locked out"), "{refused}");
    pair.flows(&mut first);

    let done = pair.with_service_stopped(&["ca", "finish", "--leave-behind"]).unwrap();

    assert!(done.contains("DC1 was left behind"), "{done}");
    // It was signed by the next authority and trusts both: it needs nothing.
    pair.flows(&mut second);
    first.export(10).unwrap();
    pair.exported += 10;
    let token = pair.centre.command(&["sites", "token", "DC1"]).unwrap();
    let token = token.split_whitespace().find(|word| word.starts_with("dsk1-")).unwrap().to_owned();
    old.enrol_with(&token, &pair.centre).unwrap();
    pair.flows(&mut first);
    for site in [&mut old, &mut new] {
        site.stop().unwrap();
    }
    pair.centre.stop().unwrap();
}
