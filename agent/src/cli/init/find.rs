//! Looks for folders that a warehouse system exports into. Bounded: so deep, so many entries, and only the heads of files.

use std::{
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::decode::guess::{self, Guess};

/// Where exports usually lie.
pub(super) const ROOTS: [&str; 5] = ["/srv", "/var/opt", "/opt", "/data", "/home"];
const DEPTH_MAX: u32 = 6;
const ENTRIES_MAX: usize = 50_000;
/// Most folders that are offered.
const FOLDERS_MAX: usize = 50;
/// Ends of names that exports have.
const ENDS: [&str; 12] =
    ["csv", "txt", "dat", "edi", "x12", "edifact", "xml", "json", "ndjson", "jsonl", "idoc", "asc"];
/// Names of folders that hold no exports, or some that were read before.
const PASSED_OVER: [&str; 8] = ["archive", "processed", "done", "backup", "node_modules", "lost+found", "import", "in"];

/// A folder of exports.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) folder: PathBuf,
    pub(super) files: usize,
    /// Name of the newest.
    pub(super) example: String,
}

/// Folders with at least one file that looks like an export, in the order of their names.
pub(super) fn folders(roots: &[PathBuf]) -> Vec<Found> {
    let mut found = Vec::new();
    for root in roots {
        // Each root has its own: a large one must not hide the next.
        look(root, DEPTH_MAX, &mut ENTRIES_MAX.clone(), &mut found);
    }
    found.sort_by(|a, b| a.folder.cmp(&b.folder));
    found.dedup_by(|a, b| a.folder == b.folder);
    found.truncate(FOLDERS_MAX);
    found
}

fn look(folder: &Path, depth: u32, left: &mut usize, found: &mut Vec<Found>) {
    // What cannot be read holds nothing that the agent could take.
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut below = Vec::new();
    let mut files = Vec::new();
    for entry in entries.flatten() {
        if *left == 0 {
            // What was seen of this folder is judged all the same.
            break;
        }
        *left -= 1;
        match entry.file_type() {
            Ok(kind) if kind.is_dir() && is_plain(&entry.path()) => below.push(entry.path()),
            Ok(kind) if kind.is_file() && has_end(&entry.path()) && is_plain(&entry.path()) => files.push(entry.path()),
            _ => {}
        }
    }
    newest_first(&mut files);
    if let Some(example) = files.first().filter(|path| is_export(path)) {
        let name = example.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.push(Found { folder: folder.to_path_buf(), files: files.len(), example: name });
    }
    for next in below {
        let name = next.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        if depth > 0 && !name.starts_with('.') && !PASSED_OVER.contains(&name.as_str()) {
            look(&next, depth - 1, left, found);
        }
    }
}

fn has_end(path: &Path) -> bool {
    let end = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ENDS.contains(&end.as_str()) && !path.file_name().unwrap_or_default().to_string_lossy().starts_with('.')
}

/// Whether a path can be written into settings: whoever may make a folder may name it, and a line break would begin a line of its own.
pub(super) fn is_plain(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.chars().any(char::is_control))
}

/// The newest file tells best what will come.
pub(super) fn newest_first(files: &mut [PathBuf]) {
    let age = |path: &PathBuf| fs::metadata(path).and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    files.sort_by_cached_key(|path| std::cmp::Reverse((age(path), path.clone())));
}

/// Whether the head of a file is text of a form that the agent reads.
pub(super) fn is_export(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(guess::HEAD_BYTES as u64).read_to_end(&mut head));
    if read.is_err() || head.is_empty() {
        return false;
    }
    match guess::guess(&head) {
        Guess::Standard(_) | Guess::Ndjson | Guess::Json | Guess::Xml => true,
        Guess::Rows => {
            let text = String::from_utf8_lossy(&head);
            let is_text = !head.contains(&0) || head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
            is_text && text.lines().next().is_some_and(|line| line.contains([',', ';', '|', '\t']) || line.len() > 20)
        }
    }
}

/// Files of a folder whose names are those of exports, newest first.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()))
        .map(|entry| entry.path())
        .filter(|path| has_end(path) && is_plain(path))
        .take(ENTRIES_MAX)
        .collect();
    newest_first(&mut files);
    files
}
