//! The demo's ERP: a real Tryton, whose stock is compared with the ledger in the end.
//!
//! Beside its picks each site then ships the ERP's waiting orders, some of them short, receives, adjusts and counts. Both books
//! must tell the same: what Tryton held in the beginning and what the ledger says came and went since.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt::Write as _,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use docksync_aggregator::ledger::{Reads as _, reads::SqliteReader};
use docksync_proto::site::SiteId;
use rand::{Rng, rngs::StdRng};
use rust_decimal::Decimal;
use serde::Serialize;

use crate::harness::{
    centre::Centre,
    site::Site,
    tryton::{Order, Seed, Tryton},
};

const PRODUCTS: u32 = 200;
const SHIPMENTS: u32 = 120;
/// Rounds of the demo between two documents: Tryton takes some ten shipments a second on a good day.
const ROUNDS_PER_DOCUMENT: u64 = 4;
/// How long the ERP may take for what is left in the end.
const DRAIN: Duration = Duration::from_secs(240);
/// Items of each site shown side by side.
const SHOWN: usize = 2;

/// How the books of ERP and ledger compare.
#[derive(Debug, Default, Clone, Serialize)]
pub struct ErpOutcome {
    /// Balances of sites and items compared.
    pub compared: u64,
    /// Of these equal.
    pub equal: u64,
    /// Effects that the ERP keeps.
    pub documents: u64,
    /// Effects that it keeps more than once.
    pub doubled: u64,
    /// Facts that the warehouses exported for it.
    pub facts: u64,
}

impl ErpOutcome {
    /// Whether the ERP has each fact once, and its stock shows it.
    pub fn is_good(&self) -> bool {
        self.compared > 0 && self.equal == self.compared && self.doubled == 0 && self.documents == self.facts
    }
}

type Stock = BTreeMap<String, Decimal>;

/// The ERP and what is exported for it.
pub struct Erp {
    tryton: Tryton,
    opening: BTreeMap<String, Stock>,
    orders: BTreeMap<String, VecDeque<Order>>,
    exported: u64,
}

impl Erp {
    /// Brings it up.
    ///
    /// # Errors
    /// Where it does not come up.
    pub fn start(dir: &Path, sites: &[&str], words: &mut dyn Write) -> anyhow::Result<Self> {
        writeln!(words, "bringing up Tryton; the first time its packages are installed, which takes some minutes")?;
        let tryton = Tryton::start(&dir.join("tryton"), Seed { sites, products: PRODUCTS, shipments: SHIPMENTS })?;
        let mut opening = BTreeMap::new();
        for site in sites {
            opening.insert((*site).to_owned(), tryton.stock(site)?);
        }
        let mut orders: BTreeMap<String, VecDeque<Order>> = BTreeMap::new();
        for order in tryton.orders(SHIPMENTS)? {
            orders.entry(order.site.clone()).or_default().push_back(order);
        }
        Ok(Self { tryton, opening, orders, exported: 0 })
    }

    /// Settings of the aggregator's consumer. What the ERP has no order or purchase for moves all the same.
    pub fn consumer(&self) -> String {
        self.tryton.consumer("without_document = \"move\"\n")
    }

    /// Exports a document of a site now and then.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn round(&mut self, round: u64, site: &Site, rng: &mut StdRng) -> anyhow::Result<()> {
        if !round.is_multiple_of(ROUNDS_PER_DOCUMENT) {
            return Ok(());
        }
        self.exported += 1;
        let n = self.exported;
        let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::get("America/Chicago")?);
        let sku = format!("SKU-{:04}", rng.random_range(1..=PRODUCTS));
        let order = self.orders.get_mut(&site.id).and_then(VecDeque::pop_front);
        match (rng.random_range(0..10), order) {
            (0..5, Some(order)) => site.put("ship", &format!("SHIP_{n:06}.csv"), &ship(n, &order, &now, rng)?),
            (choice, order) => {
                if let Some(order) = order {
                    self.orders.entry(site.id.clone()).or_default().push_front(order);
                }
                let quantity = rng.random_range(1..=9);
                let at = now.strftime("%Y-%m-%dT%H:%M:%S");
                match choice {
                    0..4 => {
                        let sign = if rng.random_bool(0.5) { "-" } else { "+" };
                        let text = format!(
                            "adj_no,line,when,sku,lot,qty,sign,uom,reason,note,status,user\n\
                             A-{n},1,{at},{sku},,{quantity},{sign},EA,CC{sign},,AVL,kim\n"
                        );
                        site.put("adjust", &format!("ADJ_{n:06}.csv"), &text)
                    }
                    4..7 => {
                        let text = format!(
                            "count_id\tcounted_on\titem\tbin\tlot\tbatch\texpires\tbook\tcounted\n\
                             C-{n}\t{}\t{sku}\tA-01\t\t\t\t40\t{}\n",
                            now.strftime("%m/%d/%Y"),
                            // Never forty: without a difference there is nothing to tell.
                            if quantity < 5 { 30 + quantity } else { 40 + quantity },
                        );
                        site.put("count", &format!("COUNT_{n:06}.csv"), &text)
                    }
                    _ => {
                        let damaged = quantity / 3;
                        let text = format!(
                            "HDR|R-{n}|ASN-{n}|{}|kim|{quantity}\nDTL|1|{sku}||EA|{quantity}|{damaged}\nTRL|1\n",
                            now.strftime("%m/%d/%Y %I:%M:%S %p"),
                        );
                        site.put("receipt", &format!("RCV_{n:06}.txt"), &text)
                    }
                }
            }
        }
    }

    /// Waits until the ERP has every fact, and compares the books.
    ///
    /// # Errors
    /// Where one of the books cannot be read.
    pub fn finish(&self, centre: &Centre, words: &mut dyn Write) -> anyhow::Result<ErpOutcome> {
        writeln!(words, "waiting until Tryton has {} documents", self.exported)?;
        let end = Instant::now() + DRAIN;
        let mut effects = self.tryton.effects()?;
        while (effects.len() as u64) < self.exported && Instant::now() < end {
            std::thread::park_timeout(Duration::from_millis(200));
            effects = self.tryton.effects()?;
        }
        let distinct: BTreeSet<_> = effects.iter().collect();
        let mut outcome = ErpOutcome {
            documents: effects.len() as u64,
            doubled: (effects.len() - distinct.len()) as u64,
            facts: self.exported,
            ..ErpOutcome::default()
        };
        let ledger = SqliteReader::open(&centre.ledger())?;
        writeln!(words, "{:<6} {:<10} {:>12} {:>12} {:>12}", "site", "item", "opening", "ERP", "ledger says")?;
        for (site, opening) in &self.opening {
            let mut shown = 0;
            let (now, moved) = (self.tryton.stock(site)?, moved(&ledger, site)?);
            let items: BTreeSet<&String> = opening.keys().chain(now.keys()).chain(moved.keys()).collect();
            for item in items {
                let of = |stock: &Stock| stock.get(item).copied().unwrap_or_default();
                let (in_erp, by_ledger) = (of(&now), of(opening) + of(&moved));
                outcome.compared += 1;
                outcome.equal += u64::from(in_erp == by_ledger);
                if in_erp != by_ledger || (shown < SHOWN && !of(&moved).is_zero()) {
                    shown += 1;
                    writeln!(words, "{site:<6} {item:<10} {:>12} {in_erp:>12} {by_ledger:>12}", of(opening))?;
                }
            }
        }
        writeln!(words, "{} of {} balances are equal", outcome.equal, outcome.compared)?;
        Ok(outcome)
    }
}

/// Ships an order; every fifth line goes one short.
fn ship(n: u64, order: &Order, now: &jiff::Zoned, rng: &mut StdRng) -> anyhow::Result<String> {
    let mut text = String::from(
        "order;shipment;ship_date;ship_time;customer;carrier;line;item;ean;ordered;shipped;unit;status;sscc\n",
    );
    let (day, time) = (now.strftime("%d.%m.%Y"), now.strftime("%H:%M"));
    for (at, (item, ordered)) in order.lines.iter().enumerate() {
        let is_short = rng.random_bool(0.2);
        let shipped = if is_short { *ordered - Decimal::ONE } else { *ordered };
        let status = if is_short { "S" } else { "C" };
        writeln!(
            text,
            "{};S-{n};{day};{time};C-1;dhl;{};{item};;{ordered};{shipped};STK;{status};",
            order.reference,
            (at + 1) * 10,
        )?;
    }
    Ok(text)
}

/// What came and went of each item of a site, by the ledger.
fn moved(ledger: &SqliteReader, site: &str) -> anyhow::Result<Stock> {
    let mut sums = Stock::new();
    for balance in ledger.balances(&SiteId::new(site)?)? {
        *sums.entry(balance.sku).or_default() += Decimal::new(balance.micros, 6).normalize();
    }
    Ok(sums)
}
