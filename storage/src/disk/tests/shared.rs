//! What both disks do alike.

use std::io::ErrorKind;

use super::*;
use crate::chunk::{ChunkClass, ChunkPool};
use crate::disk::{BufPool, DirectIo, WriteRequest};

#[test]
fn what_is_written_is_read_back() {
    on_both(async |disk, root| {
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        let bytes = pattern(1, 3 * BLOCK_BYTES);
        for durability in [Durability::Volatile, Durability::Durable] {
            write(&disk, &file, 2 * BLOCK_BYTES as u64, &bytes, durability).await;
            assert_eq!(disk.len(&file).unwrap(), 5 * BLOCK_BYTES as u64);
            let back = read(&disk, &file, 0, 5 * BLOCK_BYTES).await;
            assert!(back[..2 * BLOCK_BYTES].iter().all(|byte| *byte == 0), "a hole reads as zeros");
            assert_eq!(back[2 * BLOCK_BYTES..], bytes);
        }
    });
}

#[test]
fn parts_are_gathered_in_order() {
    on_both(async |disk, root| {
        let pool = ChunkPool::new(1 << 20);
        let mut chunk = pool.take(ChunkClass::Small, 0);
        chunk.append(&pattern(2, 2 * BLOCK_BYTES));
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        let parts = vec![
            part(&pattern(1, BLOCK_BYTES)),
            chunk.slice(0..BLOCK_BYTES).into(),
            chunk.slice(BLOCK_BYTES..2 * BLOCK_BYTES).into(),
            part(&[]),
            part(&pattern(3, BLOCK_BYTES)),
        ];
        let (result, parts) = disk.write(&file, 0, parts, Durability::Durable).await;
        result.unwrap();
        assert_eq!(parts.len(), 5, "the parts come back");
        let wanted = [pattern(1, BLOCK_BYTES), pattern(2, 2 * BLOCK_BYTES), pattern(3, BLOCK_BYTES)].concat();
        assert_eq!(read(&disk, &file, 0, 8 * BLOCK_BYTES).await, wanted);
    });
}

#[test]
fn a_write_of_more_parts_than_one_system_call_takes_is_whole() {
    on_both(async |disk, root| {
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        let parts = (0..1100).map(|seed| part(&pattern(seed, BLOCK_BYTES))).collect();
        disk.write(&file, 0, parts, Durability::Volatile).await.0.unwrap();
        for seed in [0, 1023, 1024, 1099] {
            let back = read(&disk, &file, (seed * BLOCK_BYTES) as u64, BLOCK_BYTES).await;
            assert_eq!(back, pattern(seed, BLOCK_BYTES));
        }
    });
}

#[test]
fn buffered_files_take_any_offset_and_length() {
    on_both(async |disk, root| {
        let file = disk.open(&root.join("log"), WRITE).await.unwrap();
        assert!(!file.is_direct());
        let parts = vec![part(b"one"), part(b""), part(b" and two")];
        disk.write(&file, 5, parts, Durability::Durable).await.0.unwrap();
        assert_eq!(read(&disk, &file, 3, 100).await, b"\0\0one and two");
    });
}

#[test]
fn reads_are_short_at_the_end_only() {
    on_both(async |disk, root| {
        let path = root.join("log");
        let file = disk.open(&path, WRITE).await.unwrap();
        let bytes = pattern(7, BLOCK_BYTES + 100);
        write(&disk, &file, 0, &bytes, Durability::Volatile).await;
        disk.sync(&file).await.unwrap();
        for options in [READ, OpenOptions { direct: true, ..READ }] {
            let file = disk.open(&path, options).await.unwrap();
            assert_eq!(read(&disk, &file, 0, 4 * BLOCK_BYTES).await, bytes);
            assert_eq!(read(&disk, &file, BLOCK_BYTES as u64, BLOCK_BYTES).await, bytes[BLOCK_BYTES..]);
            assert_eq!(read(&disk, &file, 2 * BLOCK_BYTES as u64, BLOCK_BYTES).await, b"");
            assert_eq!(read(&disk, &file, 0, 0).await, b"");
        }
    });
}

#[test]
fn direct_files_refuse_what_is_not_whole_blocks() {
    on_both(async |disk, root| {
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        let pool = ChunkPool::new(1 << 20);
        let mut chunk = pool.take(ChunkClass::Small, 100);
        chunk.append(&[1; 2 * BLOCK_BYTES]);
        let crooked = || IoPart::from(chunk.slice(100..100 + BLOCK_BYTES));
        let attempts = [(0, part(b"short")), (512, part(&[0; BLOCK_BYTES])), (0, crooked())];
        for (offset, part) in attempts {
            let (result, parts) = disk.write(&file, offset, vec![part], Durability::Volatile).await;
            assert_eq!(parts.len(), 1);
            match result {
                Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidInput),
                Ok(()) => assert!(!file.is_direct()),
            }
        }
        if file.is_direct() {
            let (result, buf) = disk.read(&file, 8, AlignedBuf::zeroed(BLOCK_BYTES)).await;
            assert_eq!(result.unwrap_err().kind(), ErrorKind::InvalidInput);
            assert!(buf.is_empty(), "a failed read shows no bytes");
        }
    });
}

#[test]
fn many_writes_go_together_and_answer_in_order() {
    on_both(async |disk, root| {
        let mut writes = Vec::new();
        for index in 0..40 {
            let file = disk.open(&root.join(format!("log-{}", index % 5)), DIRECT).await.unwrap();
            let offset = (index / 5 * BLOCK_BYTES) as u64;
            let parts = vec![part(&pattern(index, BLOCK_BYTES))];
            writes.push(WriteRequest { file, offset, parts, durability: Durability::Durable });
        }
        let reader = disk.open(&root.join("log-3"), READ).await.unwrap();
        writes.push(WriteRequest {
            file: reader.clone(),
            offset: 0,
            parts: vec![part(b"x")],
            durability: Durability::Volatile,
        });
        let written = disk.write_many(writes).await;
        for (index, (result, parts)) in written.iter().enumerate() {
            assert_eq!(result.is_ok(), index < 40, "only the write through a reader's handle fails");
            assert_eq!(parts[0].len(), if index < 40 { BLOCK_BYTES } else { 1 });
        }
        assert_eq!(written[40].0.as_ref().unwrap_err().raw_os_error(), Some(libc::EBADF));
        for round in 0..8 {
            let back = read(&disk, &reader, (round * BLOCK_BYTES) as u64, BLOCK_BYTES).await;
            assert_eq!(back, pattern(round * 5 + 3, BLOCK_BYTES));
        }
    });
}

#[test]
fn dropped_futures_finish_on_their_own() {
    on_both(async |disk, root| {
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        let pool = BufPool::new(1 << 20);
        for round in 0..50_u64 {
            let mut buf = pool.take(BLOCK_BYTES);
            buf.copy_from_slice(&pattern(round as usize, BLOCK_BYTES));
            let offset = round * BLOCK_BYTES as u64;
            poll_once_and_drop(disk.write(&file, offset, vec![buf.into()], Durability::Durable));
            poll_once_and_drop(disk.read(&file, 0, pool.take(BLOCK_BYTES)));
            poll_once_and_drop(disk.open(&root.join("other"), WRITE));
        }
        // More operations come and go; the dropped ones complete meanwhile, in any order.
        while disk.in_flight() > 0 {
            disk.sync(&file).await.unwrap();
        }
        assert_eq!(pool.bytes_out(), 0, "every buffer came back to its pool");
        for round in 0..50_usize {
            let back = read(&disk, &file, (round * BLOCK_BYTES) as u64, BLOCK_BYTES).await;
            assert_eq!(back, pattern(round, BLOCK_BYTES));
        }
    });
}

#[test]
fn allocation_and_truncation_set_the_size() {
    on_both(async |disk, root| {
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        disk.allocate(&file, 0, 1 << 20).await.unwrap();
        assert_eq!(disk.len(&file).unwrap(), 1 << 20);
        write(&disk, &file, 0, &pattern(1, 2 * BLOCK_BYTES), Durability::Durable).await;
        disk.truncate(&file, 5000).await.unwrap();
        assert_eq!(disk.len(&file).unwrap(), 5000);
        disk.truncate(&file, 8192).await.unwrap();
        let back = read(&disk, &file, 0, 8192).await;
        assert_eq!(back[..5000], pattern(1, 5000));
        assert!(back[5000..].iter().all(|byte| *byte == 0), "what was cut off never comes back");
        disk.allocate(&file, 4096, 4096).await.unwrap();
        assert_eq!(disk.len(&file).unwrap(), 8192, "an allocation inside the file changes nothing");
        let reader = disk.open(&root.join("log"), READ).await.unwrap();
        assert_eq!(disk.truncate(&reader, 0).await.unwrap_err().raw_os_error(), Some(libc::EBADF));
    });
}

#[test]
fn names_come_and_go() {
    on_both(async |disk, root| {
        let (directory, path) = (root.join("topic-0"), root.join("topic-0/log"));
        disk.create_dir(&directory).await.unwrap();
        assert_eq!(disk.create_dir(&directory).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
        let missing = disk.open(&path, READ).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert_eq!(disk.open(&root.join("no/log"), WRITE).await.unwrap_err().kind(), ErrorKind::NotFound);
        let file = disk.open(&path, WRITE).await.unwrap();
        assert_eq!(file.path(), path);
        write(&disk, &file, 0, b"text", Durability::Volatile).await;
        assert!(disk.remove_dir(&directory).await.is_err(), "a directory with files stays");

        let moved = root.join("topic-0/moved");
        disk.open(&moved, WRITE).await.unwrap();
        disk.rename(&path, &moved).await.unwrap();
        disk.sync_dir(&directory).await.unwrap();
        assert_eq!(disk.read_whole(&moved).await.unwrap(), b"text");
        write(&disk, &file, 0, b"TE", Durability::Volatile).await;
        assert_eq!(disk.read_whole(&moved).await.unwrap(), b"TExt", "a handle follows its file");
        let renamed = root.join("topic-0.gone");
        disk.rename(&directory, &renamed).await.unwrap();

        let entries = disk.list(&root).unwrap();
        assert_eq!(entries.len(), 1);
        assert!(entries[0].is_dir && entries[0].name == "topic-0.gone");
        let entries = disk.list(&renamed).unwrap();
        assert_eq!((entries[0].name.as_str(), entries[0].len), ("moved", 4));
        disk.remove_file(&renamed.join("moved")).await.unwrap();
        assert_eq!(read(&disk, &file, 0, 9).await, b"TExt", "an open file outlives its name");
        let gone = disk.remove_file(&renamed.join("moved")).await.unwrap_err();
        assert_eq!(gone.kind(), ErrorKind::NotFound);
        disk.remove_dir(&renamed).await.unwrap();
        assert_eq!(disk.list(&renamed).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(disk.sync_dir(&renamed).await.unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn a_path_with_a_zero_byte_is_an_error() {
    on_kernel(async |disk, root| {
        let error = disk.open(&root.join("a\0b"), WRITE).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn a_whole_file_is_replaced_and_read() {
    on_both(async |disk, root| {
        let path = root.join("meta");
        for text in [b"first".to_vec(), pattern(4, 3 << 20), b"a shorter one".to_vec(), Vec::new()] {
            disk.replace_whole(&path, text.clone()).await.unwrap();
            assert_eq!(disk.read_whole(&path).await.unwrap(), text);
        }
        assert_eq!(disk.list(&root).unwrap().len(), 1, "no temporary file is left");
    });
}

#[test]
fn the_probe_leaves_nothing_and_space_is_told() {
    on_both(async |disk, root| {
        let answer = disk.direct_io(&root).await.unwrap();
        assert!(disk.list(&root).unwrap().is_empty());
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        assert_eq!(file.is_direct(), answer == DirectIo::Yes);
        let space = disk.space(&root).unwrap();
        assert!(space.available > 0 && space.available <= space.total);
    });
}

#[test]
fn handles_are_told_apart() {
    on_both(async |disk, root| {
        let first = disk.open(&root.join("log"), WRITE).await.unwrap();
        let second = disk.open(&root.join("log"), WRITE).await.unwrap();
        assert_ne!(first.generation(), second.generation());
        assert_eq!(first.clone().generation(), first.generation());
    });
}
