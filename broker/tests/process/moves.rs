//! Connections that follow their partitions from core to core.

use crate::client::{begin_long_poll, connect, create_topic, produce, read_back};
use crate::support::{Launch, TempDir, until};

/// Connections that have moved so far.
fn moved(broker: &crate::support::Broker) -> f64 {
    ["0", "1"]
        .map(|core| broker.metric(&format!("slipring_connections_moved_total{{core=\"{core}\"}}")))
        .iter()
        .sum()
}

#[test]
fn a_connection_moves_to_the_core_of_its_partition_and_its_client_sees_nothing() {
    let dir = TempDir::new();
    let broker = Launch::new(dir.path()).data(&dir.path().join("data")).args(&["--cores", "2"]).start();
    let mut client = connect(broker.client);
    create_topic(&mut client, "followed", 2);
    // Whichever core the connection began on, one of the two partitions is the other's.
    for partition in [0, 1] {
        for number in 0..40 {
            let offset = produce(&mut client, "followed", partition, &[number; 100]);
            assert_eq!(offset, i64::from(number));
        }
    }
    assert!(moved(&broker) >= 1.0);
    for partition in [0, 1] {
        let values = read_back(&mut client, "followed", partition, 40);
        assert!((0..40).all(|number| values[usize::from(number)] == [number; 100]));
    }
    // A consumer whose connection has moved is still woken by what others produce.
    let mut consumer = connect(broker.client);
    for _ in 0..100 {
        read_back(&mut consumer, "followed", 0, 1);
    }
    let waiting = begin_long_poll(&mut consumer, "followed", 40);
    assert_eq!(produce(&mut client, "followed", 0, b"news"), 40);
    let answer = consumer.receive_fetch(waiting).unwrap();
    assert!(answer.topics[0].partitions[0].records.as_ref().is_some_and(|records| !records.is_empty()));
    drop((client, consumer));
    until("no connection is left", || broker.metric("slipring_connections") == 0.0);
}
