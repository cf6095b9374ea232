//! Commands. Data goes to standard output, words to standard error, the outcome into the exit code.

pub mod check;
pub mod map;

/// Exit codes: a contract.
pub mod exit {
    /// Done, nothing wrong.
    pub const OK: u8 = 0;
    /// Ran, and found problems.
    pub const PROBLEMS: u8 = 1;
    /// Wrong flags.
    pub const USAGE: u8 = 2;
    /// A file holds what cannot be taken.
    pub const DATA: u8 = 65;
    /// The other side could not be reached.
    pub const UNAVAILABLE: u8 = 69;
    /// May work later.
    pub const TRY_LATER: u8 = 75;
    /// Not allowed.
    pub const NO_PERMISSION: u8 = 77;
    /// The settings were refused.
    pub const CONFIG: u8 = 78;
}
