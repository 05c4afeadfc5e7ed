//! Collecting what a fetch may read from all owner cores, and waiting while it is less than the client wants.

use std::cell::RefCell;
use std::rc::Rc;

use slipring_protocol::batch::BATCH_PREFIX_SIZE;
use slipring_protocol::error_code::ErrorCode;
use slipring_storage::chunk::ChunkSlice;
use slipring_storage::read::{ReadSlice, read_range};

use crate::handlers::scatter::Scattered;
use crate::partition::fetch::{FetchPart, FetchPlan};
use crate::runtime::mailbox::ShardId;
use crate::runtime::signal::Signal;
use crate::runtime::{self, Instant};
use crate::shard::Shard;
use crate::shard::message::{ShardReply, ShardRequest, Token, WatchRequest};

/// A fetch that waits for bytes; owner cores tell it when one of its partitions has changed.
#[derive(Default)]
pub struct FetchWait {
    changed: Signal,
    /// What owner cores told: their plans for all that this fetch wants of them.
    news: RefCell<Vec<(ShardId, Vec<FetchPlan>)>>,
}

impl FetchWait {
    /// A partition of `owner` has changed; `plans` is what there is to read now, or empty.
    pub fn wake(&self, owner: ShardId, plans: Vec<FetchPlan>) {
        self.news.borrow_mut().push((owner, plans));
        self.changed.set();
    }
}

/// What the client asks for over all partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// `fetch.min.bytes`.
    pub bytes_min: usize,
    /// `fetch.max.bytes`, the broker's own limit applied.
    pub bytes_max: usize,
    /// When to answer with whatever is there.
    pub deadline: Instant,
}

/// One partition of a fetch: what to ask which core, or why there is nothing to ask.
pub(super) type Wanted = Result<(ShardId, FetchPart), ErrorCode>;

/// Plans all partitions, waiting until `bytes_min` bytes are there, something must be answered at once, or the deadline.
/// One plan per wanted partition, in their order, within `bytes_max` over all.
pub(super) async fn gather(shard: &Rc<Shard>, wanted: &[Wanted], limits: Limits) -> Vec<FetchPlan> {
    let answer_now = |plans: &[FetchPlan]| {
        let bytes: usize = plans.iter().map(|plan| plan.bytes).sum();
        bytes >= limits.bytes_min || plans.iter().any(FetchPlan::is_urgent)
    };
    if limits.deadline <= runtime::now() || wanted.iter().all(Result::is_err) {
        return plan_once(shard, wanted, limits, None).await;
    }
    let wait = Rc::new(FetchWait::default());
    let token = shard.fetches.borrow_mut().insert(wait.clone());
    let plans = loop {
        let timed_out = limits.deadline <= runtime::now();
        let plans = plan_once(shard, wanted, limits, (!timed_out).then_some(token)).await;
        if timed_out || answer_now(&plans) || shard.stopping.get() {
            break plans;
        }
        // Plain futures, no tasks: dropping the one that lost is fine (GLOMMIO 8, rule 2).
        futures_lite::future::or(wait.changed.wait(), runtime::sleep_until(limits.deadline)).await;
        let renewed = renew(wanted, plans, wait.news.take(), limits);
        if let Some(plans) = renewed.filter(|plans| answer_now(plans)) {
            break plans;
        }
    };
    shard.fetches.borrow_mut().remove(token);
    plans
}

/// The plans with what owners told in place of their old ones: nobody has to be asked again. `None` when somebody could not
/// tell, or nobody did.
fn renew(
    wanted: &[Wanted],
    mut plans: Vec<FetchPlan>,
    news: Vec<(ShardId, Vec<FetchPlan>)>,
    limits: Limits,
) -> Option<Vec<FetchPlan>> {
    if news.is_empty() {
        return None;
    }
    for (owner, fresh) in news {
        let of_owner = |wanted: &Wanted| wanted.as_ref().is_ok_and(|(of, _)| *of == owner);
        let places: Vec<usize> = (0..wanted.len()).filter(|place| of_owner(&wanted[*place])).collect();
        if places.len() != fresh.len() {
            return None;
        }
        for (place, plan) in places.into_iter().zip(fresh) {
            plans[place] = plan;
        }
    }
    fit_all(wanted, &mut plans, limits);
    Some(plans)
}

async fn plan_once(
    shard: &Rc<Shard>,
    wanted: &[Wanted],
    limits: Limits,
    token: Option<Token>,
) -> Vec<FetchPlan> {
    let mut scattered = Scattered::default();
    let mut plans: Vec<FetchPlan> = Vec::with_capacity(wanted.len());
    for (place, wanted) in wanted.iter().enumerate() {
        match wanted {
            Ok((owner, part)) => {
                scattered.push(*owner, place, *part);
                plans.push(FetchPlan::failed(ErrorCode::UnknownServerError));
            }
            Err(error) => plans.push(FetchPlan::failed(*error)),
        }
    }
    let watch = token.map(|token| WatchRequest {
        shard: shard.id,
        token,
        until: limits.deadline,
        bytes_min: limits.bytes_min,
    });
    let request = |parts| ShardRequest::Fetch { parts, bytes_max: limits.bytes_max, watch };
    let answers = scattered.ask(shard, request, |reply| match reply {
        ShardReply::Fetch(plans) => plans,
        _ => unreachable!("fetches are answered with plans"),
    });
    for (place, plan) in answers.await {
        plans[place] = plan;
    }
    fit_all(wanted, &mut plans, limits);
    plans
}

fn fit_all(wanted: &[Wanted], plans: &mut [FetchPlan], limits: Limits) {
    let partition_bytes_max =
        |place: usize| wanted[place].as_ref().map_or(0, |(_, part): &(ShardId, FetchPart)| part.bytes_max);
    fit(plans, limits.bytes_max, partition_bytes_max);
}

/// Every owner planned up to the limit, and let the first batch of its first partition through whatever its size: cuts
/// the plans, in order, to their own limits and to the one over all. Only the first that has records may go beyond
/// (Kafka's `ReplicaManager.readFromLog` and its `minOneMessage`).
fn fit(plans: &mut [FetchPlan], bytes_max: usize, partition_bytes_max: impl Fn(usize) -> usize) {
    let mut left = bytes_max;
    let mut first = true;
    for (place, plan) in plans.iter_mut().enumerate() {
        if !first {
            cut(plan, left.min(partition_bytes_max(place)));
        }
        first &= plan.bytes == 0;
        left = left.saturating_sub(plan.bytes);
    }
}

/// Cuts a plan to whole batches within `bytes_max`. A batch may run on from one slice into the next.
fn cut(plan: &mut FetchPlan, bytes_max: usize) {
    if let Some(ReadSlice::File(_)) = plan.slices.first() {
        return cut_range(plan, bytes_max);
    }
    if plan.bytes <= bytes_max {
        return;
    }
    let mut memory = Vec::with_capacity(plan.slices.len());
    for slice in plan.slices.drain(..) {
        match slice {
            ReadSlice::Memory(slice) => memory.push(slice),
            ReadSlice::File(_) => unreachable!("a range of a file stands alone"),
        }
    }
    let whole = whole_batches(&memory.iter().map(|slice| &**slice).collect::<Vec<_>>(), bytes_max);
    let mut left = whole;
    for slice in memory {
        let bytes = slice.len().min(left);
        if bytes == 0 {
            break;
        }
        left -= bytes;
        plan.slices.push(ReadSlice::Memory(slice.sub(0..bytes)));
    }
    plan.bytes = whole;
}

/// Where the batches of a range end is known once it is read: until then its limit is what counts.
fn cut_range(plan: &mut FetchPlan, bytes_max: usize) {
    plan.bytes = 0;
    for slice in std::mem::take(&mut plan.slices) {
        let ReadSlice::File(range) = slice else { unreachable!("a range of a file stands alone") };
        if bytes_max > 0 {
            let range = range.limited(bytes_max);
            plan.bytes += range.bytes_most();
            plan.slices.push(ReadSlice::File(range));
        }
    }
}

/// How many of the first `bytes_max` bytes of all slices together are whole batches.
fn whole_batches(slices: &[&[u8]], bytes_max: usize) -> usize {
    let mut end = 0;
    while let Some(size) = batch_size_at(slices, end).filter(|size| end + size <= bytes_max) {
        end += size;
    }
    end
}

/// Size of the batch that begins `at` bytes into all slices together, from the length in its header.
fn batch_size_at(slices: &[&[u8]], at: usize) -> Option<usize> {
    let mut bytes = slices.iter().scan(0, |begin, slice| {
        let skip = (at + 8).saturating_sub(*begin).min(slice.len());
        *begin += slice.len();
        Some(&slice[skip..])
    });
    let mut length = [0; 4];
    let mut field = bytes.by_ref().flatten();
    for byte in &mut length {
        *byte = *field.next()?;
    }
    usize::try_from(i32::from_be_bytes(length)).ok().map(|length| BATCH_PREFIX_SIZE + length)
}

/// The bytes of a plan. Tail slices are there already; ranges of segments are read through this core's ring.
///
/// # Errors
/// `KAFKA_STORAGE_ERROR` when a segment can't be read.
pub(super) async fn read(shard: &Rc<Shard>, plan: &mut FetchPlan) -> Result<Vec<ChunkSlice>, ErrorCode> {
    let mut slices = Vec::with_capacity(plan.slices.len());
    for slice in plan.slices.drain(..) {
        match slice {
            ReadSlice::Memory(slice) => slices.push(slice),
            ReadSlice::File(range) => match read_range(&shard.disk, &shard.read_pool, &range).await {
                Ok(read) => slices.extend(read.slices),
                Err(error) => {
                    tracing::error!(%error, "a segment can't be read");
                    return Err(ErrorCode::KafkaStorageError);
                }
            },
        }
    }
    Ok(slices)
}

#[cfg(test)]
mod tests {
    use slipring_storage::disk::AlignedBuf;

    use super::*;

    fn batch(size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        bytes[8..12].copy_from_slice(&(size as i32 - 12).to_be_bytes());
        bytes
    }

    fn plan(batches: &[usize]) -> FetchPlan {
        let slices: Vec<ReadSlice> = batches
            .iter()
            .map(|size| ReadSlice::Memory(AlignedBuf::copy_of(&batch(*size)).freeze()))
            .collect();
        FetchPlan { bytes: batches.iter().sum(), slices, ..FetchPlan::failed(ErrorCode::None) }
    }

    #[test]
    fn only_the_first_with_records_goes_beyond_a_limit() {
        let bytes_of = |bytes_max, own: &[usize], batches: &[&[usize]]| {
            let mut plans: Vec<FetchPlan> = batches.iter().map(|batches| plan(batches)).collect();
            fit(&mut plans, bytes_max, |place| own[place]);
            plans.iter().map(|plan| plan.bytes).collect::<Vec<_>>()
        };
        assert_eq!(bytes_of(1_000, &[10, 10, 10], &[&[], &[300], &[200]]), [0, 300, 0]);
        assert_eq!(bytes_of(1_000, &[500, 250, 1_000], &[&[300], &[200, 200], &[400]]), [300, 200, 400]);
        assert_eq!(bytes_of(450, &[500, 500, 500], &[&[300], &[200, 200], &[100]]), [300, 0, 100]);
        assert_eq!(bytes_of(100, &[500, 500], &[&[300], &[100]]), [300, 0]);
    }

    #[test]
    fn batches_are_cut_whole_wherever_slices_end() {
        let bytes = [batch(100), batch(300), batch(61), batch(200)].concat();
        for (limit, whole) in [(0, 0), (99, 0), (100, 100), (399, 100), (400, 400), (661, 661), (9_999, 661)]
        {
            assert_eq!(whole_batches(&[&bytes], limit), whole, "{limit}");
            for at in 0..bytes.len() {
                let (left, right) = bytes.split_at(at);
                assert_eq!(whole_batches(&[left, right], limit), whole, "{limit}, slices end at {at}");
                let (middle, right) = right.split_at(right.len().min(5));
                assert_eq!(whole_batches(&[left, &[], middle, right], limit), whole, "{limit}, {at}");
            }
        }
    }
}
