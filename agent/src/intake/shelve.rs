//! Moves files: into `work/` when they are claimed, from there to the archive or into quarantine. Nothing is ever deleted.
//!
//! All moves are renames on one file system. Where the agent's own folder lies on another one, the three folders are made
//! below the feed's own, as `.docksync/`.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use jiff::civil::Date;
use rustix::fs::{CWD, RenameFlags};
use serde::Serialize;

use super::{IntakeError, pattern};
use crate::queue::capture::HeldLine;

/// Most attempts to find a free name.
const CLASHES_MAX: u32 = 10_000;
/// Folder below a feed's own where the agent's lies on another file system.
pub(super) const SIDE_DIR: &str = ".docksync";

/// Where claimed files lie.
#[derive(Debug)]
pub(super) struct Shelves {
    state_dir: PathBuf,
    next: AtomicU64,
}

/// How a file was claimed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claimed {
    /// It lies here now.
    Moved(PathBuf),
    /// Its folder may not be changed: it stays where it is.
    InPlace,
}

/// Which shelf a file ends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shelf {
    Archive,
    Quarantine,
}

impl Shelves {
    /// `seed` keeps the folders of two runs apart.
    pub(super) fn new(state_dir: PathBuf, seed: u64) -> Self {
        Self { state_dir, next: AtomicU64::new(seed) }
    }

    /// Folder of the agent's own files.
    pub(super) fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    /// Folders whose files were claimed: the agent's own, and the one beside a feed's files.
    pub(super) fn work_dirs(&self, feed: &str, folder: &Path) -> [PathBuf; 2] {
        [self.state_dir.join("work").join(feed), folder.join(SIDE_DIR).join("work").join(feed)]
    }

    /// Claims a file by renaming it into `work/`.
    pub(super) fn claim(&self, feed: &str, path: &Path) -> Result<Claimed, IntakeError> {
        let failed = |source| IntakeError::Move { path: path.to_path_buf(), source };
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let folder = path.parent().unwrap_or(Path::new("/"));
        let number = self.next.fetch_add(1, Ordering::Relaxed).to_string();
        for work in self.work_dirs(feed, folder) {
            let own = work.join(&number);
            let target = own.join(name);
            let moved = std::fs::create_dir_all(&own).and_then(|()| rename_new(path, &target));
            match moved {
                // Not synced: a rename that a power cut takes back leaves the file where it was, to be claimed again.
                Ok(()) => return Ok(Claimed::Moved(target)),
                Err(error) => {
                    remove_empty(&own);
                    match error.kind() {
                        io::ErrorKind::CrossesDevices => {}
                        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                            return Ok(Claimed::InPlace);
                        }
                        _ => return Err(failed(error)),
                    }
                }
            }
        }
        Ok(Claimed::InPlace)
    }

    /// Moves a claimed file to its shelf. Gives where it lies now: where it was, for a file in place. The caller syncs the
    /// folder, once for all files that it moves together.
    pub(super) fn shelve(&self, path: &Path, folder: &Path, shelf: Shelf, day: Date) -> Result<PathBuf, IntakeError> {
        let failed = |source| IntakeError::Move { path: path.to_path_buf(), source };
        let Some(root) = self.root_of(path, folder) else { return Ok(path.to_path_buf()) };
        let name = path.file_name().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let dir = match shelf {
            Shelf::Archive => archive_dir(&root, day),
            Shelf::Quarantine => root.join("quarantine"),
        };
        std::fs::create_dir_all(&dir).map_err(failed)?;
        for nth in 0..CLASHES_MAX {
            let target = dir.join(numbered(name, nth));
            match rename_new(path, &target) {
                Ok(()) => {
                    if let Some(own) = path.parent() {
                        remove_empty(own);
                    }
                    return Ok(target);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed(error)),
            }
        }
        Err(failed(io::ErrorKind::AlreadyExists.into()))
    }

    /// Finds a file that was moved although nobody wrote down where to: in quarantine or in the newest days of the archive.
    pub(super) fn find(&self, path: &Path, folder: &Path, sha256: &[u8; 32], days: &[Date]) -> Option<PathBuf> {
        let root = self.root_of(path, folder)?;
        let name = path.file_name()?;
        let dirs = days.iter().map(|day| archive_dir(&root, *day)).chain([root.join("quarantine")]);
        for dir in dirs {
            let there = (0..CLASHES_MAX).map(|nth| dir.join(numbered(name, nth))).take_while(|path| path.exists());
            for path in there {
                let hash =
                    super::open::open(&path).ok().and_then(|mut opened| super::open::sha256(&mut opened.file).ok());
                if hash.as_ref() == Some(sha256) {
                    return Some(path);
                }
            }
        }
        None
    }

    /// Folder that holds `work`, `archive` and `quarantine` for this file; `None` for one that was not moved.
    fn root_of(&self, path: &Path, folder: &Path) -> Option<PathBuf> {
        let side = folder.join(SIDE_DIR);
        [self.state_dir.clone(), side].into_iter().find(|root| path.starts_with(root.join("work")))
    }
}

fn archive_dir(root: &Path, day: Date) -> PathBuf {
    root.join("archive").join(format!("{:04}/{:02}/{:02}", day.year(), day.month(), day.day()))
}

/// The name, with a number behind it where one is needed.
fn numbered(name: &OsStr, nth: u32) -> OsString {
    let mut name = name.to_owned();
    if nth > 0 {
        name.push(format!(".{nth}"));
    }
    name
}

/// Renames to a name that nobody has. File systems without that promise are asked first.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::NOTSUP) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            std::fs::rename(from, to)
        }
        other => other.map_err(io::Error::from),
    }
}

/// Makes renames in the folder last.
pub(super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// A folder left behind empty does no harm, hence failing to remove it is no error.
fn remove_empty(dir: &Path) {
    let _kept = std::fs::remove_dir(dir);
}

/// Why a file lies in quarantine, for people and programs.
#[derive(Debug, Serialize)]
pub(super) struct Reason<'r> {
    pub(super) file: &'r str,
    pub(super) feed: &'r str,
    pub(super) sha256: &'r str,
    pub(super) refused_at: String,
    pub(super) reasons: &'r [HeldLine],
}

/// Writes `<name>.reason.json` beside a file in quarantine: aside, synced, renamed.
pub(super) fn write_reason(path: &Path, reason: &Reason<'_>) -> Result<(), IntakeError> {
    let (mut target, mut aside) = (path.as_os_str().to_owned(), path.as_os_str().to_owned());
    target.push(".reason.json");
    aside.push(".reason.json.tmp");
    let write = || {
        let mut file = File::create(&aside)?;
        serde_json::to_writer_pretty(&mut file, reason)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&aside, &target)?;
        sync_dir(path.parent().unwrap_or(Path::new("/")))
    };
    write().map_err(|source| IntakeError::Reason { path: PathBuf::from(&target), source })
}

/// Shown name of a path's last part.
pub(super) fn name_of(path: &Path) -> String {
    pattern::shown(path.file_name().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Date = jiff::civil::date(2026, 11, 23);

    #[test]
    fn a_name_that_is_taken_gets_a_number() {
        let dir = tempfile::tempdir().unwrap();
        let shelves = Shelves::new(dir.path().join("state"), 1);
        let folder = dir.path().join("in");
        std::fs::create_dir(&folder).unwrap();
        let mut ends = Vec::new();
        for _ in 0..2 {
            std::fs::write(folder.join("a.csv"), "x").unwrap();
            let Claimed::Moved(path) = shelves.claim("pick", &folder.join("a.csv")).unwrap() else {
                panic!("not moved")
            };
            ends.push(shelves.shelve(&path, &folder, Shelf::Archive, DAY).unwrap());
        }

        let archive = dir.path().join("state/archive/2026/11/23");
        assert_eq!(ends, [archive.join("a.csv"), archive.join("a.csv.1")]);
        assert_eq!(std::fs::read_dir(dir.path().join("state/work/pick")).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_on_another_file_system_gets_shelves_of_its_own() {
        use std::os::unix::fs::MetadataExt as _;
        let (here, Ok(there)) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm")) else { return };
        if here.path().metadata().unwrap().dev() == there.path().metadata().unwrap().dev() {
            return;
        }
        let shelves = Shelves::new(here.path().to_path_buf(), 1);
        std::fs::write(there.path().join("a.csv"), "x").unwrap();

        let Claimed::Moved(path) = shelves.claim("pick", &there.path().join("a.csv")).unwrap() else {
            panic!("not moved")
        };
        let end = shelves.shelve(&path, there.path(), Shelf::Archive, DAY).unwrap();

        assert_eq!(end, there.path().join(".docksync/archive/2026/11/23/a.csv"));
        assert!(end.exists());
    }

    #[test]
    fn a_file_that_was_moved_unnoticed_is_found_by_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let shelves = Shelves::new(dir.path().to_path_buf(), 1);
        let archive = dir.path().join("archive/2026/11/23");
        std::fs::create_dir_all(&archive).unwrap();
        std::fs::write(archive.join("a.csv"), "other").unwrap();
        std::fs::write(archive.join("a.csv.1"), "mine").unwrap();
        let hash =
            sha2::Digest::finalize(sha2::Digest::chain_update(<sha2::Sha256 as sha2::Digest>::new(), "mine")).into();

        let found = shelves.find(&dir.path().join("work/pick/1/a.csv"), Path::new("/in"), &hash, &[DAY]);

        assert_eq!(found, Some(archive.join("a.csv.1")));
    }
}
