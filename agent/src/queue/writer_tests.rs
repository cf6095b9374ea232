//! The writer: what is appended, refused, pruned and renumbered, against real databases.

use docksync_proto::event::{Event, EventTime, EventType, Line, RefKind, Reference};

use super::*;
use crate::queue::{
    Reader,
    capture::{Appended, BatchBuilder, FileEnd, Of},
};

fn config(dir: &Path) -> QueueConfig {
    QueueConfig {
        dir: dir.to_owned(),
        site: SiteId::new("DC1").unwrap(),
        zone: TimeZone::UTC,
        bytes_max: 1 << 30,
        ballast_bytes: 0,
        machine: "m1".to_owned(),
        incarnation: Incarnation([7; 16]),
    }
}

fn file(name: &str, content: u8) -> NewFile {
    NewFile {
        feed: "pick".to_owned(),
        name: name.to_owned(),
        path: PathBuf::from("/work").join(name),
        size: 10,
        mtime_ms: 1,
        sha256: [content; 32],
        found_at: Timestamp::UNIX_EPOCH,
    }
}

fn pick(n: usize, qty: i64) -> Event {
    let time = EventTime::utc(Timestamp::UNIX_EPOCH);
    let mut event = Event::new(EventType::PickConfirmed, SiteId::new("DC1").unwrap(), time, Timestamp::UNIX_EPOCH);
    event.correlation_id = format!("SO-{n}");
    event.references.push(Reference { kind: RefKind::Transaction, value: format!("T{n}"), date: None });
    let mut line = Line { qty: Some(qty.into()), uom: "EA".to_owned(), ..Line::default() };
    line.item.sku = "SKU-1".to_owned();
    event.lines.push(line);
    event
}

fn chunk(file: Of, picks: std::ops::Range<usize>, qty: i64) -> Chunk {
    let mut builder = BatchBuilder::new();
    for n in picks.clone() {
        builder.push(&pick(n, qty));
    }
    let batches = builder.take().unwrap().into_iter().collect();
    let lines = picks.len() as u64;
    let end = Some(FileEnd::Captured { lines, taken: lines });
    Chunk { file, batches, held: Vec::new(), records_done: picks.len() as u64, end }
}

fn begun(queue: &Queue, name: &str, content: u8) -> Of {
    let file = file(name, content);
    assert_eq!(queue.begin(&file).unwrap(), Begun::Unseen);
    Of::Unseen(Box::new(file))
}

fn append(queue: &Queue, chunk: Chunk) -> Result<Stored, QueueError> {
    queue.append(chunk, &Order::default()).wait()
}

#[test]
fn what_was_appended_is_there_after_a_restart_and_its_chain_holds() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(dir.path())).unwrap();
    let id = begun(&queue, "a.csv", 1);

    let appended = append(&queue, chunk(id, 0..300, 1)).unwrap();
    queue.close();
    let queue = Queue::open(config(dir.path())).unwrap();

    assert_eq!(appended.appended.accepted, 300);
    assert_eq!(queue.head().borrow().head, 300);
    let reader = Reader::open(queue.path()).unwrap();
    let verified = reader.verify().unwrap();
    assert_eq!((verified.events, verified.faults.len()), (300, 0));
    let row = reader.file(appended.file).unwrap().unwrap();
    assert_eq!((row.lines, row.taken), (300, Some(300)));
}

#[test]
fn facts_captured_before_are_counted_as_duplicates_and_changed_ones_as_revised() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(dir.path())).unwrap();
    let first = begun(&queue, "a.csv", 1);
    append(&queue, chunk(first, 0..100, 1)).unwrap();

    let again = begun(&queue, "b.csv", 2);
    let duplicate = append(&queue, chunk(again, 0..100, 1)).unwrap();
    let corrected = begun(&queue, "c.csv", 3);
    let longer = append(&queue, chunk(corrected, 0..103, 1)).unwrap();
    let changed = begun(&queue, "d.csv", 4);
    let revised = append(&queue, chunk(changed, 0..2, 9)).unwrap();

    assert_eq!(duplicate.appended, Appended { accepted: 0, duplicate: 100, revised: 0 });
    assert_eq!(longer.appended, Appended { accepted: 3, duplicate: 100, revised: 0 });
    assert_eq!(revised.appended, Appended { accepted: 0, duplicate: 0, revised: 2 });
    // The batch in which nothing was new was not stored.
    assert_eq!(queue.head().borrow().head, 100 + 103 + 2);
}

#[test]
fn the_same_bytes_under_another_name_are_a_duplicate_file() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(dir.path())).unwrap();
    let id = begun(&queue, "a.csv", 1);
    let stored = append(&queue, chunk(id, 0..1, 1)).unwrap();
    queue.moved(vec![(stored.file, PathBuf::from("/archive/a.csv"))]).unwrap();

    let again = queue.begin(&file("b.csv", 1)).unwrap();

    assert!(matches!(again, Begun::Duplicate { earlier, .. } if earlier == "a.csv"));
}

#[test]
fn two_files_of_the_same_content_in_one_group_are_stored_once() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(dir.path())).unwrap();
    let (first, second) = (begun(&queue, "a.csv", 1), begun(&queue, "b.csv", 1));
    let order = Order::default();

    let tickets = [first, second].map(|of| queue.append(chunk(of, 0..10, 1), &order));
    let [first, second] = tickets.map(|ticket| ticket.wait().unwrap());

    assert_eq!((first.appended.accepted, second.appended.accepted), (10, 0));
    assert_eq!(second.earlier.as_deref(), Some("a.csv"));
    assert_eq!(queue.head().borrow().head, 10);
}

#[test]
fn what_comes_after_a_chunk_that_failed_is_not_stored_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(QueueConfig { bytes_max: 64 * 1024, ..config(dir.path()) }).unwrap();
    let (large, small) = (begun(&queue, "a.csv", 1), begun(&queue, "b.csv", 2));
    let order = Order::default();
    let mut large = chunk(large, 0..1, 1);
    large.batches[0].bytes.resize(60 * 1024, 0);

    let tickets = [large, chunk(small, 5..6, 1)].map(|chunk| queue.append(chunk, &order));
    let [first, second] = tickets.map(Ticket::wait);

    assert!(matches!(first, Err(QueueError::Full { .. })), "{first:?}");
    assert!(matches!(second, Err(QueueError::Overtaken)), "{second:?}");
    assert_eq!(queue.head().borrow().head, 0);
}

#[test]
fn a_second_process_is_refused_by_the_number_of_the_first() {
    let dir = tempfile::tempdir().unwrap();
    let _queue = Queue::open(config(dir.path())).unwrap();

    let error = Queue::open(config(dir.path())).unwrap_err();

    assert!(error.to_string().contains(&format!("already running as process {}", std::process::id())), "{error}");
}

#[test]
fn a_full_queue_says_so_takes_nothing_and_takes_again_after_pruning() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(QueueConfig { bytes_max: 512 * 1024, ..config(dir.path()) }).unwrap();
    let mut stored = 0;
    let full = (0_u8..250).find_map(|n| {
        let id = begun(&queue, &format!("{n}.csv"), n);
        let from = usize::from(n) * 500;
        append(&queue, chunk(id, from..from + 500, 1)).inspect(|_| stored += 500).err()
    });

    assert!(matches!(full, Some(QueueError::Full { .. })), "{full:?}");
    assert!(!queue.has_room());
    assert_eq!(queue.head().borrow().head, stored);
    let mut state = queue.head().borrow().clone();
    state.marked = state.head;
    queue.save_link(state).unwrap();
    assert!(queue.prune(u64::MAX, Timestamp::MAX).unwrap() > 0);
    assert!(queue.has_room());
}

#[test]
fn nothing_unmarked_is_ever_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(dir.path())).unwrap();
    let id = begun(&queue, "a.csv", 1);
    append(&queue, chunk(id, 0..100, 1)).unwrap();

    assert_eq!(queue.prune(u64::MAX, Timestamp::MAX).unwrap(), 0);
}

#[test]
fn a_rebase_numbers_from_one_and_keeps_every_event() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(dir.path())).unwrap();
    for n in 0..4_u8 {
        let id = begun(&queue, &format!("{n}.csv"), n);
        append(&queue, chunk(id, usize::from(n) * 10..usize::from(n) * 10 + 10, 1)).unwrap();
    }
    let mut state = queue.head().borrow().clone();
    state.marked = 20;
    queue.save_link(state.clone()).unwrap();
    queue.prune(10, Timestamp::MAX).unwrap();
    state.epoch = 2;
    state.marked = 0;

    let rebased = queue.rebase(state).unwrap();

    assert_eq!((rebased.head, rebased.oldest_kept, rebased.epoch), (30, 1, 2));
    let verified = Reader::open(queue.path()).unwrap().verify().unwrap();
    assert_eq!((verified.events, verified.faults), (30, Vec::new()));
}

#[test]
fn a_file_gives_its_own_events_by_pages_also_after_a_rebase() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(dir.path())).unwrap();
    let (one, other) = (begun(&queue, "a.csv", 1), begun(&queue, "b.csv", 2));
    let one = append(&queue, chunk(one, 0..10, 1)).unwrap().file;
    append(&queue, chunk(other, 10..15, 1)).unwrap();
    append(&queue, chunk(Of::Known(one), 15..20, 2)).unwrap();
    let reader = Reader::open(queue.path()).unwrap();
    let seqs = |skip, limit| {
        let content = reader.content(&reader.file(one).unwrap().unwrap(), skip, limit).unwrap();
        (content.kept, content.events.iter().map(|event| event.seq).collect::<Vec<_>>())
    };

    assert_eq!(seqs(8, 4), (15, vec![9, 10, 16, 17]));
    assert_eq!(seqs(15, 4), (15, vec![]));
    let first = reader.content(&reader.file(one).unwrap().unwrap(), 0, 1).unwrap().events.remove(0);
    assert!(first.name.is_some_and(|name| name.event_type == "pick_confirmed" && !name.document.is_empty()));
    assert_eq!(reader.captured_lately(5).unwrap().len(), 2);

    // The first batch goes, and what is left is numbered anew.
    let mut state = queue.head().borrow().clone();
    state.marked = 10;
    queue.save_link(state.clone()).unwrap();
    queue.prune(10, Timestamp::MAX).unwrap();
    (state.epoch, state.marked) = (2, 0);
    queue.rebase(state).unwrap();
    assert_eq!(seqs(0, 9), (5, vec![6, 7, 8, 9, 10]));
}

#[test]
fn a_damaged_batch_is_given_up_and_its_events_can_be_captured_again() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(dir.path())).unwrap();
    let of = begun(&queue, "a.csv", 1);
    let lost = append(&queue, chunk(of, 0..100, 1)).unwrap();
    let of = begun(&queue, "b.csv", 2);
    append(&queue, chunk(of, 100..200, 1)).unwrap();

    let given_up = queue.give_up_batch(1).unwrap();
    let again = queue.give_up_batch(1).unwrap();
    let reader = Reader::open(queue.path()).unwrap();
    let waiting = reader.damaged_files().unwrap();
    let of = begun(&queue, "c.csv", 3);
    let captured = append(&queue, chunk(of, 0..200, 1)).unwrap();

    assert_eq!((given_up, again), (Some(lost.file), None));
    assert_eq!(waiting, [lost.file]);
    assert_eq!(captured.appended, Appended { accepted: 100, duplicate: 100, revised: 0 });
}

#[test]
fn a_flipped_bit_in_a_payload_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let queue = Queue::open(config(dir.path())).unwrap();
    let id = begun(&queue, "a.csv", 1);
    append(&queue, chunk(id, 0..100, 1)).unwrap();
    queue.close();
    let db = Connection::open(dir.path().join("queue.db")).unwrap();
    let mut body: Vec<u8> = db.query_row("SELECT body FROM batch", [], |r| r.get(0)).unwrap();
    body[40] ^= 4;
    db.execute("UPDATE batch SET body = ?1", [body]).unwrap();

    let reader = Reader::open(&dir.path().join("queue.db")).unwrap();

    assert!(!reader.batches(1, 1).unwrap()[0].is_sound);
    assert!(!reader.verify().unwrap().faults.is_empty());
}
