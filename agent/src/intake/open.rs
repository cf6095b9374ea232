//! Opens files that strangers put into a folder: never through a link, never anything but a plain file.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    os::unix::fs::MetadataExt as _,
    path::Path,
};

use rustix::fs::{CWD, Mode, OFlags};
use sha2::{Digest as _, Sha256};

use super::IntakeError;

/// A file that was opened and looked at.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) size: u64,
    pub(super) mtime_ns: i128,
}

/// Opens a plain file for reading. A FIFO does not block, a link is not followed.
pub(super) fn open(path: &Path) -> Result<Opened, IntakeError> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let descriptor = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| {
        if errno == rustix::io::Errno::LOOP {
            return IntakeError::NotPlain { path: path.to_path_buf(), kind: "a symbolic link" };
        }
        IntakeError::Read { path: path.to_path_buf(), source: errno.into() }
    })?;
    let file = File::from(descriptor);
    let read = |source| IntakeError::Read { path: path.to_path_buf(), source };
    let meta = file.metadata().map_err(read)?;
    if let Some(kind) = not_plain(&meta) {
        return Err(IntakeError::NotPlain { path: path.to_path_buf(), kind });
    }
    let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    Ok(Opened { file, size: meta.len(), mtime_ns })
}

/// What a thing is, where it is no plain file.
pub(super) fn not_plain(meta: &std::fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt as _;
    let kind = meta.file_type();
    if kind.is_file() {
        None
    } else if kind.is_symlink() {
        Some("a symbolic link")
    } else if kind.is_dir() {
        Some("a folder")
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_block_device() || kind.is_char_device() {
        Some("a device")
    } else {
        Some("a socket")
    }
}

/// SHA-256 of all of it; the file is rewound.
pub(crate) fn sha256(file: &mut File) -> io::Result<[u8; 32]> {
    file.rewind()?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 256 * 1024]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => hash.update(&buffer[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.rewind()?;
    Ok(hash.finalize().into())
}

/// How much of each end of a file is looked at.
const END_BYTES: u64 = 4096;

/// The first [`END_BYTES`].
pub(super) fn head(opened: &mut Opened) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    opened.file.rewind()?;
    (&mut opened.file).take(END_BYTES).read_to_end(&mut head)?;
    Ok(head)
}

/// The last bytes of a file, and a hash of its first and last bytes.
pub(super) fn ends(opened: &mut Opened) -> io::Result<(Vec<u8>, u64)> {
    let mut head = Vec::new();
    opened.file.rewind()?;
    (&mut opened.file).take(END_BYTES).read_to_end(&mut head)?;
    let mut tail = Vec::new();
    opened.file.seek(SeekFrom::Start(opened.size.saturating_sub(END_BYTES)))?;
    (&mut opened.file).take(END_BYTES).read_to_end(&mut tail)?;
    let hash = Sha256::new().chain_update(&head).chain_update(&tail).finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&hash[..8]);
    Ok((tail, u64::from_le_bytes(first)))
}
