//! Commands against a ledger without a running service.

use std::path::Path;

use clap::CommandFactory as _;

use super::*;
use crate::{
    consumers::erp::{erpnext, odoo},
    ledger::{
        Change, CursorRow, DeliveryRow, Loc, OpKind, Reads as _, Stage, Store as _,
        conformance::{Stream, receipt},
        reads::SqliteReader,
    },
};

fn config(dir: &Path) -> Config {
    let text = format!("[centre]\nname = \"ACME\"\n[state]\ndir = \"{}\"\n", dir.display());
    Config::parse(Path::new("a.toml"), &text).unwrap()
}

fn said(act: impl FnOnce(&mut Vec<u8>) -> Result<(), CliError>) -> String {
    let mut out = Vec::new();
    act(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn decision(place: &str) -> DecideArgs {
    DecideArgs {
        places: vec![place.into()],
        code: None,
        consumer: None,
        site: None,
        preview: false,
        json: false,
        reason: "fixed".into(),
        by: "kim".into(),
    }
}

/// One event in the ERP, one parked there, one that was not admitted.
fn fill(dir: &Path) -> Config {
    let config = config(dir);
    let mut store = copies::open(&config).unwrap();
    let mut stream = Stream::new("DC01", 1);
    let events = [("R-1", "A"), ("R-2", "B"), ("R-3", "")].map(|(number, sku)| receipt("DC01", number, sku, 1));
    store.commit(&[stream.batch(&events)], &[]).unwrap();
    let (consumer, site) = ("erp".to_owned(), stream.site().clone());
    let row = DeliveryRow {
        consumer: consumer.clone(),
        site: site.clone(),
        loc: Loc::new(1, 1),
        lane: 5,
        stage: Stage::Parked,
        attempts: 1,
        code: "E021".to_owned(),
        reason: "item not found".to_owned(),
        at_ms: 0,
    };
    let document = Change::Document { consumer: consumer.clone(), loc: Loc::new(1, 0), document: "49-11882".into() };
    let cursor = Change::Cursor(CursorRow { consumer, site, loc: Loc::new(1, 1), epoch: 1, seq: 2 });
    store.change(&[Change::Delivery(row), document, cursor]).unwrap();
    config
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn a_trace_tells_every_hop() {
    let dir = tempfile::tempdir().unwrap();
    let config = fill(dir.path());
    let search = |text: &str, json| SearchArgs { text: text.to_owned(), limit: 10, json };

    let applied = said(|out| trace(&config, &search("r-1", false), out));
    let parked = said(|out| trace(&config, &search("R-2", true), out));
    let all = said(|out| find(&config, &search("receipts.csv", false), out));

    assert!(applied.contains("file receipts.csv") && applied.contains("applied as 49-11882"), "{applied}");
    let parked: serde_json::Value = serde_json::from_str(&parked).unwrap();
    assert_eq!(parked[0]["seq"], 2);
    assert!(parked[0]["consumers"]["erp"].as_str().unwrap().starts_with("parked E021: item not found"), "{parked}");
    assert!(all.ends_with("3 events\n"), "{all}");
}

#[test]
fn parked_events_are_listed_and_decided_by_the_command_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = fill(dir.path());
    let args = ListArgs { limit: 10, json: false };

    let before = said(|out| list(&config, &args, out));
    let refused = retry(&config, &decision("1.2"), &mut Vec::new()).unwrap_err();
    let skipped = said(|out| skip(&config, &decision("1.2"), out));
    let retried = said(|out| retry(&config, &decision("1.1"), out));
    let after = said(|out| list(&config, &args, out));

    assert!(before.contains("E021") && before.contains("MISSING_MANDATORY"), "{before}");
    assert_eq!(refused.code(), 1);
    assert!(refused.to_string().contains("still refused as MISSING_MANDATORY"), "{refused}");
    assert_eq!((skipped.as_str(), retried.as_str()), ("skip 1.2 for admit: done\n", "retry 1.1 for erp: done\n"));
    assert_eq!(after, "0 events wait for a person\n");
    let again = skip(&config, &decision("1.2"), &mut Vec::new()).unwrap_err();
    assert!(matches!(again, CliError::NotParked { .. }), "{again}");
}

#[test]
fn a_backup_is_restored_only_where_nothing_is_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let config = fill(dir.path());
    let copy = CopyArgs { file: dir.path().join("copy.sqlite") };
    let back = RestoreArgs { file: copy.file.clone(), keep_authority: false };

    let made = said(|out| backup(&config, &copy, out));
    let refused = restore(&config, &back, &mut Vec::new()).unwrap_err();
    let lock = crate::ledger::lock::StateLock::take(dir.path()).unwrap();
    let running = restore(&config, &back, &mut Vec::new()).unwrap_err();

    assert!(made.contains("3 events in 1 streams, checked"), "{made}");
    assert_eq!((refused.code(), running.code()), (1, 75));
    assert!(lock.is_some());
}

#[test]
fn a_group_is_one_row_and_one_decision() {
    let dir = tempfile::tempdir().unwrap();
    let config = fill(dir.path());
    let args = ListArgs { limit: 10, json: true };

    let groups: serde_json::Value = serde_json::from_str(&said(|out| parked::groups(&config, &args, out))).unwrap();
    let all = |code: &str| DecideArgs { places: Vec::new(), code: Some(code.into()), ..decision("") };
    let done = said(|out| retry(&config, &all("E021"), out));
    let refused = retry(&config, &all("E099"), &mut Vec::new());

    let row = groups.as_array().unwrap().iter().find(|g| g["code"] == "E021").unwrap();
    assert_eq!((row["events"].as_u64(), row["first"].as_str()), (Some(1), Some("1.1")));
    assert!(done.contains("retry 1.1 for erp: done"), "{done}");
    assert!(matches!(refused, Err(CliError::NoSuchGroup { code }) if code == "E099"));
}

#[test]
fn a_destination_is_paused_by_name_and_its_list_says_by_whom() {
    let dir = tempfile::tempdir().unwrap();
    drop(fill(dir.path()));
    let text = format!(
        "[centre]\nname = \"ACME\"\n[state]\ndir = \"{0}\"\n[[consumer]]\nname = \"erp\"\nkind = \"sql\"\npath = \"{0}/s.db\"\n",
        dir.path().display()
    );
    let config = Config::parse(Path::new("a.toml"), &text).unwrap();
    let pause = |consumer: &str| PauseArgs { consumer: consumer.into(), reason: "upgrade".into(), by: "kim".into() };

    said(|out| consumers::pause(&config, &pause("erp"), out));
    let paused = said(|out| consumers::list(&config, &FormArgs { json: false }, out));
    said(|out| consumers::resume(&config, &ResumeArgs { consumer: "erp".into(), by: "kim".into() }, out));
    let runs = said(|out| consumers::list(&config, &FormArgs { json: true }, out));
    let unknown = consumers::pause(&config, &pause("epr"), &mut Vec::new());

    assert!(paused.contains("paused by kim: upgrade") && paused.contains("1 parked"), "{paused}");
    let rows: serde_json::Value = serde_json::from_str(&runs).unwrap();
    assert_eq!((rows[0]["paused"].as_str(), rows[0]["parked"].as_u64()), (None, Some(1)));
    assert!(matches!(unknown, Err(CliError::NoSuchConsumer { known, .. }) if known == "erp"));
}

fn edit_args(set: &[&str], preview: bool) -> edit::EditArgs {
    edit::EditArgs {
        place: "1.1".into(),
        consumer: "erp".into(),
        set: set.iter().map(|s| (*s).to_owned()).collect(),
        preview,
        reason: "wrong item".into(),
        by: "kim".into(),
    }
}

#[test]
fn an_edit_is_sent_in_place_of_the_original_which_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let config = fill(dir.path());
    let set = ["/lines/0/item/sku=0815"];

    let preview = said(|out| edit::edit(&config, &edit_args(&set, true), out));
    let still = said(|out| parked::list(&config, &ListArgs { limit: 10, json: false }, out));
    let done = said(|out| edit::edit(&config, &edit_args(&set, false), out));
    let traced = said(|out| trace(&config, &SearchArgs { text: "R-2".into(), limit: 5, json: false }, out));

    assert!(preview.starts_with("/lines/0/item/sku: \"B\" -> \"0815\"\nthis would be sent to erp"), "{preview}");
    assert!(still.contains("E021"), "{still}");
    assert!(done.ends_with("retry 1.1 for erp: done\n"), "{done}");
    assert!(traced.contains("edited by kim"), "{traced}");
    let reads = SqliteReader::open(&config.ledger_path()).unwrap();
    let kept = events::decode(&reads.batch(1).unwrap().unwrap()).unwrap();
    assert_eq!(kept[1].event.lines[0].item.sku, "B", "the ledger keeps what was received");
    let sent = crate::deliver::load_for_test(&reads, Loc::new(1, 1), "erp");
    let other = crate::deliver::load_for_test(&reads, Loc::new(1, 1), "other");
    assert_eq!((sent.event.lines[0].item.sku.as_str(), sent.key), ("0815", kept[1].id.to_string()));
    assert_eq!(sent.stock.keys().map(|key| key.0.as_str()).collect::<Vec<_>>(), ["0815"]);
    assert_eq!(other.event.lines[0].item.sku, "B");
    let audit = reads.audit_rows(1, 100).unwrap();
    assert!(
        audit.iter().any(|row| row.entry.act == "edit" && row.entry.detail.contains("wrong item: /lines/0/item/sku")),
        "{audit:?}"
    );
}

#[test]
fn an_edit_that_makes_no_event_or_is_not_waited_for_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = fill(dir.path());
    let refused = |args: &edit::EditArgs| edit::edit(&config, args, &mut Vec::new()).unwrap_err();

    for (set, why) in [
        ("sku=1", "a pointer starts with /"),
        ("/lines/7/item/sku=1", "the event has no /lines/7/item"),
        ("/lines/0/qty_received=many", "that is no event"),
        ("/lines/0/quantity=5", "an event has no such field"),
        ("/lines/0/item/sku=B", "what it says already"),
        ("/lines/0/item/sku=", "would not be admitted"),
        ("/event_type=pick_confirmed", "event type"),
        ("/correlation_id=R-9", "its document stays"),
    ] {
        let error = refused(&edit_args(&[set], false));
        assert_eq!(error.code(), 65, "{error}");
        assert!(error.to_string().contains(why), "{set}: {error}");
    }
    let elsewhere = refused(&edit::EditArgs { place: "1.0".into(), ..edit_args(&["/lines/0/item/sku=1"], false) });
    let never = refused(&edit::EditArgs { place: "1.2".into(), ..edit_args(&["/lines/0/item/sku=1"], false) });

    let text = edit::edit(&config, &edit_args(&["/lines/0/lot=4711"], true), &mut Vec::new());
    assert!(text.is_ok(), "digits of a lot are a text: {text:?}");
    assert!(elsewhere.to_string().contains("cannot be edited for erp: see"), "{elsewhere}");
    assert!(never.to_string().contains("never admitted"), "{never}");
    let reads = SqliteReader::open(&config.ledger_path()).unwrap();
    assert!(reads.edits(Loc::new(1, 1)).unwrap().is_empty());
}

#[test]
fn the_test_of_erps_says_of_each_whether_it_takes_events_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let (odoo, erpnext) = (odoo::double::Double::start(true), erpnext::double::Double::start());
    let (key, token) = (dir.path().join("key"), dir.path().join("token"));
    std::fs::write(&key, "key\n").unwrap();
    std::fs::write(&token, "key:secret\n").unwrap();
    let text = format!(
        "[centre]\nname = \"ACME\"\n\
         [[consumer]]\nname = \"a\"\nkind = \"odoo\"\nurl = \"{}\"\ndatabase = \"company\"\nuser = \"docksync\"\nkey_file = \"{}\"\n\
         [[consumer]]\nname = \"b\"\nkind = \"erpnext\"\nurl = \"{}\"\ncompany = \"ACME\"\ntoken_file = \"{}\"\n",
        odoo.url,
        key.display(),
        erpnext.url,
        token.display()
    );
    let config = Config::parse(Path::new("a.toml"), &text).unwrap();

    let well = said(|out| erp::test(&config, out));
    odoo.server.models.lock().unwrap().has_key_field = false;
    erpnext.server.books.lock().unwrap().is_unique = false;
    let mut out = Vec::new();
    let failed = erp::test(&config, &mut out).unwrap_err();

    assert!(well.contains("takes events, spoken to by JSON-2\n"), "{well}");
    assert!(well.contains("takes events, as user docksync\n"), "{well}");
    let ill = String::from_utf8(out).unwrap();
    assert!(ill.contains("a: ") && ill.contains("have no field x_docksync_key: add it"), "{ill}");
    assert!(ill.contains("b: ") && ill.contains("is not unique: tick it there"), "{ill}");
    assert!(matches!(failed, CliError::ErpTest { failed: 2, tested: 2 }), "{failed}");
}

#[test]
fn what_may_have_taken_effect_is_not_edited() {
    let dir = tempfile::tempdir().unwrap();
    let config = fill(dir.path());
    let mut store = copies::open(&config).unwrap();
    let site = docksync_proto::site::SiteId::new("DC01").unwrap();
    let mut row = store.reads().deliveries("erp", &site).unwrap().remove(0);
    row.code = "UNKNOWN_OUTCOME".to_owned();
    store.change(&[Change::Delivery(row)]).unwrap();

    let refused = edit::edit(&config, &edit_args(&["/lines/0/item/sku=0815"], false), &mut Vec::new()).unwrap_err();

    assert!(refused.to_string().contains("its first outcome is not known"), "{refused}");
    assert!(store.reads().edits(Loc::new(1, 1)).unwrap().is_empty());
}

#[test]
fn of_two_decisions_at_once_the_second_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = copies::open(&fill(dir.path())).unwrap();
    let edit = |by: &str| Change::Edit {
        consumer: "erp".into(),
        loc: Loc::new(1, 1),
        event: Some(format!("{{\"by\":\"{by}\"}}")),
        by: by.into(),
    };
    let ask = Change::Ask {
        target: "erp".into(),
        kind: OpKind::Retry,
        loc: Loc::new(1, 1),
        reason: String::new(),
        by: "ann".into(),
    };

    store.change(&[edit("ann"), ask]).unwrap();
    let second = store.change(&[edit("bob")]).unwrap_err();

    assert!(second.to_string().contains("without another decision"), "{second}");
    let kept = store.reads().edits(Loc::new(1, 1)).unwrap();
    assert_eq!(kept.iter().map(|(_, who, _)| who.as_str()).collect::<Vec<_>>(), ["ann"]);
}

#[test]
fn a_correction_behind_an_edit_takes_back_what_was_sent() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());
    let mut store = copies::open(&config).unwrap();
    let mut stream = Stream::new("DC01", 1);
    let first = receipt("DC01", "R-1", "BAD1", 10);
    let mut second = receipt("DC01", "R-1", "BAD1", 8);
    second.action = docksync_proto::event::Action::Change;
    store.commit(&[stream.batch(std::slice::from_ref(&first))], &[]).unwrap();
    let row = DeliveryRow {
        consumer: "erp".into(),
        site: stream.site().clone(),
        loc: Loc::new(1, 0),
        lane: 1,
        stage: Stage::Parked,
        attempts: 1,
        code: "E021".into(),
        reason: String::new(),
        at_ms: 0,
    };
    let mut edited = first;
    edited.lines[0].item.sku = "GOOD1".to_owned();
    let event = Some(serde_json::to_string(&edited).unwrap());
    let edit = Change::Edit { consumer: "erp".into(), loc: Loc::new(1, 0), event, by: "kim".into() };
    store.change(&[Change::Delivery(row), edit]).unwrap();
    store.commit(&[stream.batch(&[second])], &[]).unwrap();

    let stock = |consumer: &str| -> Vec<(String, i64)> {
        let sent = crate::deliver::load_for_test(store.reads(), Loc::new(2, 0), consumer);
        sent.stock.into_iter().map(|(key, micros)| (key.0, micros / 1_000_000)).collect()
    };

    assert_eq!(stock("erp"), [("BAD1".to_owned(), 8), ("GOOD1".to_owned(), -10)]);
    assert_eq!(stock("other"), [("BAD1".to_owned(), -2)]);
}

#[test]
fn looking_at_the_authority_makes_none() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(dir.path());

    let shown = said(|out| ca(&config, &CaCommand::Show, out));
    let finish = CaCommand::Finish(authority::FinishArgs { leave_behind: true });
    let refused = ca(&config, &finish, &mut Vec::new()).unwrap_err();

    assert!(shown.starts_with("no authority yet"), "{shown}");
    assert!(matches!(refused, CliError::Pki(PkiError::NoRotation)), "{refused}");
    assert!(!dir.path().join("pki").exists());
}

/// As [`fill`], with a staging database as the destination.
fn with_staging(dir: &Path) -> Config {
    drop(fill(dir));
    let text = format!(
        "[centre]\nname = \"ACME\"\n[state]\ndir = \"{0}\"\n[[consumer]]\nname = \"erp\"\nkind = \"sql\"\nerp = true\n\
         path = \"{0}/s.db\"\n[[consumer]]\nname = \"hook\"\nkind = \"http\"\nurl = \"http://127.0.0.1:9/\"\n",
        dir.display()
    );
    Config::parse(Path::new("a.toml"), &text).unwrap()
}

#[test]
fn a_preview_says_what_would_come_of_it_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let config = with_staging(dir.path());
    let args = ListArgs { limit: 10, json: false };
    let of_site = DecideArgs { places: Vec::new(), site: Some("DC01".into()), preview: true, ..decision("") };

    let before = said(|out| list(&config, &args, out));
    let shown = said(|out| retry(&config, &of_site, out));
    let left_out = said(|out| skip(&config, &DecideArgs { json: true, ..of_site }, out));

    assert!(shown.contains("1.1  DC01  erp  would be sent\n"), "{shown}");
    assert!(shown.contains("1.2  DC01  admit  still invalid: MISSING_MANDATORY"), "{shown}");
    assert!(shown.ends_with("2 events: 1 would be sent, 1 still invalid; nothing was changed\n"), "{shown}");
    assert!(left_out.contains("\"would_leave_out\""), "{left_out}");
    assert_eq!(said(|out| list(&config, &args, out)), before);
}

#[test]
fn decisions_need_a_scope_and_a_reason_and_take_several_places() {
    let parse = |line: &str| Cli::try_parse_from(line.split(' ')).map(drop).map_err(|e| e.kind());

    assert!(parse("a parked retry --preview").is_err());
    assert!(parse("a parked retry 1.1").is_err(), "a reason and a name are missing");
    assert!(parse("a parked retry 1.1 1.2 --consumer erp --reason fixed --by kim").is_ok());
    assert!(parse("a parked skip --site DC01 --code E021 --preview").is_ok());
    assert!(parse("a parked skip 1.1 --site DC01 --preview").is_err(), "a place says it all");
}

#[test]
fn a_reset_sends_everything_again_and_only_where_nothing_is_doubled() {
    let dir = tempfile::tempdir().unwrap();
    let config = with_staging(dir.path());
    let reset = |consumer: &str, from: Option<&str>| {
        let (consumer, from) = (consumer.to_owned(), from.map(str::to_owned));
        consumers::reset(
            &config,
            &ResetArgs { consumer, from, reason: "emptied".into(), by: "kim".into() },
            &mut Vec::new(),
        )
    };
    let seen = |config: &Config| {
        let reads = SqliteReader::open(&config.ledger_path()).unwrap();
        let cursor = reads.cursors().unwrap().into_iter().find(|c| c.consumer == "erp").unwrap();
        (cursor.loc, cursor.seq, reads.parked(10).unwrap().len(), reads.last_document("erp").unwrap())
    };
    assert_eq!(seen(&config).0, Loc::new(1, 1));

    assert!(matches!(reset("hook", None), Err(CliError::NotRepeatable { .. })));
    assert!(matches!(reset("erp", Some("soon")), Err(CliError::Moment { .. })));
    assert!(matches!(reset("erp", Some("2999-01-01")), Err(CliError::NothingSince { .. })));
    reset("erp", None).unwrap();

    let (loc, seq, parked, document) = seen(&config);
    assert!(loc < Loc::new(1, 0), "{loc:?}");
    assert_eq!((seq, parked, document), (0, 0, None));
    let reads = SqliteReader::open(&config.ledger_path()).unwrap();
    assert_eq!(reads.asks_through("erp").unwrap().batch_no(), 1);
    assert_eq!(reads.audit_rows(1, 10).unwrap()[0].entry.act, "reset");
}

#[test]
fn the_state_of_an_erp_tells_its_incidents_and_its_newest_document() {
    let dir = tempfile::tempdir().unwrap();
    let config = with_staging(dir.path());
    let incident = |since_ms, until_ms| {
        Change::Incident(crate::ledger::IncidentRow {
            consumer: "erp".to_owned(),
            class: "auth".to_owned(),
            reason: "401 Unauthorized".to_owned(),
            since_ms,
            failures: 1,
            until_ms,
        })
    };
    let mut store = copies::open(&config).unwrap();
    store.change(&[incident(1_000, None), incident(1_000, Some(2_000)), incident(61_000, None)]).unwrap();
    drop(store);

    let text = said(|out| erp_status(&config, &FormArgs { json: false }, out));
    let json: serde_json::Value =
        serde_json::from_str(&said(|out| erp_status(&config, &FormArgs { json: true }, out))).unwrap();

    assert!(
        text.starts_with("erp (sql): takes nothing since 1970-01-01T00:01:01Z, auth: 401 Unauthorized\n"),
        "{text}"
    );
    assert!(text.contains("newest document 49-11882"), "{text}");
    assert!(text.contains("took nothing from 1970-01-01T00:00:01Z to 1970-01-01T00:00:02Z"), "{text}");
    assert_eq!(json[0]["incidents"].as_array().unwrap().len(), 2);
    assert_eq!(json[0]["sites"][0]["parked"], 1);
}
