//! The shell around the link engine: translates, decides nothing.
//!
//! One task. The engine's outputs are carried out in their order; the database is asked on blocking threads, never here.

mod asking;

use std::{collections::VecDeque, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use docksync_proto::{
    frame::{Batch, BatchHead, Beat, Frame, FrameError, Grant, Hello, Unavailable},
    link::{Ack, Condition, Lost, SendAction, SendInput, Sender, SenderConfig},
    topic::Leaf,
};
use jiff::{Timestamp, ToSpan as _};
use tokio::{
    sync::watch,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    facts::UplinkFacts,
    fates::Fates,
    mqtt::{AckReason, Connection, ConnectionSettings, Event, LostReason, Source},
    tls::{Identity, IdentityError},
};
use crate::queue::{BatchRow, Queue, QueueError, Reader};

/// How often the engine is told that time passes.
const TICK: Duration = Duration::from_millis(250);
/// How often the centre is told how the site stands.
const BEAT: Duration = Duration::from_secs(30);
/// Messages that may be unacknowledged: enough to keep a ledger that commits in groups busy.
const IN_FLIGHT_MAX: u16 = 48;
/// Batches read from the database at once.
const READ_BATCHES: u32 = 64;
const KEEP_ALIVE_SECS: u16 = 20;
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// Delay before the next connection where the disk had no room for the link's state, in milliseconds.
const FULL_RETRY_MS: u64 = 5_000;
/// How long a stop waits for the goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// Why the uplink ended.
#[derive(Debug, thiserror::Error)]
pub enum UplinkError {
    /// The queue failed: its process must end and read it again.
    #[error("the uplink cannot use the queue")]
    Queue(#[from] QueueError),
    /// A frame of ours could not be made.
    #[error("a frame could not be made")]
    Frame(#[from] FrameError),
    /// A thread of the database ended.
    #[error("a database thread ended")]
    Thread,
}

/// What the uplink is started with.
pub struct Uplink {
    /// The queue.
    pub queue: Queue,
    /// Folder of the identity; read anew for every connection, so that a renewed certificate is used.
    pub identity: PathBuf,
    /// Host, port where the configuration says otherwise than the enrolment.
    pub centre: Option<(String, u16)>,
    /// Engine settings.
    pub config: SenderConfig,
    /// What pages read.
    pub facts: watch::Sender<UplinkFacts>,
    /// What pages ask of events.
    pub fates: Fates,
    /// Asked for a try now.
    pub try_now: Arc<tokio::sync::Notify>,
    /// Files that wait in the folders.
    pub files_waiting: watch::Receiver<u32>,
}

impl std::fmt::Debug for Uplink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Uplink").field("identity", &self.identity).finish_non_exhaustive()
    }
}

struct Shell {
    up: Uplink,
    sender: Sender,
    reader: Option<Reader>,
    connection: Option<Connection>,
    identity: Option<Identity>,
    reconnect_at: Option<Instant>,
    begun: Instant,
    ready: VecDeque<BatchRow>,
    /// Batches that the receiver asked for again.
    again: VecDeque<BatchRow>,
    /// Whether the engine's state changed in a way that is stored at leisure.
    is_noted: bool,
    beat_at: Instant,
    online: bool,
}

impl Uplink {
    /// Runs until it is stopped.
    ///
    /// # Errors
    /// [`UplinkError`] where the queue fails; a lost line is no error.
    pub async fn run(self, stop: CancellationToken) -> Result<(), UplinkError> {
        let mut head = self.queue.head();
        let state = head.borrow_and_update().clone();
        let reader = open_reader(&self.queue).await?;
        let try_now = self.try_now.clone();
        let fates = self.fates.clone();
        let mut shell = Shell {
            sender: Sender::new(state, self.config.clone()),
            reader: Some(reader),
            connection: None,
            identity: None,
            reconnect_at: Some(Instant::now()),
            begun: Instant::now(),
            ready: VecDeque::new(),
            again: VecDeque::new(),
            is_noted: false,
            beat_at: Instant::now(),
            online: false,
            up: self,
        };
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let wait = shell.reconnect_at;
            tokio::select! {
                () = stop.cancelled() => break,
                event = next(&mut shell.connection) => shell.event(event).await?,
                changed = head.changed() => {
                    if changed.is_err() {
                        return Err(QueueError::Closed.into());
                    }
                    let state = head.borrow_and_update().clone();
                    shell.stored(state.head, state.head_chain, state.oldest_kept, state.oldest_chain).await?;
                }
                () = sleep_until(wait) => shell.connect().await?,
                () = try_now.notified(), if wait.is_some() => shell.connect().await?,
                () = fates.wanted() => {}
                _ = tick.tick() => shell.tick().await?,
            }
            shell.ask()?;
            shell.pump().await?;
            shell.tell();
        }
        shell.stop().await
    }
}

async fn next(connection: &mut Option<Connection>) -> Event {
    match connection {
        Some(connection) => connection.next().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn open_reader(queue: &Queue) -> Result<Reader, UplinkError> {
    let path = queue.path().to_owned();
    Ok(tokio::task::spawn_blocking(move || Reader::open(&path)).await.map_err(|_| UplinkError::Thread)??)
}

impl Shell {
    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn feed(&mut self, input: SendInput) -> Result<(), UplinkError> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let (now, dice) = (self.now(), rand::random());
            for action in self.sender.step(now, dice, input) {
                self.act(action, &mut inputs).await?;
            }
        }
        Ok(())
    }

    async fn act(&mut self, action: SendAction, inputs: &mut VecDeque<SendInput>) -> Result<(), UplinkError> {
        match action {
            SendAction::Persist => self.save().await,
            SendAction::Note => {
                self.is_noted = true;
                Ok(())
            }
            SendAction::Hello(hello) => self.hello(hello),
            SendAction::Unavailable(gone) => self.unavailable(gone),
            SendAction::Rebase { epoch } => self.rebase(epoch, inputs).await,
            SendAction::Resend { first, last } => self.load_again(first, last).await,
            SendAction::Reconnect { after } => {
                self.disconnect(after);
                Ok(())
            }
        }
    }

    async fn save(&mut self) -> Result<(), UplinkError> {
        self.is_noted = false;
        let (queue, state) = (self.up.queue.clone(), self.sender.state().clone());
        match blocking(move || queue.save_link(state)).await {
            // A full disk stops neither sending nor the process. What depends on this being stored must not go out, so the
            // connection ends; what was only noted is noted again.
            Err(UplinkError::Queue(QueueError::Full { .. })) => {
                self.is_noted = true;
                self.disconnect(FULL_RETRY_MS);
                Ok(())
            }
            other => other,
        }
    }

    async fn rebase(&mut self, epoch: u32, inputs: &mut VecDeque<SendInput>) -> Result<(), UplinkError> {
        tracing::warn!(epoch, "centre opened a new epoch, every kept event is numbered anew");
        self.ready.clear();
        self.again.clear();
        let (queue, state) = (self.up.queue.clone(), self.sender.state().clone());
        let state = blocking(move || queue.rebase(state)).await?;
        inputs.push_back(SendInput::Pruned { oldest_kept: state.oldest_kept, oldest_chain: state.oldest_chain });
        inputs.push_back(SendInput::Rebased { head: state.head, chain: state.head_chain });
        Ok(())
    }

    async fn stored(
        &mut self,
        head: u64,
        chain: docksync_proto::identity::Chain,
        oldest_kept: u64,
        oldest_chain: docksync_proto::identity::Chain,
    ) -> Result<(), UplinkError> {
        let own = self.sender.state();
        if own.oldest_kept != oldest_kept {
            self.feed(SendInput::Pruned { oldest_kept, oldest_chain }).await?;
        }
        if self.sender.state().head != head {
            self.feed(SendInput::Appended { head, chain }).await?;
        }
        Ok(())
    }

    // ---- the connection ----

    async fn connect(&mut self) -> Result<(), UplinkError> {
        self.reconnect_at = None;
        let now = Timestamp::now();
        let dir = self.up.identity.clone();
        let loaded =
            tokio::task::spawn_blocking(move || Identity::load(&dir, now)).await.map_err(|_| UplinkError::Thread)?;
        match loaded {
            Ok(identity) => {
                self.open(&identity);
                self.identity = Some(identity);
                Ok(())
            }
            Err(error) => self.no_identity(&error).await,
        }
    }

    fn open(&mut self, identity: &Identity) {
        let (host, port) = self.up.centre.clone().unwrap_or((identity.centre.host.clone(), identity.centre.port));
        let address = format!("{host}:{port}");
        let site = identity.site.clone();
        let will = state_json(site.as_str(), false, Condition::Disconnected, self.sender.state().head, 0);
        let settings = ConnectionSettings {
            host,
            port,
            tls: identity.tls.clone(),
            site,
            keep_alive_secs: KEEP_ALIVE_SECS,
            in_flight_max: IN_FLIGHT_MAX,
            connect_within: CONNECT_WITHIN,
            will,
        };
        self.connection = Some(Connection::open(&settings));
        self.up.facts.send_modify(|facts| {
            facts.address = address;
            facts.next_try = None;
        });
    }

    async fn no_identity(&mut self, error: &IdentityError) -> Result<(), UplinkError> {
        self.lost(format!("{error}"));
        self.feed(SendInput::Closed(Lost::Network)).await
    }

    fn lost(&self, why: String) {
        self.up.facts.send_modify(|facts| {
            if facts.last_error.as_ref() != Some(&why) {
                tracing::warn!(error = why, "connection to the centre was lost");
            }
            facts.last_error = Some(why);
            facts.last_error_at = Some(Timestamp::now());
        });
    }

    fn disconnect(&mut self, after: u64) {
        self.connection = None;
        self.ready.clear();
        self.online = false;
        self.up.fates.book().lost();
        let delay = Duration::from_millis(after);
        self.reconnect_at = Some(Instant::now() + delay);
        let next = i64::try_from(after).unwrap_or(i64::MAX).milliseconds();
        self.up.facts.send_modify(|facts| facts.next_try = Timestamp::now().checked_add(next).ok());
    }

    async fn event(&mut self, event: Event) -> Result<(), UplinkError> {
        match event {
            Event::Connected => Ok(()),
            Event::Subscribed => {
                self.online = true;
                tracing::info!("connected to the centre");
                self.up.facts.send_modify(|facts| facts.connects += 1);
                self.publish_state();
                self.feed(SendInput::Opened).await
            }
            Event::Message { source: Source::Centre, payload } => {
                let online = centre_is_online(&payload);
                self.feed(SendInput::Centre { online }).await
            }
            Event::Message { source: Source::Leaf(Leaf::UpMark), payload } => self.answer(&payload).await,
            Event::Message { source: Source::Leaf(leaf), .. } => {
                tracing::debug!(topic = leaf.as_str(), "message on a topic that has no reader yet");
                Ok(())
            }
            Event::PubAck { token, reason } => {
                if token == asking::QUESTION && self.question_acked(reason) {
                    return Ok(());
                }
                let ack = match reason {
                    AckReason::Success => Ack::Taken,
                    AckReason::NobodyListens => Ack::NobodyListens,
                    AckReason::NotAuthorized => Ack::NotAuthorised,
                    AckReason::QuotaExceeded | AckReason::Refused(_) => Ack::Refused,
                };
                self.feed(SendInput::PubAck { through: token, ack }).await
            }
            Event::Lost { why } => {
                let kind = if matches!(why, LostReason::TakenOver) { Lost::TakenOver } else { Lost::Network };
                self.lost(chain_of(&why));
                self.feed(SendInput::Closed(kind)).await
            }
        }
    }

    async fn answer(&mut self, payload: &[u8]) -> Result<(), UplinkError> {
        let key = self.identity.as_ref().map(|i| i.centre_public_key.clone());
        let frame = match Frame::open(payload, key.as_deref()) {
            Ok(frame) => frame,
            Err(error) => {
                tracing::warn!(%error, "answer of the centre could not be read");
                return Ok(());
            }
        };
        let input = match frame {
            Frame::Grant(grant) => self.grant(grant).await?,
            Frame::Mark(mark) => {
                self.clock(mark.centre_time_ms);
                SendInput::Mark(mark)
            }
            Frame::Refuse(refuse) => {
                tracing::warn!(reason = refuse.reason.as_str(), expected = refuse.expected, "centre refused a frame");
                SendInput::Refuse(refuse)
            }
            Frame::Hello(_) | Frame::Batch(_) | Frame::Beat(_) | Frame::Unavailable(_) | Frame::Question(_) => {
                return Ok(());
            }
            Frame::Answer(answer) => {
                self.told(answer);
                return Ok(());
            }
        };
        self.feed(input).await
    }

    async fn grant(&mut self, grant: Grant) -> Result<SendInput, UplinkError> {
        self.clock(grant.centre_time_ms);
        tracing::info!(
            epoch = grant.epoch,
            resume_from = grant.resume_from,
            credit = grant.credit,
            "centre granted the stream"
        );
        self.ready.clear();
        let marked = grant.marked;
        let own = self.read(move |reader| reader.chain_at(marked)).await?;
        Ok(SendInput::Grant { grant, own })
    }

    fn clock(&self, centre_ms: i64) {
        let offset = centre_ms - Timestamp::now().as_millisecond();
        self.up.facts.send_modify(|facts| facts.clock_offset_ms = Some(offset));
    }

    // ---- sending ----

    fn publish(&mut self, leaf: Leaf, frame: &Frame, token: u64) -> Result<bool, UplinkError> {
        let (Some(connection), Some(identity)) = (self.connection.as_mut(), self.identity.as_ref()) else {
            return Ok(false);
        };
        let bytes = frame.seal(Some(&identity.signing_key))?;
        Ok(connection.try_publish(leaf, Bytes::from(bytes), token).is_ok())
    }

    fn hello(&mut self, mut hello: Hello) -> Result<(), UplinkError> {
        hello.clock_ms = Timestamp::now().as_millisecond();
        // Where the window is full, the engine asks again in its time.
        self.publish(Leaf::UpHello, &Frame::Hello(hello), 0).map(drop)
    }

    fn unavailable(&mut self, gone: Unavailable) -> Result<(), UplinkError> {
        tracing::error!(first = gone.first, last = gone.last, "events that the centre lost are no longer kept here");
        self.publish(Leaf::UpBatch, &Frame::Unavailable(gone), gone.last).map(drop)
    }

    /// Sends what the engine allows and the connection takes.
    async fn pump(&mut self) -> Result<(), UplinkError> {
        while let Some(batch) = self.again.pop_front() {
            if !self.send(&batch)? {
                self.again.push_front(batch);
                return Ok(());
            }
        }
        while let Some(window) = self.sender.window() {
            if self.connection.as_ref().is_none_or(|c| c.room() == 0) {
                return Ok(());
            }
            while self.ready.front().is_some_and(|batch| batch.last() < window.from) {
                self.ready.pop_front();
            }
            if self.ready.front().is_none_or(|batch| batch.first > window.from) {
                let from = window.from;
                self.ready = self.read(move |reader| reader.batches(from, READ_BATCHES)).await?.into();
            }
            // What lies before the first kept batch is gone: the engine says so, and nothing is sent over the gap.
            let Some(batch) = self.ready.pop_front().filter(|b| b.first <= window.from) else { return Ok(()) };
            if !self.send(&batch)? {
                self.ready.push_front(batch);
                return Ok(());
            }
            let sent = SendInput::Sent { through: batch.last(), chain: batch.chain_after };
            self.feed(sent).await?;
        }
        Ok(())
    }

    fn send(&mut self, batch: &BatchRow) -> Result<bool, UplinkError> {
        let (epoch, session) = (self.sender.state().epoch, self.sender.session());
        if !batch.is_sound {
            // Never sent: what the disk altered is not what was captured. Its file is read again from the archive.
            tracing::error!(
                first = batch.first,
                last = batch.last(),
                "stored batch is damaged, its events are left out"
            );
            let (first, last, chain_after) = (batch.first, batch.last(), batch.chain_after);
            let gone = Unavailable { epoch, session, first, last, chain_after };
            self.give_up(first);
            return self.publish(Leaf::UpBatch, &Frame::Unavailable(gone), last);
        }
        let head = BatchHead {
            epoch,
            session,
            first: batch.first,
            count: batch.count,
            chain_before: batch.chain_before,
            chain_after: batch.chain_after,
        };
        self.publish(Leaf::UpBatch, &Frame::Batch(Batch { head, events: batch.body.clone() }), batch.last())
    }

    /// Beside the line: the queue may be busy, and the batch is not sent in either case.
    fn give_up(&self, first: u64) {
        let queue = self.up.queue.clone();
        drop(tokio::task::spawn_blocking(move || match queue.give_up_batch(first) {
            Ok(file) => tracing::warn!(first, ?file, "events of a damaged batch will be captured again"),
            Err(error) => tracing::error!(first, %error, "damaged batch could not be given up"),
        }));
    }

    async fn load_again(&mut self, first: u64, last: u64) -> Result<(), UplinkError> {
        let batches = self.read(move |reader| reader.batches(first, READ_BATCHES)).await?;
        self.again.extend(batches.into_iter().filter(|batch| batch.first <= last));
        Ok(())
    }

    async fn read<T: Send + 'static>(
        &mut self,
        ask: impl FnOnce(&Reader) -> Result<T, QueueError> + Send + 'static,
    ) -> Result<T, UplinkError> {
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => open_reader(&self.up.queue).await?,
        };
        let (reader, answer) = tokio::task::spawn_blocking(move || {
            let answer = ask(&reader);
            (reader, answer)
        })
        .await
        .map_err(|_| UplinkError::Thread)?;
        self.reader = Some(reader);
        Ok(answer?)
    }

    // ---- time ----

    async fn tick(&mut self) -> Result<(), UplinkError> {
        self.feed(SendInput::Tick).await?;
        if self.is_noted {
            self.save().await?;
        }
        if self.online && Instant::now() >= self.beat_at {
            self.beat_at = Instant::now() + BEAT;
            self.publish_state();
            self.beat().await?;
        }
        Ok(())
    }

    async fn beat(&mut self) -> Result<(), UplinkError> {
        let now = Timestamp::now();
        let date = now.checked_sub(48.hours()).unwrap_or(now).to_zoned(jiff::tz::TimeZone::UTC).date();
        let from = i64::from(date.year()) * 10_000 + i64::from(date.month()) * 100 + i64::from(date.day());
        let marked = self.sender.state().marked;
        let (totals, oldest) =
            self.read(move |reader| Ok((reader.totals(from)?, reader.oldest_after(marked)?))).await?;
        let counts = self.up.queue.counts();
        let used = counts.used_bytes.load(std::sync::atomic::Ordering::Relaxed);
        let state = self.sender.state();
        let beat = Beat {
            epoch: state.epoch,
            head: state.head,
            marked,
            oldest_age_ms: oldest.map_or(0, |at| u64::try_from(now.as_millisecond() - at).unwrap_or(0)),
            files_waiting: *self.up.files_waiting.borrow(),
            disk_used_bytes: used,
            disk_free_bytes: self.up.queue.bytes_max().saturating_sub(used),
            clock_ms: now.as_millisecond(),
            totals,
        };
        self.publish(Leaf::UpBeat, &Frame::Beat(beat), 0).map(drop)
    }

    fn publish_state(&mut self) {
        let Some(identity) = self.identity.as_ref() else { return };
        let state = self.sender.state();
        let json = state_json(identity.site.as_str(), true, self.sender.condition(), state.head, state.marked);
        let sent = self.connection.as_mut().map(|connection| connection.try_publish(Leaf::State, json, 0));
        if matches!(sent, Some(Err(_))) {
            // A full window is traffic enough to show that the site is there.
            tracing::trace!("presence was not sent, the window is full");
        }
    }

    fn tell(&self) {
        let (state, condition) = (self.sender.state(), self.sender.condition());
        let (sent, mark_ms, tries) = (self.sender.sent_through(), self.sender.mark_time(), self.sender.failures());
        self.up.facts.send_if_modified(|facts| {
            let before = facts.clone();
            let now = Timestamp::now();
            if facts.condition != condition {
                facts.condition = condition;
                facts.since = now;
            }
            let moved = |from: u64, to: u64, at: &mut Option<Timestamp>| {
                if to > from {
                    *at = Some(now);
                }
                to
            };
            facts.sent = moved(facts.sent, sent, &mut facts.moved.sent);
            facts.marked = moved(facts.marked, state.marked, &mut facts.moved.marked);
            facts.applied = moved(facts.applied, state.applied, &mut facts.moved.applied);
            facts.backed_up = state.backed_up;
            facts.epoch = state.epoch;
            facts.mark_ms = mark_ms;
            facts.tries = tries;
            *facts != before
        });
    }

    async fn stop(mut self) -> Result<(), UplinkError> {
        if let Some(connection) = self.connection.take() {
            connection.close(GOODBYE).await;
        }
        self.save().await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, QueueError> + Send + 'static,
) -> Result<T, UplinkError> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(|_| UplinkError::Thread)??)
}

/// An error with everything behind it, as one sentence.
fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn centre_is_online(payload: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(payload)
        .is_ok_and(|v| v.get("online") == Some(&serde_json::Value::Bool(true)))
}

fn state_json(site: &str, online: bool, condition: Condition, head: u64, marked: u64) -> Bytes {
    let json = serde_json::json!({
        "site": site,
        "online": online,
        "version": env!("CARGO_PKG_VERSION"),
        "link": format!("{condition:?}"),
        "head": head,
        "marked": marked,
    });
    Bytes::from(json.to_string())
}
