//! Carries the questions of pages to the centre, and its answers back: beside the stream, of which nothing changes by them.

use docksync_proto::{fate::Answer, frame::Frame, link::Condition, topic::Leaf};
use jiff::Timestamp;

use super::{AckReason, Shell, UplinkError};

/// Comes back with the acknowledgement of a question; no event has this number.
pub(super) const QUESTION: u64 = u64::MAX;

impl Shell {
    fn is_granted(&self) -> bool {
        matches!(self.sender.condition(), Condition::Flowing | Condition::NoCredit)
    }

    /// Asks what a page wants to know, one question at a time, ahead of what waits.
    pub(super) fn ask(&mut self) -> Result<(), UplinkError> {
        if !self.is_granted() || self.connection.is_none() {
            return Ok(());
        }
        let grant = (self.sender.state().epoch, self.sender.session());
        let Some(question) = self.up.fates.book().next(grant, Timestamp::now()) else { return Ok(()) };
        if !self.publish(Leaf::UpBeat, &Frame::Question(question), QUESTION)? {
            self.up.fates.book().not_sent();
        }
        Ok(())
    }

    /// Takes the acknowledgement of a question where it says nothing of the link: no event was refused with it.
    pub(super) fn question_acked(&self, reason: AckReason) -> bool {
        match reason {
            AckReason::Success => true,
            AckReason::QuotaExceeded | AckReason::Refused(_) => {
                let by_name = matches!(reason, AckReason::Refused(_));
                tracing::debug!(by_name, "centre refused a question");
                self.up.fates.book().refused(by_name, Timestamp::now());
                true
            }
            AckReason::NobodyListens | AckReason::NotAuthorized => false,
        }
    }

    /// Believed under the grant that holds, and where it was asked for.
    pub(super) fn told(&self, answer: Answer) {
        let is_of_grant = (answer.epoch, answer.session) == (self.sender.state().epoch, self.sender.session());
        let (first, last) = (answer.first, answer.last);
        if !self.is_granted() || !is_of_grant || !self.up.fates.book().told(answer, Timestamp::now()) {
            tracing::debug!(first, last, "answer of the centre that was not asked for was left alone");
        }
    }
}
