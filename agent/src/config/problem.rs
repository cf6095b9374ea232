//! A mistake in a settings file: where it stands, what stands there, what would be right.

use std::{fmt, ops::Range, path::PathBuf};

/// One mistake in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// File in which it stands.
    pub file: PathBuf,
    /// Line, from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Characters to underline.
    pub width: usize,
    /// Text of that line.
    pub snippet: String,
    /// Stable code (`C002`).
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// What would be right, or the nearest thing that is.
    pub help: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error[{}]: {}", self.code, self.message)?;
        if self.line == 0 {
            writeln!(f, " --> {}", self.file.display())?;
            return if self.help.is_empty() { Ok(()) } else { writeln!(f, "  = help: {}", self.help) };
        }
        let margin = " ".repeat(self.line.to_string().len());
        writeln!(f, "{margin}--> {}:{}:{}", self.file.display(), self.line, self.column)?;
        writeln!(f, "{margin} |")?;
        writeln!(f, "{} | {}", self.line, self.snippet)?;
        let indent = " ".repeat(self.column.saturating_sub(1));
        let carets = "^".repeat(self.width.max(1));
        writeln!(f, "{margin} | {indent}{carets}{}{}", if self.help.is_empty() { "" } else { " " }, self.help)
    }
}

/// A file's text with the mistakes found in it so far.
#[derive(Debug)]
pub struct Findings {
    file: PathBuf,
    text: String,
    found: Vec<Problem>,
}

impl Findings {
    /// No mistakes yet.
    pub fn new(file: PathBuf, text: &str) -> Self {
        Self { file, text: text.to_owned(), found: Vec::new() }
    }

    /// Notes a mistake at these bytes of the file.
    pub fn add(&mut self, code: &'static str, span: Range<usize>, message: String, help: String) {
        let from = floor(&self.text, span.start);
        let line = line_of(&self.text, from);
        let line_start = self.text[..from].rfind('\n').map_or(0, |at| at + 1);
        let snippet = self.text[line_start..].lines().next().unwrap_or("");
        let line_end = line_start + snippet.len();
        let to = floor(&self.text, span.end).clamp(from, line_end.max(from));
        self.found.push(Problem {
            file: self.file.clone(),
            line,
            column: self.text[line_start..from].chars().count() + 1,
            width: self.text[from..to].chars().count().max(1),
            snippet: snippet.to_owned(),
            code,
            message,
            help,
        });
    }

    /// The file, and the line of a byte of it.
    pub fn place(&self, at: usize) -> (PathBuf, usize) {
        (self.file.clone(), line_of(&self.text, at))
    }

    /// Everything found, in the order of the file.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|p| (p.line, p.column));
        self.found
    }
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text[..floor(text, at)].matches('\n').count() + 1
}

/// The nearest boundary of a character at or before this byte.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The known word that was most likely meant.
pub fn did_you_mean<'k>(found: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let found = found.to_ascii_lowercase();
    let near = |word: &'k str| (strsim::jaro_winkler(&found, &word.to_ascii_lowercase()), word);
    let best = known.into_iter().map(near).max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 > 0.8).then_some(best.1)
}

/// The suggestion as words, or the list of what is known.
pub fn suggestion(found: &str, known: &[&str]) -> String {
    match did_you_mean(found, known.iter().copied()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => {
            let mut once: Vec<&str> = Vec::new();
            for word in known {
                if !once.contains(word) {
                    once.push(word);
                }
            }
            format!("known: {}", once.join(", "))
        }
    }
}
