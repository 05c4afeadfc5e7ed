//! A broker as a child process with a time limit. It is killed by its id, and dies with this process.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A child that is killed when its time is up, or when this value is dropped.
pub(super) struct Bounded {
    child: Arc<Mutex<Child>>,
    pid: u32,
    /// Dropped with this value, which ends the watch.
    _done: Sender<()>,
}

impl Bounded {
    /// Starts a child that writes what it has to say to a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn spawn(mut command: Command, log: &Path, limit: Duration) -> io::Result<Self> {
        let log = File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = dies_with_us(&mut command).spawn()?;
        let pid = child.id();
        let child = Arc::new(Mutex::new(child));
        let (done, over) = mpsc::channel();
        let watched = Arc::clone(&child);
        thread::spawn(move || {
            if over.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let _ = lock(&watched).kill();
            }
        });
        Ok(Self { child, pid, _done: done })
    }

    /// Its process id.
    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended by itself.
    pub(super) fn has_ended(&self) -> bool {
        !matches!(lock(&self.child).try_wait(), Ok(None))
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let mut child = lock(&self.child);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}

fn dies_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only prctl is called, which is async-signal-safe and takes plain numbers.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn sleeper(name: &str, limit: Duration) -> (Bounded, std::path::PathBuf) {
        let log = std::env::temp_dir().join(format!("slipring-perf-{name}-{}", std::process::id()));
        let mut command = Command::new("sleep");
        command.arg("60");
        (Bounded::spawn(command, &log, limit).unwrap(), log)
    }

    #[test]
    fn it_is_gone_when_dropped_or_out_of_time() {
        let (child, log) = sleeper("dropped", Duration::from_secs(60));
        let proc = format!("/proc/{}", child.pid());
        assert!(!child.has_ended() && Path::new(&proc).exists());
        drop(child);
        assert!(!Path::new(&proc).exists());
        std::fs::remove_file(log).unwrap();

        let (child, log) = sleeper("late", Duration::from_millis(1));
        let start = Instant::now();
        while !child.has_ended() {
            assert!(start.elapsed() < Duration::from_secs(30));
            thread::yield_now();
        }
        std::fs::remove_file(log).unwrap();
    }
}
