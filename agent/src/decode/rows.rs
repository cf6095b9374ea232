//! Splits a delimited text into rows and cells, in constant memory, keeping each row's place and its text as read.
//!
//! Lines end with LF, CRLF or CR, whatever comes; a quoted cell may hold any of them. Blank lines and comment lines are
//! passed over. A row longer than the limit ends the reading: past a quote that never closes nothing can be trusted.

use std::io::{self, Read};

use super::{places::places, slide::slide};

const CHUNK: usize = 256 * 1024;

/// How cells are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Between cells.
    pub delimiter: u8,
    /// Around cells that hold a delimiter; `None` where quotes mean nothing.
    pub quote: Option<u8>,
    /// Before a quote within quotes; `None` where a quote is doubled instead.
    pub escape: Option<u8>,
    /// First byte of a comment line.
    pub comment: Option<u8>,
}

/// No byte of a line is special.
pub(super) const LINES: Dialect = Dialect { delimiter: b'\n', quote: None, escape: None, comment: None };

/// One row.
#[derive(Debug, Default)]
pub(super) struct Row {
    /// Line of its first byte, from 1.
    pub(super) line_no: u64,
    /// Byte of the text at which it starts.
    pub(super) offset: u64,
    /// The bytes as read, where they are not the text.
    raw: Vec<u8>,
    has_own_raw: bool,
    /// Set where the file ended within a quoted cell.
    pub(super) is_torn: bool,
    /// Set where the file ended before the line did.
    pub(super) is_unended: bool,
    text: String,
    spans: Vec<(u32, u32)>,
}

impl Row {
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    #[inline]
    pub(super) fn cell(&self, at: usize) -> Option<&str> {
        let (from, to) = *self.spans.get(at)?;
        self.text.get(from as usize..to as usize)
    }

    /// Characters of the whole line, before it was cut.
    pub(super) fn chars(&self) -> usize {
        if self.text.is_ascii() { self.text.len() } else { self.text.chars().count() }
    }

    /// The line before it was cut.
    pub(super) fn line(&self) -> &str {
        &self.text
    }

    /// Makes these stretches the cells: first character from 1 and length. What lies behind the end of the line is empty.
    pub(super) fn cut(&mut self, stretches: &[(usize, usize)]) {
        self.spans.clear();
        let text = &self.text;
        let bounds: Option<Vec<usize>> = (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect());
        let byte = |at: usize| match &bounds {
            None => at.min(text.len()) as u32,
            Some(bounds) => bounds.get(at).copied().unwrap_or(text.len()) as u32,
        };
        self.spans.extend(stretches.iter().map(|(start, len)| {
            let first = start.saturating_sub(1);
            (byte(first), byte(first.saturating_add(*len)))
        }));
    }

    /// The bytes as read, without the end of line.
    pub(super) fn raw(&self) -> &[u8] {
        if self.has_own_raw { &self.raw } else { self.text.as_bytes() }
    }

    /// Splits the raw bytes; false where they are no text. `text` is the same, where it is known to be one.
    fn split(&mut self, raw: &[u8], text: Option<&str>, dialect: &Dialect, has_quote: bool) -> bool {
        self.spans.clear();
        self.text.clear();
        self.raw.clear();
        let text = if has_quote { None } else { text.or_else(|| std::str::from_utf8(raw).ok()) };
        self.has_own_raw = text.is_none();
        if self.has_own_raw {
            self.raw.extend_from_slice(raw);
        }
        if has_quote {
            let mut bytes = std::mem::take(&mut self.text).into_bytes();
            self.unquote(raw, dialect, &mut bytes);
            return String::from_utf8(bytes).map(|text| self.text = text).is_ok();
        }
        let Some(text) = text else { return false };
        self.text.push_str(text);
        let mut from = 0;
        places(dialect.delimiter, raw, |at| {
            self.spans.push((from, at as u32));
            from = at as u32 + 1;
        });
        self.spans.push((from, raw.len() as u32));
        true
    }

    fn unquote(&mut self, raw: &[u8], dialect: &Dialect, out: &mut Vec<u8>) {
        let mut state = State::Start;
        let mut from = 0;
        for byte in raw.iter().copied() {
            let was = state;
            state = state.on(byte, dialect);
            match (was, state) {
                (State::Escaped, _) => out.push(byte),
                (_, State::Escaped) => {}
                (State::Closed, State::Quoted) => out.push(byte),
                (_, State::Start) => {
                    self.spans.push((from, out.len() as u32));
                    from = out.len() as u32;
                }
                (State::Start, State::Quoted) | (State::Quoted, State::Closed) => {}
                _ => out.push(byte),
            }
        }
        self.spans.push((from, out.len() as u32));
    }
}

/// Where in a row a byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// First byte of a cell.
    Start,
    /// Within a cell without quotes.
    Plain,
    /// Within quotes.
    Quoted,
    /// After the escape within quotes.
    Escaped,
    /// After a quote within quotes: the end of them, or the first of a double.
    Closed,
}

impl State {
    fn on(self, byte: u8, dialect: &Dialect) -> Self {
        let is_quote = dialect.quote == Some(byte);
        match self {
            Self::Quoted if dialect.escape == Some(byte) && !is_quote => Self::Escaped,
            Self::Quoted if is_quote => Self::Closed,
            Self::Quoted | Self::Escaped => Self::Quoted,
            Self::Closed if is_quote && dialect.escape.is_none() => Self::Quoted,
            Self::Start if is_quote => Self::Quoted,
            _ if byte == dialect.delimiter => Self::Start,
            Self::Start | Self::Plain | Self::Closed => Self::Plain,
        }
    }
}

/// Why reading stopped.
#[derive(Debug)]
pub(super) enum RowsError {
    /// The file could not be read.
    Io(io::Error),
    /// A row over the limit starts at this line.
    TooLong { line_no: u64 },
}

/// What [`Rows::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A row, split into cells.
    Row,
    /// A row whose bytes are no text.
    NotText,
    /// The end.
    End,
}

/// Reads rows one by one.
pub(super) struct Rows<R> {
    input: R,
    dialect: Dialect,
    buffer: Vec<u8>,
    /// What the buffer begins with, as far as it is text: a row need not be looked at for that by itself.
    text: String,
    start: usize,
    /// End of what was read; the rest of the buffer is room.
    filled: usize,
    is_ended: bool,
    offset: u64,
    line_no: u64,
    row_bytes_max: usize,
    /// Set where neither a quote nor a NUL stands in the buffer: most files have none, and no row need be searched for them.
    is_plain: bool,
    /// Set where wrong bytes have become U+FFFD on the way.
    pub(super) is_transcoded: bool,
}

impl<R: Read> Rows<R> {
    pub(super) fn new(input: R, dialect: Dialect, row_bytes_max: usize) -> Self {
        Self {
            is_transcoded: false,
            input,
            dialect,
            buffer: Vec::new(),
            text: String::new(),
            start: 0,
            filled: 0,
            is_ended: false,
            offset: 0,
            line_no: 1,
            row_bytes_max,
            is_plain: false,
        }
    }

    /// Reads the next row that is neither blank nor a comment.
    pub(super) fn next(&mut self, row: &mut Row) -> Result<Found, RowsError> {
        loop {
            let Some((end, next)) = self.find_end()? else { return Ok(Found::End) };
            let raw = &self.buffer[self.start..end];
            (row.line_no, row.offset) = (self.line_no, self.offset);
            row.is_torn = self.is_ended && next == self.filled && self.is_open(raw);
            row.is_unended = next == end;
            let has_quote = self.has_quote(raw);
            let is_passed_over = self.is_passed_over(raw);
            let is_text = is_passed_over
                || row.split(raw, self.text.get(self.start..end), &self.dialect, has_quote) && self.is_sound(&row.text);
            // Only a quoted cell holds line ends of its own.
            self.line_no += if has_quote { line_ends(&self.buffer[self.start..next]) } else { u64::from(next > end) };
            self.offset += (next - self.start) as u64;
            self.start = next;
            if !is_passed_over {
                return Ok(if is_text { Found::Row } else { Found::NotText });
            }
        }
    }

    fn has_quote(&self, bytes: &[u8]) -> bool {
        !self.is_plain && self.dialect.quote.is_some_and(|quote| memchr::memchr(quote, bytes).is_some())
    }

    /// Whether the text holds neither a NUL nor what wrong bytes have become.
    fn is_sound(&self, text: &str) -> bool {
        (self.is_plain || memchr::memchr(0, text.as_bytes()).is_none())
            && !(self.is_transcoded && text.contains('\u{fffd}'))
    }

    /// Blank lines, comments, and the Ctrl-Z with which DOS programs end a text.
    fn is_passed_over(&self, raw: &[u8]) -> bool {
        let blank = |b: &u8| (*b == b' ' || *b == b'\t') && *b != self.dialect.delimiter;
        raw.iter().all(blank)
            || raw == b"\x1a"
            || (self.dialect.comment.is_some() && raw.first() == self.dialect.comment.as_ref())
    }

    fn is_open(&self, raw: &[u8]) -> bool {
        let last = raw.iter().fold(State::Start, |state, byte| state.on(*byte, &self.dialect));
        matches!(last, State::Quoted | State::Escaped)
    }

    /// End of the row and start of the next, or `None` at the end of the file.
    fn find_end(&mut self) -> Result<Option<(usize, usize)>, RowsError> {
        loop {
            if let Some(found) = self.scan() {
                return Ok(Some(found));
            }
            if self.is_ended {
                let end = self.filled;
                return Ok((self.start < end).then_some((end, end)));
            }
            if self.filled - self.start > self.row_bytes_max {
                return Err(RowsError::TooLong { line_no: self.line_no });
            }
            self.refill().map_err(RowsError::Io)?;
        }
    }

    /// The row's end in what is buffered; `None` where more must be read.
    fn scan(&self) -> Option<(usize, usize)> {
        let bytes = &self.buffer[self.start..self.filled];
        let first = memchr::memchr2(b'\n', b'\r', bytes)?;
        let has_quote = self.has_quote(&bytes[..first]);
        let is_comment = self.dialect.comment.is_some() && bytes.first() == self.dialect.comment.as_ref();
        let at = if has_quote && !is_comment { self.scan_quoted(bytes)? } else { first };
        let end = self.start + at;
        if bytes[at] == b'\n' {
            return Some((end, end + 1));
        }
        match bytes.get(at + 1) {
            Some(b'\n') => Some((end, end + 2)),
            Some(_) => Some((end, end + 1)),
            // Whether a LF follows this CR is not known yet.
            None => self.is_ended.then_some((end, end + 1)),
        }
    }

    fn scan_quoted(&self, bytes: &[u8]) -> Option<usize> {
        let mut state = State::Start;
        for (at, byte) in bytes.iter().enumerate() {
            if (*byte == b'\n' || *byte == b'\r') && !matches!(state, State::Quoted | State::Escaped) {
                return Some(at);
            }
            state = state.on(*byte, &self.dialect);
        }
        None
    }

    fn refill(&mut self) -> io::Result<()> {
        self.is_ended = slide(&mut self.input, &mut self.buffer, &mut self.start, &mut self.filled, CHUNK)? == 0;
        let unread = &self.buffer[self.start..self.filled];
        self.text.clear();
        self.text.push_str(valid(unread));
        self.is_plain = memchr::memchr2(0, self.dialect.quote.unwrap_or(0), unread).is_none();
        Ok(())
    }
}

/// The bytes up to the first that is no text.
pub(super) fn valid(bytes: &[u8]) -> &str {
    match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""),
    }
}

/// Line ends within these bytes: LF, CRLF and CR count one each.
fn line_ends(bytes: &[u8]) -> u64 {
    let (mut count, mut after_cr) = (0, false);
    for byte in bytes {
        match byte {
            b'\n' if after_cr => {}
            b'\n' | b'\r' => count += 1,
            _ => {}
        }
        after_cr = *byte == b'\r';
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAS: Dialect = Dialect { delimiter: b',', quote: Some(b'"'), escape: None, comment: Some(b'#') };

    fn rows(text: &str) -> Vec<(u64, u64, Vec<String>)> {
        let mut rows = Rows::new(text.as_bytes(), COMMAS, 1 << 20);
        let (mut row, mut all) = (Row::default(), Vec::new());
        while rows.next(&mut row).unwrap() == Found::Row {
            let cells = (0..row.len()).map(|at| row.cell(at).unwrap().to_owned()).collect();
            all.push((row.line_no, row.offset, cells));
        }
        all
    }

    fn cells(text: &str) -> Vec<Vec<String>> {
        rows(text).into_iter().map(|(.., cells)| cells).collect()
    }

    #[test]
    fn every_kind_of_line_end_ends_a_row() {
        let expected = vec![vec!["a", "b"], vec!["c", "d"]];

        assert_eq!(cells("a,b\nc,d"), expected);
        assert_eq!(cells("a,b\r\nc,d\r\n"), expected);
        assert_eq!(cells("a,b\rc,d\r"), expected);
    }

    #[test]
    fn quotes_keep_delimiters_line_ends_and_doubled_quotes() {
        assert_eq!(cells("\"a,1\",\"x\ny\"\nb,\"say \"\"hi\"\"\"\n"), [["a,1", "x\ny"], ["b", "say \"hi\""]]);
        assert_eq!(cells("5\" pipe,b\n"), [["5\" pipe", "b"]]);
    }

    #[test]
    fn a_row_knows_its_line_and_its_byte() {
        let places: Vec<(u64, u64)> =
            rows("# note\na,\"1\n2\"\r\n\nb,c\n").into_iter().map(|(line, offset, _)| (line, offset)).collect();

        assert_eq!(places, [(2, 7), (5, 17)]);
    }

    #[test]
    fn an_escape_stands_before_a_quote() {
        let dialect = Dialect { escape: Some(b'\\'), ..COMMAS };
        let mut row = Row::default();

        assert!(row.split(br#""a\"b",c"#, None, &dialect, true));
        assert_eq!((row.cell(0), row.cell(1)), (Some("a\"b"), Some("c")));
    }

    #[test]
    fn a_quote_that_never_closes_stops_at_the_limit() {
        let text = format!("a,\"{}", "x\n".repeat(400_000));
        let mut rows = Rows::new(text.as_bytes(), COMMAS, 1000);

        assert!(matches!(rows.next(&mut Row::default()), Err(RowsError::TooLong { line_no: 1 })));
    }

    #[test]
    fn a_file_cut_within_quotes_is_torn() {
        let mut row = Row::default();
        let mut rows = Rows::new(&b"a,\"bc"[..], COMMAS, 1000);

        assert_eq!(rows.next(&mut row).unwrap(), Found::Row);
        assert!(row.is_torn);
    }

    #[test]
    fn bytes_that_are_no_text_spoil_only_their_row() {
        let mut rows = Rows::new(&b"a\xff,b\nc,d\n"[..], COMMAS, 1000);
        let mut row = Row::default();

        assert_eq!(rows.next(&mut row).unwrap(), Found::NotText);
        assert_eq!(rows.next(&mut row).unwrap(), Found::Row);
    }
}
