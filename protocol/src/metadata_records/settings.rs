//! Records of features, configs, quotas, producer id blocks, and the bounds of controller transactions.

use super::Body;
use super::fields::{Tags, read_bool, read_list, read_nullable_text, read_tags, read_text};
use crate::ids::{BrokerId, ProducerId};
use crate::wire::{Reader, WireError, Writer};

/// A feature's level is now this; 0 removes it (`FeatureLevelRecord`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureLevel {
    /// Feature name.
    pub name: String,
    /// Its level.
    pub level: i16,
}

impl Body for FeatureLevel {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.text(&self.name);
        writer.i16(self.level);
        writer.no_tags();
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let record = Self { name: read_text(reader)?, level: reader.i16()? };
        reader.skip_tags()?;
        Ok(record)
    }
}

/// A config of a resource is set or removed (`ConfigRecord`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Kafka's number of the kind of resource: 2 topic, 4 broker, 8 broker logger, 16 client metrics, 32 group.
    pub resource_type: i8,
    /// Name of the resource; empty is the cluster-wide default of brokers.
    pub resource_name: String,
    /// Config name.
    pub name: String,
    /// Its value; `None` removes it.
    pub value: Option<String>,
}

impl Body for Config {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.i8(self.resource_type);
        writer.text(&self.resource_name);
        writer.text(&self.name);
        writer.nullable_text(self.value.as_deref());
        writer.no_tags();
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let record = Self {
            resource_type: reader.i8()?,
            resource_name: read_text(reader)?,
            name: read_text(reader)?,
            value: read_nullable_text(reader)?,
        };
        reader.skip_tags()?;
        Ok(record)
    }
}

/// A block of producer ids is given to a broker (`ProducerIdsRecord`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerIds {
    /// Broker that asked.
    pub broker: BrokerId,
    /// Epoch of its registration.
    pub broker_epoch: i64,
    /// First id of the next block: all below are given away.
    pub next: ProducerId,
}

impl Body for ProducerIds {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.i32(self.broker.0);
        writer.i64(self.broker_epoch);
        writer.i64(self.next.0);
        writer.no_tags();
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let record = Self {
            broker: BrokerId(reader.i32()?),
            broker_epoch: reader.i64()?,
            next: ProducerId(reader.i64()?),
        };
        reader.skip_tags()?;
        Ok(record)
    }
}

/// A client quota is set or removed (`ClientQuotaRecord`).
#[derive(Clone, Debug, PartialEq)]
pub struct ClientQuota {
    /// Who it holds for.
    pub entity: Vec<QuotaEntity>,
    /// Quota name.
    pub key: String,
    /// Its value.
    pub value: f64,
    /// Removed rather than set.
    pub remove: bool,
}

/// One part of a quota's entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaEntity {
    /// `user`, `client-id` or `ip`.
    pub kind: String,
    /// Its name; `None` is the default entity.
    pub name: Option<String>,
}

impl Body for ClientQuota {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.length(self.entity.len());
        for part in &self.entity {
            writer.text(&part.kind);
            writer.nullable_text(part.name.as_deref());
            writer.no_tags();
        }
        writer.text(&self.key);
        writer.i64(self.value.to_bits() as i64);
        writer.i8(self.remove.into());
        writer.no_tags();
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let record = Self {
            entity: read_list(reader, 3, |reader| {
                let part = QuotaEntity { kind: read_text(reader)?, name: read_nullable_text(reader)? };
                reader.skip_tags()?;
                Ok(part)
            })?,
            key: read_text(reader)?,
            value: f64::from_bits(reader.i64()? as u64),
            remove: read_bool(reader)?,
        };
        reader.skip_tags()?;
        Ok(record)
    }
}

/// The records that follow take effect together or not at all (`BeginTransactionRecord`, KIP-868).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BeginTransaction {
    /// What it is about, for people.
    pub name: Option<String>,
}

impl Body for BeginTransaction {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        write_note(writer, self.name.as_deref());
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { name: read_note(reader)? })
    }
}

/// The records since the begin never happened (`AbortTransactionRecord`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbortTransaction {
    /// Why, for people.
    pub reason: Option<String>,
}

impl Body for AbortTransaction {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        write_note(writer, self.reason.as_deref());
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok(Self { reason: read_note(reader)? })
    }
}

/// The only field is text under tag 0, absent by default.
fn write_note(writer: &mut Writer<'_>, note: Option<&str>) {
    let mut tags = Tags::default();
    if let Some(note) = note {
        tags.add(0, |writer| writer.text(note));
    }
    tags.write(writer);
}

fn read_note(reader: &mut Reader<'_>) -> Result<Option<String>, WireError> {
    let mut note = None;
    read_tags(reader, |tag, reader| {
        if tag != 0 {
            return Ok(false);
        }
        note = read_nullable_text(reader)?;
        Ok(true)
    })?;
    Ok(note)
}
