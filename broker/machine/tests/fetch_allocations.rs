//! The hot fetch allocates nothing in the session cache: with many clients it runs some hundred thousand times a second.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use slipring_machine::fetch_session::{
    FetchContext, FetchOutcome, FetchView, SessionCache, SessionCacheConfig, SessionId,
};
use slipring_machine::image::MetadataImage;
use slipring_protocol::error_code::ErrorCode;
use slipring_protocol::fetch::{FetchPartition, FetchTopic};
use slipring_protocol::ids::{LeaderEpoch, Offset, PartitionIndex, TimestampMs, TopicId};
use slipring_protocol::metadata_records::Topic;
use slipring_protocol::wire::WireStr;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations() -> u64 {
    ALLOCATIONS.with(Cell::get)
}

fn topic(partitions: i32) -> FetchTopic {
    let partition = |index| FetchPartition::new(PartitionIndex(index), Offset(0), 1 << 20);
    FetchTopic {
        name: WireStr::from_static_str("a"),
        topic_id: TopicId::NONE,
        partitions: (0..partitions).map(partition).collect(),
    }
}

#[test]
fn a_hot_fetch_allocates_nothing() {
    let id = TopicId::CLUSTER_METADATA;
    let mut image = MetadataImage::empty(Arc::from("cluster"));
    image.replay(&[Topic { name: "a".to_owned(), id }.into()], Offset(0), LeaderEpoch(1)).unwrap();
    let mut cache = SessionCache::new(SessionCacheConfig { eviction_ms_min: 5, ..Default::default() });
    let (mut targets, mut outcomes, mut selected) = (Vec::new(), Vec::new(), Vec::new());
    let (all, moved) = ([topic(8)], [topic(2)]);
    let mut session = SessionId::NONE;
    let mut before = 0;
    for round in 0..200 {
        if round == 20 {
            before = allocations();
        }
        let epoch = if round == 0 { 0 } else { round };
        let view = FetchView {
            session_id: session,
            session_epoch: epoch,
            uses_topic_ids: false,
            from_follower: false,
            topics: if round == 0 { &all } else { &moved },
            forgotten: &[],
        };
        let now = TimestampMs(i64::from(round));
        let context = cache.begin(now, &view, &image, &mut targets).unwrap();
        assert_eq!(targets.len(), 8);
        outcomes.clear();
        outcomes.extend((0..8).map(|target| FetchOutcome {
            target,
            error: ErrorCode::None,
            high_watermark: Offset(i64::from(round)),
            log_start: Offset(0),
            records_bytes: usize::from(target < 2),
            preferred_replica: false,
            diverging_epoch: false,
        }));
        let completed = cache.complete(now, &context, &targets, &outcomes, SessionId(7), &mut selected);
        session = completed.session_id;
        assert_eq!(matches!(context, FetchContext::Incremental { .. }), round > 0);
        // A client without sessions beside it.
        let view = FetchView { session_id: SessionId::NONE, session_epoch: -1, ..view };
        let context = cache.begin(now, &view, &image, &mut targets).unwrap();
        cache.complete(now, &context, &targets, &outcomes[..targets.len()], SessionId(8), &mut selected);
    }
    assert_eq!(allocations() - before, 0);
}
