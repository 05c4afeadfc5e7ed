//! Writes the seeds of the fuzz targets under `fuzz/corpus/`: small valid inputs, the same ones every time.
#![allow(clippy::unwrap_used, reason = "a tool for developers")]

use std::fs;
use std::path::Path;

use slipring_protocol::api::ApiKey;
use slipring_protocol::batch::{BatchBuilder, Compression};
use slipring_protocol::frame;
use slipring_protocol::header::encode_request_header;
use slipring_protocol::ids::{ProducerEpoch, ProducerId, Sequence, TimestampMs};

#[path = "../tests/support/mod.rs"]
mod support;

fn main() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    let mut random = support::Random(1);
    let mut stream = Vec::new();
    for (request, version) in support::served() {
        let mut bytes = Vec::new();
        encode_request_header(request.key, version, 7, Some("seed"), &mut bytes);
        let unknown_tags = version == request.key.info().max;
        // Of several draws the largest: it has something in every array.
        let draws = (0..8).map(|_| support::body(&mut random, request, version, unknown_tags).bytes);
        bytes.extend(draws.max_by_key(Vec::len).unwrap_or_default());
        write(&corpus, "request", &format!("{}_v{version}", request.key.info().name), &bytes);
        if version == request.key.info().max {
            append_frame(&mut stream, &bytes);
        }
    }
    write(&corpus, "frame", "one_of_each", &stream);
    write(&corpus, "frame", "cut", &stream[..stream.len() - 5]);
    write(&corpus, "frame", "empty_frame", &[0; 4]);
    write(&corpus, "frame", "negative", &[0xff; 8]);
    let mut newer = Vec::new();
    encode_request_header(ApiKey::ApiVersions, 99, 7, None, &mut newer);
    let mut stream = Vec::new();
    append_frame(&mut stream, &newer);
    write(&corpus, "frame", "api_versions_v99", &stream);
    batches(&corpus);
}

fn batches(corpus: &Path) {
    for codec in
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let mut builder = BatchBuilder::new();
        builder.compression(codec).producer(ProducerId(5), ProducerEpoch(1), Sequence(3));
        for record in 0..4 {
            builder.append(
                TimestampMs(1000 + record),
                Some(b"key"),
                Some(b"a value that repeats, a value that repeats"),
            );
        }
        builder.append(TimestampMs(1000), None, None);
        write(corpus, "batch", codec.name(), &builder.build());
    }
}

fn append_frame(out: &mut Vec<u8>, bytes: &[u8]) {
    let start = frame::begin(out);
    out.extend_from_slice(bytes);
    frame::finish(out, start, 0);
}

fn write(corpus: &Path, target: &str, name: &str, bytes: &[u8]) {
    fs::create_dir_all(corpus.join(target)).unwrap();
    fs::write(corpus.join(target).join(name), bytes).unwrap();
}
