//! Chunks and buffers: what is published, what comes back to the pools, and slices read on other threads while the
//! writer goes on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::disk::{BLOCK_BYTES, BufPool};

#[test]
fn appends_stop_at_the_end_of_the_chunk() {
    let pool = ChunkPool::new(1 << 20);
    let mut writer = pool.take(ChunkClass::Small, 0);
    assert_eq!((writer.filled(), writer.capacity()), (0, 64 << 10));
    assert_eq!(writer.append(&[1; 60 << 10]), 60 << 10);
    assert_eq!(writer.append(&[2; 5 << 10]), 4 << 10);
    assert_eq!(writer.append(&[3; 10]), 0);
    assert_eq!(writer.room(), 0);
    let slice = writer.slice((60 << 10) - 1..(60 << 10) + 1);
    assert_eq!(slice[..], [1, 2]);
}

#[test]
fn a_lead_keeps_the_offset_modulo_the_block() {
    let pool = ChunkPool::new(1 << 20);
    let mut writer = pool.take(ChunkClass::Small, 100);
    writer.append_with(3, |free| free.copy_from_slice(b"abc"));
    assert_eq!(writer.filled(), 103);
    let slice = writer.slice(100..103);
    assert_eq!(slice[..], *b"abc");
    assert_eq!(slice.as_ptr() as usize % BLOCK_BYTES, 100);
    assert_eq!(slice.sub(1..2)[..], *b"b");

    let mut led = pool.take_with_lead(ChunkClass::Small, b"lead");
    led.append(b"ing");
    assert_eq!(led.slice(0..7)[..], *b"leading");
    assert_eq!(led.slice(0..7).as_ptr() as usize % BLOCK_BYTES, 0);
}

#[test]
#[should_panic(expected = "published bytes only")]
fn a_skipped_lead_is_never_shown() {
    let pool = ChunkPool::new(1 << 20);
    let mut writer = pool.take(ChunkClass::Small, 100);
    writer.append(b"abc");
    writer.slice(99..103);
}

#[test]
#[should_panic(expected = "published bytes only")]
fn unpublished_bytes_are_never_shown() {
    let pool = ChunkPool::new(1 << 20);
    let mut writer = pool.take(ChunkClass::Small, 0);
    writer.append(b"abc");
    writer.slice(0..4);
}

#[test]
#[should_panic(expected = "inside its slice")]
fn a_sub_slice_cannot_grow() {
    let pool = ChunkPool::new(1 << 20);
    let mut writer = pool.take(ChunkClass::Small, 0);
    writer.append(b"abcdef");
    writer.slice(0..3).sub(1..4);
}

#[test]
fn a_panicking_fill_publishes_nothing() {
    let pool = ChunkPool::new(1 << 20);
    let mut writer = pool.take(ChunkClass::Small, 0);
    writer.append(b"abc");
    let filling = std::panic::AssertUnwindSafe(|| writer.append_with(10, |_| panic!("half-way")));
    assert!(std::panic::catch_unwind(filling).is_err());
    assert_eq!(writer.filled(), 3);
}

#[test]
fn chunks_return_with_their_last_slice_and_are_reused() {
    let pool = ChunkPool::new(100 << 10);
    let mut writer = pool.take(ChunkClass::Small, 0);
    writer.append(b"abc");
    let slice = writer.slice(0..3);
    let address = slice.as_ptr();
    drop(writer);
    let copy = slice.clone();
    drop(slice);
    assert_eq!((pool.bytes_out(), pool.bytes_cached()), (64 << 10, 0));
    assert_eq!(copy.bytes_held(), 64 << 10);
    thread::spawn(move || drop(copy)).join().unwrap();
    assert_eq!((pool.bytes_out(), pool.bytes_cached()), (0, 64 << 10));
    let mut first = pool.take(ChunkClass::Small, 0);
    first.append(b"x");
    assert_eq!(first.slice(0..1).as_ptr(), address, "the warm chunk is used again");
    let second = pool.take(ChunkClass::Small, 0);
    drop((first, second));
    assert_eq!(pool.bytes_cached(), 64 << 10, "the cache is bounded");
}

#[test]
fn classes_fit() {
    assert_eq!(ChunkClass::fitting(1), ChunkClass::Small);
    assert_eq!(ChunkClass::fitting(64 << 10), ChunkClass::Small);
    assert_eq!(ChunkClass::fitting((64 << 10) + 1), ChunkClass::Medium);
    assert_eq!(ChunkClass::fitting(1 << 30), ChunkClass::Large);
}

#[test]
fn buffers_are_aligned_padded_and_pooled() {
    let pool = BufPool::new(1 << 20);
    let mut buf = pool.take(5000);
    assert_eq!((buf.len(), buf.capacity()), (5000, 8192));
    assert_eq!(buf.as_ptr() as usize % BLOCK_BYTES, 0);
    buf.fill(1);
    buf.pad_to_block();
    assert_eq!(buf.len(), 8192);
    assert!(buf[..5000].iter().all(|byte| *byte == 1) && buf[5000..].iter().all(|byte| *byte == 0));
    buf.set_len(8190);
    assert_eq!(buf.append(b"abcd"), 2);
    assert_eq!(buf[8190..], *b"ab");
    buf.truncate(2);
    buf.truncate(3);
    assert_eq!(buf.len(), 2);
    let slice = buf.freeze().sub(1..2);
    assert_eq!(slice[..], [1]);
    assert_eq!((pool.bytes_out(), slice.bytes_held()), (8192, 8192));
    drop(slice);
    assert_eq!((pool.bytes_out(), pool.bytes_cached()), (0, 8192));
    let huge = pool.take((4 << 20) + 1);
    assert_eq!(huge.capacity(), (4 << 20) + 4096);
    drop(huge);
    assert_eq!(pool.bytes_cached(), 8192, "sizes beyond the largest are not kept");
    assert_eq!(pool.take(0).capacity(), 4096);
}

#[test]
fn readers_check_slices_while_the_writer_goes_on() {
    let pool = ChunkPool::new(4 << 20);
    let stop = AtomicBool::new(false);
    let (sender, receiver) = flume::bounded::<(u8, ChunkSlice)>(64);
    thread::scope(|scope| {
        for _ in 0..3 {
            let (receiver, stop) = (receiver.clone(), &stop);
            scope.spawn(move || {
                let mut held = Vec::new();
                while let Ok((byte, slice)) = receiver.recv() {
                    if !slice.iter().all(|seen| *seen == byte) {
                        stop.store(true, Ordering::Relaxed);
                    }
                    held.push((byte, slice));
                    if held.len() > 50 {
                        let kept = held.split_off(25);
                        held.into_iter().for_each(|(byte, slice)| assert!(slice.ends_with(&[byte])));
                        held = kept;
                    }
                }
            });
        }
        let mut writer = pool.take(ChunkClass::Small, 7);
        for round in 0..20_000_u32 {
            let (byte, len) = (round as u8, 1 + round as usize % 600);
            if writer.room() < len {
                let class = ChunkClass::ALL[round as usize % 2];
                writer = pool.take(class, round as usize % BLOCK_BYTES);
            }
            let start = writer.filled();
            writer.append_with(len, |free| free.fill(byte));
            sender.send((byte, writer.slice(start..start + len))).unwrap();
        }
        drop(sender);
    });
    drop(receiver);
    assert!(!stop.load(Ordering::Relaxed), "a published byte changed");
    assert_eq!(pool.bytes_out(), 0);
}
