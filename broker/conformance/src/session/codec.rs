//! Requests from JSON trees, responses into JSON trees, by the definitions of [`super::schema`]. Nothing is skipped: tagged
//! fields that the definition does not name and bytes after the end show up in the tree.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::records;
use super::schema::{Field, Kind, Message};

/// Body of a request; fields that the tree leaves out take their defaults.
///
/// # Errors
/// Names the field that cannot be written: a slip in a script.
pub(crate) fn encode(message: &Message, version: i16, tree: &Value) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    let writer = Writer { version, flexible: message.flexible.contain(version) };
    writer.fields(&message.fields, tree, &mut out)?;
    Ok(out)
}

/// Tree of a response body.
///
/// # Errors
/// Says where the bytes do not fit the definition.
pub(crate) fn decode(message: &Message, version: i16, body: &[u8]) -> Result<Value, String> {
    let mut reader = Reader { version, flexible: message.flexible.contain(version), rest: body };
    let mut tree = reader.fields(&message.fields)?;
    if !reader.rest.is_empty() {
        tree.insert("bytes_after_the_end".to_owned(), reader.rest.len().into());
    }
    Ok(Value::Object(tree))
}

/// Skips the tagged fields of a flexible header.
pub(crate) fn skip_header_tags(body: &[u8]) -> Result<&[u8], String> {
    let mut reader = Reader { version: 0, flexible: true, rest: body };
    for _ in 0..reader.uvarint()? {
        reader.uvarint()?;
        let size = reader.uvarint()? as usize;
        reader.take(size)?;
    }
    Ok(reader.rest)
}

struct Writer {
    version: i16,
    flexible: bool,
}

impl Writer {
    fn fields(&self, fields: &[Field], tree: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        let given = tree.as_object().ok_or_else(|| format!("not a struct: {tree}"))?;
        if let Some(name) = given.keys().find(|name| !fields.iter().any(|field| field.name == **name)) {
            return Err(format!("no field {name}"));
        }
        let mut tagged = Vec::new();
        for field in fields.iter().filter(|field| field.versions.contain(self.version)) {
            let value = given.get(&field.name);
            match field.tag_in(self.version) {
                Some(tag) => {
                    let Some(value) = value else { continue };
                    let mut bytes = Vec::new();
                    self.value(field, value, &mut bytes)?;
                    tagged.push((tag, bytes));
                }
                None => self.value(field, value.unwrap_or(&default_of(field)), out)?,
            }
        }
        if self.flexible {
            put_uvarint(out, tagged.len() as u64);
            tagged.sort();
            for (tag, bytes) in tagged {
                put_uvarint(out, u64::from(tag));
                put_uvarint(out, bytes.len() as u64);
                out.extend_from_slice(&bytes);
            }
        }
        Ok(())
    }

    fn value(&self, field: &Field, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        if !field.is_list {
            return self.single(field, value, out);
        }
        let Some(items) = value.as_array() else {
            self.length(None, 4, out);
            return Ok(());
        };
        self.length(Some(items.len()), 4, out);
        items.iter().try_for_each(|item| self.single(field, item, out))
    }

    fn single(&self, field: &Field, value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
        let slip = || format!("field {}: {value}", field.name);
        let number = || value.as_i64().ok_or_else(slip);
        match field.kind {
            Kind::Bool => out.push(u8::from(value.as_bool().ok_or_else(slip)?)),
            Kind::Int8 => out.extend((number()? as i8).to_be_bytes()),
            Kind::Int16 => out.extend((number()? as i16).to_be_bytes()),
            Kind::Int32 => out.extend((number()? as i32).to_be_bytes()),
            Kind::Int64 => out.extend(number()?.to_be_bytes()),
            Kind::Uuid => {
                let id = Uuid::try_parse(value.as_str().ok_or_else(slip)?).map_err(|_| slip())?;
                out.extend_from_slice(id.as_bytes());
            }
            Kind::Text => {
                self.length(value.as_str().map(str::len), 2, out);
                out.extend_from_slice(value.as_str().unwrap_or_default().as_bytes());
            }
            Kind::Records => {
                let bytes = value.as_str().map(|text| from_hex(text).ok_or_else(slip)).transpose()?;
                self.length(bytes.as_ref().map(Vec::len), 4, out);
                out.extend_from_slice(&bytes.unwrap_or_default());
            }
            Kind::Struct if field.nullable.contain(self.version) && !field.is_list => {
                out.push(if value.is_null() { 0xff } else { 1 });
                if !value.is_null() {
                    self.fields(&field.fields, value, out)?;
                }
            }
            Kind::Struct => self.fields(&field.fields, value, out)?,
        }
        Ok(())
    }

    fn length(&self, length: Option<usize>, width: usize, out: &mut Vec<u8>) {
        match (self.flexible, length) {
            (true, length) => put_uvarint(out, length.map_or(0, |length| length as u64 + 1)),
            (false, None) => out.extend_from_slice(&[0xff; 4][..width]),
            (false, Some(length)) => out.extend_from_slice(&(length as u32).to_be_bytes()[4 - width..]),
        }
    }
}

fn default_of(field: &Field) -> Value {
    match field.default.as_deref() {
        Some("null") => Value::Null,
        Some("true") => Value::Bool(true),
        Some("false") => Value::Bool(false),
        Some("0x7fffffff") => i32::MAX.into(),
        Some(number) => number.parse::<i64>().map_or_else(|_| number.into(), Value::from),
        None if field.is_list => Value::Array(Vec::new()),
        None => match field.kind {
            Kind::Bool => Value::Bool(false),
            Kind::Uuid => Uuid::nil().simple().to_string().into(),
            Kind::Text => "".into(),
            Kind::Records => Value::Null,
            Kind::Struct => Value::Object(Map::new()),
            Kind::Int8 | Kind::Int16 | Kind::Int32 | Kind::Int64 => 0.into(),
        },
    }
}

struct Reader<'a> {
    version: i16,
    flexible: bool,
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn fields(&mut self, fields: &[Field]) -> Result<Map<String, Value>, String> {
        let mut tree = Map::new();
        let version = self.version;
        let is_plain = |field: &&Field| field.versions.contain(version) && field.tag_in(version).is_none();
        for field in fields.iter().filter(is_plain) {
            let value = self.value(field).map_err(|error| format!("{}: {error}", field.name))?;
            tree.insert(field.name.clone(), value);
        }
        if self.flexible {
            self.tagged(fields, &mut tree)?;
        }
        Ok(tree)
    }

    fn tagged(&mut self, fields: &[Field], tree: &mut Map<String, Value>) -> Result<(), String> {
        let mut last = None;
        for _ in 0..self.uvarint()? {
            let tag = self.uvarint()?;
            if last.is_some_and(|last| last >= tag) {
                return Err(format!("tag {tag} out of order"));
            }
            last = Some(tag);
            let size = self.uvarint()? as usize;
            let bytes = self.take(size)?;
            match fields.iter().find(|field| field.tag_in(self.version).map(u64::from) == Some(tag)) {
                Some(field) => {
                    let mut inner = Reader { version: self.version, flexible: true, rest: bytes };
                    let value = inner.value(field)?;
                    if !inner.rest.is_empty() {
                        return Err(format!("{}: bytes after the tagged field", field.name));
                    }
                    tree.insert(field.name.clone(), value);
                }
                None => {
                    tree.insert(format!("tag_{tag}"), to_hex(bytes).into());
                }
            }
        }
        Ok(())
    }

    fn value(&mut self, field: &Field) -> Result<Value, String> {
        if !field.is_list {
            return self.single(field);
        }
        let Some(count) = self.length(4)? else { return self.null(field) };
        let mut items = Vec::new();
        for index in 0..count {
            items.push(self.single(field).map_err(|error| format!("[{index}] {error}"))?);
        }
        Ok(items.into())
    }

    fn single(&mut self, field: &Field) -> Result<Value, String> {
        Ok(match field.kind {
            Kind::Bool => (self.take(1)?[0] != 0).into(),
            Kind::Int8 => (self.take(1)?[0] as i8).into(),
            Kind::Int16 => i16::from_be_bytes(self.array()?).into(),
            Kind::Int32 => i32::from_be_bytes(self.array()?).into(),
            Kind::Int64 => i64::from_be_bytes(self.array()?).into(),
            Kind::Uuid => Uuid::from_bytes(self.array()?).simple().to_string().into(),
            Kind::Text => match self.length(2)? {
                None => return self.null(field),
                Some(length) => {
                    let text = std::str::from_utf8(self.take(length)?).map_err(|error| error.to_string())?;
                    text.into()
                }
            },
            Kind::Records => match self.length(4)? {
                None => return self.null(field),
                Some(length) => records::describe(self.take(length)?),
            },
            Kind::Struct if field.nullable.contain(self.version) && !field.is_list => {
                match self.take(1)?[0] as i8 {
                    ..0 => Value::Null,
                    _ => Value::Object(self.fields(&field.fields)?),
                }
            }
            Kind::Struct => Value::Object(self.fields(&field.fields)?),
        })
    }

    fn null(&self, field: &Field) -> Result<Value, String> {
        if field.nullable.contain(self.version) { Ok(Value::Null) } else { Err("null".to_owned()) }
    }

    fn length(&mut self, width: usize) -> Result<Option<usize>, String> {
        if self.flexible {
            return Ok((self.uvarint()? as usize).checked_sub(1));
        }
        let length = match width {
            2 => i64::from(i16::from_be_bytes(self.array()?)),
            _ => i64::from(i32::from_be_bytes(self.array()?)),
        };
        Ok(usize::try_from(length).ok())
    }

    fn uvarint(&mut self) -> Result<u64, String> {
        let mut value = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("varint too long".to_owned())
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .rest
            .split_at_checked(bytes)
            .ok_or_else(|| format!("{bytes} bytes wanted, {} left", self.rest.len()))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(self.take(N)?.try_into().expect("take gives what was asked"))
    }
}

fn put_uvarint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes as they stand in a tree.
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits =
        bytes.iter().flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    digits.map(char::from).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(pair.first()?)? << 4 | digit(pair.get(1)?)?);
    text.as_bytes().chunks(2).map(pair).collect()
}
