//! The records of one batch, decoded where the log's name tells what they are.

use std::path::Path;

use bytes::Bytes;
use slipring_protocol::batch::{ControlRecord, Record, Records, record_area};
use slipring_protocol::group_records::GroupRecord;
use slipring_protocol::metadata_records::MetadataRecord;
use slipring_storage::inspect::SeenBatch;

use super::batches::RECORDS_BYTES_MAX;
use super::out::{Line, Out};
use super::{Content, DumpArgs, Failure};

/// Prints every record; what cannot be read is a fault of the batch.
pub(super) fn dump(
    path: &Path,
    batch: &SeenBatch,
    bytes: &[u8],
    content: Content,
    args: &DumpArgs,
    out: &mut Out,
) -> Result<(), Failure> {
    let area = match record_area(bytes, RECORDS_BYTES_MAX) {
        Ok(area) => area,
        Err(error) => return out.fault(path, Some(batch.position), &error.to_string()),
    };
    for record in Records::new(&area, batch.header.record_count) {
        match record {
            Ok(record) => out.line(&line(batch, &record, content, args.bytes_max))?,
            Err(error) => out.fault(path, Some(batch.position), &error.to_string())?,
        }
    }
    Ok(())
}

fn line(batch: &SeenBatch, record: &Record<'_>, content: Content, bytes_max: usize) -> Line {
    let header = &batch.header;
    let line = Line::new("record")
        .number("offset", header.base_offset.plus(record.offset_delta.into()).0, 8)
        .number("time", header.timestamp_of(record.timestamp_delta).0, 13);
    let decoded = if header.is_control() {
        control(record)
    } else {
        match content {
            Content::Plain => None,
            Content::Metadata => metadata(record),
            Content::Offsets => group(record),
        }
    };
    let line = match decoded {
        Some(Ok((kind, fields))) => line.text_field("type", kind, 0).text_field("fields", &fields, 0),
        Some(Err(error)) => raw(line, record, bytes_max).text_field("unreadable", &error, 0),
        None => raw(line, record, bytes_max),
    };
    if record.headers.is_empty() {
        return line;
    }
    let headers = record.headers.map(|(name, value)| {
        (String::from_utf8_lossy(name).into_owned(), value.map(|value| shown(value, bytes_max).to_vec()))
    });
    line.list("headers", headers.collect())
}

fn raw(line: Line, record: &Record<'_>, bytes_max: usize) -> Line {
    line.bytes("key", record.key, bytes_max).bytes("value", record.value, bytes_max)
}

fn shown(value: &[u8], bytes_max: usize) -> &[u8] {
    if bytes_max == 0 { value } else { &value[..value.len().min(bytes_max)] }
}

/// Name of a record's type and its fields, or why they do not read. `None`: keys and values say it best.
type Decoded = Option<Result<(&'static str, String), String>>;

fn control(record: &Record<'_>) -> Decoded {
    let (Some(key), Some(value)) = (record.key, record.value) else {
        return Some(Err("control record without key or value".to_owned()));
    };
    let decoded = ControlRecord::parse(key, value).map_err(|error| error.to_string());
    Some(decoded.map(|control| {
        let name = match &control {
            ControlRecord::EndTxn(marker) if marker.commit => "COMMIT",
            ControlRecord::EndTxn(_) => "ABORT",
            ControlRecord::LeaderChange(_) => "LEADER_CHANGE",
            ControlRecord::SnapshotHeader { .. } => "SNAPSHOT_HEADER",
            ControlRecord::SnapshotFooter => "SNAPSHOT_FOOTER",
            ControlRecord::KRaftVersion(_) => "KRAFT_VERSION",
            ControlRecord::Voters(_) => "KRAFT_VOTERS",
            ControlRecord::Unknown(_) => "UNKNOWN",
        };
        (name, format!("{control:?}"))
    }))
}

fn metadata(record: &Record<'_>) -> Decoded {
    let value = record.value?;
    let decoded = MetadataRecord::decode(value).map_err(|error| error.to_string());
    Some(decoded.map(|record| (metadata_name(&record), format!("{record:?}"))))
}

const fn metadata_name(record: &MetadataRecord) -> &'static str {
    match record {
        MetadataRecord::RegisterBroker(_) => "REGISTER_BROKER_RECORD",
        MetadataRecord::UnregisterBroker(_) => "UNREGISTER_BROKER_RECORD",
        MetadataRecord::Topic(_) => "TOPIC_RECORD",
        MetadataRecord::Partition(_) => "PARTITION_RECORD",
        MetadataRecord::Config(_) => "CONFIG_RECORD",
        MetadataRecord::PartitionChange(_) => "PARTITION_CHANGE_RECORD",
        MetadataRecord::FenceBroker(_) => "FENCE_BROKER_RECORD",
        MetadataRecord::UnfenceBroker(_) => "UNFENCE_BROKER_RECORD",
        MetadataRecord::RemoveTopic(_) => "REMOVE_TOPIC_RECORD",
        MetadataRecord::FeatureLevel(_) => "FEATURE_LEVEL_RECORD",
        MetadataRecord::ClientQuota(_) => "CLIENT_QUOTA_RECORD",
        MetadataRecord::ProducerIds(_) => "PRODUCER_IDS_RECORD",
        MetadataRecord::BrokerRegistrationChange(_) => "BROKER_REGISTRATION_CHANGE_RECORD",
        MetadataRecord::BeginTransaction(_) => "BEGIN_TRANSACTION_RECORD",
        MetadataRecord::AbortTransaction(_) => "ABORT_TRANSACTION_RECORD",
        MetadataRecord::RegisterController(_) => "REGISTER_CONTROLLER_RECORD",
        MetadataRecord::ClearElr(_) => "CLEAR_ELR_RECORD",
        MetadataRecord::NoOp => "NO_OP_RECORD",
        MetadataRecord::EndTransaction => "END_TRANSACTION_RECORD",
        MetadataRecord::Opaque { .. } => "OTHER",
    }
}

fn group(record: &Record<'_>) -> Decoded {
    let key = Bytes::copy_from_slice(record.key?);
    let value = record.value.map(Bytes::copy_from_slice);
    match GroupRecord::decode(&key, value.as_ref()) {
        Ok(GroupRecord::Offset(key, value)) => Some(Ok(("OFFSET", offset_fields(&key, value.as_ref())))),
        Ok(GroupRecord::Group(name, None)) => Some(Ok(("GROUP", format!("group {name:?} removed")))),
        Ok(GroupRecord::Group(name, Some(group))) => {
            let members: Vec<&str> = group.members.iter().map(|member| &*member.member_id).collect();
            let fields = format!(
                "group {name:?} generation {} type {:?} protocol {:?} leader {:?} members {members:?}",
                group.generation, group.protocol_type, group.protocol, group.leader
            );
            Some(Ok(("GROUP", fields)))
        }
        Ok(GroupRecord::Consumer(record)) => Some(Ok(("CONSUMER_GROUP", format!("{record:?}")))),
        Ok(GroupRecord::Opaque { .. }) => None,
        Err(error) => Some(Err(error.to_string())),
    }
}

fn offset_fields(
    key: &slipring_protocol::group_records::OffsetKey,
    value: Option<&slipring_protocol::group_records::CommittedOffset>,
) -> String {
    let whose = format!("group {:?} partition {}-{}", key.group, key.topic, key.partition);
    match value {
        None => format!("{whose} removed"),
        Some(value) => format!(
            "{whose} offset {} epoch {} metadata {:?} committed {}",
            value.offset, value.leader_epoch, value.metadata, value.committed_at
        ),
    }
}
