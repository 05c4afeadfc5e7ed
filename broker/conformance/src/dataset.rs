//! The data that clients carry: real bytes of this machine, cut into numbered records. `lines`: one record a line, valid
//! UTF-8 without control characters, which begins with its number in twelve digits. `chunks`: 4-byte lengths and binary
//! records, which begin with their number in eight bytes. `counter`: what Kafka's perf tool sends, the number alone.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How records look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Mode {
    Lines,
    Chunks,
    Counter,
}

/// A file of records and where each of them lies.
pub(crate) struct Dataset {
    pub(crate) mode: Mode,
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    file: Option<File>,
    /// Where each record begins and how long it is.
    places: Vec<(u64, u32)>,
}

impl Mode {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Lines => "lines",
            Self::Chunks => "chunks",
            Self::Counter => "counter",
        }
    }

    /// The number that a record carries.
    pub(crate) fn number(self, value: &[u8]) -> Option<u64> {
        match self {
            Self::Lines => std::str::from_utf8(value.get(..NUMBER_DIGITS)?).ok()?.parse().ok(),
            Self::Chunks => value.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
            Self::Counter => std::str::from_utf8(value).ok()?.parse().ok(),
        }
    }
}

impl Dataset {
    /// Numbers without any file: what the perf tool makes by itself.
    pub(crate) fn counter(records: u64) -> Self {
        let bytes = (0..records).map(|number| number.to_string().len() as u64).sum();
        let places = vec![(0, 0); records as usize];
        Self { mode: Mode::Counter, path: PathBuf::new(), bytes, file: None, places }
    }

    /// Makes `bytes` of records in `directory` out of the machine's own files, or takes what is there from before.
    ///
    /// # Errors
    /// When the files cannot be read or written, or when there is nothing to make records of.
    pub(crate) fn build(mode: Mode, directory: &Path, root: &Path, bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        let path = directory.join(format!("{}-{bytes}", mode.name()));
        if !path.exists() {
            let unfinished = path.with_extension("unfinished");
            let mut out = BufWriter::with_capacity(1 << 20, File::create(&unfinished)?);
            let mut source = Source::new(mode, root)?;
            let mut written = 0;
            let mut number = 0;
            while written < bytes {
                written += write_record(mode, &mut out, &mut source, number)?;
                number += 1;
            }
            out.into_inner()?.sync_all()?;
            fs::rename(&unfinished, &path)?;
        }
        let file = File::open(&path)?;
        let places = scan(mode, &file)?;
        let bytes = places.iter().map(|place| u64::from(place.1)).sum();
        Ok(Self { mode, path, bytes, file: Some(file), places })
    }

    /// How many records there are.
    pub(crate) fn records(&self) -> u64 {
        self.places.len() as u64
    }

    /// Reads record `number` into `value`; false when there is none.
    ///
    /// # Errors
    /// Of the file.
    pub(crate) fn read(&self, number: u64, value: &mut Vec<u8>) -> io::Result<bool> {
        value.clear();
        let Some(&(at, size)) = usize::try_from(number).ok().and_then(|number| self.places.get(number))
        else {
            return Ok(false);
        };
        match &self.file {
            Some(file) => {
                value.resize(size as usize, 0);
                file.read_exact_at(value, at)?;
            }
            None => write!(value, "{number}")?,
        }
        Ok(true)
    }
}

fn write_record(mode: Mode, out: &mut impl Write, source: &mut Source, number: u64) -> io::Result<u64> {
    let size = source.next_size();
    if mode == Mode::Lines {
        let text = source.text(size)?;
        writeln!(out, "{number:0width$} {text}", width = NUMBER_DIGITS)?;
        return Ok((NUMBER_DIGITS + 2 + text.len()) as u64);
    }
    let bytes = source.bytes(size)?;
    out.write_all(&(8 + bytes.len() as u32).to_be_bytes())?;
    out.write_all(&number.to_be_bytes())?;
    out.write_all(&bytes)?;
    Ok(12 + bytes.len() as u64)
}

fn scan(mode: Mode, file: &File) -> io::Result<Vec<(u64, u32)>> {
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut places = Vec::new();
    let mut at = 0;
    let mut line = Vec::new();
    loop {
        if mode == Mode::Lines {
            line.clear();
            let read = io::BufRead::read_until(&mut reader, b'\n', &mut line)?;
            if read == 0 {
                return Ok(places);
            }
            places.push((at, read as u32 - 1));
            at += read as u64;
            continue;
        }
        let mut head = [0; 4];
        match reader.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(places),
            Err(error) => return Err(error),
        }
        let size = u32::from_be_bytes(head);
        places.push((at + 4, size));
        reader.seek_relative(i64::from(size))?;
        at += 4 + u64::from(size);
    }
}

/// The machine's files, one after the other and round again.
struct Source {
    mode: Mode,
    files: Vec<PathBuf>,
    next_file: usize,
    buffer: Vec<u8>,
    at: usize,
    dice: u64,
}

impl Source {
    fn new(mode: Mode, root: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        for place in places(mode, root) {
            walk(&place, mode, &mut files);
        }
        if files.is_empty() {
            return Err(io::Error::other("nothing found to make records of"));
        }
        Ok(Self { mode, files, next_file: 0, buffer: Vec::new(), at: 0, dice: 1 })
    }

    /// Sizes as traffic has them: mostly middling, some tiny, a few near the limit of a record.
    fn next_size(&mut self) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let percent = (self.dice >> 33) % 100;
        let within = |low: u64, high: u64| (low + (self.dice >> 40) % (high - low)) as usize;
        match (self.mode, percent) {
            (Mode::Lines, 0) => within(0, 30),
            (Mode::Lines, 1..99) => within(200, 900),
            (Mode::Lines, _) => within(5_000, 40_000),
            (Mode::Chunks | Mode::Counter, 0) => 0,
            (Mode::Chunks | Mode::Counter, 1..60) => within(1 << 10, 16 << 10),
            (Mode::Chunks | Mode::Counter, 60..90) => within(16 << 10, 64 << 10),
            (Mode::Chunks | Mode::Counter, 90..99) => within(64 << 10, 256 << 10),
            (Mode::Chunks | Mode::Counter, _) => within(800_000, 980_000),
        }
    }

    fn bytes(&mut self, size: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(size);
        while bytes.len() < size {
            if self.at == self.buffer.len() {
                self.load()?;
            }
            let take = (size - bytes.len()).min(self.buffer.len() - self.at);
            bytes.extend_from_slice(&self.buffer[self.at..self.at + take]);
            self.at += take;
        }
        Ok(bytes)
    }

    /// Lines of sources joined up to about `size` bytes; what would split or trim a line elsewhere is left out.
    fn text(&mut self, size: usize) -> io::Result<String> {
        let mut text = String::with_capacity(size + 100);
        while text.len() < size {
            if self.at == self.buffer.len() {
                self.load()?;
            }
            let rest = &self.buffer[self.at..];
            let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
            if let Ok(line) = std::str::from_utf8(&rest[..end]) {
                let kept = |c: &char| !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}');
                text.extend(line.chars().filter(kept).take(size + 80 - text.len()));
                text.push(' ');
            }
            self.at += (end + 1).min(rest.len());
        }
        text.truncate(text.trim_end().len());
        Ok(text)
    }

    fn load(&mut self) -> io::Result<()> {
        self.at = 0;
        self.buffer.clear();
        for _ in 0..self.files.len() {
            let path = &self.files[self.next_file % self.files.len()];
            self.next_file += 1;
            if let Ok(file) = File::open(path) {
                file.take(FILE_BYTES_MAX).read_to_end(&mut self.buffer)?;
            }
            if !self.buffer.is_empty() {
                return Ok(());
            }
        }
        Err(io::Error::other("nothing found to make records of"))
    }
}

/// Package archives and programs for chunks, sources for lines.
fn places(mode: Mode, root: &Path) -> Vec<PathBuf> {
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| std::env::home_dir().map(|home| home.join(".cargo"))).unwrap_or_default();
    match mode {
        Mode::Lines => vec![cargo.join("registry/src"), PathBuf::from("/usr/include"), root.join("protocol")],
        _ => vec![cargo.join("registry/cache"), root.join(".cache/clients/kafka"), PathBuf::from("/usr/lib")],
    }
}

fn walk(directory: &Path, mode: Mode, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if kind.is_dir() {
            walk(&path, mode, files);
        } else if kind.is_file() && (mode != Mode::Lines || is_source(&path)) {
            files.push(path);
        }
    }
}

fn is_source(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("rs" | "md" | "toml" | "h" | "c" | "hpp" | "txt" | "json"))
}

/// Digits of the number that a line begins with.
const NUMBER_DIGITS: usize = 12;

/// So much of one file is used; more of the same adds nothing.
const FILE_BYTES_MAX: u64 = 8 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_tells_its_number() {
        assert_eq!(Mode::Lines.number(b"000000000042 text"), Some(42));
        assert_eq!(Mode::Lines.number(b"00000000"), None);
        assert_eq!(Mode::Chunks.number(&[0, 0, 0, 0, 0, 0, 1, 2, 9]), Some(258));
        assert_eq!(Mode::Counter.number(b"17"), Some(17));
        assert_eq!(Mode::Counter.number(b"x"), None);
    }

    #[test]
    fn what_is_built_is_read_back() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let directory = std::env::temp_dir().join(format!("slipring-dataset-{}", std::process::id()));
        let mut value = Vec::new();
        for mode in [Mode::Lines, Mode::Chunks] {
            let data = Dataset::build(mode, &directory, root, 300_000).unwrap();
            assert!(data.bytes > 250_000 && data.records() > 2);
            for number in 0..data.records() {
                assert!(data.read(number, &mut value).unwrap());
                assert_eq!(mode.number(&value), Some(number));
            }
            assert!(!data.read(data.records(), &mut value).unwrap());
        }
        fs::remove_dir_all(directory).unwrap();
    }
}
