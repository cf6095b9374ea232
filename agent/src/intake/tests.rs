use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Clock, Intake, scan::Memory};
use crate::{
    config,
    queue::{
        QueueError,
        capture::{
            Appended, Begun, CaptureStore, Chunk, FileEnd, FileId, HeldLine, NewFile, Of, Order, Stored, Ticket,
            Unfinished,
        },
    },
};

#[derive(Debug)]
struct Kept {
    file: NewFile,
    records_done: u64,
    end: Option<FileEnd>,
    moved_to: Option<PathBuf>,
}

/// The queue in memory, with a lever for each way in which it can refuse.
#[derive(Debug, Default)]
struct MemoryStore {
    files: Mutex<Vec<Kept>>,
    facts: Mutex<BTreeMap<Uuid, [u8; 8]>>,
    held: Mutex<Vec<HeldLine>>,
    is_full: AtomicBool,
    /// Appends that still work.
    appends_left: Mutex<Option<u32>>,
    appends: AtomicU64,
}

impl MemoryStore {
    fn full() -> QueueError {
        QueueError::Full { path: PathBuf::from("queue.db"), used_bytes: 1, bytes_max: 1 }
    }

    fn events(&self) -> usize {
        self.facts.lock().unwrap().len()
    }

    fn places(&self) -> Vec<Option<PathBuf>> {
        self.files.lock().unwrap().iter().map(|kept| kept.moved_to.clone()).collect()
    }
}

impl MemoryStore {
    fn store(&self, chunk: Chunk) -> Result<Stored, QueueError> {
        if let Some(left) = self.appends_left.lock().unwrap().as_mut() {
            *left = left.checked_sub(1).ok_or_else(Self::full)?;
        }
        let file = match chunk.file {
            Of::Known(file) => file,
            Of::Unseen(new) => match self.begin(&new)? {
                Begun::Unseen => {
                    let mut files = self.files.lock().unwrap();
                    files.push(Kept { file: *new, records_done: 0, end: None, moved_to: None });
                    FileId(files.len() as i64 - 1)
                }
                Begun::Resume { file, .. } => file,
                Begun::Duplicate { file, earlier } => {
                    return Ok(Stored { file, appended: Appended::default(), earlier: Some(earlier) });
                }
            },
        };
        self.appends.fetch_add(1, Ordering::Relaxed);
        let mut appended = Appended::default();
        let mut facts = self.facts.lock().unwrap();
        for fact in chunk.batches.iter().flat_map(|batch| &batch.facts) {
            match facts.insert(fact.id, fact.content) {
                None => appended.accepted += 1,
                Some(before) if before == fact.content => appended.duplicate += 1,
                Some(_) => appended.revised += 1,
            }
        }
        self.held.lock().unwrap().extend(chunk.held);
        let kept = &mut self.files.lock().unwrap()[file.0 as usize];
        assert!(chunk.records_done >= kept.records_done, "a chunk never goes back");
        kept.records_done = chunk.records_done;
        kept.end = chunk.end;
        Ok(Stored { file, appended, earlier: None })
    }
}

impl CaptureStore for MemoryStore {
    fn begin(&self, file: &NewFile) -> Result<Begun, QueueError> {
        let mut files = self.files.lock().unwrap();
        let same = |kept: &Kept| kept.file.sha256 == file.sha256 && kept.file.feed == file.feed;
        let id = |at: usize| FileId(at as i64);
        if let Some(at) = files.iter().position(same) {
            if files[at].end.is_none() {
                return Ok(Begun::Resume { file: id(at), records_done: files[at].records_done });
            }
            let earlier = files[at].file.name.clone();
            let end = Some(FileEnd::Captured { lines: 0, taken: 0 });
            files.push(Kept { file: file.clone(), records_done: 0, end, moved_to: None });
            return Ok(Begun::Duplicate { file: id(files.len() - 1), earlier });
        }
        Ok(Begun::Unseen)
    }

    fn append(&self, chunk: Chunk, order: &Order) -> Ticket {
        let stored = if order.is_broken() { Err(QueueError::Overtaken) } else { self.store(chunk) };
        if stored.is_err() {
            order.break_off();
        }
        Ticket::new(move || stored)
    }

    fn moved(&self, moved: Vec<(FileId, PathBuf)>) -> Result<(), QueueError> {
        let mut files = self.files.lock().unwrap();
        moved.into_iter().for_each(|(file, to)| files[file.0 as usize].moved_to = Some(to));
        Ok(())
    }

    fn unfinished(&self) -> Result<Vec<Unfinished>, QueueError> {
        let files = self.files.lock().unwrap();
        let unfinished = files.iter().enumerate().filter(|(_, kept)| kept.moved_to.is_none());
        Ok(unfinished
            .map(|(at, kept)| Unfinished {
                file: FileId(at as i64),
                feed: kept.file.feed.clone(),
                name: kept.file.name.clone(),
                path: kept.file.path.clone(),
                sha256: kept.file.sha256,
                is_captured: matches!(kept.end, Some(FileEnd::Captured { .. })),
                is_refused: matches!(kept.end, Some(FileEnd::Refused { .. })),
            })
            .collect())
    }

    fn is_known_in_place(&self, feed: &str, path: &Path, size: u64, mtime_ms: i64) -> Result<bool, QueueError> {
        let same = |kept: &Kept| {
            let file = &kept.file;
            file.feed == feed
                && kept.moved_to.as_deref() == Some(path)
                && file.size == size
                && file.mtime_ms == mtime_ms
        };
        Ok(self.files.lock().unwrap().iter().any(same))
    }

    fn has_room(&self) -> bool {
        !self.is_full.load(Ordering::Relaxed)
    }
}

#[derive(Debug)]
struct TestClock {
    start: Instant,
    millis: AtomicU64,
}

impl Clock for TestClock {
    fn wall(&self) -> Timestamp {
        let start: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
        start + jiff::SignedDuration::from_millis(self.millis.load(Ordering::Relaxed) as i64)
    }

    fn monotonic(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }
}

struct Dock {
    dir: tempfile::TempDir,
    store: Arc<MemoryStore>,
    clock: Arc<TestClock>,
    complete: &'static str,
    /// Added to the profile.
    more: &'static str,
    memory: Memory,
    device: Option<u64>,
}

const HEADER: &str = "order,sku,qty,at\n";

impl Dock {
    fn new(complete: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("in")).unwrap();
        let clock = TestClock { start: Instant::now(), millis: AtomicU64::new(0) };
        let store = Arc::new(MemoryStore::default());
        Self { dir, store, clock: Arc::new(clock), complete, more: "", memory: Memory::default(), device: None }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A room as after a start.
    fn open(&self) -> Intake {
        let profile = format!(
            "[feed]\nname = \"pick\"\nversion = 1\nevent_type = \"pick_confirmed\"\nmatch = [\"*.csv\"]\ncomplete = {}\n\
             [parse]\ntype = \"csv\"\n\
             [[field]]\nto = \"references.so\"\nfrom = {{ column = \"order\" }}\n\
             [[field]]\nto = \"lines.item.sku\"\nfrom = {{ column = \"sku\" }}\nrequired = true\n\
             [[field]]\nto = \"lines.qty\"\nfrom = {{ column = \"qty\" }}\n\
             [[field]]\nto = \"event_time\"\nfrom = {{ column = \"at\" }}\n",
            self.complete
        );
        let profile = profile + self.more;
        std::fs::write(self.path("pick.toml"), profile).unwrap();
        let text = format!(
            "[site]\nid = \"DC7\"\ntime_zone = \"America/Chicago\"\n[centre]\nhost = \"h\"\n[state]\ndir = \"state\"\n\
             [intake]\nrescan = \"100ms\"\nfile_bytes_max = \"1 MiB\"\n\
             [[feed]]\nfolder = \"{}\"\nprofile = \"pick.toml\"\n",
            self.path("in").display()
        );
        std::fs::write(self.path("agent.toml"), text).unwrap();
        let config = config::load(&self.path("agent.toml")).into_config().unwrap();
        let intake = Intake::new(&config, self.store.clone(), self.clock.clone());
        intake.reconcile().unwrap();
        intake
    }

    fn put(&self, name: &str, rows: usize) {
        let row = |n| format!("SO{n},4711,1,2026-11-23T09:00:00\n");
        std::fs::write(self.path("in").join(name), HEADER.to_owned() + &(0..rows).map(row).collect::<String>())
            .unwrap();
    }

    fn turn(&mut self, intake: &Intake) {
        intake.scan_once(0, &mut self.memory, &mut self.device);
        while intake.work_once().unwrap() {}
    }

    fn pass(&self, secs: u64) {
        self.clock.millis.fetch_add(secs * 1000, Ordering::Relaxed);
    }

    fn names(&self, dir: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.path(dir)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

const ARCHIVE: &str = "state/archive/2026/11/23";

#[test]
fn a_complete_file_is_stored_and_archived() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    dock.put("a.csv", 3);

    dock.turn(&intake);

    assert_eq!(dock.store.events(), 3);
    assert_eq!(dock.names(ARCHIVE), ["a.csv"]);
    assert_eq!(dock.store.places(), [Some(dock.path(ARCHIVE).join("a.csv"))]);
    assert!(dock.names("in").is_empty() && dock.names("state/work/pick").is_empty());
    let facts = &intake.facts().snapshot()[0];
    assert_eq!((facts.captured, facts.waiting, facts.last_captured_name.as_str()), (1, 0, "a.csv"));
}

#[test]
fn a_file_that_is_still_written_is_left_until_it_rests() {
    let mut dock = Dock::new("{ rule = \"quiet\", seconds = 10 }");
    let intake = dock.open();
    dock.put("a.csv", 1);
    dock.turn(&intake);
    dock.pass(9);
    dock.put("a.csv", 2);
    dock.turn(&intake);
    dock.pass(9);
    dock.turn(&intake);
    assert_eq!((dock.store.events(), intake.facts().snapshot()[0].waiting), (0, 1));

    dock.pass(1);
    dock.turn(&intake);

    assert_eq!(dock.store.events(), 2);
}

#[test]
fn the_same_bytes_under_another_name_are_known() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    dock.put("a.csv", 2);
    dock.turn(&intake);
    dock.put("b.csv", 2);

    dock.turn(&intake);

    assert_eq!(dock.store.events(), 2);
    assert_eq!(dock.names(ARCHIVE), ["a.csv", "b.csv"]);
    assert_eq!(intake.facts().snapshot()[0].duplicates, 1);
}

#[test]
fn a_refused_file_lies_in_quarantine_with_its_reason() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    std::fs::write(dock.path("in/bad.csv"), "order,item\nA,1\n").unwrap();

    dock.turn(&intake);

    assert_eq!(dock.names("state/quarantine"), ["bad.csv", "bad.csv.reason.json"]);
    let reason = std::fs::read_to_string(dock.path("state/quarantine/bad.csv.reason.json")).unwrap();
    assert!(reason.contains("HEADER_MISMATCH") && reason.contains("column `sku`"), "{reason}");
    assert_eq!(dock.store.events(), 0);
}

#[test]
fn nothing_is_claimed_while_the_queue_has_no_room() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    dock.put("a.csv", 1);
    dock.store.is_full.store(true, Ordering::Relaxed);
    dock.turn(&intake);
    assert_eq!(dock.names("in"), ["a.csv"]);

    dock.store.is_full.store(false, Ordering::Relaxed);
    dock.turn(&intake);

    assert_eq!(dock.store.events(), 1);
}

#[test]
fn a_big_file_cut_short_goes_on_where_it_stopped() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    dock.put("big.csv", 12_000);
    *dock.store.appends_left.lock().unwrap() = Some(1);
    dock.turn(&intake);
    let stored = dock.store.events();
    assert!(stored > 0 && stored < 12_000, "cut short at {stored}");
    drop(intake);

    *dock.store.appends_left.lock().unwrap() = None;
    let intake = dock.open();
    dock.turn(&intake);

    assert_eq!(dock.store.events(), 12_000);
    assert_eq!(dock.store.appends.load(Ordering::Relaxed), 3, "no chunk was stored twice");
    assert_eq!(dock.names(ARCHIVE), ["big.csv"]);
}

#[test]
fn a_move_that_was_cut_short_is_made_up_for_at_start() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    dock.put("a.csv", 1);
    dock.turn(&intake);
    // As after a cut between the commit and the move.
    std::fs::create_dir_all(dock.path("state/work/pick/1")).unwrap();
    std::fs::rename(dock.path(ARCHIVE).join("a.csv"), dock.path("state/work/pick/1/a.csv")).unwrap();
    {
        let mut files = dock.store.files.lock().unwrap();
        files[0].moved_to = None;
        files[0].file.path = dock.path("state/work/pick/1/a.csv");
    }

    let again = dock.open();
    dock.turn(&again);

    assert_eq!(dock.names(ARCHIVE), ["a.csv"]);
    assert_eq!(dock.store.places(), [Some(dock.path(ARCHIVE).join("a.csv"))]);
    assert_eq!(dock.store.events(), 1);
}

#[test]
fn a_move_that_nobody_wrote_down_is_found_at_start() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    dock.put("a.csv", 1);
    dock.turn(&intake);
    dock.store.files.lock().unwrap()[0].moved_to = None;

    dock.open();

    assert_eq!(dock.store.places(), [Some(dock.path(ARCHIVE).join("a.csv"))]);
}

#[test]
fn a_claimed_file_that_the_queue_does_not_know_is_taken_up() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    dock.put("a.csv", 1);
    std::fs::create_dir_all(dock.path("state/work/pick/7")).unwrap();
    std::fs::rename(dock.path("in/a.csv"), dock.path("state/work/pick/7/a.csv")).unwrap();

    let intake = dock.open();
    dock.turn(&intake);

    assert_eq!(dock.store.events(), 1);
    assert_eq!(dock.names(ARCHIVE), ["a.csv"]);
}

#[test]
fn links_pipes_folders_and_giants_are_refused_with_a_reason_and_others_flow() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    std::os::unix::fs::symlink("/etc/passwd", dock.path("in/link.csv")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dock.path("in/pipe.csv"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    std::fs::create_dir(dock.path("in/dir.csv")).unwrap();
    std::fs::File::create(dock.path("in/giant.csv")).unwrap().set_len(2 << 20).unwrap();
    dock.put("z.csv", 1);

    dock.turn(&intake);

    assert_eq!(dock.store.events(), 1);
    assert_eq!(dock.names("in"), ["dir.csv", "giant.csv", "link.csv", "pipe.csv"]);
    let trouble = intake.facts().snapshot()[0].trouble.clone().unwrap();
    assert!(trouble.text.ends_with("dir.csv is a folder, not a file"), "{}", trouble.text);
}

#[test]
fn a_marker_releases_its_file_and_goes_with_it() {
    let mut dock = Dock::new("{ rule = \"marker\", marker = \".done\" }");
    let intake = dock.open();
    dock.put("a.csv", 1);
    dock.turn(&intake);
    assert_eq!(dock.store.events(), 0);

    std::fs::write(dock.path("in/a.csv.done"), "").unwrap();
    dock.turn(&intake);

    assert_eq!(dock.names(ARCHIVE), ["a.csv", "a.csv.done"]);
    assert!(dock.names("in").is_empty());
}

#[test]
fn a_file_is_taken_only_with_the_sum_that_its_companion_holds() {
    let mut dock = Dock::new("{ rule = \"marker\", marker = \".md5\" }");
    let intake = dock.open();
    std::fs::write(dock.path("in/a.csv"), HEADER).unwrap();
    std::fs::write(dock.path("in/a.csv.md5"), "00  a.csv\n").unwrap();
    dock.turn(&intake);
    assert_eq!(intake.facts().snapshot()[0].trouble.as_ref().unwrap().code, "F007");
    assert!(dock.names(ARCHIVE).is_empty());

    std::fs::write(dock.path("in/a.csv.md5"), "8458e5b9819f0743d8b7a4acf322c044  a.csv\n").unwrap();
    dock.pass(3);
    dock.turn(&intake);

    assert_eq!(dock.names(ARCHIVE), ["a.csv", "a.csv.md5"]);
    assert_eq!(intake.facts().snapshot()[0].trouble, None);
}

#[test]
fn a_file_that_is_never_finished_becomes_a_persons_business() {
    let mut dock = Dock::new("{ rule = \"marker\", marker = \".done\" }");
    let intake = dock.open();
    dock.put("a.csv", 1);
    dock.turn(&intake);
    assert_eq!(intake.facts().snapshot()[0].trouble, None);

    dock.pass(900);
    dock.turn(&intake);

    assert_eq!(intake.facts().snapshot()[0].trouble.as_ref().unwrap().code, "F011");
}

#[test]
fn names_that_are_no_text_are_kept_as_bytes() {
    use std::os::unix::ffi::OsStrExt as _;
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    let name = std::ffi::OsStr::from_bytes(b"bad\xff\n.csv");
    dock.put("a.csv", 1);
    std::fs::rename(dock.path("in/a.csv"), dock.path("in").join(name)).unwrap();

    dock.turn(&intake);

    assert!(dock.path(ARCHIVE).join(name).exists());
    assert_eq!(dock.store.files.lock().unwrap()[0].file.name, "bad\\xff\\n.csv");
}

#[test]
fn a_folder_that_is_missing_is_trouble_until_it_is_there() {
    let mut dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    std::fs::remove_dir(dock.path("in")).unwrap();
    dock.turn(&intake);
    assert_eq!(intake.facts().snapshot()[0].trouble.as_ref().unwrap().code, "F001");

    std::fs::create_dir(dock.path("in")).unwrap();
    dock.turn(&intake);

    assert_eq!(intake.facts().snapshot()[0].trouble, None);
}

#[test]
fn the_room_runs_captures_and_stops() {
    let dock = Dock::new("{ rule = \"rename\" }");
    let intake = dock.open();
    let facts = intake.facts();
    let stop = CancellationToken::new();
    dock.put("a.csv", 5);

    std::thread::scope(|scope| {
        let running = scope.spawn(|| intake.run(&stop));
        let deadline = Instant::now() + Duration::from_secs(30);
        while facts.snapshot()[0].captured == 0 && Instant::now() < deadline {
            std::thread::yield_now();
        }
        stop.cancel();
        running.join().unwrap().unwrap();
    });

    assert_eq!(dock.store.events(), 5);
}

const RESPONSE: &str =
    "\n[answer]\nname = \"{stem}.ack\"\ntext = \"{name};{status};{taken};{held}\\n\"\nline = \"{line};{code}\\n\"\n";

#[test]
fn a_file_is_answered_once_its_events_are_stored() {
    let mut dock = Dock { more: RESPONSE, ..Dock::new("{ rule = \"rename\" }") };
    let intake = dock.open();
    std::fs::write(
        dock.path("in/a.csv"),
        format!("{HEADER}SO1,4711,1,2026-11-23T09:00:00\nSO2,4711,x,2026-11-23T09:00:00\n"),
    )
    .unwrap();

    *dock.store.appends_left.lock().unwrap() = Some(0);
    dock.turn(&intake);
    assert!(dock.names("state/outbox/pick").is_empty(), "nothing is said before it is true");
    *dock.store.appends_left.lock().unwrap() = None;
    dock.pass(5);
    dock.turn(&intake);

    let answer = std::fs::read_to_string(dock.path("state/outbox/pick/a.ack")).unwrap();
    assert_eq!(answer, "a.csv;PARTIAL;1;1\n3;INVALID_QUANTITY\n");
}

#[test]
fn an_answer_that_a_crash_cut_off_is_written_at_start() {
    let mut dock = Dock { more: RESPONSE, ..Dock::new("{ rule = \"rename\" }") };
    let intake = dock.open();
    dock.put("a.csv", 1);
    dock.turn(&intake);
    // As before the answer and the move: the file lies where it was claimed, its events are stored.
    let (archived, answer) = (dock.path(ARCHIVE).join("a.csv"), dock.path("state/outbox/pick/a.ack"));
    let claimed = dock.path("state/work/pick/9/a.csv");
    std::fs::create_dir_all(claimed.parent().unwrap()).unwrap();
    std::fs::rename(&archived, &claimed).unwrap();
    std::fs::remove_file(&answer).unwrap();
    {
        let mut files = dock.store.files.lock().unwrap();
        files[0].moved_to = None;
        files[0].file.path = claimed;
    }

    let _intake = dock.open();

    assert!(answer.exists() && archived.exists());
}
