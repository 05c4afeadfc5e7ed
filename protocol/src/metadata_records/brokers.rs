//! Records of brokers and controllers: registrations and what changes in them.

use uuid::Uuid;

use super::Body;
use super::fields::{
    Tags, read_bool, read_list, read_nullable_text, read_nullable_uuids, read_tags, read_text, read_uuids,
    write_uuids,
};
use crate::ids::BrokerId;
use crate::wire::{Reader, WireError, Writer};

/// A broker has registered, anew or after a restart (`RegisterBrokerRecord`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterBroker {
    /// Broker that registers.
    pub broker: BrokerId,
    /// A broker of a ZooKeeper cluster in migration; never now.
    pub migrating_zk_broker: bool,
    /// Id of the broker's process.
    pub incarnation: Uuid,
    /// Epoch of the registration: the offset of its record.
    pub epoch: i64,
    /// Listeners.
    pub endpoints: Vec<Endpoint>,
    /// Features it can do.
    pub features: Vec<FeatureRange>,
    /// Rack.
    pub rack: Option<String>,
    /// Registered fenced, as brokers start.
    pub fenced: bool,
    /// Shutting down under control.
    pub in_controlled_shutdown: bool,
    /// Ids of its log directories that are online.
    pub log_dirs: Vec<Uuid>,
    /// Ids of directories that take no new replicas (KIP-1066); `None` when the broker told nothing.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

impl Body for RegisterBroker {
    const VERSION: i16 = 4;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.i32(self.broker.0);
        writer.i8(self.migrating_zk_broker.into());
        writer.uuid(self.incarnation);
        writer.i64(self.epoch);
        write_endpoints(writer, &self.endpoints);
        write_features(writer, &self.features);
        writer.nullable_text(self.rack.as_deref());
        writer.i8(self.fenced.into());
        writer.i8(self.in_controlled_shutdown.into());
        let mut tags = Tags::default();
        if !self.log_dirs.is_empty() {
            tags.add(0, |writer| write_uuids(writer, &self.log_dirs));
        }
        if let Some(cordoned) = &self.cordoned_log_dirs {
            tags.add(1, |writer| write_uuids(writer, cordoned));
        }
        tags.write(writer);
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut record = Self {
            broker: BrokerId(reader.i32()?),
            migrating_zk_broker: version >= 2 && read_bool(reader)?,
            incarnation: reader.uuid()?,
            epoch: reader.i64()?,
            endpoints: read_endpoints(reader)?,
            features: read_features(reader)?,
            rack: read_nullable_text(reader)?,
            fenced: read_bool(reader)?,
            in_controlled_shutdown: version >= 1 && read_bool(reader)?,
            log_dirs: Vec::new(),
            cordoned_log_dirs: None,
        };
        read_tags(reader, |tag, reader| {
            match tag {
                0 if version >= 3 => record.log_dirs = read_uuids(reader)?,
                1 if version >= 4 => record.cordoned_log_dirs = read_nullable_uuids(reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }
}

/// A listener of a broker or controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Listener name.
    pub name: String,
    /// Host that is advertised.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Kafka's number of the security protocol: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// Levels of a feature that a node can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureRange {
    /// Feature name.
    pub name: String,
    /// Lowest level.
    pub min: i16,
    /// Highest level.
    pub max: i16,
}

/// Part of a registration has changed (`BrokerRegistrationChangeRecord`). Fields at "no change" are not on the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BrokerRegistrationChange {
    /// Broker it is about.
    pub broker: BrokerId,
    /// Its registration's epoch.
    pub epoch: i64,
    /// Fenced (true), unfenced (false) or unchanged.
    pub fenced: Option<bool>,
    /// Has begun to shut down under control; false is no change.
    pub in_controlled_shutdown: bool,
    /// Its log directories that are online; empty is no change.
    pub log_dirs: Vec<Uuid>,
    /// Its cordoned directories; `None` is no change.
    pub cordoned_log_dirs: Option<Vec<Uuid>>,
}

impl Body for BrokerRegistrationChange {
    const VERSION: i16 = 3;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.i32(self.broker.0);
        writer.i64(self.epoch);
        let mut tags = Tags::default();
        if let Some(fenced) = self.fenced {
            tags.add(0, |writer| writer.i8(if fenced { 1 } else { -1 }));
        }
        if self.in_controlled_shutdown {
            tags.add(1, |writer| writer.i8(1));
        }
        if !self.log_dirs.is_empty() {
            tags.add(2, |writer| write_uuids(writer, &self.log_dirs));
        }
        if let Some(cordoned) = &self.cordoned_log_dirs {
            tags.add(3, |writer| write_uuids(writer, cordoned));
        }
        tags.write(writer);
    }

    fn read(version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut record = Self { broker: BrokerId(reader.i32()?), epoch: reader.i64()?, ..Self::default() };
        read_tags(reader, |tag, reader| {
            match tag {
                0 => {
                    record.fenced = match reader.i8()? {
                        0 => None,
                        change => Some(change > 0),
                    }
                }
                1 if version >= 1 => record.in_controlled_shutdown = read_bool(reader)?,
                2 if version >= 2 => record.log_dirs = read_uuids(reader)?,
                3 if version >= 3 => record.cordoned_log_dirs = read_nullable_uuids(reader)?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(record)
    }
}

/// A controller has registered (`RegisterControllerRecord`, KIP-919).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterController {
    /// Controller that registers.
    pub controller: BrokerId,
    /// Id of its process.
    pub incarnation: Uuid,
    /// Could migrate a ZooKeeper cluster; never now.
    pub zk_migration_ready: bool,
    /// Listeners.
    pub endpoints: Vec<Endpoint>,
    /// Features it can do.
    pub features: Vec<FeatureRange>,
}

impl Body for RegisterController {
    const VERSION: i16 = 0;

    fn write(&self, writer: &mut Writer<'_>) {
        writer.i32(self.controller.0);
        writer.uuid(self.incarnation);
        writer.i8(self.zk_migration_ready.into());
        write_endpoints(writer, &self.endpoints);
        write_features(writer, &self.features);
        writer.no_tags();
    }

    fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let record = Self {
            controller: BrokerId(reader.i32()?),
            incarnation: reader.uuid()?,
            zk_migration_ready: read_bool(reader)?,
            endpoints: read_endpoints(reader)?,
            features: read_features(reader)?,
        };
        reader.skip_tags()?;
        Ok(record)
    }
}

macro_rules! broker_and_epoch {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name {
            /// Broker it is about.
            pub broker: BrokerId,
            /// Its registration's epoch.
            pub epoch: i64,
        }

        impl Body for $name {
            const VERSION: i16 = 0;

            fn write(&self, writer: &mut Writer<'_>) {
                writer.i32(self.broker.0);
                writer.i64(self.epoch);
                writer.no_tags();
            }

            fn read(_version: i16, reader: &mut Reader<'_>) -> Result<Self, WireError> {
                let record = Self { broker: BrokerId(reader.i32()?), epoch: reader.i64()? };
                reader.skip_tags()?;
                Ok(record)
            }
        }
    };
}

broker_and_epoch! {
    /// A broker is gone for good (`UnregisterBrokerRecord`).
    UnregisterBroker
}
broker_and_epoch! {
    /// A broker is fenced (`FenceBrokerRecord`). Written before 3.3-IV2; now a [`BrokerRegistrationChange`] says it.
    FenceBroker
}
broker_and_epoch! {
    /// A broker is unfenced (`UnfenceBrokerRecord`). Written before 3.3-IV2, as [`FenceBroker`].
    UnfenceBroker
}

fn write_endpoints(writer: &mut Writer<'_>, endpoints: &[Endpoint]) {
    writer.length(endpoints.len());
    for endpoint in endpoints {
        writer.text(&endpoint.name);
        writer.text(&endpoint.host);
        writer.i16(endpoint.port as i16);
        writer.i16(endpoint.security_protocol);
        writer.no_tags();
    }
}

fn read_endpoints(reader: &mut Reader<'_>) -> Result<Vec<Endpoint>, WireError> {
    read_list(reader, 7, |reader| {
        let endpoint = Endpoint {
            name: read_text(reader)?,
            host: read_text(reader)?,
            port: reader.i16()? as u16,
            security_protocol: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(endpoint)
    })
}

fn write_features(writer: &mut Writer<'_>, features: &[FeatureRange]) {
    writer.length(features.len());
    for feature in features {
        writer.text(&feature.name);
        writer.i16(feature.min);
        writer.i16(feature.max);
        writer.no_tags();
    }
}

fn read_features(reader: &mut Reader<'_>) -> Result<Vec<FeatureRange>, WireError> {
    read_list(reader, 6, |reader| {
        let feature = FeatureRange { name: read_text(reader)?, min: reader.i16()?, max: reader.i16()? };
        reader.skip_tags()?;
        Ok(feature)
    })
}
