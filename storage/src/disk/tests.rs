//! One behaviour, two disks.

use super::*;

fn on_both(test: impl AsyncFn(Disk, PathBuf)) {
    let disk = Disk::Sim(SimDisk::new(1));
    block_on(&disk, test(disk.clone(), PathBuf::from("/")));
    let disk = Disk::Uring(UringDisk::new(8).unwrap());
    let scratch = Scratch::new();
    block_on(&disk, test(disk.clone(), scratch.0.clone()));
}

struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("slipring-disk-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

#[test]
fn a_whole_file_is_replaced_and_read() {
    on_both(async |disk, root| {
        let path = root.join("meta");
        for text in ["first", "the second, longer", ""] {
            disk.replace_whole(&path, text.into()).await.unwrap();
            assert_eq!(disk.read_whole(&path).await.unwrap(), text.as_bytes());
        }
        assert_eq!(disk.list(&root).unwrap().len(), 1);
    });
}
