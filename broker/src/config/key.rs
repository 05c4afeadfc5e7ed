//! What a row of the declaration table says about one config key. Plain constants, for any core; knows no values that
//! were set.

/// The types of Kafka's `ConfigDef`; the number is DescribeConfigs' `config_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum ConfigType {
    /// `true` or `false`.
    Boolean = 1,
    /// Any text.
    String = 2,
    /// 32-bit integer.
    Int = 3,
    /// 16-bit integer.
    Short = 4,
    /// 64-bit integer.
    Long = 5,
    /// 64-bit floating point number.
    Double = 6,
    /// Comma-separated texts.
    List = 7,
    /// The name of a Java class; kept as text here.
    Class = 8,
    /// A text that is never shown.
    Password = 9,
}

impl ConfigType {
    /// DescribeConfigs' `config_type` of a key that nobody knows.
    pub const UNKNOWN_CODE: i8 = 0;

    /// DescribeConfigs' `config_type`.
    #[must_use]
    pub const fn code(self) -> i8 {
        self as i8
    }

    /// The name in Kafka's documentation and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "BOOLEAN",
            Self::String => "STRING",
            Self::Int => "INT",
            Self::Short => "SHORT",
            Self::Long => "LONG",
            Self::Double => "DOUBLE",
            Self::List => "LIST",
            Self::Class => "CLASS",
            Self::Password => "PASSWORD",
        }
    }
}

/// The value of a key that nobody set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// This one, printed as Kafka prints it.
    Is(&'static str),
    /// None at all: DescribeConfigs shows null.
    Null,
    /// Kafka has another default, or none (`kafka: None`) and refuses to start without a value.
    Ours {
        /// Slipring's default.
        value: &'static str,
        /// Kafka's.
        kafka: Option<&'static str>,
    },
}

impl DefaultValue {
    /// The value in force when the key is not set.
    #[must_use]
    pub const fn value(self) -> Option<&'static str> {
        match self {
            Self::Is(value) | Self::Ours { value, .. } => Some(value),
            Self::Null => None,
        }
    }

    /// The default that DescribeConfigs lists among a key's synonyms. A key that must be set in Kafka has none there.
    #[must_use]
    pub const fn listed(self) -> Option<&'static str> {
        match self {
            Self::Is(value) | Self::Ours { value, kafka: Some(_) } => Some(value),
            Self::Ours { kafka: None, .. } | Self::Null => None,
        }
    }
}

/// What a value must satisfy beyond its type (the validators of Kafka's `ConfigDef`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// Nothing.
    Any,
    /// A number of at least this.
    AtLeast(i64),
    /// A number in this range, ends included.
    Between(i64, i64),
    /// A fraction in this range, ends included.
    BetweenFractions(f64, f64),
    /// 1 to 9, or -1 for the codec's own default.
    GzipLevel,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts in any case.
    OneOfAnyCase(&'static [&'static str]),
    /// A text that is not empty.
    NonEmpty,
    /// A list without empty entries; duplicates are dropped.
    Entries {
        /// Allowed entries; empty for any.
        of: &'static [&'static str],
        /// Whether it may be empty.
        empty: bool,
    },
    /// `*` or a list of `partition:broker`.
    ThrottledReplicas,
}

/// Where a key may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In the configuration of a broker.
    Broker,
    /// On a topic; unset, the broker's keys named here decide, in this order.
    Topic(&'static [Synonym]),
    /// On a group; unset, the broker's key named here decides.
    Group(Option<&'static str>),
    /// On a client metrics subscription.
    ClientMetrics,
}

/// A broker key that stands in for a topic key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synonym {
    /// The broker's key.
    pub name: &'static str,
    /// Milliseconds in one unit of it; 1 when nothing is converted.
    pub factor: i64,
}

/// When a change of a broker key may take effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// At start only.
    ReadOnly,
    /// Any time, for one broker.
    PerBroker,
    /// Any time, for one broker or for all.
    ClusterWide,
}

impl Update {
    /// The word in the reference page.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadOnly => "read-only",
            Self::PerBroker => "per-broker",
            Self::ClusterWide => "cluster-wide",
        }
    }
}

/// What Slipring does with a key today.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It acts on the value.
    Acts,
    /// It accepts and shows the value but does not act on it, for this reason.
    NoEffect(&'static str),
    /// It refuses every value but the default, for this reason.
    Refused(&'static str),
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfigKey {
    /// The key.
    pub name: &'static str,
    /// Its type.
    pub kind: ConfigType,
    /// Its default.
    pub default: DefaultValue,
    /// What values it takes.
    pub check: Check,
    /// Where it may be set.
    pub scope: Scope,
    /// When a change takes effect.
    pub update: Update,
    /// What Slipring does with it.
    pub effect: Effect,
    /// Kafka's undocumented keys: known, but shown only where they are set.
    pub internal: bool,
    /// What it is for, one sentence.
    pub doc: &'static str,
}

impl ConfigKey {
    /// Whether values must never be shown.
    #[must_use]
    pub const fn is_sensitive(&self) -> bool {
        matches!(self.kind, ConfigType::Password)
    }

    /// Whether Kafka 4.3 has no such key.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.name.starts_with(OUR_PREFIX)
    }

    /// The broker keys that stand in for a topic key, in order; empty for keys of other scopes.
    #[must_use]
    pub const fn broker_synonyms(&self) -> &'static [Synonym] {
        match self.scope {
            Scope::Topic(synonyms) => synonyms,
            Scope::Broker | Scope::Group(_) | Scope::ClientMetrics => &[],
        }
    }
}

/// Slipring's own keys begin so.
pub const OUR_PREFIX: &str = "slipring.";

/// A broker's key.
pub(super) const fn key(
    name: &'static str,
    kind: ConfigType,
    default: DefaultValue,
    check: Check,
    update: Update,
    effect: Effect,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey { name, kind, default, check, scope: Scope::Broker, update, effect, internal: false, doc }
}

/// A key that Kafka does not document. Slipring acts on none of them.
pub(super) const fn internal(
    name: &'static str,
    kind: ConfigType,
    default: DefaultValue,
    check: Check,
    doc: &'static str,
) -> ConfigKey {
    let effect = Effect::NoEffect("Internal to Apache Kafka.");
    ConfigKey {
        name,
        kind,
        default,
        check,
        scope: Scope::Broker,
        update: Update::ReadOnly,
        effect,
        internal: true,
        doc,
    }
}

/// A topic's key.
pub(super) const fn topic(
    name: &'static str,
    kind: ConfigType,
    default: DefaultValue,
    check: Check,
    synonyms: &'static [Synonym],
    effect: Effect,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default,
        check,
        scope: Scope::Topic(synonyms),
        update: Update::ClusterWide,
        effect,
        internal: false,
        doc,
    }
}

/// A group's key.
pub(super) const fn group(
    name: &'static str,
    kind: ConfigType,
    default: &'static str,
    synonym: Option<&'static str>,
    effect: Effect,
    doc: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default: DefaultValue::Is(default),
        check: Check::Any,
        scope: Scope::Group(synonym),
        update: Update::ClusterWide,
        effect,
        internal: false,
        doc,
    }
}

/// A broker key that stands in for a topic key without conversion.
pub(super) const fn same(name: &'static str) -> Synonym {
    Synonym { name, factor: 1 }
}

/// One that counts in minutes.
pub(super) const fn minutes(name: &'static str) -> Synonym {
    Synonym { name, factor: 60_000 }
}

/// One that counts in hours.
pub(super) const fn hours(name: &'static str) -> Synonym {
    Synonym { name, factor: 3_600_000 }
}
