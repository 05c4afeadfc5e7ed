//! What only the kernel's disk has: the ring itself, other file systems, other threads.

use std::cell::RefCell;
use std::io;
use std::os::fd::RawFd;
use std::pin::pin;
use std::process::Command;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use super::*;
use crate::disk::{BufPool, DirectIo, WriteRequest};

#[test]
fn more_operations_than_the_ring_has_room_for() {
    on_kernel(async |disk, root| {
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        disk.allocate(&file, 0, (500 * BLOCK_BYTES) as u64).await.unwrap();
        let writes = (0..500).map(|index| WriteRequest {
            file: file.clone(),
            offset: (index * BLOCK_BYTES) as u64,
            parts: vec![part(&pattern(index, BLOCK_BYTES))],
            durability: Durability::Volatile,
        });
        for (result, _) in disk.write_many(writes.collect()).await {
            result.unwrap();
        }
        for index in 0..500 {
            let back = read(&disk, &file, (index * BLOCK_BYTES) as u64, BLOCK_BYTES).await;
            assert_eq!(back, pattern(index, BLOCK_BYTES));
        }
    });
}

#[test]
fn the_eventfd_announces_completions_and_reap_wakes() {
    let disk = UringDisk::new(8).unwrap();
    let scratch = Scratch::new(&std::env::temp_dir());
    let seam = Disk::Uring(disk.clone());
    let file = block_on(&seam, seam.open(&scratch.0.join("log"), DIRECT)).unwrap();
    let mut writing = pin!(seam.write(&file, 0, vec![part(&pattern(1, 1 << 20))], Durability::Durable));
    let woken = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut rounds = 0;
    let result = loop {
        match writing.as_mut().poll(&mut context) {
            Poll::Ready((result, _)) => break result,
            Poll::Pending => {
                rounds += 1;
                while woken.0.load(Ordering::Relaxed) < rounds {
                    assert_eq!(disk.in_flight(), 1);
                    read_event(disk.event_fd());
                    disk.reap();
                }
            }
        }
    };
    result.unwrap();
    assert!(rounds > 0, "a durable megabyte takes its time");
    assert_eq!(disk.in_flight(), 0);
}

#[test]
fn a_disk_dropped_with_work_under_way_waits_for_the_kernel() {
    let scratch = Scratch::new(&std::env::temp_dir());
    let pool = BufPool::new(8 << 20);
    for _ in 0..20 {
        let disk = Disk::Uring(UringDisk::new(4).unwrap());
        let file = block_on(&disk, disk.open(&scratch.0.join("log"), DIRECT)).unwrap();
        for offset in 0..8 {
            let mut buf = pool.take(1 << 18);
            buf.fill(7);
            poll_once_and_drop(disk.write(&file, offset << 18, vec![buf.into()], Durability::Durable));
            poll_once_and_drop(disk.read(&file, 0, pool.take(1 << 18)));
        }
    }
    assert_eq!(pool.bytes_out(), 0);
}

#[test]
fn a_file_opened_on_one_thread_is_read_on_another() {
    on_kernel(async |disk, root| {
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        write(&disk, &file, 0, &pattern(5, 1 << 16), Durability::Volatile).await;
        let readers = (0..2).map(|_| {
            let file = file.clone();
            std::thread::spawn(move || {
                let disk = Disk::Uring(UringDisk::new(8).unwrap());
                block_on(&disk, read(&disk, &file, 0, 1 << 16))
            })
        });
        for reader in readers.collect::<Vec<_>>() {
            assert_eq!(reader.join().unwrap(), pattern(5, 1 << 16));
        }
    });
}

#[test]
fn block_on_hears_other_threads() {
    let disk = Disk::Uring(UringDisk::new(8).unwrap());
    let (sender, receiver) = flume::bounded(1);
    let other = std::thread::spawn(move || sender.send(5).unwrap());
    assert_eq!(block_on(&disk, receiver.recv_async()), Ok(5));
    other.join().unwrap();
}

#[test]
fn futures_of_one_ring_run_side_by_side() {
    on_kernel(async |disk, root| {
        let file = disk.open(&root.join("log"), DIRECT).await.unwrap();
        let order = RefCell::new(Vec::new());
        let one = async |index: usize| {
            for round in 0..10 {
                let offset = ((index * 10 + round) * BLOCK_BYTES) as u64;
                write(&disk, &file, offset, &pattern(index, BLOCK_BYTES), Durability::Volatile).await;
            }
            order.borrow_mut().push(index);
        };
        let (mut left, mut right) = (pin!(one(0)), pin!(one(1)));
        let (mut left_done, mut right_done) = (false, false);
        std::future::poll_fn(|context| {
            left_done = left_done || left.as_mut().poll(context).is_ready();
            right_done = right_done || right.as_mut().poll(context).is_ready();
            if left_done && right_done { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(order.borrow().len(), 2);
        assert_eq!(read(&disk, &file, 0, 20 * BLOCK_BYTES).await.len(), 20 * BLOCK_BYTES);
    });
}

/// Needs root; says so and passes elsewhere.
#[test]
fn a_full_file_system_says_so() {
    let scratch = Scratch::new(&std::env::temp_dir());
    let Some(_mount) = Mount::tmpfs(&scratch.0, "1m") else { return };
    let disk = Disk::Uring(UringDisk::new(8).unwrap());
    let path = scratch.0.join("log");
    block_on(&disk, async {
        let file = disk.open(&path, WRITE).await.unwrap();
        let big = part(&pattern(1, 2 << 20));
        let (result, parts) = disk.write(&file, 0, vec![big], Durability::Durable).await;
        assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::ENOSPC));
        assert_eq!(parts[0].len(), 2 << 20);
        let error = disk.allocate(&file, 0, 4 << 20).await.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
        disk.truncate(&file, 0).await.unwrap();
        write(&disk, &file, 0, &pattern(2, 1 << 16), Durability::Durable).await;
        assert_eq!(read(&disk, &file, 0, 1 << 20).await, pattern(2, 1 << 16));
        assert!(disk.space(&scratch.0).unwrap().total <= 1 << 20);
    });
}

#[test]
fn memory_file_systems_keep_every_promise_that_they_can() {
    let shared_memory = Path::new("/dev/shm");
    if !shared_memory.is_dir() {
        return;
    }
    let scratch = Scratch::new(shared_memory);
    let disk = Disk::Uring(UringDisk::new(8).unwrap());
    block_on(&disk, async {
        let answer = disk.direct_io(&scratch.0).await.unwrap();
        let file = disk.open(&scratch.0.join("log"), DIRECT).await.unwrap();
        assert_eq!(file.is_direct(), answer == DirectIo::Yes);
        write(&disk, &file, 0, &pattern(1, 1 << 16), Durability::Durable).await;
        disk.sync(&file).await.unwrap();
        assert_eq!(read(&disk, &file, 0, 1 << 17).await, pattern(1, 1 << 16));
    });
}

#[test]
fn directories_can_be_barred_from_direct_io() {
    on_kernel(async |disk, root| {
        let Disk::Uring(ring) = &disk else { return };
        ring.forbid_direct_below(&root.join("data"));
        disk.create_dir(&root.join("data")).await.unwrap();
        let file = disk.open(&root.join("data/log"), DIRECT).await.unwrap();
        assert!(!file.is_direct());
        write(&disk, &file, 3, b"abc", Durability::Durable).await;
        assert_eq!(read(&disk, &file, 0, 9).await, b"\0\0\0abc");
    });
}

struct Mount(PathBuf);

impl Mount {
    fn tmpfs(at: &Path, size: &str) -> Option<Mount> {
        let options = format!("size={size}");
        let arguments = ["-t", "tmpfs", "-o", options.as_str(), "tmpfs"];
        let mounted = Command::new("mount").args(arguments).arg(at).status().is_ok_and(|s| s.success());
        if !mounted {
            println!("no tmpfs could be mounted: not root?");
        }
        mounted.then(|| Mount(at.to_path_buf()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.0).status());
    }
}

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn read_event(fd: RawFd) {
    let mut count = 0_u64;
    // SAFETY: the descriptor is open and `count` has room for the eight bytes.
    let read = unsafe { libc::read(fd, (&raw mut count).cast(), 8) };
    assert_eq!(read, 8, "{}", io::Error::last_os_error());
}
