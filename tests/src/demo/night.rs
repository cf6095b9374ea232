//! The demo's second night: the books of a day are compared, after somebody has changed them behind everyone's back.
//!
//! In the first night each warehouse system states its stock, and the destination has what it was told, but for one item. By
//! day the warehouses adjust, count, receive and send goods to one another. Then the destination's stock is changed in the ways in which
//! books part in real life, and a transfer arrives short. The report of the second night must name each of them and nothing else,
//! though events are on their way while it is made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write,
    time::Duration,
};

use anyhow::Context as _;
use docksync_proto::stock::MICROS;
use rand::{Rng, rngs::StdRng};
use rusqlite::{Connection, params};
use serde::Serialize;
use serde_json::Value;

use crate::harness::{await_that, centre::Centre, site::Site};

const ITEMS: u32 = 60;
/// Documents of each site by day.
const DOCUMENTS: u32 = 30;
/// Events that are on their way when the books are compared.
const ON_THE_WAY: u32 = 10;
const WITHIN: Duration = Duration::from_secs(90);
/// Settings of the centre: transfers take a day.
pub const SETTINGS: &str = "[reconcile]\ndaily = \"never\"\nlead_hours = 24\n\n[reconcile.units]\nCA = \"12\"\n\n";

/// A difference between the books and why it is there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Cause {
    /// Site.
    pub site: String,
    /// Item.
    pub item: String,
    /// Cause.
    pub cause: String,
}

/// What was planted and what was found.
#[derive(Debug, Default, Clone, Serialize)]
pub struct NightOutcome {
    /// Planted.
    pub planted: BTreeSet<Cause>,
    /// Found by the report.
    pub found: BTreeSet<Cause>,
    /// Found and not planted.
    #[serde(rename = "false")]
    pub wrong: u64,
    /// Balances compared.
    pub compared: u64,
    /// Balances that events on their way explain.
    pub explained: u64,
    /// Facts that the warehouses exported for it.
    #[serde(skip)]
    pub facts: u64,
}

impl NightOutcome {
    /// Whether every drift was named with its cause, and nothing else.
    pub fn is_good(&self) -> bool {
        self.planted == self.found && self.wrong == 0 && !self.planted.is_empty()
    }
}

/// One site's true stock, as its warehouse system knows it.
type Stock = BTreeMap<(String, &'static str), i64>;

/// The second night.
#[derive(Default)]
pub struct Night {
    truth: BTreeMap<String, Stock>,
    number: u32,
    facts: u64,
}

impl Night {
    /// The first night: stock is stated.
    ///
    /// # Errors
    /// Where a file cannot be written or a program does not answer.
    pub fn begin(&mut self, centre: &Centre, sites: &[&Site], rng: &mut StdRng) -> anyhow::Result<()> {
        for site in sites {
            let mut stock = Stock::new();
            for n in 1..=ITEMS {
                stock.insert((item(n), ""), rng.random_range(100..900));
                if n % 4 == 0 {
                    stock.insert((item(n), "damaged"), rng.random_range(6..20));
                }
            }
            self.truth.insert(site.id.clone(), stock);
            self.state(centre, site, 1)?;
        }
        self.await_facts(centre)
    }

    /// A day's work of all sites, and a transfer between two of them.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn work(&mut self, sites: &[&Site], documents: u32, rng: &mut StdRng) -> anyhow::Result<()> {
        for site in sites {
            for _ in 0..documents {
                let item = item(rng.random_range(1..=ITEMS));
                match rng.random_range(0..3) {
                    0 => drop(self.adjust(site, &item, *[-2, -1, 1, 3].get(rng.random_range(0..4)).unwrap_or(&1))?),
                    1 => drop(self.receive(site, &item, rng.random_range(5..40))?),
                    _ => self.count(site, &item, rng.random_range(1..6))?,
                }
            }
        }
        if let [from, to, ..] = sites {
            self.transfer(from, to, &item(1), (20, 20))?;
        }
        Ok(())
    }

    /// Makes the books part in five ways.
    ///
    /// # Errors
    /// Where a file or the destination's books cannot be written.
    pub fn plant(&mut self, centre: &Centre, sites: &[&Site], outcome: &mut NightOutcome) -> anyhow::Result<()> {
        let [one, two, three] = sites else { anyhow::bail!("the demo has three sites") };
        self.adjust(one, &item(7), -11)?;
        self.receive(two, &item(9), 17)?;
        self.transfer(one, three, &item(13), (30, 26))?;
        self.await_facts(centre)?;
        let erp = books(centre)?;
        // An adjustment is deleted, a receipt of seventeen is booked as cases of twelve, damaged goods are booked as good ones.
        change(&erp, &one.id, &item(7), "", 11)?;
        change(&erp, &two.id, &item(9), "", 17 * 11)?;
        change(&erp, &three.id, &item(12), "damaged", -5)?;
        change(&erp, &three.id, &item(12), "", 5)?;
        for (site, n, cause) in [
            (one, 7, "missed_adjustment"),
            (two, 9, "unit_of_measure"),
            (three, 12, "wrong_status"),
            (three, 13, "transfer_short"),
        ] {
            outcome.planted.insert(Cause { site: site.id.clone(), item: item(n), cause: cause.to_owned() });
        }
        Ok(())
    }

    /// Compares the first night: the destination's stock of one item was wrong from the beginning.
    ///
    /// # Errors
    /// Where a program does not answer.
    pub fn first(&mut self, centre: &Centre, site: &Site, outcome: &mut NightOutcome) -> anyhow::Result<()> {
        change(&books(centre)?, &site.id, &item(20), "", -8)?;
        outcome.planted.insert(Cause { site: site.id.clone(), item: item(20), cause: "opening_balance".to_owned() });
        centre.command(&["recon", "run", "--json"]).map(drop)
    }

    /// States the stock again and compares the second night, while events are on their way to the destination.
    ///
    /// # Errors
    /// Where a program does not answer.
    pub fn second(
        &mut self,
        centre: &Centre,
        sites: &[&Site],
        rng: &mut StdRng,
        words: &mut dyn Write,
        outcome: &mut NightOutcome,
    ) -> anyhow::Result<()> {
        let name = ["--by", "demo", "--reason", "the night's comparison with events on their way"];
        centre.command(&[&["consumers", "pause", "erp"], &name[..]].concat())?;
        for site in sites {
            self.state(centre, site, 2)?;
        }
        self.work(sites, ON_THE_WAY, rng)?;
        self.await_ledger(centre)?;
        let said = centre.command(&["recon", "run", "--json"])?;
        centre.command(&["consumers", "resume", "erp", "--by", "demo"])?;
        let report: Value = serde_json::from_str(&said).context("a report in JSON")?;
        writeln!(words, "\n{}", centre.command(&["recon", "show"])?)?;
        for line in report["drifts"].as_array().into_iter().flatten() {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            outcome.found.insert(Cause {
                site: text(&line["site"]),
                item: text(&line["item"]),
                cause: text(&line["cause"]["code"]),
            });
        }
        outcome.wrong = outcome.found.difference(&outcome.planted).count() as u64;
        outcome.compared = report["compared"].as_u64().unwrap_or(0);
        outcome.explained = report["explained"].as_u64().unwrap_or(0);
        outcome.facts = self.facts;
        Ok(())
    }

    /// Facts exported so far.
    pub fn facts(&self) -> u64 {
        self.facts
    }

    fn next(&mut self) -> u32 {
        self.number += 1;
        self.number
    }

    fn moved(&mut self, site: &Site, item: &str, status: &'static str, pieces: i64) {
        *self.truth.entry(site.id.clone()).or_default().entry((item.to_owned(), status)).or_default() += pieces;
        self.facts += 1;
    }

    fn adjust(&mut self, site: &Site, item: &str, pieces: i64) -> anyhow::Result<()> {
        let (n, sign) = (self.next(), if pieces < 0 { "-" } else { "+" });
        let text = format!(
            "adj_no,line,when,sku,lot,qty,sign,uom,reason,note,status,user\nA-{n},1,{},{item},,{},{sign},EA,CC{sign},,AVL,kim\n",
            now()?,
            pieces.abs()
        );
        self.moved(site, item, "", pieces);
        site.put("adjust", &format!("ADJ_{n:06}.csv"), &text)
    }

    fn receive(&mut self, site: &Site, item: &str, pieces: i64) -> anyhow::Result<()> {
        let n = self.next();
        let at = jiff::Zoned::now().strftime("%m/%d/%Y %I:%M:%S %p");
        let text = format!("HDR|R-{n}|ASN-{n}|{at}|kim|{pieces}\nDTL|1|{item}||EA|{pieces}|\nTRL|1\n");
        self.moved(site, item, "", pieces);
        site.put("receipt", &format!("RCV_{n:06}.txt"), &text)
    }

    fn count(&mut self, site: &Site, item: &str, more: i64) -> anyhow::Result<()> {
        let n = self.next();
        let text = format!(
            "count_id\tcounted_on\titem\tbin\tlot\tbatch\texpires\tbook\tcounted\nC-{n}\t{}\t{item}\tA-01\t\t\t\t40\t{}\n",
            jiff::Zoned::now().strftime("%m/%d/%Y"),
            40 + more
        );
        self.moved(site, item, "", more);
        site.put("count", &format!("COUNT_{n:06}.csv"), &text)
    }

    /// Goods leave a site two days ago and arrive at another one the day after.
    fn transfer(&mut self, from: &Site, to: &Site, item: &str, (left, came): (i64, i64)) -> anyhow::Result<()> {
        let n = self.next();
        let day = |days: i64| -> anyhow::Result<String> {
            Ok(jiff::Zoned::now().checked_sub(jiff::ToSpan::days(days))?.strftime("%Y-%m-%dT12:00:00").to_string())
        };
        let head = "what,transfer,document,when,to_site,sku,lot,qty,uom\n";
        let out = format!("{head}OUT,T-{n},TS-{n},{},{},{item},,{left},EA\n", day(3)?, to.id);
        let arrival = format!("{head}IN,T-{n},TR-{n},{},{},{item},,{came},EA\n", day(2)?, to.id);
        self.moved(from, item, "", -left);
        self.moved(to, item, "", came);
        // What arrived may be told before what left.
        to.put("transfer", &format!("TRF_{n:06}.csv"), &arrival)?;
        from.put("transfer", &format!("TRF_{n:06}.csv"), &out)
    }

    /// A statement of all stock, and a file behind it.
    fn state(&mut self, centre: &Centre, site: &Site, night: u32) -> anyhow::Result<()> {
        let mut text = String::from("report,as_of,sku,lot,status,on_hand,uom\n");
        let (stock, as_of) = (self.truth.get(&site.id).context("a site with stock")?, now()?);
        for ((item, status), pieces) in stock {
            let status = if status.is_empty() { "available" } else { status };
            writeln!(text, "NIGHT{night},{as_of},{item},,{status},{pieces},EA")?;
        }
        // Behind a statement goes one event that says that it is whole.
        self.facts += stock.len() as u64 + 1;
        site.put("snapshot", &format!("STOCK_{night:06}.csv"), &text)?;
        // Feeds are read at the same time: what is exported behind a statement must not be read before it.
        self.await_ledger(centre)?;
        self.adjust(site, &item(ITEMS), 1)
    }

    fn await_ledger(&self, centre: &Centre) -> anyhow::Result<()> {
        await_that("every fact in the ledger", WITHIN, || {
            count(&centre.ledger(), "SELECT coalesce(sum(fresh), 0) FROM site").is_ok_and(|n| n >= self.facts)
        })
    }

    fn await_facts(&self, centre: &Centre) -> anyhow::Result<()> {
        await_that("every fact in the destination's books", WITHIN, || {
            centre.applied_count().is_ok_and(|n| n >= self.facts)
        })
    }
}

fn count(path: &std::path::Path, text: &str) -> anyhow::Result<u64> {
    let db = Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    db.busy_timeout(crate::harness::DEADLINE)?;
    Ok(u64::try_from(db.query_row(text, [], |r| r.get::<_, i64>(0))?)?)
}

fn item(n: u32) -> String {
    format!("ITEM-{n:03}")
}

fn now() -> anyhow::Result<String> {
    let zoned = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::get("America/Chicago")?);
    Ok(zoned.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

/// The destination's books, as its own people change them.
fn books(centre: &Centre) -> anyhow::Result<Connection> {
    let db = Connection::open(centre.staging())?;
    db.busy_timeout(crate::harness::DEADLINE)?;
    Ok(db)
}

fn change(erp: &Connection, site: &str, item: &str, status: &str, pieces: i64) -> anyhow::Result<()> {
    erp.execute(
        "INSERT INTO docksync_stock VALUES (?1, ?2, '', ?3, ?4) ON CONFLICT DO UPDATE SET quantity_micros = quantity_micros + excluded.quantity_micros",
        params![site, item, status, pieces * MICROS],
    )?;
    Ok(())
}

/// The whole of it: first night, day, second night.
///
/// # Errors
/// Where a program does not answer.
pub fn run(centre: &Centre, sites: &[&Site], rng: &mut StdRng, words: &mut dyn Write) -> anyhow::Result<NightOutcome> {
    let (mut night, mut outcome) = (Night::default(), NightOutcome::default());
    writeln!(words, "first night: every warehouse system states its stock")?;
    night.begin(centre, sites, rng)?;
    let first = sites.first().context("the demo has sites")?;
    night.first(centre, first, &mut outcome)?;
    writeln!(
        words,
        "day: adjustments, receipts, counts, transfers; then the destination's books are changed behind its back"
    )?;
    night.work(sites, DOCUMENTS, rng)?;
    night.plant(centre, sites, &mut outcome)?;
    writeln!(words, "second night: stock is stated again and compared, while events are on their way")?;
    night.second(centre, sites, rng, words, &mut outcome)?;
    for cause in &outcome.planted {
        let how = if outcome.found.contains(cause) { "found" } else { "NOT FOUND" };
        writeln!(words, "planted {} {} {}: {how}", cause.site, cause.item, cause.cause)?;
    }
    writeln!(words, "{} named that were not planted", outcome.wrong)?;
    Ok(outcome)
}
