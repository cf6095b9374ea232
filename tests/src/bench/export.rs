//! Export files of picks: rows of some 146 bytes, as a warehouse system writes them.

use std::{
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

const HEADER: &str = "order,line,sku,lot,qty,uom,lpn,location,picked_at,operator,txn";

/// Writes rows `first` to `first + count - 1`; a row is the same in whatever file it stands.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(path: &Path, first: u64, count: u64) -> anyhow::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let mut rng = StdRng::seed_from_u64(first);
    writeln!(out, "{HEADER}")?;
    for n in first..first + count {
        let (sku, qty, bin) = (rng.random_range(1..=2_000), rng.random_range(1..=48), rng.random_range(0..25));
        let (order, line, lot) = (4_500_000_000 + n / 3, n % 3 + 1, sku % 7);
        let (aisle, user, second) = (n % 40, n % 12, n / 4);
        let (day, hour) = (1 + second / 86_400 % 28, second / 3_600 % 24);
        let (minute, second) = (second / 60 % 60, second % 60);
        writeln!(
            out,
            "SO-{order},{line},SKU-{sku:06},LOT-2026-{lot:03},{qty},EA,LPN-0003456789{n:09},DC01-A{aisle:02}-B{bin:02}-L{lot:02},\
             2026-11-{day:02}T{hour:02}:{minute:02}:{second:02},operator.{user:02},TXN-DC01-{n:010}"
        )?;
    }
    out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
    Ok(())
}
