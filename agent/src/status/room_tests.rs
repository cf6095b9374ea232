use std::io::{Read as _, Write as _};

use docksync_proto::{identity::Incarnation, site::SiteId};
use jiff::SignedDuration;

use super::*;
use crate::queue::{
    QueueConfig,
    capture::{Chunk, FileEnd, NewFile, Of, Order},
};

fn open(dir: &Path) -> Queue {
    Queue::open(QueueConfig {
        dir: dir.to_owned(),
        site: SiteId::new("DC01").unwrap(),
        zone: samples::working().site.zone,
        bytes_max: 64 << 20,
        ballast_bytes: 4096,
        machine: "m".to_owned(),
        incarnation: Incarnation([7; 16]),
    })
    .unwrap()
}

fn capture_bad_file(queue: &Queue) {
    let file = NewFile {
        feed: "ship".to_owned(),
        name: "SHIP_1.csv".to_owned(),
        path: "/x/SHIP_1.csv".into(),
        size: 10,
        mtime_ms: 0,
        sha256: [1; 32],
        found_at: samples::ago(90),
    };
    let file = Of::Unseen(Box::new(file));
    let held = vec![samples::held_line(214)];
    let end = Some(FileEnd::Captured { lines: 1, taken: 0 });
    queue.append(Chunk { file, batches: vec![], held, records_done: 1, end }, &Order::default()).wait().unwrap();
}

fn room(queue: &Queue, listener: TcpListener) -> (StatusRoom, mpsc::Receiver<StatusAction>) {
    let (actions, asked) = mpsc::channel(4);
    let (_, uplink) = watch::channel(samples::working().link.unwrap());
    let room = StatusRoom {
        listener,
        hosts: vec![],
        site: Arc::new(|| samples::working().site),
        settings: Arc::new(Default::default),
        certificate: Arc::new(|| None),
        queue: queue.clone(),
        uplink,
        fates: Default::default(),
        feeds: Arc::new(|| samples::working().feeds),
        actions,
        views: watch::channel(None).0,
        csrf: "token".to_owned(),
        clock: samples::now,
    };
    (room, asked)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn the_room_shows_a_file_of_the_queue_and_stops_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    capture_bad_file(&queue);
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (room, _asked) = room(&queue, listener);
    let stop = CancellationToken::new();

    let ended = runtime.spawn(room.run(stop.clone()));

    let page = get(address, "/");
    assert!(page.contains("1 file needs a fix. The rest keeps flowing."), "{page}");
    assert!(get(address, "/files/1").contains("<mark>12EA</mark>"));
    assert!(get(address, "/files/2").starts_with("HTTP/1.1 404"));
    assert!(get(address, "/status.json").contains("\"level\":\"needs_you\""));
    stop.cancel();
    runtime.block_on(ended).unwrap().unwrap();
    queue.close();
}

#[test]
fn a_listener_that_others_reach_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("0.0.0.0:0")).unwrap();
    let (room, _asked) = room(&queue, listener);

    let ended = runtime.block_on(room.run(CancellationToken::new()));

    assert!(matches!(ended, Err(StatusError::OpenToNetwork { .. })), "{ended:?}");
    queue.close();
}

#[test]
fn since_when_a_state_holds_outlives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let began = {
        let queue = open(dir.path());
        let runtime = runtime();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let mut watcher = Watcher::new(&room(&queue, listener).0);
        watcher.started_at = samples::ago(600);
        let began = watcher.look().headline.since;
        queue.close();
        began
    };

    let queue = open(dir.path());
    let runtime = runtime();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let mut watcher = Watcher::new(&room(&queue, listener).0);
    watcher.clock = || samples::now() + SignedDuration::from_hours(2);
    watcher.started_at = samples::now() + SignedDuration::from_hours(2);

    assert_eq!(watcher.look().headline.since, began);
    assert_eq!(began, Some(samples::ago(600)));
    queue.close();
}

#[test]
fn the_command_tells_the_same_state_while_the_agent_does_not_run() {
    let dir = tempfile::tempdir().unwrap();
    let queue = open(dir.path());
    capture_bad_file(&queue);
    queue.close();

    let reader = Reader::open(queue.path()).unwrap();
    let snap = offline_snapshot(&reader, samples::working().site, 1, 2, samples::now());

    assert_eq!((snap.headline.level, snap.headline.code.as_deref()), (Level::Stopped, Some("A001")));
    assert_eq!(snap.others.first().map(|one| one.title.as_str()), Some("1 file needs a fix. The rest keeps flowing."));
    assert!(!snap.is_running && text::lines(&snap).lines().count() <= 20);
}
