//! Starts the broker under limits, filters and lacks of rights, and looks after its end.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything here may take.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Capabilities that tests take away from root.
pub const CAP_DAC_OVERRIDE: u32 = 1;
pub const CAP_DAC_READ_SEARCH: u32 = 2;
pub const CAP_IPC_LOCK: u32 = 14;
pub const CAP_SYS_RESOURCE: u32 = 24;

/// A directory that goes with its owner.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new() -> Self {
        Self::below(&std::env::temp_dir())
    }

    pub fn below(parent: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("slipring-test-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

/// True for root. Elsewhere the test is left out, loudly; under `CI=true` that is a failure.
pub fn is_root(what: &str) -> bool {
    // SAFETY: geteuid has no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    assert!(
        root || std::env::var("CI").is_err() || std::env::var("CI").unwrap() != "true",
        "{what} needs root"
    );
    if !root {
        eprintln!("left out: {what} needs root");
    }
    root
}

/// A broker to be started.
pub struct Launch {
    command: Command,
    log: PathBuf,
    ports_are_given: bool,
}

impl Launch {
    /// With small journals below `dir`, on free ports.
    pub fn new(dir: &Path) -> Self {
        Self::with_program(dir, Command::new(env!("CARGO_BIN_EXE_slipring")))
    }

    /// By a shell that prepares something and then runs `exec "$@"`, in a mount namespace of its own.
    pub fn in_namespace(dir: &Path, prepare: &str) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", &format!("{prepare}; exec \"$@\""), "sh"]);
        command.arg(env!("CARGO_BIN_EXE_slipring"));
        Self::with_program(dir, command)
    }

    /// In the mount namespace of another process.
    pub fn beside(dir: &Path, process: u32) -> Self {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{process}/ns/mnt")).arg(env!("CARGO_BIN_EXE_slipring"));
        Self::with_program(dir, command)
    }

    fn with_program(dir: &Path, mut command: Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let log = dir.join(format!("log-{number}"));
        command.arg("start").args(["--set", "slipring.journal.bytes=16777216"]);
        command.env_remove("SLIPRING_LOG").stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&log).unwrap());
        let launch = Self { command, log, ports_are_given: false };
        launch.before_exec(|| {
            // SAFETY: prctl with these arguments touches no memory.
            check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) })
        })
    }

    pub fn data(self, dir: &Path) -> Self {
        let dir = dir.to_str().unwrap().to_owned();
        self.args(&["--data-dir", &dir])
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    pub fn set(self, setting: &str) -> Self {
        self.args(&["--set", setting])
    }

    /// Listens where the test says instead of on free ports.
    pub fn listen(mut self, client: SocketAddr, metrics: SocketAddr) -> Self {
        self.ports_are_given = true;
        let (client, metrics) =
            (format!("PLAINTEXT://{client}"), format!("slipring.metrics.listener={metrics}"));
        self.args(&["--listen", &client, "--set", &metrics])
    }

    /// Runs `prepare` in the child, before the broker takes its place.
    fn before_exec(mut self, prepare: impl FnMut() -> io::Result<()> + Send + Sync + 'static) -> Self {
        // SAFETY: all callers only make system calls with memory that was made before the fork.
        unsafe { self.command.pre_exec(prepare) };
        self
    }

    pub fn limit(self, resource: libc::__rlimit_resource_t, value: u64) -> Self {
        self.before_exec(move || {
            let limit = libc::rlimit { rlim_cur: value, rlim_max: value };
            // SAFETY: the struct is only read.
            check(unsafe { libc::setrlimit(resource, &raw const limit) })
        })
    }

    /// Takes capabilities away for good, where the tests run with any.
    pub fn without(self, capabilities: &'static [u32]) -> Self {
        self.before_exec(move || {
            for capability in capabilities {
                // SAFETY: prctl with these arguments touches no memory. Without the right to do it there is nothing to drop.
                unsafe { libc::prctl(libc::PR_CAPBSET_DROP, *capability, 0, 0, 0) };
            }
            Ok(())
        })
    }

    pub fn on_cpus(self, cpus: &'static [usize]) -> Self {
        self.before_exec(move || {
            // SAFETY: all zero is an empty CPU set.
            let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
            for cpu in cpus {
                // SAFETY: small numbers are within the set.
                unsafe { libc::CPU_SET(*cpu, &mut set) };
            }
            // SAFETY: the set is only read.
            check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
        })
    }

    /// Installs a seccomp filter that answers io_uring_setup with `errno`.
    pub fn without_io_uring(self, errno: i32) -> Self {
        let refuse = libc::SECCOMP_RET_ERRNO | errno.unsigned_abs();
        let statement = |code: u32, jt, jf, k| libc::sock_filter { code: code as u16, jt, jf, k };
        let filter = [
            // The system call's number comes first in seccomp_data.
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, libc::SYS_io_uring_setup as u32),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, refuse),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        self.before_exec(move || {
            let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
            // SAFETY: prctl with these arguments touches no memory.
            check(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })?;
            // SAFETY: the program and its filter live over the call and are only read.
            check(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })
        })
    }

    pub fn spawn(mut self) -> Process {
        if !self.ports_are_given {
            let any = (Ipv4Addr::LOCALHOST, 0).into();
            self = self.listen(any, any);
        }
        Process { child: self.command.spawn().unwrap(), log: self.log, held: Vec::new() }
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> Broker {
        let mut process = self.spawn();
        process.wait_for(" ready ready_ms=");
        let log = process.log();
        let address = |line: &str| field(&log, line, "address=").parse().unwrap();
        let (client, metrics) = (address(" listening "), address(" metrics at "));
        Broker { process, client, metrics }
    }

    /// Starts it where it can't; gives the error line, after making sure that it is the only one and the last.
    pub fn refuse(self) -> String {
        let mut process = self.spawn();
        let status = process.wait();
        let log = process.log();
        assert_eq!(status.code(), Some(1), "{log}");
        let errors = log.lines().filter(|line| line.contains(" ERROR ")).count();
        assert_eq!(errors, 1, "{log}");
        assert!(!log.contains("panicked") && !log.contains('\x1b') && !log.contains("backtrace"), "{log}");
        let last = log.lines().last().unwrap();
        assert!(last.contains(" ERROR slipring: can't start: "), "{log}");
        last.to_owned()
    }
}

/// What follows `name` on the first line with `of`, up to the next blank.
pub fn field(log: &str, of: &str, name: &str) -> String {
    let line = log.lines().find(|line| line.contains(of)).unwrap_or_else(|| panic!("no {of} in {log}"));
    let (_, value) = line.split_once(name).unwrap_or_else(|| panic!("no {name} in {line}"));
    value.split(' ').next().unwrap().to_owned()
}

fn check(outcome: libc::c_int) -> io::Result<()> {
    if outcome == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A started process; killed when it is dropped.
pub struct Process {
    child: Child,
    log: PathBuf,
    /// Threads that `hold_threads` stopped.
    held: Vec<libc::pid_t>,
}

impl Process {
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, signal: i32) {
        let id = i32::try_from(self.child.id()).unwrap();
        // SAFETY: kill touches no memory; the child is not waited for yet, so the id is still its own.
        assert_eq!(unsafe { libc::kill(id, signal) }, 0);
    }

    /// Stops the threads whose names begin with `name` for good, as if something held them.
    pub fn hold_threads(&mut self, name: &str) {
        for task in fs::read_dir(format!("/proc/{}/task", self.id())).unwrap() {
            let task = task.unwrap();
            if !fs::read_to_string(task.path().join("comm")).unwrap().starts_with(name) {
                continue;
            }
            let thread: libc::pid_t = task.file_name().to_str().unwrap().parse().unwrap();
            let none = std::ptr::null_mut::<libc::c_void>();
            for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
                // SAFETY: neither request touches memory.
                let outcome = unsafe { libc::ptrace(request, thread, none, none) };
                assert_eq!(outcome, 0, "{}", io::Error::last_os_error());
            }
            // SAFETY: no status is asked for.
            assert_eq!(unsafe { libc::waitpid(thread, std::ptr::null_mut(), libc::__WALL) }, thread);
            self.held.push(thread);
        }
        assert!(!self.held.is_empty(), "no thread has the name {name}");
    }

    fn try_wait(&mut self) -> Option<ExitStatus> {
        // A process only ends when whoever held its threads has seen them end.
        for thread in &self.held {
            // SAFETY: no status is asked for.
            unsafe { libc::waitpid(*thread, std::ptr::null_mut(), libc::__WALL | libc::WNOHANG) };
        }
        self.child.try_wait().unwrap()
    }

    /// What each thread does in the kernel, for the message of a test that waits in vain.
    fn threads(&self) -> Vec<String> {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.id())) else { return Vec::new() };
        let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        let tasks = tasks.map(|task| task.unwrap().path());
        tasks
            .map(|task| ["comm", "wchan", "syscall", "schedstat"].map(|file| read(task.join(file))).join(" "))
            .collect()
    }

    pub fn is_running(&mut self) -> bool {
        self.try_wait().is_none()
    }

    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of the process", || {
            status = self.try_wait();
            status.is_some()
        });
        status.unwrap()
    }

    /// Waits for a line with `text`.
    pub fn wait_for(&mut self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.try_wait();
            let log = self.log();
            if log.contains(text) {
                return;
            }
            if ended.is_some() || Instant::now() > deadline {
                panic!("no {text} in {log}\nended: {ended:?}, threads: {:#?}", self.threads());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails when it has ended already.
        _ = self.child.kill();
        let deadline = Instant::now() + PATIENCE;
        while self.is_running() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Waits until `condition` holds.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A broker that serves.
pub struct Broker {
    pub process: Process,
    pub client: SocketAddr,
    pub metrics: SocketAddr,
}

impl Broker {
    /// Tells it to stop; gives how long that took.
    pub fn stop(&mut self) -> (ExitStatus, Duration) {
        let began = Instant::now();
        self.process.signal(libc::SIGTERM);
        let status = self.process.wait();
        (status, began.elapsed())
    }

    /// As a crash: nothing of it is left.
    pub fn kill(mut self) {
        self.process.signal(libc::SIGKILL);
        self.process.wait();
    }

    pub fn get(&self, path: &str) -> String {
        get(self.metrics, path).unwrap()
    }

    /// The value of a series at /metrics; zero when it is not there.
    pub fn metric(&self, series: &str) -> f64 {
        let text = self.get("/metrics");
        let line =
            text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned));
        line.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

/// An HTTP request; gives the whole answer, head included.
pub fn get(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// A port that somebody else has.
pub fn taken_port() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
