//! What a partner is to be told about a file of theirs.

/// A finished answer: the text of a file that a partner expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Which document it is, as `997`.
    pub kind: &'static str,
    /// All of it. The same file read again gives the same text.
    pub text: String,
}
