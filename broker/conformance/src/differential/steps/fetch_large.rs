//! Many partitions of large batches under limits of all sizes: every answer brings someone on, nobody gets only a piece of a
//! batch, and in the end each partition was read once, in order.

use serde_json::{Value, json};

use super::FOR_EVER;
use crate::differential::batches::sized;
use crate::differential::session::Session;

pub(super) fn run(session: &mut Session) {
    session.create("large", PARTITIONS as i32, &[FOR_EVER]);
    for round in 0..BATCHES {
        for partition in 0..PARTITIONS {
            // Sizes that fit no block and no chunk, so that batches lie across all borders.
            let size = 1_000 + (round * 37 + partition * 61) % 97 * 2_999;
            session.quiet_produce("large", partition as i32, &sized(size));
        }
    }
    for (bytes_max, partition_bytes_max) in [
        (50 << 20, 1 << 20),
        (5_000_000, 1 << 20),
        (1_000_000, 300_000),
        (300_000, 1 << 20),
        (1 << 20, 70_000),
        (1, 1),
    ] {
        let outcome = read_all(session, bytes_max, partition_bytes_max);
        session.note(&format!("limits {partition_bytes_max} of {bytes_max}"), &outcome);
    }
}

fn read_all(session: &mut Session, bytes_max: i32, partition_bytes_max: i32) -> Value {
    let mut offsets = vec![0; PARTITIONS];
    let (mut standstills, mut pieces, mut wrong) = (0, 0, 0);
    let mut first = 0;
    while offsets.iter().any(|offset| *offset < BATCHES as i64) && standstills < 3 {
        let wanted = (0..PARTITIONS).map(|number| (first + number) % PARTITIONS);
        let list: Vec<_> = wanted
            .map(|partition| {
                json!({
                    "partition": partition,
                    "fetch_offset": offsets[partition],
                    "partition_max_bytes": partition_bytes_max,
                })
            })
            .collect();
        let body = json!({
            "max_wait_ms": 0, "min_bytes": 0, "max_bytes": bytes_max,
            "topics": [{ "topic": "large", "partitions": list }],
        });
        let answer = session.quiet("Fetch", 12, &body);
        let mut has_progress = false;
        for result in answer["responses"][0]["partitions"].as_array().unwrap_or(&Vec::new()) {
            let partition = result["partition_index"].as_u64().unwrap_or(0) as usize;
            let records = &result["records"];
            let batches = records["batches"].as_array().map(Vec::as_slice).unwrap_or_default();
            if batches.is_empty() && records["bytes_of_a_cut_batch"].as_u64().unwrap_or(0) > 0 {
                pieces += 1;
            }
            for batch in batches {
                has_progress = true;
                wrong +=
                    i32::from(batch["base_offset"] != json!(offsets[partition]) || batch["crc_ok"] != true);
                offsets[partition] = batch["base_offset"].as_i64().unwrap_or(-1) + 1;
            }
        }
        standstills += i32::from(!has_progress);
        // As consumers do: who got something goes to the end of the line.
        first = (first + 3) % PARTITIONS;
    }
    json!({
        "ends": offsets,
        "answers that brought no one on": standstills,
        "partitions with only a piece of a batch": pieces,
        "batches that are not the next one": wrong,
    })
}

const PARTITIONS: usize = 16;
const BATCHES: usize = 8;
