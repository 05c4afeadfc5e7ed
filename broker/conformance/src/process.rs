//! Child processes with a time limit. Everything started here is stopped by its id, and dies with this process.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A child that is killed when its time is up or when this value is dropped.
pub(crate) struct Bounded {
    child: Arc<Mutex<Child>>,
    done: Sender<()>,
    deadline: Instant,
}

impl Bounded {
    /// Starts a child whose standard error goes to a file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(mut command: Command, errors: &Path, limit: Duration) -> io::Result<Self> {
        command.stderr(File::create(errors)?);
        let child = Arc::new(Mutex::new(dies_with_us(&mut command).spawn()?));
        let (done, finished) = mpsc::channel();
        let watched = Arc::clone(&child);
        thread::spawn(move || {
            if finished.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
                let _ = watched.lock().unwrap_or_else(PoisonError::into_inner).kill();
            }
        });
        Ok(Self { child, done, deadline: Instant::now() + limit })
    }

    /// The pipe into the child, once.
    pub(crate) fn take_stdin(&self) -> Option<ChildStdin> {
        self.lock().stdin.take()
    }

    /// The pipe out of the child, once.
    pub(crate) fn take_stdout(&self) -> Option<ChildStdout> {
        self.lock().stdout.take()
    }

    /// Whether the child has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        !matches!(self.lock().try_wait(), Ok(None))
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// `TimedOut` when its time is up.
    pub(crate) fn wait(&self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.lock().try_wait()? {
                let out_of_time = Instant::now() >= self.deadline;
                return if out_of_time { Err(io::ErrorKind::TimedOut.into()) } else { Ok(status) };
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.lock().id()
    }

    /// Sends a signal, unless the child has ended.
    pub(crate) fn signal(&self, number: i32) {
        let mut child = self.lock();
        if matches!(child.try_wait(), Ok(None)) {
            signal(child.id(), number);
        }
    }

    /// Asks the child to end, waits up to `limit`, then kills it. Tells how long the end took, `None` when it was killed.
    pub(crate) fn terminate(&self, limit: Duration) -> Option<Duration> {
        let start = Instant::now();
        let pid = self.lock().id();
        signal(pid, libc::SIGTERM);
        while start.elapsed() < limit {
            if self.has_ended() {
                return Some(start.elapsed());
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        None
    }

    /// Kills the child and waits for its end.
    pub(crate) fn kill(&self) {
        let mut child = self.lock();
        let _ = child.kill();
        let _ = child.wait();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        let _ = self.done.send(());
        self.kill();
    }
}

/// Pipes for a client that reads its input and writes a dump.
pub(crate) fn piped(mut command: Command) -> Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

fn dies_with_us(command: &mut Command) -> &mut Command {
    // SAFETY: prctl with PR_SET_PDEATHSIG is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    }
}

fn signal(pid: u32, signal: i32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    // SAFETY: the pid is that of a child which has not been waited for, so it cannot be anyone else's.
    unsafe {
        libc::kill(pid, signal);
    }
}
