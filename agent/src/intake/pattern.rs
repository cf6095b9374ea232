//! File names and patterns, as bytes: a name is never trusted to be text.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

/// Whether the name matches the pattern: `*` is any text, `?` any one byte; capitals matter.
pub fn matches(pattern: &str, name: &OsStr) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut p, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match star {
                // The last star takes one byte more.
                Some((at, from)) => {
                    p = at + 1;
                    n = from + 1;
                    star = Some((at, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// The name as it is shown and kept: what is no text, or would steer a terminal, is escaped.
pub fn shown(name: &OsStr) -> String {
    let mut text = String::with_capacity(name.len());
    for chunk in name.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || c == '\\' { text.extend(c.escape_default()) } else { text.push(c) }
        }
        chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_match() {
        let is = |pattern, name: &str| matches(pattern, OsStr::new(name));

        assert!(is("PICK*.csv", "PICK_1.csv") && is("*", "") && is("a?c*", "abc") && is("*.c*v", "x.c.csv"));
        assert!(!is("PICK*.csv", "PICK_1.csv.tmp") && !is("a?c", "ac") && !is("", "x"));
    }

    #[test]
    fn names_that_would_harm_are_shown_escaped() {
        assert_eq!(shown(OsStr::from_bytes(b"bad\xff\xfe.csv")), "bad\\xff\\xfe.csv");
        assert_eq!(shown(OsStr::new("new\nline\u{1b}[31m")), "new\\nline\\u{1b}[31m");
    }
}
