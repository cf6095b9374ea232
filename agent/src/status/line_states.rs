//! What the connection alone may have to say: each condition with its cause, whose move it is, and the move. Pure.

use docksync_proto::link::Condition;
use jiff::{SignedDuration, Timestamp};

use super::{
    facts::Facts,
    headline::{Headline, Level, Owner},
    phrase,
};
use crate::uplink::UplinkFacts;

/// A lost connection that lasts longer is a matter for site IT.
const NOBODY_FOR: SignedDuration = SignedDuration::from_mins(30);
/// A connection may take this long to come about before it counts as lost.
const CONNECT_WITHIN_SECS: u64 = 10;
/// A certificate renews itself earlier than this many days before its end.
const RENEWED_DAYS: i64 = 7;
/// A clock that is wrong by this much shows in the times of events, in milliseconds.
const WRONG_CLOCK_MS: i64 = 60_000;

/// Head office answers, and does not take this machine's events: no waiting helps.
pub(super) fn refused(link: &UplinkFacts) -> Option<Headline> {
    let (code, title, cause, owner, next) = refusal(link)?;
    let mut cause = cause.to_owned();
    if let Some(error) = &link.last_error {
        cause = format!("{cause} Last answer: {error}");
    }
    let one = Headline::new(Level::NeedsYou, title, owner).because(code, cause, next).since(Some(link.since));
    Some(Headline { next_retry: link.next_try, ..one.at_risk() })
}

type Refusal = (&'static str, &'static str, &'static str, Owner, &'static str);

fn refusal(link: &UplinkFacts) -> Option<Refusal> {
    if link.certificate_days.is_some_and(|days| days < 0) {
        return Some((
            "N013",
            "This server's certificate has expired. Nothing is lost.",
            "Head office does not let this server in without a valid certificate. Or this server's clock is ahead.",
            Owner::SiteIt,
            "Check the clock. If it is right, ask the integration team for a token and its command: `sudo -u docksync-agent docksync-agent enroll --url https://... --token-file -`.",
        ));
    }
    Some(match link.condition {
        Condition::NotAuthorised => (
            "N010",
            "Head office refuses this server. Nothing is lost.",
            "The certificate is not accepted: it may have been revoked.",
            Owner::Integration,
            "Check the site with `docksync-aggregator sites list`; give a new token if it was revoked.",
        ),
        Condition::TakenOver => (
            "N011",
            "Another machine signs in as this site. Nothing is lost.",
            "Two machines use the same certificate; each throws the other out.",
            Owner::SiteIt,
            "Find the second machine, often a copy or an old server, and stop docksync-agent there.",
        ),
        Condition::VersionRefused => (
            "N012",
            "Head office does not understand this version. Nothing is lost.",
            "The agent and head office speak different versions.",
            Owner::Integration,
            "Upgrade docksync-agent here, or docksync-aggregator at head office.",
        ),
        Condition::Quarantined => (
            "N014",
            "Head office waits for approval of this machine. Nothing is lost.",
            "This machine looks like a copy, a restored image or a replacement of the known one.",
            Owner::Integration,
            "Approve or refuse the machine at head office; its sites page shows the command.",
        ),
        Condition::Forked => (
            "N015",
            "Head office holds different events under the same numbers. Nothing is lost.",
            "Two machines have sent as this site, or this one was restored from an old image.",
            Owner::Integration,
            "Compare both ends at head office before anything is sent again; its sites page shows the command.",
        ),
        Condition::Disconnected
        | Condition::CentreAway
        | Condition::Greeting
        | Condition::Flowing
        | Condition::NoCredit => return None,
    })
}

pub(super) fn offline(facts: &Facts, link: &UplinkFacts) -> Option<Headline> {
    match link.condition {
        Condition::Disconnected | Condition::CentreAway | Condition::Greeting => {}
        _ => return None,
    }
    if phrase::secs_between(link.since, facts.now) < CONNECT_WITHIN_SECS {
        return None;
    }
    let code = offline_code(link);
    let cause = match (&link.last_error, link.condition) {
        (_, Condition::CentreAway) => "The line works; the program at head office is not running.".to_owned(),
        (Some(error), _) => format!("Last answer: {error}"),
        (None, _) => format!("{} has not answered yet.", link.address),
    };
    let mut one = Headline::new(Level::Offline, String::new(), Owner::Nobody).since(Some(link.since));
    one.code = Some(code.to_owned());
    one.cause = cause;
    one.next_retry = link.next_try;
    Some(one)
}

/// The cause in the words of `uplink::mqtt`, as far as they tell more than "no answer".
fn offline_code(link: &UplinkFacts) -> &'static str {
    let error = link.last_error.as_deref().unwrap_or("");
    match link.condition {
        Condition::CentreAway => "N004",
        _ if error.contains("cannot be resolved") => "N001",
        _ if error.contains("refuses the connection") => "N002",
        _ => "N003",
    }
}

pub(super) fn offline_title(since: Timestamp, facts: &Facts) -> String {
    let since = phrase::clock(since, facts.now, &facts.site.zone);
    format!("No connection to head office since {since}. Nothing is lost.")
}

pub(super) fn offline_move(since: Timestamp, facts: &Facts) -> (Owner, String) {
    let Some(link) = &facts.link else { return (Owner::SiteIt, String::new()) };
    let until = since.saturating_add(NOBODY_FOR).unwrap_or(since);
    if link.condition == Condition::CentreAway {
        let next = "Nothing to do here. Head office is told by its own alarms.".to_owned();
        let owner = if facts.now < until { Owner::Nobody } else { Owner::Integration };
        return (owner, next);
    }
    if facts.now < until {
        let until = phrase::clock(until, facts.now, &facts.site.zone);
        return (Owner::Nobody, format!("Keep working. From {until} on it is for site IT."));
    }
    (Owner::SiteIt, format!("Check the line and the firewall to {}.", link.address))
}

pub(super) fn certificate_ending(link: &UplinkFacts) -> Option<Headline> {
    let days = link.certificate_days.filter(|days| (0..RENEWED_DAYS).contains(days))?;
    let left = phrase::counted(days.unsigned_abs(), "day", "days");
    let cause = "It should have been renewed by itself.";
    let next = "Check that this server reaches head office; if it does, run `sudo systemctl restart docksync-agent`.";
    let title = format!("This server's certificate ends in {left}.");
    Some(Headline::new(Level::NeedsYou, title, Owner::SiteIt).because("N021", cause, next))
}

pub(super) fn clock_off(link: &UplinkFacts) -> Option<Headline> {
    let ms = link.clock_offset_ms.filter(|ms| ms.abs() >= WRONG_CLOCK_MS)?;
    let by = phrase::span(ms.unsigned_abs() / 1000);
    let side = if ms > 0 { "behind" } else { "ahead of" };
    let cause = format!("This server's clock is {by} {side} head office.");
    let next = "Turn on time synchronisation (chrony or systemd-timesyncd) on this server.";
    Some(Headline::new(Level::NeedsYou, "This server's clock is wrong.", Owner::SiteIt).because("N020", cause, next))
}
