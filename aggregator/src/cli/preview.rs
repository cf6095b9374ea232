//! What would come of a decision on parked events: would be sent, already applied, still invalid. Changes and sends nothing.

use std::{
    collections::{BTreeMap, HashMap},
    io::Write,
};

use docksync_proto::site::SiteId;
use serde::Serialize;

use super::{CliError, decide::Item};
use crate::{
    admit::Verdict,
    config::Config,
    consumers::{Consumer, Delivery, LookUp, Outcome},
    deliver::{load_one, ops},
    ledger::{ADMIT_TARGET, Loc, OpKind, Reads as _, Stage, reads::SqliteReader},
};

/// Events that are looked at: each may cost a call to its destination.
const LOOKED_AT_MAX: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Finding {
    WouldSend,
    WouldBeAdmitted,
    AlreadyApplied,
    StillInvalid,
    NotKnown,
    WouldLeaveOut,
}

impl Finding {
    const fn words(self) -> &'static str {
        match self {
            Self::WouldSend => "would be sent",
            Self::WouldBeAdmitted => "would be admitted",
            Self::AlreadyApplied => "already applied",
            Self::StillInvalid => "still invalid",
            Self::NotKnown => "not known",
            Self::WouldLeaveOut => "would be left out",
        }
    }
}

#[derive(Debug, Serialize)]
struct Row {
    place: String,
    target: String,
    site: String,
    finding: Finding,
    /// Document, or why not.
    words: String,
    /// Events of its document that wait behind it and would follow.
    followers: usize,
}

/// Tells for each event what would come of the decision.
///
/// # Errors
/// [`CliError`].
pub(super) fn preview(
    config: &Config,
    reads: &SqliteReader,
    items: &[Item],
    (kind, as_json): (OpKind, bool),
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let mut looking = Looking::new(config, reads)?;
    let rows: Vec<Row> =
        items.iter().take(LOOKED_AT_MAX).map(|item| looking.row(item, kind)).collect::<Result<_, _>>()?;
    if as_json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(std::io::Error::from)?;
        writeln!(out)?;
        return Ok(());
    }
    let mut sums: BTreeMap<Finding, usize> = BTreeMap::new();
    for row in &rows {
        *sums.entry(row.finding).or_default() += 1;
        let followers = if row.followers == 0 { String::new() } else { format!("; {} follow it", row.followers) };
        let words = if row.words.is_empty() { String::new() } else { format!(": {}", row.words) };
        writeln!(out, "{:>10}  {}  {}  {}{words}{followers}", row.place, row.site, row.target, row.finding.words())?;
    }
    let sums: Vec<String> = sums.iter().map(|(finding, count)| format!("{count} {}", finding.words())).collect();
    writeln!(out, "{} events: {}; nothing was changed", rows.len(), sums.join(", "))?;
    if items.len() > rows.len() {
        writeln!(out, "{} more were not looked at", items.len() - rows.len())?;
    }
    Ok(())
}

/// Destinations that were opened, and who waits behind whom.
struct Looking<'a> {
    config: &'a Config,
    reads: &'a SqliteReader,
    runtime: tokio::runtime::Runtime,
    /// `Err` where it cannot be opened: that is said of each of its events.
    open: BTreeMap<String, Result<Box<dyn Consumer + Send>, String>>,
    /// By consumer and site: places that wait in each lane.
    lanes: HashMap<(String, SiteId), HashMap<i64, Vec<Loc>>>,
}

impl<'a> Looking<'a> {
    fn new(config: &'a Config, reads: &'a SqliteReader) -> Result<Self, CliError> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { config, reads, runtime, open: BTreeMap::new(), lanes: HashMap::new() })
    }

    fn row(&mut self, (target, loc): &Item, kind: OpKind) -> Result<Row, CliError> {
        let absent = || CliError::NotParked { place: loc.to_string() };
        let site = self.reads.batch(loc.batch_no())?.ok_or_else(absent)?.site;
        let (finding, words) = match (kind, target.as_str()) {
            (OpKind::Skip, _) => (Finding::WouldLeaveOut, String::new()),
            (_, ADMIT_TARGET) => self.admission(*loc)?,
            _ => self.delivery(target, *loc)?,
        };
        let followers = if target == ADMIT_TARGET { 0 } else { self.followers(target, &site, *loc)? };
        let (place, target) = (loc.to_string(), target.clone());
        Ok(Row { place, target, site: site.to_string(), finding, words, followers })
    }

    fn admission(&self, loc: Loc) -> Result<(Finding, String), CliError> {
        let is_revision = self.reads.refusal(loc)?.is_some_and(|refusal| refusal.other.is_some());
        Ok(match ops::judge_again(self.reads, loc)? {
            Verdict::Parked { code, reason } if !is_revision => (Finding::StillInvalid, format!("{code}: {reason}")),
            Verdict::Parked { .. } | Verdict::Admitted => (Finding::WouldBeAdmitted, String::new()),
        })
    }

    fn delivery(&mut self, target: &str, loc: Loc) -> Result<(Finding, String), CliError> {
        let absent = || CliError::NotParked { place: loc.to_string() };
        let delivery = load_one(self.reads, loc, target)?.ok_or_else(absent)?;
        Ok(match self.consumer(target) {
            Ok(consumer) => judge(consumer.as_mut(), &delivery),
            Err(why) => (Finding::NotKnown, why.clone()),
        })
    }

    fn consumer(&mut self, name: &str) -> &mut Result<Box<dyn Consumer + Send>, String> {
        let (config, runtime) = (self.config, self.runtime.handle());
        self.open.entry(name.to_owned()).or_insert_with(|| {
            let settings = config.consumers.iter().find(|c| c.name == name);
            let settings = settings.ok_or("the configuration does not name this destination")?;
            settings.open(runtime.clone()).map_err(|error| format!("{:#}", anyhow::Error::from(error)))
        })
    }

    fn followers(&mut self, consumer: &str, site: &SiteId, loc: Loc) -> Result<usize, CliError> {
        let key = (consumer.to_owned(), site.clone());
        if !self.lanes.contains_key(&key) {
            let mut lanes: HashMap<i64, Vec<Loc>> = HashMap::new();
            for row in self.reads.deliveries(consumer, site)? {
                if matches!(row.stage, Stage::Parked | Stage::Held) {
                    lanes.entry(row.lane).or_default().push(row.loc);
                }
            }
            self.lanes.insert(key.clone(), lanes);
        }
        let lane = self.lanes.get(&key).and_then(|lanes| lanes.values().find(|lane| lane.contains(&loc)));
        Ok(lane.map_or(0, |lane| lane.iter().filter(|other| **other > loc).count()))
    }
}

fn judge(consumer: &mut dyn Consumer, delivery: &Delivery) -> (Finding, String) {
    match consumer.refuses(delivery) {
        Some(Outcome::Rejected { code, reason }) => return (Finding::StillInvalid, format!("{code}: {reason}")),
        Some(Outcome::NeedsDecision { reason }) => return (Finding::StillInvalid, reason),
        Some(_) | None => {}
    }
    if consumer.capability() == crate::consumers::Capability::Neither {
        return (Finding::NotKnown, "it cannot be asked what it has had".to_owned());
    }
    match consumer.look_up(delivery) {
        LookUp::Found(document) => (Finding::AlreadyApplied, document),
        LookUp::Absent => (Finding::WouldSend, String::new()),
        LookUp::Several { reason } => (Finding::StillInvalid, reason),
        LookUp::NoAnswer { reason, .. } => (Finding::NotKnown, reason),
    }
}
