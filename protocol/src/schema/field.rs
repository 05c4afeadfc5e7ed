//! The words in which shapes are written: `string("name").nullable().since(10)`.

/// A range of versions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Versions {
    /// First.
    pub min: i16,
    /// Last.
    pub max: i16,
}

impl Versions {
    /// Every version.
    pub const ALL: Self = Self { min: 0, max: i16::MAX };
    /// No version.
    pub const NONE: Self = Self { min: 1, max: 0 };

    /// Whether `version` is in the range.
    #[must_use]
    pub const fn contains(self, version: i16) -> bool {
        self.min <= version && version <= self.max
    }
}

/// What stands on the wire.
#[derive(Clone, Copy, Debug)]
pub enum Type {
    /// So many bytes: a number, a boolean, a uuid.
    Fixed(usize),
    /// Text.
    String,
    /// Bytes, or record batches.
    Bytes,
    /// A count and so many elements.
    Array(&'static Type),
    /// Fields, and tagged fields in flexible versions.
    Struct(&'static [Field]),
}

/// One field of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name in Kafka's schema, in snake case.
    pub name: &'static str,
    /// What stands on the wire.
    pub ty: Type,
    /// Versions that have it.
    pub versions: Versions,
    /// Versions in which it may be null.
    pub nullable: Versions,
    /// Its tag, where it is a tagged field.
    pub tag: Option<u32>,
}

impl Field {
    const fn new(name: &'static str, ty: Type) -> Self {
        Self { name, ty, versions: Versions::ALL, nullable: Versions::NONE, tag: None }
    }

    /// There from version `min` on.
    #[must_use]
    pub const fn since(mut self, min: i16) -> Self {
        self.versions.min = min;
        self
    }

    /// There up to version `max`.
    #[must_use]
    pub const fn until(mut self, max: i16) -> Self {
        self.versions.max = max;
        self
    }

    /// May be null in every version.
    #[must_use]
    pub const fn nullable(self) -> Self {
        self.nullable_since(0)
    }

    /// May be null from version `min` on.
    #[must_use]
    pub const fn nullable_since(mut self, min: i16) -> Self {
        self.nullable = Versions { min, max: i16::MAX };
        self
    }

    /// A tagged field.
    #[must_use]
    pub const fn tagged(mut self, tag: u32) -> Self {
        self.tag = Some(tag);
        self
    }
}

impl Type {
    /// Bytes that one takes on the wire at least.
    #[must_use]
    pub const fn wire_bytes_min(&self, version: i16, flexible: bool) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::String => {
                if flexible {
                    1
                } else {
                    2
                }
            }
            Self::Bytes | Self::Array(_) => {
                if flexible {
                    1
                } else {
                    4
                }
            }
            Self::Struct(fields) => {
                let mut sum = if flexible { 1 } else { 0 };
                let mut index = 0;
                while index < fields.len() {
                    let field = &fields[index];
                    if field.tag.is_none() && field.versions.contains(version) {
                        sum += field.ty.wire_bytes_min(version, flexible);
                    }
                    index += 1;
                }
                sum
            }
        }
    }

    /// Memory that one takes once decoded by `kafka-protocol`, what it points to not counted: its structures hold the
    /// fields of all versions, and a map of unknown tagged fields.
    #[must_use]
    pub const fn decoded_bytes(&self) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::String | Self::Bytes => 32,
            Self::Array(_) => 24,
            Self::Struct(fields) => {
                let mut sum = 24;
                let mut index = 0;
                while index < fields.len() {
                    sum += fields[index].ty.decoded_bytes();
                    index += 1;
                }
                sum.next_multiple_of(8)
            }
        }
    }
}

/// A boolean: zero or not.
pub(super) const fn boolean(name: &'static str) -> Field {
    Field::new(name, Type::Fixed(1))
}

/// A number of one byte.
pub(super) const fn int8(name: &'static str) -> Field {
    Field::new(name, Type::Fixed(1))
}

/// A number of two bytes.
pub(super) const fn int16(name: &'static str) -> Field {
    Field::new(name, Type::Fixed(2))
}

/// A number of four bytes.
pub(super) const fn int32(name: &'static str) -> Field {
    Field::new(name, Type::Fixed(4))
}

/// A number of eight bytes.
pub(super) const fn int64(name: &'static str) -> Field {
    Field::new(name, Type::Fixed(8))
}

/// A uuid.
pub(super) const fn uuid(name: &'static str) -> Field {
    Field::new(name, Type::Fixed(16))
}

/// Text.
pub(super) const fn string(name: &'static str) -> Field {
    Field::new(name, Type::String)
}

/// Bytes that mean nothing to the broker.
pub(super) const fn bytes(name: &'static str) -> Field {
    Field::new(name, Type::Bytes)
}

/// Record batches.
pub(super) const fn records(name: &'static str) -> Field {
    Field::new(name, Type::Bytes)
}

/// A structure.
pub(super) const fn structure(name: &'static str, fields: &'static [Field]) -> Field {
    Field::new(name, Type::Struct(fields))
}

/// An array of the given type.
pub(super) const fn array(name: &'static str, element: &'static Type) -> Field {
    Field::new(name, Type::Array(element))
}

/// An array of numbers of four bytes.
pub(super) const fn int32s(name: &'static str) -> Field {
    array(name, &Type::Fixed(4))
}

/// An array of text.
pub(super) const fn strings(name: &'static str) -> Field {
    array(name, &Type::String)
}
