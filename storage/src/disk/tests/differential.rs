//! The same random calls on the kernel and on the simulation must answer the same; and the simulation's power cuts
//! must leave nothing but what a device may leave.

use std::collections::BTreeSet;

use super::*;
use crate::disk::sim::random::Random;

#[test]
fn the_simulation_answers_as_the_kernel_does() {
    for seed in 0..12 {
        let scratch = Scratch::new(&std::env::temp_dir());
        let kernel = Disk::Uring(UringDisk::new(8).unwrap());
        let simulated = Disk::Sim(SimDisk::new(seed));
        let kernel_says = block_on(&kernel, random_calls(&kernel, &scratch.0, seed));
        let simulation_says = block_on(&simulated, random_calls(&simulated, Path::new("/"), seed));
        for (call, (left, right)) in kernel_says.iter().zip(&simulation_says).enumerate() {
            assert_eq!(left, right, "call {call} of seed {seed}");
        }
        assert_eq!(kernel_says.len(), simulation_says.len());
    }
}

async fn random_calls(disk: &Disk, root: &Path, seed: u64) -> Vec<String> {
    let mut random = Random::new(seed);
    let mut open: Vec<DiskFile> = Vec::new();
    let mut said = Vec::new();
    for directory in ["a", "b"] {
        disk.create_dir(&root.join(directory)).await.unwrap();
    }
    for _ in 0..300 {
        let path = root.join(NAMES[random.below(NAMES.len())]);
        let other = root.join(NAMES[random.below(NAMES.len())]);
        let (block, len) = (random.below(8) as u64, (1 + random.below(4)) * BLOCK_BYTES);
        let offset = block * BLOCK_BYTES as u64;
        let kind = random.below(14);
        let file = (!open.is_empty()).then(|| open[random.below(open.len())].clone());
        said.push(match (kind, file) {
            // The kernel opens directories for reading; nobody here does.
            (0..=2, _) if disk.list(&path).is_ok() => "a directory".to_owned(),
            (0..=2, _) => {
                let options =
                    OpenOptions { write: random.percent(80), create: random.percent(60), direct: true };
                match disk.open(&path, options).await {
                    Ok(file) => {
                        if open.len() > 4 {
                            open.remove(0);
                        }
                        open.push(file);
                        "opened".to_owned()
                    }
                    Err(error) => format!("open {:?}", error.raw_os_error()),
                }
            }
            (3, _) => told("create", disk.create_dir(&path).await),
            (4, _) => told("remove file", disk.remove_file(&path).await),
            (5, _) => told("remove dir", disk.remove_dir(&path).await),
            (6, _) => told("rename", disk.rename(&path, &other).await),
            (7, _) => match disk.list(path.parent().unwrap()) {
                Ok(entries) => {
                    let what = entries.iter().map(|entry| (&entry.name, entry.is_dir, entry.len));
                    format!("{:?}", what.collect::<Vec<_>>())
                }
                Err(error) => format!("list {:?}", error.raw_os_error()),
            },
            (8, Some(file)) => {
                told("truncate", disk.truncate(&file, offset + random.below(5000) as u64).await)
            }
            (9, Some(file)) => told("allocate", disk.allocate(&file, offset, len as u64).await),
            (10, Some(file)) => {
                let (result, buf) = disk.read(&file, offset, AlignedBuf::zeroed(len)).await;
                format!("read {result:?} {} {:x}", disk.len(&file).unwrap(), crc32c::crc32c(&buf))
            }
            (11..=13, Some(file)) => {
                let durability = if kind == 11 { Durability::Durable } else { Durability::Volatile };
                let parts = vec![part(&pattern(random.below(99), len)), part(&pattern(7, BLOCK_BYTES))];
                told("write", disk.write(&file, offset, parts, durability).await.0)
            }
            _ => "nothing".to_owned(),
        });
    }
    said
}

fn told(what: &str, result: std::io::Result<()>) -> String {
    format!("{what} {:?}", result.map_err(|error| error.raw_os_error()))
}

#[test]
fn a_power_cut_leaves_only_what_a_device_may_leave() {
    for seed in 0..300 {
        let sim = SimDisk::new(seed);
        let disk = Disk::Sim(sim.clone());
        let mut random = Random::new(!seed);
        // What each sector may hold after a cut.
        let mut allowed = vec![BTreeSet::from([0_u8]); SECTORS];
        block_on(&disk, async {
            let file = disk.open(Path::new("/log"), WRITE).await.unwrap();
            disk.allocate(&file, 0, (SECTORS * 512) as u64).await.unwrap();
            disk.sync(&file).await.unwrap();
            disk.sync_dir(Path::new("/")).await.unwrap();
            for value in 1..=random.below(30) as u8 {
                let first = random.below(SECTORS);
                let count = 1 + random.below(SECTORS - first);
                let bytes = vec![value; count * 512];
                let range = &mut allowed[first..first + count];
                match random.below(5) {
                    0 | 1 => {
                        write(&disk, &file, (first * 512) as u64, &bytes, Durability::Volatile).await;
                        for sector in range {
                            sector.insert(value);
                        }
                    }
                    2 | 3 => {
                        write(&disk, &file, (first * 512) as u64, &bytes, Durability::Durable).await;
                        range.iter_mut().for_each(|sector| *sector = BTreeSet::from([value]));
                    }
                    _ => {
                        disk.sync(&file).await.unwrap();
                        let live = sim.peek(Path::new("/log")).unwrap();
                        for (sector, bytes) in allowed.iter_mut().zip(live.chunks(512)) {
                            *sector = BTreeSet::from([bytes[0]]);
                        }
                    }
                }
            }
        });
        for _ in 0..5 {
            let image = sim.reopen().peek(Path::new("/log")).unwrap();
            assert_eq!(image.len(), SECTORS * 512);
            for (sector, allowed) in image.chunks(512).zip(&allowed) {
                assert!(allowed.contains(&sector[0]), "seed {seed}: {} of {allowed:?}", sector[0]);
                assert!(sector.iter().all(|byte| *byte == sector[0]), "sectors do not tear");
            }
        }
    }
}

const NAMES: [&str; 7] = ["a/x", "a/y", "b/x", "b/z", "a", "c", "c/x"];
const SECTORS: usize = 24;
