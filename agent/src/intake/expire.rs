//! Removes exports that were taken long ago from the archive. What may still be needed stays, however old.
//!
//! Whoever may write into an export folder may put anything there: only real folders are entered, never what a link points to.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::civil::Date;

/// Most files that one turn removes: years of exports go little by little.
pub const FILES_MAX: u64 = 5_000;

/// Where the archive of a feed lies whose folder is on another file system than the agent's own.
pub(crate) fn beside(folder: &Path) -> PathBuf {
    folder.join(super::shelve::SIDE_DIR)
}

/// The place of a file below its archive, wherever that lies now: `YYYY/MM/DD/name`.
pub fn place(path: &Path) -> Option<PathBuf> {
    let parts: Vec<_> = path.components().collect();
    let at = parts.iter().rposition(|part| part.as_os_str() == "archive")?;
    Some(parts[at + 1..].iter().collect())
}

/// Removes files of the days before `before` below `root` (`archive/YYYY/MM/DD`), at most [`FILES_MAX`], but those whose [`place`] is in
/// `keep`; gives how many went.
///
/// # Errors
/// The first that could not be removed or looked at; the others are removed all the same.
pub fn expire(root: &Path, before: Date, keep: &BTreeSet<PathBuf>) -> io::Result<u64> {
    let archive = root.join("archive");
    if !is_folder(root) || !is_folder(&archive) {
        return Ok(0);
    }
    let mut turn = Turn { keep, gone: 0, failed: None };
    for (year_dir, year) in turn.numbered(&archive) {
        for (month_dir, month) in turn.numbered(&year_dir) {
            for (day_dir, day) in turn.numbered(&month_dir) {
                let date =
                    i8::try_from(month).ok().zip(i8::try_from(day).ok()).and_then(|(m, d)| Date::new(year, m, d).ok());
                if date.is_some_and(|date| date < before) {
                    turn.empty(&day_dir, &archive);
                }
            }
            turn.remove_if_empty(&month_dir);
        }
        turn.remove_if_empty(&year_dir);
    }
    turn.failed.map_or(Ok(turn.gone), Err)
}

/// A folder itself, not a link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir())
}

struct Turn<'k> {
    keep: &'k BTreeSet<PathBuf>,
    gone: u64,
    failed: Option<io::Error>,
}

impl Turn<'_> {
    fn noted<T>(&mut self, done: io::Result<T>) -> Option<T> {
        match done {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed.get_or_insert(error);
                None
            }
        }
    }

    /// Folders whose names are numbers: only those are the archive's own.
    fn numbered(&mut self, dir: &Path) -> Vec<(PathBuf, i16)> {
        let Some(entries) = self.noted(fs::read_dir(dir)) else { return Vec::new() };
        let folder = |entry: fs::DirEntry| {
            let is_own = entry.file_type().is_ok_and(|kind| kind.is_dir());
            is_own.then(|| Some((entry.path(), entry.file_name().to_str()?.parse().ok()?)))?
        };
        entries.flatten().filter_map(folder).collect()
    }

    fn empty(&mut self, day: &Path, archive: &Path) {
        let Some(entries) = self.noted(fs::read_dir(day)) else { return };
        for entry in entries.flatten() {
            if self.gone >= FILES_MAX {
                return;
            }
            let path = entry.path();
            let is_kept = path.strip_prefix(archive).is_ok_and(|place| self.keep.contains(place));
            if entry.file_type().is_ok_and(|kind| kind.is_file()) && !is_kept {
                self.gone += u64::from(self.noted(fs::remove_file(&path)).is_some());
            }
        }
        self.remove_if_empty(day);
    }

    fn remove_if_empty(&mut self, dir: &Path) {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            other => drop(self.noted(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: Date = jiff::civil::date(2026, 1, 2);

    fn file(root: &Path, text: &str) -> PathBuf {
        let path = root.join("archive").join(text);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "x").unwrap();
        path
    }

    #[test]
    fn only_old_days_go_and_what_may_be_needed_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (old, held) = (file(dir.path(), "2025/12/31/a.csv"), file(dir.path(), "2026/01/01/bad.csv"));
        let (edge, odd) = (file(dir.path(), "2026/01/02/b.csv"), file(dir.path(), "notes/readme.txt"));
        let stray = file(dir.path(), "2018");
        // Noted when the state folder lay elsewhere.
        let keep = BTreeSet::from([place(Path::new("/old/archive/state/archive/2026/01/01/bad.csv")).unwrap()]);

        let gone = expire(dir.path(), BEFORE, &keep).unwrap();
        let again = expire(dir.path(), BEFORE, &BTreeSet::new()).unwrap();

        assert_eq!((gone, again), (1, 1), "the file that needed a person goes once it does not");
        assert!(!old.exists() && !held.exists() && edge.exists() && odd.exists() && stray.exists());
        assert!(!dir.path().join("archive/2025").exists());
        assert_eq!(expire(&dir.path().join("nowhere"), BEFORE, &BTreeSet::new()).unwrap(), 0);
    }

    #[test]
    fn no_link_is_followed() {
        use std::os::unix::fs::symlink;
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let precious = file(other.path(), "2020/01/01/queue.db");
        fs::create_dir_all(dir.path().join("archive/2020/01")).unwrap();
        symlink(precious.parent().unwrap(), dir.path().join("archive/2020/01/02")).unwrap();
        symlink(other.path().join("archive/2020"), dir.path().join("archive/2019")).unwrap();
        let linked = tempfile::tempdir().unwrap();
        symlink(other.path().join("archive"), linked.path().join("archive")).unwrap();
        symlink(other.path(), linked.path().join("side")).unwrap();

        for root in [dir.path(), linked.path(), &linked.path().join("side")] {
            assert_eq!(expire(root, BEFORE, &BTreeSet::new()).unwrap(), 0);
        }

        assert!(precious.exists());
    }
}
