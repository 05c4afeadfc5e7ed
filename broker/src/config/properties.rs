//! Java's `.properties` files, as `java.util.Properties` reads them: comments, continued lines, escapes. Pure, for any
//! core; reads no file itself.
//!
//! One difference: Java takes the bytes for Latin-1. Here they are UTF-8, and Latin-1 only where they are not UTF-8, so
//! that a path with an accent means what the editor showed.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

/// One `key=value` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    /// The key, without escapes.
    pub key: String,
    /// The value, without escapes; blanks at its end are part of it.
    pub value: String,
    /// The line that it begins on, from 1.
    pub line: usize,
}

/// What no properties file may hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a \\u must be followed by four hexadecimal digits, found \\u{found}")]
pub struct BadEscape {
    /// The line, from 1.
    pub line: usize,
    /// What follows the `\u`.
    pub found: String,
}

/// Reads the whole text of a file. Keys may repeat: Java lets the last one win, and so must the caller.
///
/// # Errors
/// A `\u` without four hexadecimal digits.
pub fn parse(bytes: &[u8]) -> Result<Vec<Property>, BadEscape> {
    let text = decode(bytes);
    let mut properties = Vec::new();
    for logical in logical_lines(&text) {
        properties.push(property(&logical)?);
    }
    Ok(properties)
}

fn decode(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text)),
        Err(_) => Cow::Owned(bytes.iter().map(|byte| char::from(*byte)).collect()),
    }
}

/// Lines joined where one ends in an odd number of backslashes; escapes are still in.
struct LogicalLine {
    number: usize,
    text: String,
}

fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut lines: Vec<LogicalLine> = Vec::new();
    let mut continues = false;
    for (index, natural) in natural_lines(text).enumerate() {
        let natural = natural.trim_start_matches(is_blank);
        // Comments and blank lines are only looked for where a key may begin.
        if !continues && (natural.is_empty() || natural.starts_with(['#', '!'])) {
            continue;
        }
        let backslashes = natural.len() - natural.trim_end_matches('\\').len();
        let goes_on = backslashes % 2 == 1;
        let part = if goes_on { &natural[..natural.len() - 1] } else { natural };
        match lines.last_mut() {
            Some(line) if continues => line.text.push_str(part),
            // A lone backslash begins nothing: a comment may still follow it.
            _ if part.is_empty() => continue,
            _ => lines.push(LogicalLine { number: index + 1, text: part.to_owned() }),
        }
        continues = goes_on;
    }
    lines
}

/// Ends are `\n`, `\r` and `\r\n`.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(end) = text.find(['\n', '\r']) else {
            rest = None;
            return Some(text);
        };
        let width = if text[end..].starts_with("\r\n") { 2 } else { 1 };
        rest = Some(&text[end + width..]);
        Some(&text[..end])
    })
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

fn property(line: &LogicalLine) -> Result<Property, BadEscape> {
    let mut chars = line.text.chars().peekable();
    let mut key = String::new();
    while let Some(c) = chars.next_if(|c| !is_blank(*c) && !matches!(c, '=' | ':')) {
        push(&mut key, c, &mut chars, line.number)?;
    }
    skip_blanks(&mut chars);
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        skip_blanks(&mut chars);
    }
    let mut value = String::new();
    while let Some(c) = chars.next() {
        push(&mut value, c, &mut chars, line.number)?;
    }
    Ok(Property { key, value, line: line.number })
}

fn skip_blanks(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| is_blank(*c)).is_some() {}
}

/// Appends `c`, or what it escapes.
fn push(out: &mut String, c: char, rest: &mut Peekable<Chars<'_>>, line: usize) -> Result<(), BadEscape> {
    if c != '\\' {
        out.push(c);
        return Ok(());
    }
    match rest.next() {
        Some('t') => out.push('\t'),
        Some('n') => out.push('\n'),
        Some('r') => out.push('\r'),
        Some('f') => out.push('\u{c}'),
        Some('u') => out.push(unicode(rest, line)?),
        Some(other) => out.push(other),
        None => {}
    }
    Ok(())
}

/// The character of `\uXXXX`; two escapes that form a surrogate pair are one character.
fn unicode(rest: &mut Peekable<Chars<'_>>, line: usize) -> Result<char, BadEscape> {
    let high = code_unit(rest, line)?;
    if let Some(c) = char::from_u32(high) {
        return Ok(c);
    }
    let mut ahead = rest.clone();
    if ahead.next() == Some('\\')
        && ahead.next() == Some('u')
        && let Ok(low @ 0xdc00..=0xdfff) = code_unit(&mut ahead, line)
        && (0xd800..0xdc00).contains(&high)
    {
        *rest = ahead;
        let scalar = 0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00);
        return Ok(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    Ok(char::REPLACEMENT_CHARACTER)
}

fn code_unit(rest: &mut Peekable<Chars<'_>>, line: usize) -> Result<u32, BadEscape> {
    let found: String = rest.clone().take(4).collect();
    let digits = found.len() == 4 && found.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u32::from_str_radix(&found, 16) {
        Ok(unit) if digits => {
            rest.nth(3);
            Ok(unit)
        }
        _ => Err(BadEscape { line, found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        parse(text.as_bytes()).unwrap().into_iter().map(|p| (p.key, p.value, p.line)).collect()
    }

    /// What `java.util.Properties` makes of each text.
    #[test]
    fn texts_are_read_as_java_reads_them() {
        type Case<'a> = (&'a str, &'a [(&'a str, &'a str, usize)]);
        let cases: &[Case<'_>] = &[
            ("", &[]),
            ("a=1", &[("a", "1", 1)]),
            ("a = 1\nb:2\r\nc 3\rd\t=\t4", &[("a", "1", 1), ("b", "2", 2), ("c", "3", 3), ("d", "4", 4)]),
            ("# x=1\n! y=2\n   # z=3\n\n \t\u{c}\nk=v", &[("k", "v", 6)]),
            ("k=a,\\\n   b,\\\n  c\nn=1", &[("k", "a,b,c", 1), ("n", "1", 4)]),
            ("k=a\\\n# not a comment", &[("k", "a# not a comment", 1)]),
            ("k=a\\\\\nn=1", &[("k", "a\\", 1), ("n", "1", 2)]),
            ("k=v \\\n  w ", &[("k", "v w ", 1)]),
            ("a\\=b\\:c\\ d=e=f:g", &[("a=b:c d", "e=f:g", 1)]),
            ("k=\\t\\n\\r\\f\\q\\\\", &[("k", "\t\n\r\u{c}q\\", 1)]),
            ("k=\\u00e9\\ud83d\\ude00\\ud83d!", &[("k", "\u{e9}\u{1f600}\u{fffd}!", 1)]),
            ("alone", &[("alone", "", 1)]),
            ("k =: v", &[("k", ": v", 1)]),
            ("=v", &[("", "v", 1)]),
            ("k=v\\", &[("k", "v", 1)]),
            ("a=1\na=2", &[("a", "1", 1), ("a", "2", 2)]),
            ("\u{feff}a=1", &[("a", "1", 1)]),
            ("log.dirs=/d\u{e1}ta", &[("log.dirs", "/d\u{e1}ta", 1)]),
            ("\\\n# x\n\\\n\nk=v", &[("k", "v", 5)]),
            ("k=a\\\n\nn=1", &[("k", "a", 1), ("n", "1", 3)]),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> =
                expected.iter().map(|(k, v, l)| ((*k).to_owned(), (*v).to_owned(), *l)).collect();
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin1() {
        assert_eq!(parse(b"k=d\xe1ta").unwrap()[0].value, "d\u{e1}ta");
    }

    #[test]
    fn a_broken_escape_is_named_with_its_line() {
        for (text, line, found) in
            [("a=1\nb=\\u12g4", 2, "12g4"), ("k=\\u1", 1, "1"), ("k=\\u+123", 1, "+123")]
        {
            let error = parse(text.as_bytes()).unwrap_err();
            assert_eq!(error, BadEscape { line, found: found.to_owned() });
        }
    }
}
