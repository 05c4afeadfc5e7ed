//! Clients that speak no Kafka: garbage, claims of huge frames, halves of frames and silence. They get closed or nothing;
//! what matters is what the others get meanwhile.

use std::cell::RefCell;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use slipring::runtime;
use slipring::runtime::conn::{Piece, SendQueue};
use slipring::runtime::sim::SimConn;

use crate::chance::Chance;
use crate::world::Life;

/// Bothers the broker until the life is over.
pub async fn run(life: &Life, mut chance: Chance) {
    while !life.is_over() {
        bother(&life.node.connect_raw(), &mut chance).await;
        life.rest(&mut chance, Duration::from_secs(5)).await;
    }
}

async fn bother(conn: &SimConn, chance: &mut Chance) {
    let length = chance.of(0..200);
    let mut bytes: Vec<u8> = (0..length).map(|_| chance.number().to_le_bytes()[0]).collect();
    if let Some(head) = bytes.get_mut(..8) {
        let claimed = chance.one(&[i32::MAX, -1, 0, 100, 1 << 20]);
        head[..4].copy_from_slice(&claimed.to_be_bytes());
        let key = i16::try_from(chance.of(0..90)).expect("small");
        head[4..6].copy_from_slice(&key.to_be_bytes());
        let version = i16::try_from(chance.of(0..20)).expect("small");
        head[6..8].copy_from_slice(&version.to_be_bytes());
    }
    let queue = RefCell::new(SendQueue::default());
    queue.borrow_mut().push(Piece::Owned(Bytes::from(bytes)));
    while queue.borrow().bytes() > 0 {
        if conn.send_some(&queue).await.is_err() {
            return;
        }
    }
    let mut answer = BytesMut::new();
    let enough = async {
        runtime::sleep(Duration::from_secs(3)).await;
        Ok(0)
    };
    _ = futures_lite::future::or(conn.receive(&mut answer, 1 << 10), enough).await;
}
