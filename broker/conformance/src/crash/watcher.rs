//! A consumer that follows all partitions while they are written: whatever it was shown must be there for ever, and the
//! latest offset may never be below what was promised.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use slipring_protocol::batch::Batches;
use slipring_protocol::client::Client;

use super::check::fetch;
use super::content::Slot;
use super::{PLACES, Phase, Shared, lock};

/// Follows all partitions until the run is halted.
pub(crate) fn watch(shared: &Arc<Shared>) {
    let mut client = None;
    let mut next = vec![0; PLACES.len()];
    while shared.phase() == Phase::Load {
        for (slot, next) in next.iter_mut().enumerate() {
            if let Err(error) = look(shared, &mut client, slot, next) {
                client = None;
                let is_silence = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
                if error.kind() == io::ErrorKind::InvalidData || (is_silence && !shared.is_frozen()) {
                    shared.fault(format!("consumer of {:?}: {error}", PLACES[slot]));
                }
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn look(shared: &Shared, client: &mut Option<Client>, slot: Slot, next: &mut i64) -> io::Result<()> {
    let client = match client {
        Some(client) => client,
        None => client.insert(Client::connect(shared.address, "watcher")?),
    };
    let promised = lock(&shared.ledger).end(slot);
    let (bytes, high_watermark) = fetch(client, slot, *next, BYTES_MAX)?;
    if high_watermark < promised {
        let place = PLACES[slot];
        shared.fault(format!("{place:?}: latest offset {high_watermark}, but {promised} was promised"));
    }
    let mut ledger = lock(&shared.ledger);
    for batch in Batches::new(&bytes) {
        let batch = batch.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        let (base, end) = (batch.header.base_offset.0, batch.header.next_offset().0);
        if base != *next {
            shared.fault(format!("{:?}: shown {base} where {next} comes next", PLACES[slot]));
        }
        if end > high_watermark {
            shared.fault(format!("{:?}: shown up to {end}, above {high_watermark}", PLACES[slot]));
        }
        if let Err(why) = ledger.show(slot, base, end, batch.header.crc) {
            shared.fault(format!("{:?}: {why}", PLACES[slot]));
        }
        *next = end;
    }
    Ok(())
}

const BYTES_MAX: i32 = 1 << 20;
