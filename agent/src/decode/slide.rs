//! Reads on in a buffer whose front has been used.

use std::io::{self, Read};

/// Moves what is left of the buffer to its front and reads behind it, with room for `chunk` bytes; `start` and `filled` bound what
/// is there. Gives how many bytes were read: none at the end.
///
/// # Errors
/// Whatever reading gives, but for an interruption.
pub(super) fn slide(
    input: &mut impl Read,
    buffer: &mut Vec<u8>,
    start: &mut usize,
    filled: &mut usize,
    chunk: usize,
) -> io::Result<usize> {
    buffer.copy_within(*start..*filled, 0);
    *filled -= *start;
    *start = 0;
    if buffer.len() < *filled + chunk {
        buffer.resize(*filled + chunk, 0);
    }
    loop {
        match input.read(&mut buffer[*filled..]) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
            Ok(read) => {
                *filled += read;
                return Ok(read);
            }
        }
    }
}
