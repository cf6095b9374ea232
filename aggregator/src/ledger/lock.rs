//! Who may write: the running service holds a lock on the state folder; a command that gets it acts by itself.

use std::{fs::File, path::Path};

use super::error::LedgerError;

/// File that is locked.
const LOCK_FILE: &str = "state.lock";

/// The lock, for as long as it lives; the system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the lock of a state folder; `None` where another process holds it.
    ///
    /// # Errors
    /// [`LedgerError::Io`] where the file cannot be made.
    pub fn take(dir: &Path) -> Result<Option<Self>, LedgerError> {
        let path = dir.join(LOCK_FILE);
        let io = |source| LedgerError::Io { doing: "lock", path: path.clone(), source };
        let file = File::options().create(true).truncate(false).read(true).write(true).open(&path).map_err(io)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(io(errno.into())),
        }
    }
}
