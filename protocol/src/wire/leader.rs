//! What Produce and Fetch share: who leads a partition now, and where those brokers are (KIP-951).

use super::{Decoder, WireError, WireStr, Writer, uvarint_size};
use crate::ids::{BrokerId, LeaderEpoch};

/// The present leader of a partition, told to a client that asked another broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderIdAndEpoch {
    /// The leader; -1 when unknown.
    pub leader_id: BrokerId,
    /// Its epoch; -1 when unknown.
    pub leader_epoch: LeaderEpoch,
}

impl LeaderIdAndEpoch {
    /// Bytes in a tagged field: two numbers and an empty tag section.
    pub(crate) const BYTES: usize = 4 + 4 + 1;

    pub(crate) fn encode(self, writer: &mut Writer<'_>) {
        writer.i32(self.leader_id.0);
        writer.i32(self.leader_epoch.0);
        writer.no_tags();
    }

    pub(crate) fn decode(decoder: &mut Decoder<'_>) -> Result<Self, WireError> {
        let leader = Self { leader_id: BrokerId(decoder.i32()?), leader_epoch: LeaderEpoch(decoder.i32()?) };
        decoder.skip_tags()?;
        Ok(leader)
    }
}

/// Where a broker is reached.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeEndpoint {
    /// The broker.
    pub node_id: BrokerId,
    /// Its host name on the listener of the request.
    pub host: WireStr,
    /// Its port there.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<WireStr>,
}

/// The tag section that ends a Produce or Fetch response: endpoints under tag 0, left out when there are none.
pub(crate) fn write_endpoints(endpoints: &[NodeEndpoint], writer: &mut Writer<'_>) {
    if endpoints.is_empty() {
        return writer.no_tags();
    }
    let text_size = |text: &str| uvarint_size(text.len() + 1) + text.len();
    let size = |endpoint: &NodeEndpoint| {
        4 + text_size(&endpoint.host) + 4 + endpoint.rack.as_deref().map_or(1, text_size) + 1
    };
    writer.tag_count(1);
    writer.tag(0, uvarint_size(endpoints.len() + 1) + endpoints.iter().map(size).sum::<usize>());
    writer.length(endpoints.len());
    for endpoint in endpoints {
        writer.i32(endpoint.node_id.0);
        writer.text(&endpoint.host);
        writer.i32(endpoint.port);
        writer.nullable_text(endpoint.rack.as_deref());
        writer.no_tags();
    }
}

/// The tag section that ends a Produce or Fetch response; `known` tells whether the version has endpoints in it.
pub(crate) fn read_endpoints(known: bool, decoder: &mut Decoder<'_>) -> Result<Vec<NodeEndpoint>, WireError> {
    let mut endpoints = Vec::new();
    for _ in 0..decoder.tag_count()? {
        let (tag, size) = decoder.tag()?;
        if tag != 0 || !known {
            decoder.take(size)?;
            continue;
        }
        for _ in 0..decoder.count(11, size_of::<NodeEndpoint>())? {
            let node_id = BrokerId(decoder.i32()?);
            let host = decoder.text()?;
            let port = decoder.i32()?;
            let rack = decoder.nullable_text()?;
            decoder.skip_tags()?;
            endpoints.push(NodeEndpoint { node_id, host, port, rack });
        }
    }
    Ok(endpoints)
}
