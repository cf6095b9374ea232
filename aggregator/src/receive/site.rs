//! One site: the shell around its receiver.
//!
//! Batches are checked and decoded here, handed to the ledger's writer in their order, and marked when their commit is durable.
//! Several may be on their way to the ledger at once, so that it can group them; a hello waits until none is.

use std::{path::PathBuf, pin::Pin, sync::Arc, time::Instant};

use bytes::Bytes;
use docksync_proto::{
    codec::{self, BatchEncoder, Decoded},
    fate::Question,
    frame::{self, Batch, BatchHead, Beat, Frame, FrameError, Hello, Refuse, RefuseReason, Unavailable},
    identity::Hash,
    link::{Decision, Facts, HelloFacts, Offer, Receiver, ReceiverState, Taken, Verdict},
    site::SiteId,
    topic::Leaf,
};
use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesOrdered};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{
    ReceiveError, Shared,
    answer::Questions,
    transport::{Done, Inbound, RefuseCode},
};
use crate::{
    admit,
    ledger::{Append, Change, Committed, LedgerError, LinkRow, Reads as _, audit::Entry, reads::SqliteReader},
};

/// Missing events are asked for again after so long without them.
const WANT_AGAIN: std::time::Duration = std::time::Duration::from_secs(20);
/// Ranges of one mark.
const WANTS_MAX: usize = 64;

/// What is stored of a link.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredLink {
    /// The engine's state.
    pub receiver: ReceiverState,
    /// When a stream was opened or continued last, milliseconds since 1970.
    pub granted_ms: i64,
}

type CommitReply = oneshot::Receiver<Result<Vec<Committed>, LedgerError>>;

/// A batch on its way to the ledger.
struct OnTheWay {
    epoch: u32,
    taken: Taken,
    done: Done,
    reply: CommitReply,
}

type Landed = (u32, Taken, Done, Result<Vec<Committed>, LedgerError>);

/// The task of one site.
pub struct SiteTask {
    site: SiteId,
    shared: Arc<Shared>,
    receiver: Receiver,
    granted_ms: i64,
    heard: Instant,
    keys: Vec<Vec<u8>>,
    commits: FuturesOrdered<Pin<Box<dyn Future<Output = Landed> + Send + Sync>>>,
    is_mark_due: bool,
    /// What was asked for again last, and when.
    wanted: (std::time::Instant, Vec<(u64, u64)>),
    told: (u64, u64, u32),
    questions: Questions,
}

impl std::fmt::Debug for SiteTask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteTask").field("site", &self.site).finish_non_exhaustive()
    }
}

impl SiteTask {
    /// A task that continues from what the ledger holds.
    pub(super) fn new(site: SiteId, shared: Arc<Shared>, stored: Option<StoredLink>) -> Self {
        let granted_ms = stored.as_ref().map_or(0, |s| s.granted_ms);
        let receiver = Receiver::new(site.clone(), stored.map(|s| s.receiver));
        Self {
            site,
            shared,
            receiver,
            granted_ms,
            heard: Instant::now(),
            keys: Vec::new(),
            commits: FuturesOrdered::new(),
            is_mark_due: false,
            told: (0, 0, 0),
            wanted: (std::time::Instant::now(), Vec::new()),
            questions: Questions::default(),
        }
    }

    /// Runs until the door to it is closed.
    ///
    /// # Errors
    /// [`ReceiveError`] where the ledger fails for good.
    pub(super) async fn run(mut self, mut inbox: mpsc::Receiver<Inbound>) -> Result<(), ReceiveError> {
        let mut tick = tokio::time::interval(super::MARK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        self.show();
        loop {
            tokio::select! {
                biased;
                Some(landed) = self.commits.next(), if !self.commits.is_empty() => {
                    self.landed(landed)?;
                    while let Some(Some(landed)) = self.commits.next().now_or_never() {
                        self.landed(landed)?;
                    }
                }
                answer = self.questions.next(), if self.questions.is_busy() => {
                    if let Some(answer) = answer {
                        self.send(&Frame::Answer(answer)).await;
                    }
                }
                inbound = inbox.recv() => match inbound {
                    Some(inbound) => self.take(inbound).await?,
                    None => break,
                },
                _ = tick.tick() => self.is_mark_due |= self.has_news(),
            }
            if std::mem::take(&mut self.is_mark_due) {
                self.mark().await;
            }
        }
        // What was accepted is committed; its marks are learned at the next hello.
        self.drain().await
    }

    fn facts(&self) -> Facts {
        Facts {
            ledger_id: self.shared.ledger_id,
            credit: self.shared.credit(),
            centre_time_ms: Timestamp::now().as_millisecond(),
            backed_up: (self.shared.progress.backed_up)(&self.site),
            applied: (self.shared.progress.applied)(&self.site),
        }
    }

    /// Whether something changed that the site should hear without sending anything.
    fn has_news(&mut self) -> bool {
        let facts = self.facts();
        let now = (facts.applied.1, facts.backed_up.1, facts.credit);
        let wants = self.wants();
        // Asked for anew where more is missing, or after a while without an answer.
        let is_wanting = !wants.is_empty() && (wants != self.wanted.1 || self.wanted.0.elapsed() >= WANT_AGAIN);
        (std::mem::replace(&mut self.told, now) != now || is_wanting) && self.receiver.state().is_some()
    }

    /// What the ledger lacks of the open epoch.
    fn wants(&self) -> Vec<(u64, u64)> {
        let epoch = self.receiver.state().map_or(0, |s| s.epoch);
        let mut wants = self.shared.wants.of(&self.site, epoch);
        wants.truncate(WANTS_MAX);
        wants
    }

    async fn mark(&mut self) {
        let facts = self.facts();
        self.told = (facts.applied.1, facts.backed_up.1, facts.credit);
        let wants = self.wants();
        self.wanted = (std::time::Instant::now(), wants.clone());
        if let Some(mark) = self.receiver.mark(facts, wants) {
            self.send(&Frame::Mark(mark)).await;
        }
        self.show();
    }

    async fn send(&self, frame: &Frame) {
        let bytes = match frame.seal(Some(&self.shared.key)) {
            Ok(bytes) => Bytes::from(bytes),
            Err(error) => {
                tracing::error!(site = %self.site, %error, "answer could not be made");
                return;
            }
        };
        if let Err(error) = self.shared.outbound.publish(&self.site, Leaf::UpMark, bytes).await {
            // The site asks again when it is back.
            tracing::debug!(site = %self.site, %error, "answer was not sent");
        }
    }

    async fn take(&mut self, inbound: Inbound) -> Result<(), ReceiveError> {
        if inbound.leaf == Leaf::State {
            self.state(&inbound.payload);
            inbound.done.ack();
            return Ok(());
        }
        let frame = match self.open(&inbound.payload).await {
            Ok(frame) => frame,
            Err(error) => {
                return self
                    .unreadable(&inbound, &error)
                    .map(|()| inbound.done.refuse(RefuseCode::PayloadFormatInvalid));
            }
        };
        self.shared.views.change(&self.site, |view| view.heard_at = Some(Timestamp::now()));
        if !matches!(frame, Frame::Hello(_)) {
            // A hello may be a copy's: it does not count as a word of the machine that was granted.
            self.heard = Instant::now();
        }
        match frame {
            Frame::Hello(hello) => {
                self.hello(&hello).await?;
                inbound.done.ack();
                Ok(())
            }
            Frame::Batch(batch) => self.batch(batch, inbound).await,
            Frame::Unavailable(gone) => self.unavailable(gone, inbound.done).await,
            Frame::Beat(beat) => {
                self.beat(&beat);
                inbound.done.ack();
                Ok(())
            }
            Frame::Question(question) => {
                self.question(question);
                inbound.done.ack();
                Ok(())
            }
            Frame::Grant(_) | Frame::Mark(_) | Frame::Refuse(_) | Frame::Answer(_) => {
                inbound.done.ack();
                Ok(())
            }
        }
    }

    /// Opens a frame with one of the site's keys; they are read again before one is refused.
    async fn open(&mut self, payload: &[u8]) -> Result<Frame, FrameError> {
        if self.shared.revoked.contains(&self.site) {
            self.keys.clear();
            return Err(FrameError::Signature);
        }
        if let Some(frame) = self.keys.iter().find_map(|key| Frame::open(payload, Some(key)).ok()) {
            return Ok(frame);
        }
        self.keys = (self.shared.keys_of)(self.site.clone()).await;
        let mut last = FrameError::Signature;
        for key in &self.keys {
            match Frame::open(payload, Some(key)) {
                Ok(frame) => return Ok(frame),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// What no frame of ours could be is kept for whoever has to look, and counted.
    fn unreadable(&self, inbound: &Inbound, error: &FrameError) -> Result<(), ReceiveError> {
        tracing::warn!(site = %self.site, topic = inbound.leaf.as_str(), %error, "frame was refused");
        self.shared.views.change(&self.site, |view| view.refused += 1);
        if matches!(error, FrameError::Version { .. }) {
            let name = format!("{}-{}.frame", self.site, Timestamp::now().as_millisecond());
            self.keep(&name, &inbound.payload)?;
        }
        Ok(())
    }

    fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), ReceiveError> {
        let path: PathBuf = self.shared.kept.join(name);
        let written = std::fs::create_dir_all(&self.shared.kept).and_then(|()| std::fs::write(&path, bytes));
        written.map_err(|source| ReceiveError::Keep { path, source })
    }

    // ---- hello ----

    async fn hello(&mut self, hello: &Hello) -> Result<(), ReceiveError> {
        self.drain().await?;
        if (self.shared.is_approved)(self.site.clone(), hello.nonce).await {
            self.receiver.approve(hello.nonce);
        }
        let about = self.about(hello).await?;
        let decision = self.receiver.hello(hello, self.facts(), about, rand::random());
        self.clock(hello.clock_ms);
        match decision {
            Decision::Grant { grant, closed } => {
                self.heard = Instant::now();
                self.granted_ms = Timestamp::now().as_millisecond();
                let incident = closed.map(|(epoch, marked)| self.closed_epoch(epoch, marked, hello));
                self.store_link(incident).await?;
                tracing::info!(site = %self.site, host = hello.host, epoch = grant.epoch, resume_from = grant.resume_from, "stream granted");
                self.shared.views.change(&self.site, |view| view.head = hello.head);
                self.send(&Frame::Grant(grant)).await;
            }
            Decision::Hold(refuse) => {
                self.store_link(None).await?;
                tracing::error!(site = %self.site, host = hello.host, "machine is set aside until a person decides");
                self.send(&Frame::Refuse(refuse)).await;
            }
            Decision::Refuse(refuse) => self.send(&Frame::Refuse(refuse)).await,
            Decision::Ignore => {}
        }
        self.show();
        Ok(())
    }

    async fn about(&self, hello: &Hello) -> Result<HelloFacts, ReceiveError> {
        let silent = u64::try_from(self.heard.elapsed().as_millis()).unwrap_or(u64::MAX);
        let enrolled_ms = (self.shared.enrolled_at)(self.site.clone()).await;
        let (site, epoch, head, chain) = (self.site.clone(), hello.epoch, hello.head, hello.head_chain);
        let is_prefix = self
            .read(move |reader| {
                let batch = reader.batch_with(&site, epoch, head)?.filter(|b| b.head.last() == head);
                Ok(batch.map(|b| b.head.chain_after == chain))
            })
            .await?;
        let is_prefix = if hello.head == 0 { Some(true) } else { is_prefix };
        Ok(HelloFacts { is_prefix, silent, enrolled_anew: enrolled_ms.is_some_and(|at| at > self.granted_ms) })
    }

    async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&SqliteReader) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, ReceiveError> {
        let path = self.shared.ledger.path().to_owned();
        let asked = tokio::task::spawn_blocking(move || SqliteReader::open(&path).and_then(|reader| ask(&reader)));
        Ok(asked.await.map_err(|_| ReceiveError::Thread)??)
    }

    fn closed_epoch(&self, epoch: u32, marked: u64, hello: &Hello) -> Entry {
        let heard = self.shared.views.all().get(&self.site).map_or(0, |view| view.head);
        let missing = heard.saturating_sub(marked);
        tracing::error!(site = %self.site, epoch, marked, heard, missing, host = hello.host, "epoch was closed and a new one opened");
        Entry {
            who: "receive".to_owned(),
            act: "epoch_closed".to_owned(),
            subject: self.site.to_string(),
            detail: format!(
                "epoch {epoch} closed at event {marked}; the site had said {heard}, so {missing} events may come again only by an export; now host {}",
                hello.host
            ),
        }
    }

    async fn store_link(&self, incident: Option<Entry>) -> Result<(), ReceiveError> {
        let Some(link) = self.receiver.state().map(|state| self.link_row(state.clone())) else { return Ok(()) };
        // In one transaction: a gap without its incident would never be heard of.
        let changes = incident.into_iter().map(Change::Audit).collect();
        Ok(self.shared.ledger.link(vec![link], changes).await?)
    }

    fn link_row(&self, receiver: ReceiverState) -> LinkRow {
        let (epoch, marked) = (receiver.epoch, receiver.marked);
        let stored = StoredLink { receiver, granted_ms: self.granted_ms };
        let state = serde_json::to_vec(&stored).unwrap_or_default();
        LinkRow { site: self.site.clone(), epoch, marked, state }
    }

    // ---- batches ----

    async fn batch(&mut self, batch: Batch, inbound: Inbound) -> Result<(), ReceiveError> {
        let Batch { head, events: columns } = batch;
        let decoded = match codec::decode_batch(&columns) {
            Ok(decoded) => decoded,
            Err(error) => {
                tracing::error!(site = %self.site, first = head.first, %error, "batch could not be decoded");
                self.keep(&format!("{}-{}-{}.batch", self.site, head.epoch, head.first), &columns)?;
                self.shared.views.change(&self.site, |view| view.refused += 1);
                self.refuse(&head, RefuseReason::Version).await;
                inbound.done.refuse(RefuseCode::PayloadFormatInvalid);
                return Ok(());
            }
        };
        let links: Vec<(Uuid, Hash)> = decoded.iter().map(|d| (d.id, d.digests.payload)).collect();
        let known_before = self.known_before(&head).await?;
        match self.receiver.offer(Offer { head, links: &links, known_before }) {
            Verdict::Take(taken) => self.submit(head, columns, decoded, taken, inbound.done).await,
            Verdict::Known => {
                self.mend(head, columns, decoded).await?;
                self.is_mark_due = true;
                inbound.done.ack();
                Ok(())
            }
            Verdict::Refuse(refuse) => {
                self.refused(&refuse).await;
                inbound.done.ack();
                Ok(())
            }
            Verdict::Fork(refuse) => {
                self.keep(&format!("{}-{}-{}.fork", self.site, head.epoch, head.first), &inbound.payload)?;
                self.drain().await?;
                self.store_link(None).await?;
                tracing::error!(site = %self.site, epoch = head.epoch, first = head.first, "stream forked and is set aside until a person decides");
                self.refused(&refuse).await;
                inbound.done.ack();
                self.show();
                Ok(())
            }
        }
    }

    /// Puts a batch back that the ledger lacked.
    async fn mend(&self, head: BatchHead, columns: Vec<u8>, events: Vec<Decoded>) -> Result<(), ReceiveError> {
        let is_wanted = self.wants().iter().any(|(first, last)| head.first <= *last && head.last() >= *first);
        if !is_wanted {
            return Ok(());
        }
        let site = self.site.clone();
        let mended = self.shared.ledger.run(move |store| store.mend(&site, &head, &columns, &events)).await?;
        // Asked for once: what was not mended is looked at again by the next comparison of the books.
        self.shared.wants.came(&self.site, head.epoch, head.first, head.last());
        if mended {
            tracing::warn!(site = %self.site, epoch = head.epoch, first = head.first, last = head.last(), "events that the ledger lacked were put back");
        }
        Ok(())
    }

    /// The ledger's chain before the batch, where the batch goes over what is held.
    async fn known_before(&self, head: &BatchHead) -> Result<Option<docksync_proto::identity::Chain>, ReceiveError> {
        let marked = self.receiver.state().map_or(0, |s| s.marked);
        if head.first > marked || head.first == 1 {
            return Ok(None);
        }
        let (site, epoch, before) = (self.site.clone(), head.epoch, head.first - 1);
        let batch = self.read(move |reader| reader.batch_with(&site, epoch, before)).await?;
        Ok(batch.filter(|b| b.head.last() == before).map(|b| b.head.chain_after))
    }

    async fn submit(
        &mut self,
        head: BatchHead,
        columns: Vec<u8>,
        mut events: Vec<Decoded>,
        taken: Taken,
        done: Done,
    ) -> Result<(), ReceiveError> {
        let Some(state) = self.receiver.state_after(&taken) else { return Ok(()) };
        let (head, columns) = if taken.skip == 0 { (head, columns) } else { rest_of(head, &mut events, &taken)? };
        let verdicts = events.iter().map(|event| admit::admit(event, &self.site)).collect();
        let append = Append { site: self.site.clone(), head, columns, events, verdicts };
        let reply = self.shared.ledger.submit(vec![append], vec![self.link_row(state)]).await?;
        let on_the_way = OnTheWay { epoch: head.epoch, taken, done, reply };
        self.commits.push_back(Box::pin(land(on_the_way)));
        Ok(())
    }

    async fn unavailable(&mut self, gone: Unavailable, done: Done) -> Result<(), ReceiveError> {
        match self.receiver.unavailable(&gone) {
            Verdict::Take(taken) => {
                tracing::error!(site = %self.site, first = gone.first, last = gone.last, "site no longer has these events");
                self.drain().await?;
                let Some(state) = self.receiver.state_after(&taken) else { return Ok(()) };
                let entry = Entry {
                    who: "receive".to_owned(),
                    act: "events_unavailable".to_owned(),
                    subject: self.site.to_string(),
                    detail: format!(
                        "epoch {} events {} to {} are no longer kept at the site",
                        gone.epoch, gone.first, gone.last
                    ),
                };
                self.shared.ledger.link(vec![self.link_row(state)], vec![Change::Audit(entry)]).await?;
                self.receiver.committed(gone.epoch, &taken);
                self.is_mark_due = true;
            }
            Verdict::Known => self.is_mark_due = true,
            Verdict::Refuse(refuse) | Verdict::Fork(refuse) => self.refused(&refuse).await,
        }
        done.ack();
        Ok(())
    }

    async fn refuse(&self, head: &BatchHead, reason: RefuseReason) {
        let expected = self.receiver.state().map_or(1, |s| s.marked + 1);
        self.send(&Frame::Refuse(Refuse {
            epoch: head.epoch,
            session: head.session,
            expected,
            reason,
            nonce: [0; 16],
        }))
        .await;
    }

    async fn refused(&self, refuse: &Refuse) {
        self.shared.views.change(&self.site, |view| view.refused += 1);
        tracing::debug!(site = %self.site, reason = refuse.reason.as_str(), expected = refuse.expected, "batch was refused");
        self.send(&Frame::Refuse(refuse.clone())).await;
    }

    async fn drain(&mut self) -> Result<(), ReceiveError> {
        while let Some(landed) = self.commits.next().await {
            self.landed(landed)?;
        }
        Ok(())
    }

    fn landed(&mut self, (epoch, taken, done, result): Landed) -> Result<(), ReceiveError> {
        match result {
            Ok(committed) => {
                self.receiver.committed(epoch, &taken);
                done.ack();
                self.is_mark_due = true;
                self.shared.views.change(&self.site, |view| {
                    view.batch_at = Some(Timestamp::now());
                    view.head = view.head.max(taken.last);
                    for one in &committed {
                        view.events += u64::from(one.new + one.corrected);
                        view.duplicates += u64::from(one.duplicate);
                    }
                });
                Ok(())
            }
            Err(error) => {
                self.receiver.abandon();
                done.refuse(RefuseCode::QuotaExceeded);
                if error.is_fatal() {
                    return Err(error.into());
                }
                tracing::warn!(site = %self.site, %error, "batch was not stored, its site sends it again");
                Ok(())
            }
        }
    }

    // ---- what the site says of itself ----

    fn clock(&self, site_ms: i64) {
        let offset = site_ms - Timestamp::now().as_millisecond();
        self.shared.views.change(&self.site, |view| view.clock_offset_ms = Some(offset));
    }

    fn beat(&self, beat: &Beat) {
        self.clock(beat.clock_ms);
        self.shared.views.change(&self.site, |view| {
            view.head = beat.head;
            view.totals.clone_from(&beat.totals);
            view.totals_at = (beat.head, beat.clock_ms);
            view.oldest_age_ms = beat.oldest_age_ms;
            view.files_waiting = beat.files_waiting;
            view.disk_used_bytes = beat.disk_used_bytes;
            view.disk_free_bytes = beat.disk_free_bytes;
        });
    }

    /// Answered under the open grant only, and not sooner than a site may ask; what is dropped is asked again by the site's page.
    fn question(&mut self, question: Question) {
        let granted = self.receiver.state().map(|state| (state.epoch, frame::session(state.ratchet)));
        let is_granted = granted == Some((question.epoch, question.session));
        let (answering, path) = (&self.shared.answering, self.shared.ledger.path());
        if !is_granted || !self.questions.take(answering, path, (&self.site, question), Instant::now()) {
            tracing::debug!(site = %self.site, first = question.first, is_granted, "question of a site was dropped");
        }
    }

    fn state(&self, payload: &[u8]) {
        let Ok(json) = serde_json::from_slice::<serde_json::Value>(payload) else { return };
        let version = json.get("version").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
        self.shared.views.change(&self.site, |view| {
            if !version.is_empty() {
                view.version = version;
            }
        });
    }

    fn show(&self) {
        let Some(state) = self.receiver.state() else { return };
        let mut held: Vec<String> = state.hold.iter().map(|hold| format!("{hold:?}")).collect();
        held.extend(
            state
                .pending
                .iter()
                .filter(|p| !p.approved)
                .map(|p| format!("{:?} host {} nonce {}", p.reason, p.host, docksync_proto::identity::hex(&p.nonce))),
        );
        self.shared.views.change(&self.site, |view| {
            view.epoch = state.epoch;
            view.marked = state.marked;
            view.host.clone_from(&state.host);
            view.held = held;
        });
    }
}

async fn land(on_the_way: OnTheWay) -> Landed {
    let OnTheWay { epoch, taken, done, reply } = on_the_way;
    let result = reply.await.unwrap_or(Err(LedgerError::Closed));
    (epoch, taken, done, result)
}

/// The part of a batch that is not held yet, as a batch of its own.
fn rest_of(head: BatchHead, events: &mut Vec<Decoded>, taken: &Taken) -> Result<(BatchHead, Vec<u8>), ReceiveError> {
    events.drain(..taken.skip as usize);
    let mut encoder = BatchEncoder::new();
    for decoded in events.iter() {
        encoder.push(&decoded.event);
    }
    let columns = encoder.finish().map_err(ReceiveError::Encode)?;
    let head = BatchHead {
        first: head.first + u64::from(taken.skip),
        count: head.count - taken.skip,
        chain_before: taken.chain_before,
        ..head
    };
    Ok((head, columns))
}
