//! The site's page while a file of a million lines is captured: how long a browser waits for it.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Goal, Options, Row, Rows, rig::Rig};

const EVENTS: u64 = 1_000_000;
const EVENTS_QUICK: u64 = 100_000;
/// Between two looks at the page.
const PAUSE: Duration = Duration::from_millis(20);

/// Measures until everything is in the ledger.
///
/// # Errors
/// Where the page does not answer, or the load does not arrive.
pub(super) fn measure(options: &Options, dir: &Path, rows: &mut Rows) -> anyhow::Result<()> {
    let mut rig = Rig::start(dir)?;
    let file = rig.prepare(if options.quick { EVENTS_QUICK } else { EVENTS })?;
    let page = rig.site.page().context("a running agent has a page")?;
    rig.export(&file)?;
    let mut waits = Vec::new();
    while rig.held()? < rig.written() {
        waits.push(one(page)?);
        std::thread::park_timeout(PAUSE);
    }
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() * percent / 100).min(waits.len() - 1)].as_secs_f64() * 1e3;
    rows.push(Row::new("page during capture, p50", at(50), "ms"));
    rows.push(Row::new("page during capture, p99", at(99), "ms").goal(Goal::Below(50.0)));
    rig.stop()
}

fn one(page: SocketAddr) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(page)?;
    stream.set_read_timeout(Some(crate::harness::DEADLINE))?;
    write!(stream, "GET / HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    anyhow::ensure!(text.starts_with("HTTP/1.1 200"), "the page answered {}", text.lines().next().unwrap_or_default());
    Ok(begun.elapsed())
}
