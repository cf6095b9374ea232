//! Copies of the authority: keys, certificates and register. A centre without them locks every site out.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, backup::Backup};

use super::{
    error::PkiError,
    files::{PUBLIC, SECRET},
};

const REGISTER: &str = "pki.db";
const PAGES_PER_STEP: std::ffi::c_int = 1024;

/// Copies the authority while it is in use into a new folder, which only its owner can enter.
///
/// # Errors
/// [`PkiError`]; what is left of the folder is not a copy.
pub fn copy(from: &Path, to: &Path) -> Result<(), PkiError> {
    let write = |source| PkiError::Write { path: to.to_owned(), source };
    fs::DirBuilder::new().mode(0o700).create(to).map_err(write)?;
    let store = |source| PkiError::Store { what: "copy the register", path: to.join(REGISTER), source };
    let source = Connection::open_with_flags(from.join(REGISTER), OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(store)?;
    let mut target = Connection::open(to.join(REGISTER)).map_err(store)?;
    let copied = Backup::new(&source, &mut target)
        .and_then(|backup| backup.run_to_completion(PAGES_PER_STEP, Duration::ZERO, None));
    copied.map_err(store)?;
    target.close().map_err(|(_, source)| store(source))?;
    copy_files(from, to)
}

/// Puts a copy in place where there is no authority; `false` where there is one, which stays.
///
/// # Errors
/// [`PkiError`].
pub fn put_back(from: &Path, to: &Path) -> Result<bool, PkiError> {
    let is_there = |dir: &Path| dir.join("ca.key").exists() || dir.join(REGISTER).exists();
    if !is_there(from) || is_there(to) {
        return Ok(false);
    }
    let aside = to.with_extension("restoring");
    let write = |source| PkiError::Write { path: aside.clone(), source };
    if aside.exists() {
        fs::remove_dir_all(&aside).map_err(write)?;
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&aside).map_err(write)?;
    copy_files(from, &aside)?;
    one(&from.join(REGISTER), &aside.join(REGISTER))?;
    if to.exists() {
        // Without key and register it holds nothing that counts, or something that is none of ours: then this says so.
        fs::remove_dir(to).map_err(|source| PkiError::Write { path: to.to_owned(), source })?;
    }
    fs::rename(&aside, to).map_err(|source| PkiError::Write { path: to.to_owned(), source })?;
    Ok(true)
}

/// Whether both folders hold an authority, and not the same one.
pub fn differ(one: &Path, other: &Path) -> bool {
    let pem = |dir: &Path| fs::read(dir.join("ca.pem")).ok();
    pem(one).zip(pem(other)).is_some_and(|(a, b)| a != b)
}

/// Keys, certificates and their names; what is being written aside is not among them.
fn copy_files(from: &Path, to: &Path) -> Result<(), PkiError> {
    let read = |source| PkiError::Read { path: from.to_owned(), source };
    for entry in fs::read_dir(from).map_err(read)? {
        let path = entry.map_err(read)?.path();
        let is_own = path.extension().is_some_and(|end| ["key", "pem", "names"].iter().any(|own| end == *own));
        if let (true, Some(name)) = (is_own && path.is_file(), path.file_name()) {
            one(&path, &to.join(name))?;
        }
    }
    File::open(to).and_then(|dir| dir.sync_all()).map_err(|source| PkiError::Write { path: to.to_owned(), source })
}

fn one(from: &Path, to: &Path) -> Result<(), PkiError> {
    let mut source = File::open(from).map_err(|source| PkiError::Read { path: from.to_owned(), source })?;
    let mode = if from.extension().is_some_and(|end| end == "pem" || end == "names") { PUBLIC } else { SECRET };
    let write = |source| PkiError::Write { path: to.to_owned(), source };
    let mut target = OpenOptions::new().write(true).create_new(true).mode(mode).open(to).map_err(write)?;
    io::copy(&mut source, &mut target).and_then(|_| target.sync_all()).map_err(write)
}
