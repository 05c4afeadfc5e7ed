//! The text files, whole and damaged.

use proptest::prelude::*;

use super::*;
use crate::disk::{SimDisk, block_on};

fn offsets(list: &[(&str, i32, i64)]) -> OffsetMap {
    list.iter()
        .map(|&(topic, partition, offset)| {
            (TopicPartition { topic: topic.into(), partition: PartitionIndex(partition) }, Offset(offset))
        })
        .collect()
}

#[test]
fn offset_checkpoints_are_kafkas_text() {
    let map = offsets(&[("b-x", 11, 5), ("a", 0, 0), ("a", 1, i64::MAX)]);
    let bytes = encode_offsets(&map);
    assert_eq!(bytes, b"0\n3\na 0 0\na 1 9223372036854775807\nb-x 11 5\n");
    assert_eq!(decode_offsets(&bytes), Ok(map));
    assert_eq!(decode_offsets(b"0\r\n1\r\nb 1 2\r\n"), Ok(offsets(&[("b", 1, 2)])));
    for empty in [&b""[..], b"0\n", b"0\n0\n"] {
        assert_eq!(decode_offsets(empty), Ok(OffsetMap::new()));
    }
}

#[test]
fn damaged_checkpoints_say_where() {
    use CheckpointError::{Count, Malformed, NotText, Version};

    let error = |text: &[u8]| decode_offsets(text).expect_err("damaged");
    assert_eq!(error(b"1\n0\n"), Version(1));
    assert_eq!(error(b"0\n2\na 0 1\n"), Count { expected: 2, found: 1 });
    assert_eq!(error(b"0\n0\na 0 1\n"), Count { expected: 0, found: 1 });
    assert_eq!(error(b"0\n-1\n"), Count { expected: -1, found: 0 });
    assert_eq!(error(b"0\n2147483647\na 0 1\n"), Count { expected: i32::MAX, found: 1 });
    assert_eq!(error(b"0\n1\na 0\n"), Malformed { line: 3, text: "a 0".to_owned() });
    assert_eq!(error(b"0\n1\na 0 1 2\n"), Malformed { line: 3, text: "a 0 1 2".to_owned() });
    assert_eq!(error(b"0\n1\na zero 1\n"), Malformed { line: 3, text: "a zero 1".to_owned() });
    assert_eq!(error(b"zero\n"), Malformed { line: 1, text: "zero".to_owned() });
    assert_eq!(error(b"0\n99999999999\n"), Malformed { line: 2, text: "99999999999".to_owned() });
    assert_eq!(error(b"0\n\xff\n"), NotText);
    let long = [b"0\n1\n".as_slice(), &[b'x'; 10_000]].concat();
    assert!(matches!(error(&long), Malformed { line: 3, text } if text.len() == 80));
}

#[test]
fn epochs_and_partition_metadata_read_back() {
    let entries = [(0, 0), (4, 68)]
        .map(|(epoch, start)| EpochEntry { epoch: LeaderEpoch(epoch), start: Offset(start) });
    assert_eq!(encode_epochs(&entries), b"0\n2\n0 0\n4 68\n");
    assert_eq!(decode_epochs(b"0\n2\n0 0\n4 68\n"), Ok(entries.to_vec()));
    assert!(decode_epochs(b"0\n1\n4\n").is_err());

    let id: TopicId = "OTuLSdEErSHvTJgubA_JPw".parse().expect("an id");
    assert_eq!(encode_partition_metadata(id), b"version: 0\ntopic_id: OTuLSdEErSHvTJgubA_JPw");
    assert_eq!(decode_partition_metadata(b"version: 7\ntopic_id: OTuLSdEErSHvTJgubA_JPw\nmore: 1\n"), Ok(id));
    for damaged in [
        &b""[..],
        b"version: 0",
        b"version: 0\ntopic_id: \n",
        b"version: 0\ntopic_id: OTuLSdEErSHvTJgubA_JP\n",
        b"version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA\n",
        b"version: -1\ntopic_id: OTuLSdEErSHvTJgubA_JPw\n",
        b"version 0\ntopic_id: OTuLSdEErSHvTJgubA_JPw\n",
        b"\0\0\0",
        b"\xff",
    ] {
        assert!(decode_partition_metadata(damaged).is_err(), "{damaged:?}");
    }
}

#[test]
fn files_are_replaced_whole_and_missing_ones_are_empty() {
    let disk = Disk::Sim(SimDisk::new(3));
    let root = Path::new("/data");
    block_on(&disk, async {
        disk.create_dir(root).await.expect("new");
        disk.sync_dir(Path::new("/")).await.expect("root");
        let file = root.join("leader-epoch-checkpoint");
        assert_eq!(load_epochs(&disk, &file).await.expect("missing"), []);
        let entry = EpochEntry { epoch: LeaderEpoch(1), start: Offset(2) };
        store_epochs(&disk, &file, &[entry]).await.expect("writable");
        assert_eq!(load_epochs(&disk, &file).await.expect("there"), [entry]);
        disk.replace_whole(&file, b"0\nx\n".to_vec()).await.expect("writable");
        let error = load_epochs(&disk, &file).await.expect_err("damaged").to_string();
        assert_eq!(error, "/data/leader-epoch-checkpoint is damaged: line 2 is malformed: \"x\"");

        let file = root.join("partition.metadata");
        assert_eq!(load_partition_metadata(&disk, &file).await.expect("missing"), None);
        let id = TopicId::CLUSTER_METADATA;
        store_partition_metadata(&disk, &file, id).await.expect("writable");
        assert_eq!(load_partition_metadata(&disk, &file).await.expect("there"), Some(id));
    });
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = (decode_offsets(&bytes), decode_epochs(&bytes), decode_partition_metadata(&bytes));
    }

    #[test]
    fn no_text_makes_a_reader_panic(text in "0\n[0-9]{1,3}\n([a-c] [0-9-]{1,3} [0-9]{1,20}\n){0,5}") {
        if let Ok(read) = decode_offsets(text.as_bytes()) {
            prop_assert_eq!(decode_offsets(&encode_offsets(&read)), Ok(read));
        }
    }
}
