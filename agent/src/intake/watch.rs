//! Asks the kernel to tell about changes. Only a hint: overflow, network shares and limits make it silent, the timer does not.

use std::{
    path::Path,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind, RenameMode},
};

use super::facts::Watching;

/// File systems whose changes may be made elsewhere: NFS, SMB, CIFS, SMB2, FUSE, 9P, AFS, Ceph, NCP (statfs(2)).
const REMOTE: &[u64] =
    &[0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x6573_5546, 0x0102_1997, 0x5346_414f, 0x00c3_6400, 0x564c];

/// Wakes the scanner of one feed.
#[derive(Debug, Clone, Default)]
pub(super) struct Bell {
    inner: Arc<(Mutex<bool>, Condvar)>,
}

impl Bell {
    pub(super) fn ring(&self) {
        *self.inner.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.inner.1.notify_all();
    }

    /// Waits for the bell, or so long; true where it rang.
    pub(super) fn wait(&self, most: Duration) -> bool {
        let rang = self.inner.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.inner.1.wait_timeout_while(rang, most, |rang| !*rang);
        let (mut rang, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *rang)
    }
}

/// Whether a change is of the kind that looking and claiming make: to look again for those would never end.
fn is_own_doing(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => false,
        EventKind::Access(_) | EventKind::Modify(ModifyKind::Name(RenameMode::From)) => true,
        _ => false,
    }
}

/// Watches the folder as long as the result is kept.
pub(super) fn watch(folder: &Path, bell: &Bell) -> (Option<RecommendedWatcher>, Watching) {
    let magic = rustix::fs::statfs(folder).map(|stat| stat.f_type.cast_unsigned());
    if magic.is_ok_and(|magic| REMOTE.contains(&magic)) {
        return (None, Watching::Polled);
    }
    let rings = bell.clone();
    let watcher = notify::recommended_watcher(move |told: notify::Result<Event>| {
        // A fault, an overflow for one, leaves out what changed: only a look can tell.
        if told.is_ok_and(|event| is_own_doing(&event.kind)) {
            return;
        }
        rings.ring();
    });
    let watching = watcher.and_then(|mut watcher| {
        watcher.watch(folder, RecursiveMode::NonRecursive)?;
        Ok(watcher)
    });
    match watching {
        Ok(watcher) => (Some(watcher), Watching::Notified),
        Err(error) => {
            tracing::warn!(folder = %folder.display(), error = %error, "folder could not be watched, it is polled");
            (None, Watching::Polled)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(300);

    #[test]
    fn a_look_at_the_folder_does_not_ring_and_a_new_file_does() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("old"), "x").unwrap();
        let bell = Bell::default();
        let (_watcher, watching) = watch(dir.path(), &bell);
        assert_eq!(watching, Watching::Notified);

        let seen = std::fs::read_dir(dir.path()).unwrap().count();
        std::fs::read(dir.path().join("old")).unwrap();
        let by_look = bell.wait(SHORT);
        std::fs::write(dir.path().join("new"), "x").unwrap();
        let by_file = bell.wait(LONG);

        assert_eq!((seen, by_look, by_file), (1, false, true));
    }
}
