//! A warehouse system that exports picks, with the habits of real ones: bad lines, re-exports, files written in place.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use jiff::Timestamp;
use rand::{Rng, SeedableRng, rngs::StdRng};

const HEADER: &str = "order,line,sku,lot,qty,uom,lpn,location,picked_at,operator,txn\n";

/// Length of a note.
const NOTE_CHARS: usize = 1_000;

/// The warehouse system of one site, with its own list of what is true.
#[derive(Debug)]
pub struct Wms {
    site: String,
    folder: PathBuf,
    rng: StdRng,
    next: u64,
    files: u64,
    last: Option<PathBuf>,
    kept: Option<String>,
    /// Transactions exported in good lines, and when their file appeared.
    pub truth: BTreeMap<String, Instant>,
    /// Bad lines exported.
    pub bad: u64,
    /// Files exported a second time.
    pub again: u64,
}

impl Wms {
    /// A system that exports to a folder.
    pub fn new(site: &str, folder: &Path, seed: u64) -> Self {
        Self {
            site: site.to_owned(),
            folder: folder.to_owned(),
            rng: StdRng::seed_from_u64(seed),
            next: 1,
            files: 0,
            last: None,
            kept: None,
            truth: BTreeMap::new(),
            bad: 0,
            again: 0,
        }
    }

    /// Goes on as if so many facts were exported before: two systems of one site share no facts.
    #[must_use]
    pub const fn from(mut self, fact: u64) -> Self {
        self.next = fact;
        self
    }

    /// Exports a file of good lines.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn export(&mut self, lines: u64) -> anyhow::Result<PathBuf> {
        let (text, transactions) = self.picks(lines);
        self.put(&text, transactions)
    }

    /// Exports a file of good lines, each with a note that does not compress: it fills a queue with few events.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn export_wide(&mut self, lines: u64) -> anyhow::Result<PathBuf> {
        let (text, transactions) = self.picks(lines);
        let mut rows = text.lines();
        let mut wide = format!("{},note\n", rows.next().unwrap_or_default());
        for row in rows {
            wide.push_str(row);
            wide.push(',');
            wide.extend((0..NOTE_CHARS).map(|_| char::from(self.rng.sample(rand::distr::Alphanumeric))));
            wide.push('\n');
        }
        self.put(&wide, transactions)
    }

    /// Exports a file of which one line has a quantity that is none.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn export_with_bad_line(&mut self, lines: u64) -> anyhow::Result<PathBuf> {
        let (mut text, transactions) = self.picks(lines);
        let n = self.number();
        let bad =
            format!("SO-{n},1,SKU-0001,,12EA,EA,LPN{n:08},A-01-01,2026-11-23T12:00:00,jdoe,BAD-{}-{n}\n", self.site);
        text.push_str(&bad);
        self.bad += 1;
        self.put(&text, transactions)
    }

    /// Exports the last file once more under a new name.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn export_again(&mut self) -> anyhow::Result<()> {
        if let Some(text) = self.kept.clone() {
            self.again += 1;
            self.put(&text, Vec::new())?;
        }
        Ok(())
    }

    /// Leaves the beginning of a file under a temporary name, as a system that died while it wrote.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn leave_half(&mut self) -> anyhow::Result<()> {
        self.files += 1;
        fs::write(self.folder.join(format!("PICK_{:06}.csv.tmp", self.files)), &HEADER[..20])?;
        Ok(())
    }

    /// The last file exported.
    pub fn last(&self) -> Option<&Path> {
        self.last.as_deref()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn picks(&mut self, lines: u64) -> (String, Vec<String>) {
        let mut text = String::from(HEADER);
        let mut transactions = Vec::new();
        for _ in 0..lines {
            let n = self.number();
            let transaction = format!("T-{}-{n}", self.site);
            let order = 100_000 + n / 3;
            let (sku, qty) = (self.rng.random_range(1..=2_000), self.rng.random_range(1..=48));
            let at = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S").to_string();
            let (aisle, user) = (n % 40, n % 12);
            let written = writeln!(
                text,
                "SO-{order},{},SKU-{sku:04},L{},{qty},EA,LPN{n:08},A-{aisle:02}-{:02},{at},user{user},{transaction}",
                n % 3 + 1,
                sku % 7,
                n % 25,
            );
            debug_assert!(written.is_ok(), "writing to a String does not fail");
            transactions.push(transaction);
        }
        (text, transactions)
    }

    /// Written aside, then renamed into place.
    fn put(&mut self, text: &str, transactions: Vec<String>) -> anyhow::Result<PathBuf> {
        self.files += 1;
        let name = format!("PICK_{}_{:06}.csv", self.site, self.files);
        let aside = self.folder.join(format!("{name}.tmp"));
        fs::write(&aside, text)?;
        let path = self.folder.join(&name);
        fs::rename(&aside, &path)?;
        let now = Instant::now();
        self.truth.extend(transactions.into_iter().map(|t| (t, now)));
        self.last = Some(path.clone());
        self.kept = Some(text.to_owned());
        Ok(path)
    }
}
