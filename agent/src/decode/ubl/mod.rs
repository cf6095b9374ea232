//! OASIS UBL 2 despatch advice.

use std::io::Read;

use super::{DecodeError, PassEnd, charset::Utf8Reader, hold, message::Messages};

/// Reads the file once.
pub(super) fn pass<R: Read>(
    _text: Utf8Reader<R>,
    _offset: u64,
    mut messages: Messages<'_, '_>,
) -> Result<PassEnd, DecodeError> {
    messages.refuse(0, hold::whole("UNSUPPORTED_DOCUMENT", "", "ubl", "a format of this version"), "");
    Ok(messages.end)
}
