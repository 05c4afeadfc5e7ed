//! Lines of output: aligned `name=value` text for people, or one JSON object a line. Goes through one buffered writer.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::Failure;

/// Faults of one file that are told one by one.
const FAULTS_PER_FILE: u64 = 20;

/// Where lines go.
pub(super) struct Out {
    writer: BufWriter<Box<dyn Write>>,
    json: bool,
    faults: u64,
    /// Faults of the file in hand.
    of_file: u64,
    text: String,
}

impl Out {
    pub(super) fn new(writer: Box<dyn Write>, json: bool) -> Self {
        Self { writer: BufWriter::new(writer), json, faults: 0, of_file: 0, text: String::new() }
    }

    /// Faults told so far.
    pub(super) const fn faults(&self) -> u64 {
        self.faults
    }

    pub(super) fn line(&mut self, line: &Line) -> Result<(), Failure> {
        self.text.clear();
        if self.json {
            line.json(&mut self.text)
        } else {
            line.text(&mut self.text)
        }
        self.text.push('\n');
        self.writer.write_all(self.text.as_bytes()).map_err(Failure::Output)
    }

    /// A fault of a file: at a byte, or of the whole.
    pub(super) fn fault(&mut self, file: &Path, position: Option<u64>, reason: &str) -> Result<(), Failure> {
        self.faults += 1;
        self.of_file += 1;
        if self.of_file > FAULTS_PER_FILE {
            return Ok(());
        }
        let mut line = Line::new("fault").text_field("file", &file.display().to_string(), 0);
        if let Some(position) = position {
            line = line.number("position", position, 0);
        }
        self.line(&line.text_field("reason", reason, 0))
    }

    /// Ends the faults of a file: tells how many there were beyond those told one by one.
    pub(super) fn end_file(&mut self, file: &Path) -> Result<(), Failure> {
        let more = std::mem::take(&mut self.of_file).saturating_sub(FAULTS_PER_FILE);
        if more == 0 {
            return Ok(());
        }
        let line = Line::new("faults").text_field("file", &file.display().to_string(), 0);
        self.line(&line.number("more", more, 0))
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.writer.flush().map_err(Failure::Output)
    }
}

/// Says on standard error why nothing can be told.
pub(super) fn complain(text: &str) {
    _ = writeln!(std::io::stderr(), "{text}");
}

enum Value {
    Number(i128),
    Text(String),
    Bytes(Option<Vec<u8>>),
    List(Vec<(String, Option<Vec<u8>>)>),
}

/// One line: what it tells of, and its fields in order.
pub(super) struct Line {
    kind: &'static str,
    fields: Vec<(&'static str, Value, usize)>,
}

impl Line {
    pub(super) const fn new(kind: &'static str) -> Self {
        Self { kind, fields: Vec::new() }
    }

    /// A number, in text at least `width` wide.
    pub(super) fn number(mut self, name: &'static str, value: impl Into<i128>, width: usize) -> Self {
        self.fields.push((name, Value::Number(value.into()), width));
        self
    }

    pub(super) fn text_field(mut self, name: &'static str, value: &str, width: usize) -> Self {
        self.fields.push((name, Value::Text(value.to_owned()), width));
        self
    }

    /// A client's bytes: at most `bytes_max` of them (0: all), and then how many there are.
    pub(super) fn bytes(mut self, name: &'static str, value: Option<&[u8]>, bytes_max: usize) -> Self {
        let cut = value.map(|value| cut(value, bytes_max).to_vec());
        let whole = value.map_or(0, <[u8]>::len);
        let shorter = cut.as_ref().is_some_and(|cut| cut.len() < whole);
        self.fields.push((name, Value::Bytes(cut), 0));
        if shorter { self.number("of_bytes", whole as u64, 0) } else { self }
    }

    /// Names with bytes, such as headers.
    pub(super) fn list(mut self, name: &'static str, list: Vec<(String, Option<Vec<u8>>)>) -> Self {
        self.fields.push((name, Value::List(list), 0));
        self
    }

    fn text(&self, out: &mut String) {
        let indent = if self.kind == "record" { "  " } else { "" };
        _ = write!(out, "{indent}{:<8}", self.kind);
        for (at, (name, value, width)) in self.fields.iter().enumerate() {
            let before = out.len();
            _ = write!(out, " {name}=");
            match value {
                Value::Number(number) => _ = write!(out, "{number}"),
                Value::Text(text)
                    if !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c.is_control()) =>
                {
                    out.push_str(text);
                }
                Value::Text(text) => _ = write!(out, "{text:?}"),
                Value::Bytes(bytes) => bytes_text(out, bytes.as_deref()),
                Value::List(list) => {
                    out.push('[');
                    for (at, (name, bytes)) in list.iter().enumerate() {
                        _ = write!(out, "{}{name:?}: ", if at == 0 { "" } else { ", " });
                        bytes_text(out, bytes.as_deref());
                    }
                    out.push(']');
                }
            }
            if at + 1 < self.fields.len() {
                let wanted = before + 2 + name.len() + width;
                while out.len() < wanted {
                    out.push(' ');
                }
            }
        }
    }

    fn json(&self, out: &mut String) {
        _ = write!(out, "{{\"line\":\"{}\"", self.kind);
        for (name, value, _) in &self.fields {
            match value {
                Value::Number(number) => _ = write!(out, ",\"{name}\":{number}"),
                Value::Text(text) => _ = write!(out, ",\"{name}\":{}", quoted(text)),
                Value::Bytes(bytes) => _ = write!(out, ",\"{name}\":{}", bytes_json(bytes.as_deref())),
                Value::List(list) => {
                    let items: Vec<String> = list
                        .iter()
                        .map(|(name, bytes)| format!("[{},{}]", quoted(name), bytes_json(bytes.as_deref())))
                        .collect();
                    _ = write!(out, ",\"{name}\":[{}]", items.join(","));
                }
            }
        }
        out.push('}');
    }
}

/// Cut to `bytes_max` (0: not at all), and not inside a character.
fn cut(value: &[u8], bytes_max: usize) -> &[u8] {
    if bytes_max == 0 || value.len() <= bytes_max {
        return value;
    }
    match std::str::from_utf8(&value[..bytes_max]) {
        Err(error) if error.error_len().is_none() && error.valid_up_to() > 0 => &value[..error.valid_up_to()],
        _ => &value[..bytes_max],
    }
}

fn bytes_text(out: &mut String, bytes: Option<&[u8]>) {
    _ = match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => write!(out, "null"),
        Some(Ok(text)) => write!(out, "{text:?}"),
        Some(Err(bytes)) => write!(out, "b\"{}\"", bytes.escape_ascii()),
    };
}

/// Text as a string, other bytes as an object with their hexadecimal digits.
fn bytes_json(bytes: Option<&[u8]>) -> String {
    match bytes.map(|bytes| std::str::from_utf8(bytes).map_err(|_| bytes)) {
        None => "null".to_owned(),
        Some(Ok(text)) => quoted(text),
        Some(Err(bytes)) => {
            let mut hex = String::with_capacity(2 * bytes.len());
            for byte in bytes {
                _ = write!(hex, "{byte:02x}");
            }
            format!("{{\"hex\":\"{hex}\"}}")
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
