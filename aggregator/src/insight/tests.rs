use std::{
    io::{Read as _, Write as _},
    path::Path,
};

use docksync_proto::site::SiteId;
use jiff::SignedDuration;

use super::*;
use crate::{
    ledger::{Clock, Loc, SiteFacts, sqlite::SqliteStore},
    receive::view::SiteView,
};
use parked::Waiting;
use sites::Level;

fn now() -> Timestamp {
    "2026-11-23T20:32:08Z".parse().unwrap()
}

fn ago(mins: i64) -> Timestamp {
    now() - SignedDuration::from_mins(mins)
}

fn site(id: &str) -> SiteId {
    SiteId::new(id).unwrap()
}

fn entry(id: &str, name: &str) -> SiteEntry {
    SiteEntry {
        site: site(id),
        name: name.to_owned(),
        time_zone: "America/Chicago".to_owned(),
        created_at: ago(100_000),
        revoked_at: None,
        certificate_until: Some(now() + SignedDuration::from_hours(24 * 71)),
    }
}

fn view(online: bool, since_mins: i64) -> SiteView {
    SiteView {
        online,
        since: Some(ago(since_mins)),
        heard_at: Some(ago(1)),
        batch_at: Some(ago(1)),
        version: "0.1.0".to_owned(),
        disk_used_bytes: 1 << 20,
        disk_free_bytes: 1 << 30,
        ..SiteView::default()
    }
}

fn waiting_row(id: &str, code: &str, at_ms: i64) -> Waiting {
    let (target, reason) = ("erp".to_owned(), "the ERP knows no item SKU-991".to_owned());
    Waiting { code: code.to_owned(), site: site(id), target, loc: Loc::new(at_ms, 3), reason, at_ms }
}

/// One site in each state.
fn sources() -> Sources {
    let names = [
        ("DC01", "Memphis"),
        ("DC02", "Dallas"),
        ("DC07", "Columbus"),
        ("DC09", "Tulsa"),
        ("DC14", "Reno"),
        ("DC22", "Tacoma"),
        ("DC31", "Omaha"),
    ];
    let mut new = entry("DC31", "Omaha");
    new.certificate_until = None;
    let mut register: Vec<_> = names[..6].iter().map(|(id, name)| entry(id, name)).collect();
    register.push(new);
    let views = [
        ("DC01", SiteView { head: 918_221, marked: 916_937, oldest_age_ms: 7_860_000, ..view(false, 131) }),
        ("DC02", view(true, 8_640)),
        ("DC07", view(true, 90)),
        ("DC09", SiteView { head: 900, marked: 100, oldest_age_ms: 120_000, ..view(true, 4) }),
        ("DC14", SiteView { disk_free_bytes: 0, ..view(true, 210) }),
        ("DC22", SiteView { held: vec!["Clone host wms2 nonce 00ff".to_owned()], ..view(true, 52) }),
    ];
    let facts = SiteFacts {
        site: site("DC02"),
        events: 48_210,
        new: 48_201,
        duplicate: 9,
        corrected: 0,
        revised: 0,
        parked: 0,
        test: 0,
        last_received_ms: ago(1).as_millisecond(),
        backed_up_epoch: 1,
        backed_up: 1,
    };
    let at = ago(60).as_millisecond();
    Sources {
        now: now(),
        register,
        views: views.into_iter().map(|(id, view)| (site(id), view)).collect(),
        facts: vec![facts],
        waiting: vec![
            waiting_row("DC07", "E021", at),
            waiting_row("DC07", "E021", at - 1),
            waiting_row("DC07", "E003", at),
        ],
        is_recovering: false,
        backup: Standing::default(),
        room_bytes: Some(64 << 30),
    }
}

/// A comparison with a drift of a destination, a short transfer, a side that has told nothing, and a hole.
fn compared() -> books::Books {
    let at_ms = ago(600).as_millisecond();
    let text = format!(
        r#"{{"version":1,"run_no":412,"asked_by":"schedule","started_ms":{at_ms},"ended_ms":{end_ms},"compared":211804,"exact":211661,
        "explained":141,"drift":2,"causes":{{"missed_adjustment":1,"transfer_short":1}},"sides":[
        {{"side":"wms","site":"DC01","what":"","at":0,"compared":0,"exact":0,"explained":0,"drift":0,"opened":0,"without_place":0,
          "not_compared":"its warehouse system has stated no stock yet"}},
        {{"side":"erp","site":"DC01","what":"its stock of 2026-11-23 10:32 UTC","at":9,"compared":211804,"exact":211661,"explained":141,
          "drift":1,"opened":0,"without_place":3,"not_compared":""}}],"drifts":[
        {{"drift_no":7,"side":"erp","site":"DC01","item":"SKU-8813","lot":"","place":"","uom":"","ledger":108000000,"other":120000000,
          "on_way":0,"parked":0,"unmapped":0,"not_told":0,"unexplained":12000000,"accounts":[4],"is_opening":false,
          "cause":{{"code":"missed_adjustment","events":[77],"detail":""}},"evidence":["inventory_adjusted A-7731 of 2026-11-21T16:20:00-06:00 (-12 SKU-8813), ADJ_7731.csv line 2, at 19.3"],
          "words":"erp has 12 more than the ledger: the adjustment below is not in its stock","action":"ERP team: recon propose, then recon approve corrects erp by -12",
          "state":"open","since_ms":{at_ms}}},
        {{"drift_no":8,"side":"transfer","site":"DC02","item":"SKU-2210","lot":"","place":"T-551","uom":"","ledger":30000000,"other":26000000,
          "on_way":0,"parked":0,"unmapped":0,"not_told":0,"unexplained":-4000000,"accounts":[],"is_opening":false,
          "cause":{{"code":"transfer_short","events":[],"detail":"short"}},"evidence":[],
          "words":"transfer T-551: 30 left DC01, only 26 arrived at DC02","action":"DC02: count the receipt again; then claim what is lost",
          "state":"recount asked","since_ms":{at_ms}}}],"closed":[3],"transfers":[
        {{"transfer":"T-560","sku":"SKU-1","lot":"","uom":"","from_site":"DC01","to_site":"DC02","shipped":5000000,"received":0,"in_transit":5000000,
          "age_hours":20,"standing":"in_transit","events":[]}}],"transfers_matched":18,"complete":[
        {{"site":"DC01","have":18412,"told":18412,"days_equal":6,"days":[],"holes":[]}},
        {{"site":"DC02","have":900,"told":905,"days_equal":0,"days":[],"holes":[{{"epoch":1,"first":17,"last":21,"words":"missing"}}]}}]}}"#,
        end_ms = at_ms + 420_000
    );
    let report: crate::reconcile::report::Report = serde_json::from_str(&text).unwrap();
    let night = |run_no, drift| books::Night {
        run_no,
        at_ms,
        compared: 211_804,
        drift,
        causes: [("missed_adjustment".to_owned(), drift)].into(),
        sites: [("DC01".to_owned(), drift)].into(),
    };
    books::Books { report: Some(report), trend: vec![night(411, 9), night(412, 2)], running: None, failed: None }
}

fn pages() -> [(&'static str, String); 5] {
    let from = sources();
    let overview = overview(&from);
    let groups = groups(&from.waiting);
    [
        ("sites", page::sites_page(&overview).into_string()),
        ("books", books::books_page(&overview, &compared()).into_string()),
        (
            "books-busy",
            books::books_page(
                &overview,
                &books::Books {
                    running: Some((414, "compare erp of DC01".to_owned())),
                    failed: Some((413, "cannot read the book: disk I/O error".to_owned())),
                    ..compared()
                },
            )
            .into_string(),
        ),
        ("books-none", books::books_page(&overview, &books::Books::default()).into_string()),
        ("parked", page::parked_page(&overview, &groups, false).into_string()),
    ]
}

#[test]
fn the_worst_site_comes_first_and_each_says_whose_move_it_is() {
    let lines: Vec<_> =
        overview(&sources()).sites.into_iter().map(|l| (l.site.to_string(), l.level, l.whose_action)).collect();

    let expected = [
        ("DC14", Level::Stopped, "site IT"),
        ("DC22", Level::Held, "integration team"),
        ("DC01", Level::Offline, "site IT"),
        ("DC07", Level::NeedsYou, "integration team"),
        ("DC09", Level::CatchingUp, "-"),
        ("DC31", Level::New, "site IT"),
        ("DC02", Level::Ok, "-"),
    ];
    assert_eq!(lines, expected.map(|(id, level, whose)| (id.to_owned(), level, whose)));
}

#[test]
fn a_backup_that_failed_is_told_with_its_reason_and_whose_move_it_is() {
    let mut from = sources();
    from.backup = Standing {
        is_scheduled: true,
        last_at: Some(ago(1_500)),
        failed_at: Some(ago(3)),
        failed_why: "no room".to_owned(),
    };

    let told = overview(&from);
    let html = page::sites_page(&told).into_string();
    let text = metrics::metrics(&told, &[], &[], &books::Books::default()).unwrap();

    assert!(
        html.contains("The daily backup failed at 2026-11-23 20:29 UTC: no room. Whose move: who runs this server."),
        "{html}"
    );
    let seconds = |at: Timestamp| format!("{}.0", at.as_second());
    for (name, value) in [
        ("docksync_backup_scheduled", "1".to_owned()),
        ("docksync_backup_last_success_timestamp_seconds", seconds(ago(1_500))),
        ("docksync_backup_last_failure_timestamp_seconds", seconds(ago(3))),
    ] {
        assert!(text.lines().any(|line| line == format!("{name} {value}")), "{name} {value}\n{text}");
    }
}

#[test]
fn a_revoked_site_is_left_out() {
    let mut from = sources();
    from.register[0].revoked_at = Some(ago(5));

    assert!(overview(&from).sites.iter().all(|line| line.site != site("DC01")));
}

#[test]
fn what_waits_is_grouped_by_code_site_and_consumer() {
    let groups = groups(&sources().waiting);

    let first = ago(60).as_millisecond() - 1;
    assert_eq!(groups.len(), 2);
    assert_eq!((groups[0].code.as_str(), groups[0].count, groups[0].first_ms), ("E021", 2, first));
    assert_eq!(groups[0].sample, format!("{first}.3"));
}

#[test]
fn the_pages_are_as_reviewed_and_ask_nothing_of_other_servers() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/pages");
    for (name, html) in pages() {
        assert!(!html.contains("//") && !html.contains("<script") && !html.contains(" style="), "{name}");
        let path = dir.join(format!("centre-{name}.html"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(&path, &html).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{}: UPDATE_GOLDEN=1", path.display()));
        let differs = html.split('<').zip(golden.split('<')).find(|(new, old)| new != old);
        assert_eq!((differs, html.len()), (None, golden.len()), "{name}");
    }
    let css = include_str!("style.css");
    assert!(!css.contains("//") && !css.contains("url(") && !css.contains("@import"));
}

#[test]
fn the_figures_carry_no_label_without_bounds() {
    let from = sources();

    let text = metrics::metrics(&overview(&from), &groups(&from.waiting), &[], &books::Books::default()).unwrap();

    for line in [
        "docksync_events_received_total{site=\"DC02\"} 48210",
        "docksync_dead_letters{code=\"E021\",target=\"erp\"} 2",
        "docksync_site_up{site=\"DC01\"} 0",
        "docksync_site_waiting_events{site=\"DC01\"} 1284",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("SKU-991") && !text.contains("wms2"));
}

/// Asks a room over a new ledger; gives the whole answer.
fn ask(path: &str, host: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let ledger = dir.path().join("ledger.db");
    let clock: Clock = Arc::new(|| 0);
    drop(SqliteStore::open(&ledger, clock).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let register: Register = Arc::new(|| Some(vec![entry("DC01", "Memphis")]));
    let backups = Arc::new(Standing::default);
    let room = InsightRoom { listener, hosts: vec![], ledger, views: Views::default(), register, backups, clock: now };
    let stop = CancellationToken::new();
    let ended = runtime.spawn(room.run(stop.clone()));
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    stop.cancel();
    runtime.block_on(ended).unwrap().unwrap();
    answer
}

#[test]
fn the_room_answers_from_the_ledger_and_stops_when_asked() {
    let answer = ask("/sites.json", "localhost");

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"site\":\"DC01\"") && answer.contains("\"level\":\"new\""), "{answer}");
    assert!(answer.to_ascii_lowercase().contains(&format!("content-security-policy: {}", "default-src 'none'")));
    assert!(ask("/readyz", "127.0.0.1").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_foreign_host_name_is_refused() {
    assert!(ask("/", "evil.example").starts_with("HTTP/1.1 421"));
}
