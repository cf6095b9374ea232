//! Requests about events that were not admitted: judged again, or left out. One loop of the running service, or the command itself.

use crate::{
    admit::{Verdict, admit},
    ledger::{ADMIT_TARGET, Change, LedgerError, Loc, OpKind, OpRow, Reads, audit::Entry},
};
use docksync_proto::codec;

use super::deliverer::Books;

/// Answers every waiting request about admission; gives how many.
///
/// # Errors
/// [`LedgerError`].
pub fn answer_waiting(books: &mut impl Books) -> Result<usize, LedgerError> {
    let ops = books.reads().ops_waiting(ADMIT_TARGET)?;
    for op in &ops {
        let changes = match decide(books.reads(), op.kind, op.loc, &op.reason, &op.requested_by)? {
            Ok(mut changes) => {
                changes.push(answer(op, true, "done".to_owned()));
                changes
            }
            Err(refused) => vec![answer(op, false, refused)],
        };
        books.change(changes)?;
    }
    Ok(ops.len())
}

fn answer(op: &OpRow, done: bool, result: String) -> Change {
    Change::Answer { op_id: op.op_id, done, result }
}

/// What a decision on an event that was not admitted changes, or why it cannot be made.
///
/// # Errors
/// [`LedgerError`].
pub fn decide(
    reads: &impl Reads,
    kind: OpKind,
    loc: Loc,
    reason: &str,
    by: &str,
) -> Result<Result<Vec<Change>, String>, LedgerError> {
    if kind == OpKind::Reset {
        return Ok(Err("events that were not admitted are tried again or left out".to_owned()));
    }
    let Some(refusal) = reads.refusal(loc)?.filter(|r| r.state == crate::ledger::RefusalState::Open) else {
        return Ok(Err(format!("event {loc} does not wait for a decision")));
    };
    // A revised version breaks no rule: admitting it is the person's decision alone.
    if kind == OpKind::Retry
        && refusal.other.is_none()
        && let Verdict::Parked { code, reason } = judge_again(reads, loc)?
    {
        return Ok(Err(format!("still refused as {code}: {reason}")));
    }
    let entry = Entry {
        who: by.to_owned(),
        act: kind.as_str().to_owned(),
        subject: format!("{ADMIT_TARGET} {} {loc}", refusal.site),
        detail: reason.to_owned(),
    };
    let decide = Change::Decide { loc, kind, reason: reason.to_owned(), by: by.to_owned() };
    Ok(Ok(vec![decide, Change::Audit(entry)]))
}

/// What admission would say of a stored event now.
///
/// # Errors
/// [`LedgerError`].
pub(crate) fn judge_again(reads: &impl Reads, loc: Loc) -> Result<Verdict, LedgerError> {
    let batch_no = loc.batch_no();
    let batch = reads.batch(batch_no)?.ok_or(LedgerError::Absent { what: "batch", at: batch_no })?;
    let events = codec::decode_batch(&batch.columns).map_err(|source| LedgerError::Stored { batch_no, source })?;
    let decoded = events.get(loc.index()).ok_or(LedgerError::Absent { what: "event", at: loc.0 })?;
    Ok(admit(decoded, &batch.site))
}
