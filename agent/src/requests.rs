//! Requests of the command line to a running agent: small files in `requests/`, each taken once and then removed.
//!
//! Only who may write the agent's state folder can ask. The agent looks every second; what it cannot do it says in its journal.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::queue::{FileRow, Queue, QueueError, Reader, capture::FileId};

/// Why a file no longer needs a person when it is read again. The queue's schema knows the words.
pub const CHECKED_AGAIN: &str = "checked again";
/// Names that are tried for a file that is read again.
const NAMES_MAX: u32 = 1_000;
/// Most requests taken in one turn.
const TURN_MAX: usize = 64;

/// What a person asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "ask")]
pub enum Request {
    /// Read a file again: one set aside, or one with held lines.
    Retry {
        /// Its number.
        file: i64,
    },
    /// Say that a file needs nobody any more.
    SetAside {
        /// Its number.
        file: i64,
        /// Why.
        reason: String,
    },
}

/// Why a request was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No such file.
    #[error("there is no file {id}; see docksync-agent files list")]
    NoFile {
        /// Number given.
        id: i64,
    },
    /// The file does not wait for anybody.
    #[error("file {id} ({name}) needs nobody")]
    NotWaiting {
        /// Number.
        id: i64,
        /// Name.
        name: String,
    },
    /// No feed of this name any more.
    #[error("file {id} belongs to feed {feed}, which the settings no longer name")]
    NoFeed {
        /// Number.
        id: i64,
        /// Feed.
        feed: String,
    },
    /// A file could not be read or written.
    #[error("cannot {what} {path}")]
    Io {
        /// What was attempted.
        what: &'static str,
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The queue.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Folders of the feeds, by name.
pub type Folders = std::collections::BTreeMap<String, PathBuf>;

fn io_error(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> RequestError + use<> {
    let path = path.to_owned();
    move |source| RequestError::Io { what, path, source }
}

/// Leaves a request for the running agent.
///
/// # Errors
/// [`RequestError::Io`].
pub fn leave(state_dir: &Path, request: &Request) -> Result<(), RequestError> {
    let dir = state_dir.join("requests");
    fs::create_dir_all(&dir).map_err(io_error("make", &dir))?;
    let name = format!("{:x}", rand::random::<u64>());
    let aside = dir.join(format!(".{name}"));
    let json = serde_json::to_vec(request).unwrap_or_default();
    fs::write(&aside, json).map_err(io_error("write", &aside))?;
    let path = dir.join(format!("{name}.json"));
    fs::rename(&aside, &path).map_err(io_error("write", &path))
}

/// Takes what was left. Each request is removed first, so that none is carried out twice.
pub fn take(state_dir: &Path) -> Vec<Request> {
    let Ok(entries) = fs::read_dir(state_dir.join("requests")) else { return Vec::new() };
    let mut requests = Vec::new();
    for path in
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "json")).take(TURN_MAX)
    {
        let read = fs::read(&path);
        if let Err(error) = fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "request could not be taken");
            continue;
        }
        match read.ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            Some(request) => requests.push(request),
            None => tracing::warn!(path = %path.display(), "request could not be read and was dropped"),
        }
    }
    requests
}

/// Carries a request out. Blocks.
///
/// # Errors
/// [`RequestError`] says why not, and what to do.
pub fn carry_out(queue: &Queue, folders: &Folders, request: &Request) -> Result<(), RequestError> {
    let (id, reason) = match request {
        Request::Retry { file } => (*file, None),
        Request::SetAside { file, reason } => (*file, Some(reason)),
    };
    let file = Reader::open(queue.path())?.file(FileId(id))?.ok_or(RequestError::NoFile { id })?;
    match reason {
        Some(reason) => {
            if !queue.resolve_file(FileId(id), reason)? {
                return Err(RequestError::NotWaiting { id, name: file.name });
            }
            Ok(())
        }
        None => retry(queue, folders, &file),
    }
}

/// Puts back files that were to be read again when the agent was stopped. Blocks.
///
/// # Errors
/// [`RequestError`] of the first file that could not be put back; the others are tried all the same.
pub fn make_up(queue: &Queue, folders: &Folders) -> Result<(), RequestError> {
    let reader = Reader::open(queue.path())?;
    let mut result = Ok(());
    for id in reader.files_not_read_again()? {
        let Some(file) = reader.file(id)? else { continue };
        tracing::info!(file = file.name, "file that was to be read again is put back");
        result = result.and(place(folders, &file).map(drop));
    }
    result
}

/// Copies an archived file into its export folder, under a name that no feed takes. Gives both names.
fn copy_aside(folders: &Folders, file: &FileRow) -> Result<(PathBuf, PathBuf), RequestError> {
    let (id, feed) = (file.id.0, &file.feed);
    let folder = folders.get(feed).ok_or_else(|| RequestError::NoFeed { id, feed: feed.clone() })?;
    let from = Path::new(&file.path);
    // The name comes from the database, where it was stored as found: it holds no folder.
    let to = folder.join(Path::new(&file.name).file_name().unwrap_or_default());
    let aside = to.with_extension("docksync.tmp");
    fs::copy(from, &aside).map_err(io_error("copy", from))?;
    Ok((aside, to))
}

fn place(folders: &Folders, file: &FileRow) -> Result<(), RequestError> {
    let (aside, to) = copy_aside(folders, file)?;
    put(&aside, to.parent().unwrap_or(Path::new("/")), &to)
}

fn retry(queue: &Queue, folders: &Folders, file: &FileRow) -> Result<(), RequestError> {
    let (id, name) = (file.id.0, file.name.clone());
    if file.resolved_ms.is_some() || (file.state != "refused" && file.held == 0) {
        return Err(RequestError::NotWaiting { id, name });
    }
    let (aside, to) = copy_aside(folders, file)?;
    // Noted before the file can be seen: else the queue would know its bytes and pass over it.
    if !queue.resolve_file(FileId(id), CHECKED_AGAIN)? {
        fs::remove_file(&aside).map_err(io_error("remove", &aside))?;
        return Err(RequestError::NotWaiting { id, name });
    }
    put(&aside, to.parent().unwrap_or(Path::new("/")), &to)
}

/// Puts the file back under its name, or under the next free one: another export may lie there by now.
fn put(aside: &Path, folder: &Path, to: &Path) -> Result<(), RequestError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    let (stem, end) = (to.file_stem().unwrap_or_default().to_string_lossy(), to.extension());
    for n in 0..NAMES_MAX {
        let name = match (n, end) {
            (0, _) => to.to_owned(),
            (n, Some(end)) => folder.join(format!("{stem}-again{n}.{}", end.to_string_lossy())),
            (n, None) => folder.join(format!("{stem}-again{n}")),
        };
        match renameat_with(CWD, aside, CWD, &name, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(()),
            Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(io_error("write", &name)(error.into())),
        }
    }
    Err(io_error("find a free name beside", to)(io::ErrorKind::AlreadyExists.into()))
}
