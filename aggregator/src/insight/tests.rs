use std::{
    io::{Read as _, Write as _},
    path::Path,
};

use docksync_proto::site::SiteId;
use jiff::SignedDuration;

use super::*;
use crate::{
    ledger::{
        Change, Clock, DeliveryRow, Loc, SiteFacts, Stage, Store as _,
        conformance::{Stream, receipt},
        sqlite::SqliteStore,
        writer::LedgerWriter,
    },
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

fn destinations() -> Vec<destinations::Destination> {
    let named = |consumer: &str, paused: Option<&str>, incident| destinations::Destination {
        consumer: consumer.to_owned(),
        paused: paused.map(str::to_owned),
        incident,
        behind: vec![(site("DC01"), 1_204), (site("DC02"), 3)],
    };
    let incident = destinations::Incident {
        class: "auth".to_owned(),
        reason: "401 Unauthorized: key expired".to_owned(),
        since: ago(42),
    };
    vec![
        named("sap", None, Some(incident)),
        named("analytics", Some("kim: moved to another server"), None),
        named("staging", None, None),
    ]
}

fn decided() -> Vec<crate::ledger::OpRow> {
    let op = |op_id, answered, result: &str| crate::ledger::OpRow {
        op_id,
        target: "sap".to_owned(),
        kind: crate::ledger::OpKind::Retry,
        loc: crate::ledger::Loc::new(19, 3),
        reason: "item is there now".to_owned(),
        requested_by: "kim".to_owned(),
        answered,
        result: result.to_owned(),
    };
    vec![op(3, None, ""), op(2, Some(false), "not parked here"), op(1, Some(true), "done")]
}

fn decide_page(overview: &sites::Overview) -> String {
    let text = |text: &str| text.to_owned();
    let which = decide::Which { code: text("E021"), site: text("DC07"), target: text("erp") };
    let group: Vec<Waiting> = sources().waiting.into_iter().filter(|w| w.code == "E021").collect();
    decide::decide_page(overview, &which, &group, ("kim", "00ff"), Some(&decide::Refused::Reason)).into_string()
}

fn pages() -> [(&'static str, String); 7] {
    let from = sources();
    let overview = overview(&from);
    let groups = groups(&from.waiting);
    [
        ("sites", page::sites_page(&overview, &destinations()).into_string()),
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
        ("parked", page::parked_page(&overview, (&groups, false), &[], false).into_string()),
        ("parked-decide", page::parked_page(&overview, (&groups, false), &decided(), true).into_string()),
        ("decide", decide_page(&overview)),
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
    let html = page::sites_page(&told, &[]).into_string();
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

/// A room over a ledger with one parked event.
struct Served {
    dir: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
    address: SocketAddr,
    stop: CancellationToken,
    ended: Option<tokio::task::JoinHandle<Result<(), InsightError>>>,
}

impl Served {
    fn new(user_header: Option<&'static str>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock: Clock = Arc::new(|| 0);
        let mut store = SqliteStore::open(&dir.path().join("ledger.db"), clock).unwrap();
        let mut stream = Stream::new("DC01", 1);
        store.commit(&[stream.batch(&[receipt("DC01", "R-1", "A", 1)])], &[]).unwrap();
        let row = DeliveryRow {
            consumer: "erp".to_owned(),
            site: site("DC01"),
            loc: Loc::new(1, 0),
            lane: 5,
            stage: Stage::Parked,
            attempts: 1,
            code: "E021".to_owned(),
            reason: "item <A> not found".to_owned(),
            at_ms: 0,
        };
        store.change(&[Change::Delivery(row)]).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (_, writer) = LedgerWriter::start(store, 0).unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let decide =
            |name| Decisions { user_header: HeaderName::from_static(name), ledger: writer, token: "secret".to_owned() };
        let room = InsightRoom {
            listener,
            hosts: vec![],
            ledger: dir.path().join("ledger.db"),
            views: Views::default(),
            register: Arc::new(|| Some(vec![entry("DC01", "Memphis")])),
            backups: Arc::new(Standing::default),
            decisions: user_header.map(decide),
            clock: now,
        };
        let stop = CancellationToken::new();
        let ended = Some(runtime.spawn(room.run(stop.clone())));
        Self { dir, runtime, address, stop, ended }
    }

    /// Gives the whole answer to a request; `more` are headers and body behind the first lines.
    fn ask(&self, line: &str, host: &str, more: &str) -> String {
        let mut stream = std::net::TcpStream::connect(self.address).unwrap();
        write!(stream, "{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    fn decide(&self, headers: &str, form: &str) -> String {
        let kind = "Content-Type: application/x-www-form-urlencoded";
        self.ask(
            "POST /parked/decide",
            "localhost",
            &format!("{headers}{kind}\r\nContent-Length: {}\r\n\r\n{form}", form.len()),
        )
    }

    fn asked(&self) -> Vec<OpRow> {
        SqliteReader::open(&self.dir.path().join("ledger.db")).unwrap().ops_asked(10).unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.cancel();
        let ended = self.ended.take().map(|ended| self.runtime.block_on(ended));
        if !std::thread::panicking() {
            ended.unwrap().unwrap().unwrap();
        }
    }
}

fn ask(path: &str, host: &str) -> String {
    Served::new(None).ask(&format!("GET {path}"), host, "")
}

const GROUP: &str = "code=E021&site=DC01&target=erp";

#[test]
fn a_person_whom_the_proxy_names_decides_on_a_group_with_a_reason() {
    let served = Served::new(Some("x-remote-user"));
    let who = "X-Remote-User: kim\r\nSec-Fetch-Site: same-origin\r\n";

    let list = served.ask("GET /parked", "localhost", who);
    let page = served.ask(&format!("GET /parked/decide?{GROUP}"), "localhost", who);
    let unsaid = served.decide(who, &format!("{GROUP}&act=retry&reason=+&token=secret"));
    let taken = served.decide(who, &format!("{GROUP}&act=retry&reason=item+is+there&token=secret"));
    let after = served.ask("GET /parked", "localhost", who);

    assert!(list.contains("Decide on these"), "{list}");
    assert!(page.contains("You decide as <strong>kim</strong>") && page.contains("item &lt;A&gt; not found"), "{page}");
    assert!(unsaid.contains("Give a reason"), "{unsaid}");
    assert!(taken.starts_with("HTTP/1.1 303") && taken.contains("location: /parked"), "{taken}");
    assert!(after.contains("handed over, not answered yet"), "{after}");
    let asked = served.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].requested_by.as_str(), asked[0].reason.as_str()), ("kim", "item is there"));
}

#[test]
fn nobody_else_decides() {
    let who = "X-Remote-User: kim\r\n";
    let form = |token: &str| format!("{GROUP}&act=skip&reason=x&token={token}");
    let closed = Served::new(None);
    let open = Served::new(Some("x-remote-user"));

    assert!(!closed.ask("GET /parked", "localhost", who).contains("Decide on these"));
    for refused in [
        closed.decide(who, &form("secret")),
        open.decide("", &form("secret")),
        open.decide("X-Remote-User:  \r\n", &form("secret")),
        open.decide(&format!("{who}Sec-Fetch-Site: cross-site\r\n"), &form("secret")),
        open.decide(who, &form("guess")),
    ] {
        assert!(refused.starts_with("HTTP/1.1 403") && refused.contains("Not decided"), "{refused}");
    }
    let large = open.decide(who, &format!("{}&more={}", form("secret"), "x".repeat(20_000)));
    assert!(large.starts_with("HTTP/1.1 413"), "{large}");
    assert!(closed.asked().is_empty() && open.asked().is_empty());
}

#[test]
fn the_room_answers_from_the_ledger_and_stops_when_asked() {
    let answer = ask("/sites.json", "localhost");

    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("\"site\":\"DC01\"") && answer.contains("\"level\":\"offline\""), "{answer}");
    assert!(answer.to_ascii_lowercase().contains(&format!("content-security-policy: {}", "default-src 'none'")));
    assert!(ask("/readyz", "127.0.0.1").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_foreign_host_name_is_refused() {
    assert!(ask("/", "evil.example").starts_with("HTTP/1.1 421"));
}
