//! How problems of a configuration are told: all at once, each with file, line, column, the line itself and what would be right.

use std::{fmt, ops::Range, path::PathBuf};

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable code.
    pub code: &'static str,
    /// Bytes of the file that it is about.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What would be right; shown under the bytes.
    pub hint: String,
}

/// Every problem of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// File.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Problems, in the order of the file.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| write_problem(f, self, problem))?;
        let n = self.problems.len();
        write!(f, "{}: {n} {}", self.path.display(), if n == 1 { "problem" } else { "problems" })
    }
}

impl std::error::Error for Report {}

fn write_problem(f: &mut fmt::Formatter<'_>, report: &Report, problem: &Problem) -> fmt::Result {
    let (line_no, column, line) = place(&report.text, problem.span.start);
    let gutter = " ".repeat(line_no.to_string().len());
    let wanted = report.text.get(problem.span.clone()).map_or(1, |s| s.lines().next().unwrap_or("").chars().count());
    let room = (line.chars().count() + 1).saturating_sub(column - 1);
    writeln!(f, "error[{}]: {}", problem.code, problem.message)?;
    writeln!(f, "{gutter}--> {}:{line_no}:{column}", report.path.display())?;
    writeln!(f, "{gutter} |")?;
    writeln!(f, "{line_no} | {line}")?;
    let marks = "^".repeat(wanted.clamp(1, room.max(1)));
    writeln!(f, "{gutter} | {}{marks} {}", " ".repeat(column - 1), problem.hint)
}

/// Line number, column (both from 1, in characters) and the line that holds this byte.
fn place(text: &str, at: usize) -> (usize, usize, &str) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind('\n').map_or(0, |n| n + 1);
    let line = text[start..].lines().next().unwrap_or("");
    (text[..start].matches('\n').count() + 1, text[start..at].chars().count() + 1, line)
}
