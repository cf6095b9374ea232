//! Removes exports that were taken long ago from the archive. What a person still has to see stays, however old.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use jiff::civil::Date;

/// Where the archive of a feed lies whose folder is on another file system than the agent's own.
pub(crate) fn beside(folder: &Path) -> PathBuf {
    folder.join(super::shelve::SIDE_DIR)
}

/// Removes files of the days before `before` below `root` (`archive/YYYY/MM/DD`), but those in `keep`; gives how many went.
///
/// # Errors
/// The first that could not be removed; the others are tried at the next turn.
pub fn expire(root: &Path, before: Date, keep: &BTreeSet<PathBuf>) -> io::Result<u64> {
    let archive = root.join("archive");
    let mut gone = 0;
    for (year_dir, year) in numbered(&archive)? {
        for (month_dir, month) in numbered(&year_dir)? {
            for (day_dir, day) in numbered(&month_dir)? {
                let date =
                    i8::try_from(month).ok().zip(i8::try_from(day).ok()).and_then(|(m, d)| Date::new(year, m, d).ok());
                if date.is_some_and(|date| date < before) {
                    gone += empty(&day_dir, keep)?;
                }
            }
            remove_if_empty(&month_dir)?;
        }
        remove_if_empty(&year_dir)?;
    }
    Ok(gone)
}

/// Folders whose names are numbers: only those are the archive's own.
fn numbered(dir: &Path) -> io::Result<Vec<(PathBuf, i16)>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let number = |entry: fs::DirEntry| Some((entry.path(), entry.file_name().to_str()?.parse().ok()?));
    Ok(entries.collect::<io::Result<Vec<_>>>()?.into_iter().filter_map(number).collect())
}

fn empty(day: &Path, keep: &BTreeSet<PathBuf>) -> io::Result<u64> {
    let mut gone = 0;
    for entry in fs::read_dir(day)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && !keep.contains(&entry.path()) {
            fs::remove_file(entry.path())?;
            gone += 1;
        }
    }
    remove_if_empty(day)?;
    Ok(gone)
}

fn remove_if_empty(dir: &Path) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_old_days_go_and_what_a_person_must_see_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let path = dir.path().join("archive").join(text);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            path
        };
        let (old, held) = (file("2025/12/31/a.csv"), file("2026/01/01/bad.csv"));
        let (edge, odd) = (file("2026/01/02/b.csv"), file("notes/readme.txt"));
        let before = jiff::civil::date(2026, 1, 2);

        let gone = expire(dir.path(), before, &BTreeSet::from([held.clone()])).unwrap();
        let again = expire(dir.path(), before, &BTreeSet::new()).unwrap();

        assert_eq!((gone, again), (1, 1), "the file that needed a person goes once it does not");
        assert!(!old.exists() && !held.exists() && edge.exists() && odd.exists());
        assert!(!dir.path().join("archive/2025").exists());
        assert_eq!(expire(&dir.path().join("nowhere"), before, &BTreeSet::new()).unwrap(), 0);
    }
}
