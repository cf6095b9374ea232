//! Decisions on pages: what of a group would be decided, and the requests that it becomes. Pure, but for the reading.
//!
//! The pages have no sign-in. Where the settings name the header in which the proxy before them tells the person, that person may decide;
//! otherwise nobody may, and the pages name the commands.

use docksync_proto::site::SiteId;
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use super::{
    WAITING_MAX,
    page::{count, frame, stamp},
    parked::{Waiting, waiting},
    sites::Overview,
};
use crate::ledger::{ADMIT_TARGET, Change, LedgerError, OpKind, OpRow, Reads as _, reads::SqliteReader};

/// Events of a group that its page shows.
const SHOWN: usize = 20;
/// Longest reason, in characters: it goes into the audit trail for ever.
const REASON_MAX: usize = 1_000;

/// Which group.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Which {
    pub(super) code: String,
    pub(super) site: String,
    pub(super) target: String,
}

/// A decision on a group, as its form sends it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Decision {
    pub(super) code: String,
    pub(super) site: String,
    pub(super) target: String,
    pub(super) act: String,
    pub(super) reason: String,
    pub(super) token: String,
}

/// Why a decision is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Neither try again nor leave out.
    Act,
    /// No reason, or one that is too long.
    Reason,
    /// Nothing waits there any more.
    Nothing,
}

impl Refused {
    pub(super) const fn words(&self) -> &'static str {
        match self {
            Self::Act => "Say whether to try again or to leave out.",
            Self::Reason => "Give a reason of at most 1,000 characters: it is kept in the audit trail.",
            Self::Nothing => "Nothing waits there any more: somebody else has decided, or it went by itself.",
        }
    }
}

/// What waits in a group, oldest first.
pub(super) fn of_group(reader: &SqliteReader, which: &Which) -> Result<Vec<Waiting>, LedgerError> {
    let mut found = waiting(reader.refusals(WAITING_MAX)?, reader.parked(WAITING_MAX)?);
    let site = SiteId::new(&which.site).ok();
    found.retain(|w| w.code == which.code && w.target == which.target && Some(&w.site) == site.as_ref());
    found.sort_by_key(|w| w.loc);
    Ok(found)
}

/// The requests that a decision becomes; the service answers each.
pub(super) fn requests(decision: &Decision, group: &[Waiting], by: &str) -> Result<Vec<Change>, Refused> {
    let kind = match decision.act.as_str() {
        "retry" => OpKind::Retry,
        "skip" => OpKind::Skip,
        _ => return Err(Refused::Act),
    };
    let reason = decision.reason.trim();
    if reason.is_empty() || reason.chars().count() > REASON_MAX {
        return Err(Refused::Reason);
    }
    if group.is_empty() {
        return Err(Refused::Nothing);
    }
    let ask = |w: &Waiting| Change::Ask {
        target: w.target.clone(),
        kind,
        loc: w.loc,
        reason: reason.to_owned(),
        by: by.to_owned(),
    };
    Ok(group.iter().map(ask).collect())
}

/// The page on which a group is decided on.
pub(super) fn decide_page(
    overview: &Overview,
    which: &Which,
    group: &[Waiting],
    (by, token): (&str, &str),
    refused: Option<&Refused>,
) -> Markup {
    let now = overview.generated_at;
    let body = html! {
        section .panel {
            h1 { (count(group.len() as u64)) " events of " (which.site) " wait: " span .mono { (which.code) } }
            p { "For " (target(&which.target)) ". You decide as " strong { (by) } "; it is kept in the audit trail." }
            @if let Some(refused) = refused { p .note .attention role="alert" { (refused.words()) } }
            form method="post" action="/parked/decide" {
                @for (name, value) in [("code", &which.code), ("site", &which.site), ("target", &which.target)] {
                    input type="hidden" name=(name) value=(value);
                }
                input type="hidden" name="token" value=(token);
                fieldset {
                    legend { "Decision on all of them" }
                    label { input type="radio" name="act" value="retry" checked; " Try again, in the order of their documents" }
                    label { input type="radio" name="act" value="skip"; " Leave out for ever: they never take effect there" }
                }
                label { "Reason " input type="text" name="reason" required maxlength=(REASON_MAX) size="60"; }
                p { button type="submit" { "Decide" } " " a href="/parked" { "Back without a decision" } }
            }
        }
        div .scroll { table .sites {
            thead { tr { th scope="col" { "Place" } th scope="col" { "Since" } th scope="col" { "Why" } } }
            tbody { @for row in group.iter().take(SHOWN) { tr {
                td .mono { (row.loc) }
                td { (stamp(Timestamp::from_millisecond(row.at_ms).unwrap_or(now), now)) }
                td { (row.reason) }
            } } }
        } }
        @if group.len() > SHOWN { p .note { (count((group.len() - SHOWN) as u64)) " more." } }
        p .muted { "One of them alone, another content, or a look at what would come of it: "
            span .mono { "docksync-aggregator parked show|edit|retry --preview" } }
    };
    frame("Decide", overview, &body, None)
}

fn target(name: &str) -> &str {
    if name == ADMIT_TARGET { "the ledger" } else { name }
}

/// What was decided last, and what came of it.
pub(super) fn section(ops: &[OpRow]) -> Markup {
    html! {
        @if !ops.is_empty() {
            section .panel {
                h1 { "Decided last" }
                ul .plain { @for op in ops { li {
                    (op.kind.as_str()) " " span .mono { (op.loc) } " for " (target(&op.target)) " by " (op.requested_by) ": "
                    @match op.answered {
                        None => "handed over, not answered yet",
                        Some(true) => "done",
                        Some(false) => { span .attention { "refused: " (op.result) } },
                    }
                } } }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Loc;

    fn decision(act: &str, reason: &str) -> Decision {
        let text = |text: &str| text.to_owned();
        Decision {
            code: text("E021"),
            site: text("DC01"),
            target: text("erp"),
            act: text(act),
            reason: text(reason),
            token: text(""),
        }
    }

    fn group() -> Vec<Waiting> {
        let row = |index| Waiting {
            code: "E021".to_owned(),
            site: SiteId::new("DC01").unwrap(),
            target: "erp".to_owned(),
            loc: Loc::new(1, index),
            reason: "item not found".to_owned(),
            at_ms: 1,
        };
        vec![row(0), row(1)]
    }

    #[test]
    fn a_decision_becomes_one_request_for_each_event() {
        let asked = requests(&decision("skip", " twice sent "), &group(), "kim").unwrap();

        let told: Vec<_> = asked
            .iter()
            .map(|change| match change {
                Change::Ask { target, kind, loc, reason, by } => {
                    (target.as_str(), *kind, loc.index(), reason.as_str(), by.as_str())
                }
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(
            told,
            [("erp", OpKind::Skip, 0, "twice sent", "kim"), ("erp", OpKind::Skip, 1, "twice sent", "kim")]
        );
    }

    #[test]
    fn without_act_reason_or_events_nothing_is_asked() {
        let refused =
            |act, reason: &str, group: &[Waiting]| requests(&decision(act, reason), group, "kim").unwrap_err();

        assert_eq!(refused("delete", "x", &group()), Refused::Act);
        assert_eq!(refused("retry", "  ", &group()), Refused::Reason);
        assert_eq!(refused("retry", &"x".repeat(1_001), &group()), Refused::Reason);
        assert_eq!(refused("retry", "x", &[]), Refused::Nothing);
    }
}
