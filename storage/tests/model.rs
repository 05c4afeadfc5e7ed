//! Long random histories against a plain model: append, commit, read at any offset with any limits, roll, delete, evict,
//! stop cleanly or be killed, come back with another number of cores. No power cuts here; those are `crash.rs`.

mod support;

use slipring_storage::disk::{Disk, block_on};
use support::workload::{Model, Rng, Shape, create, sim, verify, work_on};

fn history(seed: u64, shape: Shape) {
    let (mut sim, mut disk) = sim(seed);
    let mut rng = Rng(seed ^ 0x5151);
    let mut model = Model::default();
    // Neither the name nor the id of an earlier topic.
    let mut fresh = 50;
    for life in 0..4 {
        let cores = 1 + rng.below(4) as u32;
        let stopped = block_on(&disk, async {
            let mut run = verify(&disk, cores, shape, &mut model, life).await?;
            while run.logs.len() < 3 {
                create(&mut run, fresh, shape, &mut model).await?;
                fresh += 1;
            }
            work_on(&mut run, &mut rng, shape, &mut model).await?;
            match rng.below(3) {
                0 => Ok(false),
                _ => run.close().await.map(|()| true),
            }
        });
        match stopped {
            Ok(true) => {}
            Ok(false) => {
                sim = sim.kill();
                disk = Disk::Sim(sim.clone());
            }
            Err(error) => panic!("seed {seed}, life {life}: {error}"),
        }
    }
}

#[test]
fn any_history_equals_the_model() {
    for seed in 0..6 {
        history(seed, Shape { steps: 150, ..Shape::default() });
        history(seed, Shape { steps: 150, tasks: false, ..Shape::tiny_journal() });
        history(seed, Shape { steps: 100, tasks: false, may_lose: false, ..Shape::written() });
    }
}
