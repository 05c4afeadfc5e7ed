use super::super::compression::compress;
use super::*;

fn inflate(codec: Compression, area: &[u8], window: usize) -> Result<Vec<u8>, CodecError> {
    let mut decompressor = Decompressor::new(codec, area)?;
    let (mut out, mut piece) = (Vec::new(), vec![0; window]);
    loop {
        let read = decompressor.fill(&mut piece)?;
        if read == 0 {
            return Ok(out);
        }
        out.extend_from_slice(&piece[..read]);
    }
}

/// Text, runs, noise, and something that repeats from more than 64 KiB back.
fn samples() -> Vec<Vec<u8>> {
    let text: Vec<u8> = b"the quick brown fox ".repeat(9_000);
    let mut state = 1u32;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(100_000)
    .collect();
    let far = [&noise[..], &noise[..]].concat();
    vec![Vec::new(), vec![7], vec![0; 300_000], text, noise, far]
}

#[test]
fn every_codec_reads_back_through_any_window() {
    for sample in samples() {
        for codec in Compression::ALL {
            let packed = compress(codec, &sample);
            for window in [1, 61, 4096, 65_536] {
                if window == 1 && sample.len() > 1_000 {
                    continue;
                }
                assert_eq!(inflate(codec, &packed, window).as_ref(), Ok(&sample), "{codec:?} {window}");
            }
        }
    }
}

#[test]
fn raw_snappy_is_told_by_its_first_bytes() {
    for sample in samples().into_iter().filter(|sample| !sample.is_empty()) {
        let packed = snap::raw::Encoder::new().compress_vec(&sample).unwrap();
        assert_eq!(inflate(Compression::Snappy, &packed, 1_000), Ok(sample));
    }
    assert!(inflate(Compression::Snappy, &[], 10).is_err());
}

#[test]
fn snappy_copies_may_reach_back_over_the_whole_block() {
    // 70,000 literal bytes, then four of them again from the start: a four byte offset.
    let sample: Vec<u8> = (0..70_000u32).map(|n| ((n * 31) >> 3) as u8).collect();
    let mut packed = vec![0xf4, 0xa2, 4];
    packed.extend_from_slice(&[62 << 2, 0x6f, 0x11, 0x01]);
    packed.extend_from_slice(&sample);
    packed.push(3 << 2 | 3);
    packed.extend_from_slice(&70_000u32.to_le_bytes());
    let expected = [&sample[..], &sample[..4]].concat();
    assert_eq!(inflate(Compression::Snappy, &packed, 4_096), Ok(expected));
}

#[test]
fn a_snappy_block_cannot_claim_what_it_does_not_hold() {
    let claims_4_gib = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 1];
    assert_eq!(
        inflate(Compression::Snappy, &claims_4_gib, 10).unwrap_err().what,
        "claims more than it can hold"
    );
    assert!(decompression_memory(Compression::Snappy, &claims_4_gib) < 1_000);
    assert_eq!(
        inflate(Compression::Snappy, &[3, 0, 1], 10).unwrap_err().what,
        "block gives less than it claims"
    );
    assert_eq!(
        inflate(Compression::Snappy, &[1, 4, 1, 2], 10).unwrap_err().what,
        "block gives more than it claims"
    );
    assert_eq!(inflate(Compression::Snappy, &[5, 1, 0], 10).unwrap_err().what, "copy from before the start");
}

#[test]
fn concatenated_streams() {
    let (one, two) = (b"first part".repeat(10), b"second part".repeat(10));
    let both = [&one[..], &two[..]].concat();
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Zstd] {
        let packed = [compress(codec, &one), compress(codec, &two)].concat();
        assert_eq!(inflate(codec, &packed, 64), Ok(both.clone()), "{codec:?}");
    }
    // As in Kafka: nothing after lz4's end mark is looked at, nor what is no gzip member.
    for codec in [Compression::Lz4, Compression::Gzip] {
        let packed = [compress(codec, &one), b"rubbish that is rather long".to_vec()].concat();
        assert_eq!(inflate(codec, &packed, 64), Ok(one.clone()), "{codec:?}");
    }
    let packed = [compress(Compression::Zstd, &one), b"rubbish".to_vec()].concat();
    assert!(inflate(Compression::Zstd, &packed, 64).is_err());
}

#[test]
fn every_cut_is_an_error_or_a_whole_prefix() {
    let sample = b"the quick brown fox ".repeat(40);
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
        let packed = compress(codec, &sample);
        for cut in 0..packed.len() {
            if let Ok(inflated) = inflate(codec, &packed[..cut], 100) {
                assert!(inflated.is_empty(), "{codec:?} cut at {cut}");
            }
        }
    }
}

#[test]
fn lz4_frames_that_kafka_refuses() {
    use lz4_flex::frame::{BlockMode, FrameEncoder, FrameInfo};
    use std::io::Write;

    let encode = |info: FrameInfo| {
        let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
        encoder.write_all(&[5; 1_000]).unwrap();
        encoder.finish().unwrap()
    };
    let linked = encode(FrameInfo::new().block_mode(BlockMode::Linked));
    assert_eq!(inflate(Compression::Lz4, &linked, 64).unwrap_err().what, "blocks depend on each other");

    let checked =
        encode(FrameInfo::new().block_checksums(true).content_checksum(true).content_size(Some(1_000)));
    assert_eq!(inflate(Compression::Lz4, &checked, 64), Ok(vec![5; 1_000]));
    let mut flipped = checked.clone();
    let last_of_block = flipped.len() - 13;
    flipped[last_of_block] ^= 1;
    assert_eq!(inflate(Compression::Lz4, &flipped, 64).unwrap_err().what, "block checksum");
    let mut header = checked;
    header[14] ^= 1;
    assert_eq!(inflate(Compression::Lz4, &header, 64).unwrap_err().what, "frame header checksum");
}

#[test]
fn zstd_windows_are_told_from_the_frame_header() {
    let packed = zstd::stream::encode_all(&[1; 100_000][..], 3).unwrap();
    let needed = decompression_memory(Compression::Zstd, &packed);
    assert!(needed > 100_000 && needed < 8 << 20, "{needed}");
    let single = zstd::bulk::compress(&[1; 100_000], 3).unwrap();
    assert_eq!(decompression_memory(Compression::Zstd, &single), 100_000 + ZSTD_STATE);
}
