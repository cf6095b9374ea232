//! Many small files at once.

use std::{path::Path, time::Instant};

use super::{Goal, Options, Row, Rows, rig::Rig};

const FILES: u64 = 1_000;
const FILES_QUICK: u64 = 300;
const LINES: u64 = 100;

/// Measures files of [`LINES`] rows, from the first rename to the ledger.
///
/// # Errors
/// Where the load does not arrive.
pub fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let count = if options.quick { FILES_QUICK } else { FILES };
    let mut rig = Rig::start(dir)?;
    let files = (0..count).map(|_| rig.prepare(LINES)).collect::<anyhow::Result<Vec<_>>>()?;
    let begun = Instant::now();
    files.iter().try_for_each(|file| rig.export(file))?;
    let seen = rig.await_ledger(rig.written())?;
    let rate = count as f64 / seen.duration_since(begun).as_secs_f64();
    rows.push(Row::new("small files of 100 lines", rate, "files/s").goal(Goal::AtLeast(500.0)));
    rig.stop()
}
