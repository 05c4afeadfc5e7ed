//! Where replicas go.

use std::collections::BTreeSet;
use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::image::BrokerEpoch;

fn broker(id: i32, rack: Option<&str>, fenced: bool) -> BrokerImage {
    BrokerImage {
        id: BrokerId(id),
        epoch: BrokerEpoch(0),
        incarnation_id: Uuid::nil(),
        endpoints: vec![],
        features: vec![],
        rack: rack.map(Arc::from),
        fenced,
        in_controlled_shutdown: false,
        directories: vec![],
        cordoned: None,
    }
}

#[test]
fn leaders_and_replicas_are_spread() {
    let brokers: Vec<_> = (0..4).map(|id| broker(id, None, false)).collect();
    for seed in 0..50 {
        let mut placer = Placer::new(brokers.iter(), seed);
        let mut leaders = [0; 4];
        for _ in 0..40 {
            let placed = placer.place(3);
            assert_eq!(placed.iter().collect::<BTreeSet<_>>().len(), 3, "seed {seed}: {placed:?}");
            leaders[usize::try_from(placed[0].0).unwrap()] += 1;
        }
        assert_eq!(leaders, [10; 4], "seed {seed}");
    }
}

#[test]
fn racks_come_before_brokers() {
    let racks = ["a", "a", "a", "b", "b", "b", "c", "c", "c"];
    let brokers: Vec<_> = (0..).zip(racks).map(|(id, rack)| broker(id, Some(rack), false)).collect();
    for seed in 0..50 {
        let mut placer = Placer::new(brokers.iter(), seed);
        for _ in 0..30 {
            let placed = placer.place(3);
            let racks: BTreeSet<_> = placed.iter().map(|id| id.0 / 3).collect();
            assert_eq!(racks.len(), 3, "seed {seed}: {placed:?}");
        }
    }
}

#[test]
fn fenced_brokers_follow_when_nobody_else_is_left() {
    let brokers = [
        broker(1, Some("a"), false),
        broker(2, Some("b"), true),
        broker(3, Some("c"), true),
        broker(4, Some("a"), false),
    ];
    for seed in 0..200 {
        for replicas in 1..=4 {
            let mut placer = Placer::new(brokers.iter(), seed);
            for _ in 0..12 {
                let placed = placer.place(replicas);
                assert_eq!(placed.iter().collect::<BTreeSet<_>>().len(), replicas);
                assert!(matches!(placed[0].0, 1 | 4), "seed {seed}: {placed:?}");
            }
        }
    }
}

#[test]
fn too_few_brokers_are_told() {
    let fenced = [broker(1, None, true)];
    let cordoned = BrokerImage {
        directories: vec![DirectoryId(Uuid::from_u128(1000))],
        cordoned: Some(vec![DirectoryId(Uuid::from_u128(1000))]),
        ..broker(1, None, false)
    };
    let stopping = BrokerImage { in_controlled_shutdown: true, ..broker(1, None, false) };
    let one = [broker(1, None, false), cordoned.clone(), stopping.clone()];
    let nobody = "All brokers are currently fenced, or have all their log directories cordoned.";
    let cases: [(&[BrokerImage], usize, Result<(), &str>); 6] = [
        (&[], 1, Err(nobody)),
        (&fenced, 1, Err(nobody)),
        (&[cordoned, stopping], 1, Err(nobody)),
        (&one, 1, Ok(())),
        (&one, 0, Err("Invalid replication factor 0: the replication factor must be positive.")),
        (
            &one,
            2,
            Err(
                "The target replication factor of 2 cannot be reached because only 1 broker(s) are registered or some \
                 brokers have all their log directories cordoned.",
            ),
        ),
    ];
    for (brokers, replicas, expected) in cases {
        let placer = Placer::new(brokers.iter(), 1);
        assert_eq!(placer.check(replicas), expected.map_err(str::to_owned));
    }
}
