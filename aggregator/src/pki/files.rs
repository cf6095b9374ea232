//! Files of the authority: written aside, synced, renamed, and the folder synced; keys for the owner alone.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use super::error::PkiError;

/// Mode of private keys.
pub(super) const SECRET: u32 = 0o600;
/// Mode of certificates and lists.
pub(super) const PUBLIC: u32 = 0o644;

pub(super) fn write(path: &Path, text: &[u8], mode: u32) -> Result<(), PkiError> {
    replace(path, text, mode).map_err(|source| PkiError::Write { path: path.to_owned(), source })
}

fn replace(path: &Path, text: &[u8], mode: u32) -> io::Result<()> {
    let aside = path.with_extension("new");
    // An older leftover may have another mode, which opening would keep.
    match fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&aside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

pub(super) fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(|source| PkiError::Read { path: path.to_owned(), source })
}
