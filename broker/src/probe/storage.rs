//! What lies under a data directory: file system, device, and whether the device has a volatile cache that every durable
//! write must get past. Best effort, for the log at start; nothing depends on it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A mount, as /proc/self/mountinfo tells.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    at: PathBuf,
    filesystem: String,
    source: String,
    options: String,
}

/// A block device's name and how it treats durable writes (Linux' `queue/write_cache` and `queue/fua`).
#[derive(Debug)]
struct Device {
    name: String,
    write_cache: String,
    fua: bool,
}

/// Logs a line on what lies under a data directory, and warns when that can't keep what it promises.
pub fn describe_storage(directory: &Path) {
    let mount = mount_of(directory);
    let device = device_of(directory, mount.as_ref());
    let filesystem = mount.as_ref().map_or("unknown", |mount| &mount.filesystem);
    if matches!(filesystem, "tmpfs" | "ramfs") {
        tracing::warn!(
            directory = %directory.display(),
            filesystem,
            "the data directory is kept in memory: records survive the process, not the machine"
        );
    }
    let Some(device) = device else {
        tracing::info!(directory = %directory.display(), filesystem, device = "unknown", "storage");
        return;
    };
    tracing::info!(
        directory = %directory.display(),
        filesystem,
        device = device.name,
        write_cache = device.write_cache,
        fua = device.fua,
        "storage: {}",
        meaning(&device)
    );
    let barriers_off =
        |mount: &Mount| mount.options.split(',').any(|option| matches!(option, "nobarrier" | "barrier=0"));
    if device.write_cache == "write back" && mount.is_some_and(|mount| barriers_off(&mount)) {
        tracing::warn!(
            directory = %directory.display(),
            "mounted without barriers on a device with a volatile cache: a power cut loses acknowledged records; mount \
             it with barriers"
        );
    }
}

fn meaning(device: &Device) -> &'static str {
    match (device.write_cache.as_str(), device.fua) {
        ("write back", true) => "volatile write cache; durable writes pass it one by one (FUA)",
        ("write back", false) => {
            "volatile write cache without FUA; every durable write flushes the whole cache"
        }
        _ => "no volatile write cache; a completed write is durable",
    }
}

/// The mount with the longest path above the directory.
fn mount_of(directory: &Path) -> Option<Mount> {
    let directory = fs::canonicalize(directory).ok()?;
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let above = text.lines().filter_map(parse_mount).filter(|mount| directory.starts_with(&mount.at));
    // The last of equals lies on top.
    above.max_by_key(|mount| mount.at.as_os_str().len())
}

/// `36 35 98:0 /root /mount/point options [optional ...] - filesystem source super-options`.
fn parse_mount(line: &str) -> Option<Mount> {
    let (mount, of) = line.split_once(" - ")?;
    let mut mount = mount.split(' ');
    let at = unescape(mount.nth(4)?);
    let options = mount.next()?;
    let mut of = of.split(' ');
    let (filesystem, source) = (of.next()?.to_owned(), unescape(of.next()?));
    let options = format!("{options},{}", of.next().unwrap_or_default());
    Some(Mount { at: at.into(), filesystem, source, options })
}

/// Blanks and the like stand as octal, such as `\040`.
fn unescape(text: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

fn device_of(directory: &Path, mount: Option<&Mount>) -> Option<Device> {
    let mut number = fs::metadata(directory).ok()?.dev();
    if libc::major(number) == 0 {
        // A file system that numbers its own volumes, such as btrfs, names its device as the source.
        let source = mount.map(|mount| &mount.source).filter(|source| source.starts_with("/dev/"))?;
        number = fs::metadata(source).ok()?.rdev();
    }
    let link = format!("/sys/dev/block/{}:{}", libc::major(number), libc::minor(number));
    let mut device = fs::canonicalize(link).ok()?;
    if device.join("partition").exists() {
        device.pop();
    }
    let read = |file: &str| Some(fs::read_to_string(device.join("queue").join(file)).ok()?.trim().to_owned());
    Some(Device {
        name: device.file_name()?.to_string_lossy().into_owned(),
        write_cache: read("write_cache")?,
        fua: read("fua").is_some_and(|fua| fua == "1"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines_are_read() {
        let line = "36 35 98:0 /a /mnt/data\\040one rw,noatime shared:1 - ext4 /dev/vda rw,nobarrier";
        let mount = parse_mount(line).unwrap();
        assert_eq!(mount.at, Path::new("/mnt/data one"));
        assert_eq!((mount.filesystem.as_str(), mount.source.as_str()), ("ext4", "/dev/vda"));
        assert_eq!(mount.options, "rw,noatime,rw,nobarrier");
        assert_eq!(parse_mount("36 35 98:0 /"), None);
    }

    #[test]
    fn what_a_cache_means_is_said() {
        let device =
            |write_cache: &str, fua| Device { name: "d".into(), write_cache: write_cache.into(), fua };
        assert!(meaning(&device("write back", false)).contains("flushes"));
        assert!(meaning(&device("write back", true)).contains("FUA"));
        assert!(meaning(&device("write through", false)).contains("no volatile"));
    }
}
