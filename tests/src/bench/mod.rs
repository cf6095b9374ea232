//! The benchmark: what the product does, beside what this machine could do at most.
//!
//! Only ratios from one run count, for machines are shared; so the ceiling, a bare pipeline without chain, signature or
//! recovery, runs right before the line it is compared with. All loads are bounded, and everything stays on loopback.
//! Processes are real and of this build; what they use is read from `/proc`.

pub mod bare;
pub mod codec;
mod deliver;
mod erp;
pub mod export;
mod formats;
pub mod latency;
pub mod line;
pub mod memory;
mod page;
mod recon;
pub mod rig;
pub mod small;

use std::{io::Write, path::Path};

use serde::Serialize;

/// What to measure.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Fewer events.
    pub quick: bool,
    /// Only the measurement of this name.
    pub only: Option<String>,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What this machine could do at most, in the same unit and run.
    pub ceiling: Option<f64>,
    /// Value by ceiling.
    pub ratio: Option<f64>,
    /// What it should be, as `>= 500` or `< 64`.
    pub goal: Option<String>,
    /// Whether it is.
    pub met: Option<bool>,
}

/// Where a goal lies.
#[derive(Debug, Clone, Copy)]
pub enum Goal {
    /// No less than this.
    AtLeast(f64),
    /// No more than this.
    AtMost(f64),
    /// Less than this.
    Below(f64),
    /// No smaller part of the ceiling than this.
    PartOf(f64),
}

impl Row {
    /// A figure without ceiling and goal.
    pub fn new(name: &str, value: f64, unit: &'static str) -> Self {
        Self { name: name.to_owned(), value, unit, ceiling: None, ratio: None, goal: None, met: None }
    }

    /// With what the machine could do at most.
    #[must_use]
    pub fn of(mut self, ceiling: f64) -> Self {
        self.ratio = (ceiling > 0.0).then(|| self.value / ceiling);
        self.ceiling = Some(ceiling);
        self
    }

    /// With a goal; one that is a part of the ceiling comes after [`Row::of`].
    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        let (text, met) = match goal {
            Goal::AtLeast(n) => (format!(">= {n}"), self.value >= n),
            Goal::AtMost(n) => (format!("<= {n}"), self.value <= n),
            Goal::Below(n) => (format!("< {n}"), self.value < n),
            Goal::PartOf(n) => (format!(">= {n} of the ceiling"), self.ratio.is_some_and(|r| r >= n)),
        };
        (self.goal, self.met) = (Some(text), Some(met));
        self
    }
}

/// Figures so far.
pub type Rows = Vec<Row>;

/// A measurement: its name, and what it does in a folder of its own.
type Measurement = (&'static str, fn(&Options, &Path, &mut Rows) -> anyhow::Result<()>);

const ALL: &[Measurement] = &[
    ("codec", codec::measure),
    ("formats", formats::measure),
    ("deliver", deliver::measure),
    ("erp", erp::measure),
    ("recon", recon::measure),
    ("line", line::measure),
    ("page", page::measure),
    ("small", small::measure),
    ("latency", latency::measure),
    ("memory", memory::measure),
];

/// Measures; says to `words` what is under way.
///
/// # Errors
/// Where a name is unknown, or a measurement cannot be taken.
pub fn run(options: &Options, dir: &Path, words: &mut dyn Write) -> anyhow::Result<Rows> {
    // Where another part of the process named the provider before, it is the same one.
    drop(rustls::crypto::ring::default_provider().install_default());
    let chosen: Vec<&Measurement> =
        ALL.iter().filter(|(name, _)| options.only.as_ref().is_none_or(|only| only == name)).collect();
    let names: Vec<&str> = ALL.iter().map(|(name, _)| *name).collect();
    anyhow::ensure!(!chosen.is_empty(), "no such measurement; there are {}", names.join(", "));
    let mut rows = Rows::new();
    for (name, measure) in chosen {
        writeln!(words, "measuring {name}")?;
        let own = dir.join(name);
        std::fs::create_dir_all(&own)?;
        measure(options, &own, &mut rows)?;
        std::fs::remove_dir_all(&own)?;
    }
    Ok(rows)
}

/// Writes the figures as a table.
///
/// # Errors
/// Where it cannot be written.
pub fn table(rows: &[Row], out: &mut dyn Write) -> std::io::Result<()> {
    writeln!(out, "{:<52} {:>12} {:<12} {:>12} {:>6}  goal", "what", "value", "unit", "ceiling", "ratio")?;
    for row in rows {
        let ceiling = row.ceiling.map(number).unwrap_or_default();
        let ratio = row.ratio.map(|r| format!("{r:.2}")).unwrap_or_default();
        let met = row.met.map_or("", |met| if met { "met" } else { "MISSED" });
        let goal = row.goal.as_deref().unwrap_or_default();
        writeln!(
            out,
            "{:<52} {:>12} {:<12} {ceiling:>12} {ratio:>6}  {goal} {met}",
            row.name,
            number(row.value),
            row.unit
        )?;
    }
    Ok(())
}

fn number(value: f64) -> String {
    if value >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}
