//! Batches that inflate to thousands of times their size: taken, but in bounded memory and in slices of a budget. One
//! test in a binary of its own, because it watches the peak memory of the process.

use std::io::Write;

use slipring_protocol::batch::{BatchBuilder, BatchRules, Checked, Compression, Progress, check_produced};
use slipring_protocol::ids::TimestampMs;

const INFLATED: usize = 48 << 20;
const MEMORY_MAX: usize = 6 << 20;
const MEMORY: &str = "memory does not fail";
const BUDGET: usize = 256 << 10;

#[test]
fn bombs_are_defused_slowly_and_in_little_memory() {
    let Some(start) = peak_memory() else {
        return; // No /proc here.
    };
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let batch = bomb(codec);
        let rules = BatchRules { message_bytes_max: 4 << 20, ..BatchRules::default() };
        let before = peak_memory().expect("it was there at the start");
        let Ok(Checked::Deep(mut check)) = check_produced(&batch.into(), 12, &rules, TimestampMs(0)) else {
            panic!("{codec:?} is compressed");
        };
        let mut runs = 0;
        let verdict = loop {
            runs += 1;
            if let Progress::Done(verdict) = check.run(BUDGET) {
                break verdict;
            }
        };
        assert!(verdict.is_ok(), "{codec:?}: {verdict:?}");
        // A run may pass its budget by one window.
        assert!(runs >= INFLATED / (BUDGET + (16 << 10)), "{codec:?} took {runs} runs");
        let grown = peak_memory().expect("it was there at the start") - before;
        assert!(grown < MEMORY_MAX, "{codec:?} took {grown} bytes more");
    }
    assert!(peak_memory().expect("it was there at the start") - start < 24 << 20);
}

#[test]
fn a_raw_snappy_bomb_is_inflated_in_slices() {
    // One block: a literal, then copies of 64 bytes from one byte back.
    let copies = 50_000;
    let claimed = 1 + 64 * copies;
    let mut area =
        vec![(claimed as u8) | 0x80, ((claimed >> 7) as u8) | 0x80, ((claimed >> 14) as u8) | 0x80];
    area.extend([(claimed >> 21) as u8, 0, 0]);
    area.extend([0xfe, 1, 0].repeat(copies));
    let mut builder = BatchBuilder::new();
    builder.compression(Compression::Snappy).append(TimestampMs(0), None, None);
    let batch = builder.build_with_area(&area);
    let Ok(Checked::Deep(mut check)) =
        check_produced(&batch.into(), 12, &BatchRules::default(), TimestampMs(0))
    else {
        panic!("it is compressed");
    };
    assert_eq!(check.memory(), claimed);
    // The record has length 0 and so ends at once, misshapen: whatever the block holds is not inflated for nothing.
    assert!(matches!(check.run(1), Progress::Done(Err(_))));
}

/// One record with a value of zeros, compressed piece by piece.
fn bomb(codec: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.compression(codec).append(TimestampMs(0), None, None);
    builder.build_with_area(&match codec {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            write_record(&mut encoder);
            encoder.finish().expect(MEMORY)
        }
        Compression::Lz4 => {
            let info = lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max4MB);
            let info = info.block_mode(lz4_flex::frame::BlockMode::Independent);
            let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
            write_record(&mut encoder);
            encoder.finish().expect(MEMORY)
        }
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).expect(MEMORY);
            write_record(&mut encoder);
            encoder.finish().expect(MEMORY)
        }
        Compression::Snappy => {
            let mut encoder =
                Xerial(vec![0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1]);
            write_record(&mut encoder);
            encoder.0
        }
        Compression::None => unreachable!("not a bomb"),
    })
}

/// Every write becomes a block.
struct Xerial(Vec<u8>);

impl Write for Xerial {
    fn write(&mut self, block: &[u8]) -> std::io::Result<usize> {
        let packed = snap::raw::Encoder::new().compress_vec(block).expect(MEMORY);
        self.0.extend_from_slice(&(packed.len() as u32).to_be_bytes());
        self.0.extend_from_slice(&packed);
        Ok(block.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write_record(out: &mut impl Write) {
    // Attributes, timestamp delta, offset delta, null key, value length (four bytes); after it the header count.
    let varint = |value: usize| {
        let mut raw = value << 1;
        let mut bytes = Vec::new();
        while raw >= 0x80 {
            bytes.push(raw as u8 | 0x80);
            raw >>= 7;
        }
        bytes.push(raw as u8);
        bytes
    };
    let value = varint(INFLATED);
    let head = [varint(4 + value.len() + INFLATED + 1), vec![0, 0, 0, 1], value].concat();
    out.write_all(&head).expect(MEMORY);
    let zeros = vec![0; 64 << 10];
    for _ in 0..INFLATED / zeros.len() {
        out.write_all(&zeros).expect(MEMORY);
    }
    out.write_all(&[0]).expect(MEMORY);
}

/// Bytes that the process held at most so far.
fn peak_memory() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kib| kib << 10)
}
