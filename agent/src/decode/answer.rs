//! An acknowledgement that a dialect writes for what it read: text of the partner's own standard.

/// One acknowledgement. The same file gives the same answers, whenever it is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// What it is: `997`, `contrl`.
    pub kind: &'static str,
    /// Its text, as it is sent.
    pub text: String,
}
