//! From stored batches to what the machine and the consumer need of each event.

use docksync_proto::{
    codec::{self, CodecError, Decoded},
    event::Event,
    identity::{document_key, hex},
};

use super::machine::{Fate, Loaded};
use crate::{
    consumers::Delivery,
    ledger::{LedgerError, Loc, Reads, RefusalState, Standing, StoredBatch, earlier, effect::effect, terms::term_hash},
    reconcile::FOR,
};

/// Why a batch could not be read for delivery.
#[derive(Debug)]
pub(super) enum LoadError {
    /// The ledger.
    Ledger(LedgerError),
    /// The bytes of a batch.
    Stored(i64, CodecError),
}

impl From<LedgerError> for LoadError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// Reads every event of a batch; deliveries only of those that may be sent.
pub(super) fn read_batch(
    reads: &impl Reads,
    batch: &StoredBatch,
    consumer: &str,
) -> Result<Vec<(Loaded, Option<Delivery>)>, LoadError> {
    let mut all = Vec::with_capacity(batch.standings.len());
    for (index, decoded) in decode(batch)?.into_iter().enumerate() {
        let loc = Loc::new(batch.batch_no, index);
        // A correction of one destination's books is no matter of the others.
        let is_others = decoded.event.extensions.get(FOR).is_some_and(|name| name != "*" && name != consumer);
        let loaded = Loaded {
            loc,
            epoch: batch.head.epoch,
            seq: batch.head.first + index as u64,
            lane: term_hash(document_key(&decoded.event)),
            fate: if is_others { Fate::Nothing } else { fate(batch, index) },
        };
        let delivery = match loaded.fate {
            Fate::Deliver => Some(delivery(reads, batch, loaded, decoded, consumer)?),
            Fate::Nothing | Fate::Refused => None,
        };
        all.push((loaded, delivery));
    }
    Ok(all)
}

/// Reads one event for delivery.
pub(super) fn read_one(reads: &impl Reads, loc: Loc, consumer: &str) -> Result<Option<Delivery>, LoadError> {
    let Some(batch) = reads.batch(loc.batch_no())? else { return Ok(None) };
    let Some(decoded) = decode(&batch)?.into_iter().nth(loc.index()) else { return Ok(None) };
    let seq = batch.head.first + loc.index() as u64;
    let loaded = Loaded { loc, epoch: batch.head.epoch, seq, lane: 0, fate: Fate::Deliver };
    delivery(reads, &batch, loaded, decoded, consumer).map(Some)
}

fn decode(batch: &StoredBatch) -> Result<Vec<Decoded>, LoadError> {
    codec::decode_batch(&batch.columns).map_err(|source| LoadError::Stored(batch.batch_no, source))
}

/// What the ledger says of an event of a stored batch.
pub(crate) fn fate(batch: &StoredBatch, index: usize) -> Fate {
    match batch.standings.get(index).and_then(|b| Standing::from_byte(*b)) {
        Some(Standing::New | Standing::Correction) => Fate::Deliver,
        Some(Standing::Duplicate | Standing::Test) | None => Fate::Nothing,
        Some(Standing::Parked | Standing::Revised) => {
            let state = batch.refusals.iter().find(|(at, _)| *at == index).map(|(_, state)| *state);
            match state {
                Some(RefusalState::Open) | None => Fate::Refused,
                Some(RefusalState::Readmitted) => Fate::Deliver,
                Some(RefusalState::Skipped | RefusalState::Superseded) => Fate::Nothing,
            }
        }
    }
}

fn delivery(
    reads: &impl Reads,
    batch: &StoredBatch,
    loaded: Loaded,
    mut decoded: Decoded,
    consumer: &str,
) -> Result<Delivery, LoadError> {
    // Under the key of the original: had that taken effect after all, the edit would have none.
    if let Some(event) = edited(reads, loaded.loc, consumer)? {
        decoded.event = event;
    }
    let prior = batch.priors.iter().find(|(at, _)| *at == loaded.loc.index()).map(|(_, prior)| *prior);
    let (key, stock) = match prior {
        None => (decoded.id.to_string(), effect(&decoded.event, None)),
        Some(prior) => {
            let (mut earlier, standing) = earlier(reads, prior)?;
            // What this consumer had of the earlier version is what it was sent, not what was received.
            if let Some(event) = edited(reads, prior, consumer)? {
                earlier.event = event;
            }
            let key = format!("{}.{}", decoded.id, hex(&decoded.digests.content[..8]));
            (key, effect(&decoded.event, Some((&earlier.event, standing))))
        }
    };
    let Loaded { loc, epoch, seq, .. } = loaded;
    let mut event = decoded.event;
    if prior.is_some() && event.causation_id.is_none() {
        event.causation_id = Some(decoded.id);
    }
    Ok(Delivery { site: batch.site.clone(), loc, epoch, seq, id: decoded.id, key, event, stock })
}

/// What a person had this consumer sent in place of an event.
fn edited(reads: &impl Reads, loc: Loc, consumer: &str) -> Result<Option<Event>, LoadError> {
    let found = reads.edits(loc)?.into_iter().find(|(of, ..)| of == consumer);
    let read = |text: String| {
        serde_json::from_str(&text).map_err(|_| LedgerError::Damaged { what: "edit of an event", at: loc.0 })
    };
    Ok(found.map(|(.., text)| read(text)).transpose()?)
}
