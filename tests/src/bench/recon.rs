//! Comparison of the books: a million balances of five sites by the shipped command, beside the bare SQL join over the same rows.

use std::{fs, path::Path, process::Command, sync::Arc, time::Instant};

use anyhow::Context as _;
use docksync_aggregator::ledger::{
    Change, CursorRow, Loc, Store as _,
    conformance::{Stream, receipt},
    sqlite::SqliteStore,
};
use docksync_proto::site::SiteId;
use rusqlite::{Connection, params};

use super::{Goal, Options, Row, Rows, rig};
use crate::harness::process;

const BALANCES: usize = 1_000_000;
const BALANCES_QUICK: usize = 100_000;
const SITES: usize = 5;
const BATCH: usize = 500;

/// Measures both.
///
/// # Errors
/// Where a program fails.
pub(super) fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let of_site = if options.quick { BALANCES_QUICK } else { BALANCES } / SITES;
    let state = dir.join("state");
    fs::create_dir_all(&state)?;
    let staging = dir.join("staging.db");
    fill(&state.join("ledger.sqlite"), &staging, of_site)?;
    let config = dir.join("aggregator.toml");
    fs::write(
        &config,
        format!(
            "[centre]\nname = \"Centre\"\n[state]\ndir = \"{}\"\n[reconcile]\ndaily = \"never\"\n\
             [[consumer]]\nname = \"erp\"\nkind = \"sql\"\nerp = true\npath = \"{}\"\n",
            state.display(),
            staging.display()
        ),
    )?;
    // The first run carries the book and takes the ERP's stock as the beginning.
    run(&config, &[])?;
    let (whole, _) = run(&config, &[])?;
    let (secs, peak) = run(&config, &["--again", "2"])?;
    let bare = bare(&state.join("reconcile.sqlite"), of_site * SITES)?;
    let balances = (of_site * SITES) as f64;
    let begun = Instant::now();
    let traced = Command::new(process::program("docksync-aggregator")?)
        .args(["recon", "trace", "DC03", "SKU-0001000", "--config", config.to_str().context("a path of text")?])
        .output()?;
    anyhow::ensure!(traced.status.success(), "recon trace ended with {}", traced.status);
    let trace = begun.elapsed().as_secs_f64();
    let row = Row::new("reconcile, compare", balances / secs, "balances/s").of(balances / bare);
    rows.push(row.goal(Goal::PartOf(1.0 / 3.0)));
    rows.push(Row::new("reconcile, memory", peak, "MiB").goal(Goal::Below(300.0)));
    rows.push(Row::new("reconcile, trace among all movements", trace, "s").goal(Goal::Below(2.0)));
    rows.push(Row::new("reconcile, whole run with reading", balances / whole, "balances/s"));
    Ok(())
}

fn fill(ledger: &Path, staging: &Path, of_site: usize) -> anyhow::Result<()> {
    let mut store = SqliteStore::open(ledger, Arc::new(|| 1))?;
    let mut erp = Connection::open(staging)?;
    erp.execute_batch(
        "CREATE TABLE docksync_stock (site TEXT NOT NULL, sku TEXT NOT NULL, lot TEXT NOT NULL, status TEXT NOT NULL, \
         quantity_micros INTEGER NOT NULL, PRIMARY KEY (site, sku, lot, status)) WITHOUT ROWID",
    )?;
    for n in 0..SITES {
        let name = format!("DC{n:02}");
        let mut stream = Stream::new(&name, 1);
        let mut last = Loc::default();
        let books = erp.transaction()?;
        for from in (0..of_site).step_by(BATCH) {
            let of_batch: Vec<_> = (from..of_site.min(from + BATCH))
                .map(|k| receipt(&name, &format!("R-{k}"), &format!("SKU-{k:07}"), 10))
                .collect();
            for k in from..of_site.min(from + BATCH) {
                let micros = 10_000_000 + i64::from(k % 1_000 == 0) * 1_000_000;
                books.prepare_cached("INSERT INTO docksync_stock VALUES (?1, ?2, '', '', ?3)")?.execute(params![
                    name,
                    format!("SKU-{k:07}"),
                    micros
                ])?;
            }
            let committed = store.commit(&[stream.batch(&of_batch)], &[])?;
            last = Loc::new(committed[0].batch_no, of_batch.len() - 1);
        }
        books.commit()?;
        let cursor = CursorRow {
            consumer: "erp".to_owned(),
            site: SiteId::new(&name)?,
            loc: last,
            epoch: 1,
            seq: of_site as u64,
        };
        store.change(&[Change::Cursor(cursor)])?;
    }
    Ok(())
}

/// Seconds and peak memory (MiB) of the command.
fn run(config: &Path, more: &[&str]) -> anyhow::Result<(f64, f64)> {
    let config = config.to_str().context("a path of text")?;
    let begun = Instant::now();
    let mut child = Command::new(process::program("docksync-aggregator")?)
        .args([&["recon", "run", "--json", "--config", config], more].concat())
        .stdout(std::process::Stdio::null())
        .spawn()?;
    let mut peak = 0.0;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        peak = rig::memory_mib(child.id(), "VmHWM").unwrap_or(peak);
        std::thread::park_timeout(std::time::Duration::from_millis(10));
    };
    anyhow::ensure!(status.success(), "recon run ended with {status}");
    Ok((begun.elapsed().as_secs_f64(), peak))
}

/// Seconds of the bare join.
fn bare(path: &Path, balances: usize) -> anyhow::Result<f64> {
    let db = Connection::open(path)?;
    let begun = Instant::now();
    let (count, _): (i64, i64) = db.query_row(
        "SELECT count(*), sum(a.micros + coalesce(a.opening, 0) <> o.micros) FROM account a JOIN other_balance o ON o.run_no = 2 \
         AND o.side = 'erp' AND o.site = a.site AND o.item = a.sku AND o.lot = a.lot AND o.place = a.status",
        [],
        |r| Ok((r.get(0)?, r.get(1)?)),
    )?;
    let secs = begun.elapsed().as_secs_f64();
    anyhow::ensure!(usize::try_from(count)? == balances, "the join has {count} rows");
    Ok(secs)
}
