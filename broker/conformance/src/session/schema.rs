//! The definitions of messages that sessions speak, parsed from `messages.txt`. Neutral ground: neither server's codec
//! is behind it, so the two are judged by the same reader.

/// Every definition of `messages.txt`.
#[derive(Debug)]
pub(crate) struct Schema {
    messages: Vec<Message>,
}

/// One request or response.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) is_request: bool,
    pub(crate) key: i16,
    pub(crate) name: String,
    pub(crate) flexible: Versions,
    pub(crate) fields: Vec<Field>,
}

/// One field, with the fields of its elements when it is a struct.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) is_list: bool,
    pub(crate) versions: Versions,
    pub(crate) nullable: Versions,
    pub(crate) tag: Option<(u32, Versions)>,
    pub(crate) default: Option<String>,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int8,
    Int16,
    Int32,
    Int64,
    Uuid,
    Text,
    Records,
    Struct,
}

/// A range of versions; empty when `min > max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Versions {
    min: i16,
    max: i16,
}

impl Schema {
    /// Parses the definitions that are built in.
    pub(crate) fn load() -> Self {
        let mut lines = include_str!("messages.txt").lines().filter(|line| !line.starts_with('#')).peekable();
        let mut messages = Vec::new();
        while let Some(line) = lines.next() {
            let [kind, key, name, _versions, flexible] =
                words(line).try_into().expect("messages.txt: a message has five words");
            messages.push(Message {
                is_request: kind == "request",
                key: key.parse().expect("messages.txt: the key is a number"),
                name: name.to_owned(),
                flexible: Versions::parse(flexible),
                fields: parse_fields(&mut lines, 1),
            });
        }
        Self { messages }
    }

    /// The definition of a request by its name.
    pub(crate) fn request(&self, name: &str) -> &Message {
        self.find(name, true)
    }

    /// The definition of a response by its name.
    pub(crate) fn response(&self, name: &str) -> &Message {
        self.find(name, false)
    }

    fn find(&self, name: &str, is_request: bool) -> &Message {
        self.messages
            .iter()
            .find(|message| message.name == name && message.is_request == is_request)
            .expect("scripts name messages that messages.txt defines")
    }
}

impl Field {
    /// Whether the field stands among the tagged ones in this version.
    pub(crate) fn tag_in(&self, version: i16) -> Option<u32> {
        self.tag.filter(|(_, versions)| versions.contain(version)).map(|(tag, _)| tag)
    }
}

impl Versions {
    const NONE: Self = Self { min: 1, max: 0 };

    pub(crate) const fn contain(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }

    fn parse(text: &str) -> Self {
        if text == "none" {
            return Self::NONE;
        }
        let number = |text: &str| text.parse().expect("messages.txt: a version is a number");
        if let Some(min) = text.strip_suffix('+') {
            return Self { min: number(min), max: i16::MAX };
        }
        match text.split_once('-') {
            Some((min, max)) => Self { min: number(min), max: number(max) },
            None => Self { min: number(text), max: number(text) },
        }
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn parse_fields<'a, I: Iterator<Item = &'a str>>(
    lines: &mut std::iter::Peekable<I>,
    depth: usize,
) -> Vec<Field> {
    let mut fields = Vec::new();
    while let Some(line) = lines.next_if(|line| indent(line) == depth) {
        let mut field = parse_field(&words(line));
        field.fields = parse_fields(lines, depth + 1);
        fields.push(field);
    }
    fields
}

fn indent(line: &str) -> usize {
    (line.len() - line.trim_start().len()) / 2
}

fn parse_field(words: &[&str]) -> Field {
    let after = |name: &str| {
        let at = words.iter().position(|word| *word == name)?;
        words.get(at + 1).copied()
    };
    let kind = words[1];
    Field {
        name: words[0].to_owned(),
        kind: match kind.trim_start_matches("[]") {
            "bool" => Kind::Bool,
            "int8" => Kind::Int8,
            "int16" => Kind::Int16,
            "int32" => Kind::Int32,
            "int64" => Kind::Int64,
            "uuid" => Kind::Uuid,
            "string" => Kind::Text,
            // Other bytes are looked at as little as records are.
            "records" | "bytes" => Kind::Records,
            "struct" => Kind::Struct,
            other => unreachable!("messages.txt: unknown type {other}"),
        },
        is_list: kind.starts_with("[]"),
        versions: Versions::parse(words[2]),
        nullable: after("null").map_or(Versions::NONE, Versions::parse),
        tag: after("tag").map(|tag| {
            let tagged = after("tagged").expect("messages.txt: a tag names its versions");
            (tag.parse().expect("messages.txt: a tag is a number"), Versions::parse(tagged))
        }),
        default: after("default").map(str::to_owned),
        fields: Vec::new(),
    }
}
