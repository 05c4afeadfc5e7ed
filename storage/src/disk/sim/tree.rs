//! Names of the simulated file system: directories with live and durable entries. A name is durable only once its
//! directory was synced; changes of one directory become durable in their order.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use super::content::{Content, Mercy};
use super::random::Random;

/// Number of a file or directory.
pub(super) type Node = u64;

#[derive(Clone)]
pub(super) struct Tree {
    directories: BTreeMap<Node, Directory>,
    files: BTreeMap<Node, Content>,
    changes: Vec<Renaming>,
    next: Node,
}

#[derive(Clone, Default)]
struct Directory {
    live: BTreeMap<String, Node>,
    durable: BTreeMap<String, Node>,
}

/// A change of names: taken away in one place, given in another; either may be missing.
#[derive(Clone)]
struct Renaming {
    taken: Option<(Node, String)>,
    given: Option<(Node, String, Node)>,
}

impl Renaming {
    fn directories(&self) -> impl Iterator<Item = Node> {
        let taken = self.taken.as_ref().map(|(directory, _)| *directory);
        taken.into_iter().chain(self.given.as_ref().map(|(directory, _, _)| *directory))
    }
}

impl Tree {
    pub(super) fn new() -> Tree {
        let directories = BTreeMap::from([(ROOT, Directory::default())]);
        Tree { directories, files: BTreeMap::new(), changes: Vec::new(), next: ROOT + 1 }
    }

    pub(super) fn file(&self, node: Node) -> &Content {
        self.files.get(&node).expect("an open file keeps its contents")
    }

    pub(super) fn file_mut(&mut self, node: Node) -> &mut Content {
        self.files.get_mut(&node).expect("an open file keeps its contents")
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|content| content.live().len()).sum()
    }

    pub(super) fn open(&mut self, path: &Path, create: bool) -> io::Result<Node> {
        let (directory, name) = self.place(path)?;
        match self.live(directory).get(&name) {
            Some(node) if self.files.contains_key(node) => Ok(*node),
            Some(_) => Err(errno(libc::EISDIR)),
            None if create => {
                let node = self.number();
                self.files.insert(node, Content::default());
                self.change(None, Some((directory, name, node)));
                Ok(node)
            }
            None => Err(errno(libc::ENOENT)),
        }
    }

    pub(super) fn create_dir(&mut self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        if self.live(directory).contains_key(&name) {
            return Err(errno(libc::EEXIST));
        }
        let node = self.number();
        self.directories.insert(node, Directory::default());
        self.change(None, Some((directory, name, node)));
        Ok(())
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        match self.live(directory).get(&name) {
            Some(node) if self.files.contains_key(node) => {}
            Some(_) => return Err(errno(libc::EISDIR)),
            None => return Err(errno(libc::ENOENT)),
        }
        self.change(Some((directory, name)), None);
        Ok(())
    }

    pub(super) fn remove_dir(&mut self, path: &Path) -> io::Result<()> {
        let (directory, name) = self.place(path)?;
        match self.live(directory).get(&name).and_then(|node| self.directories.get(node)) {
            Some(removed) if removed.live.is_empty() => {}
            Some(_) => return Err(errno(libc::ENOTEMPTY)),
            None if self.live(directory).contains_key(&name) => return Err(errno(libc::ENOTDIR)),
            None => return Err(errno(libc::ENOENT)),
        }
        self.change(Some((directory, name)), None);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_directory, from_name) = self.place(from)?;
        let (to_directory, to_name) = self.place(to)?;
        let Some(node) = self.live(from_directory).get(&from_name).copied() else {
            return Err(errno(libc::ENOENT));
        };
        if self.ancestors(to)?.contains(&node) {
            return Err(errno(libc::EINVAL));
        }
        if let Some(replaced) = self.live(to_directory).get(&to_name).copied() {
            if replaced == node {
                return Ok(());
            }
            if self.ancestors(from)?.contains(&replaced) {
                return Err(errno(libc::ENOTEMPTY));
            }
            self.may_replace(node, replaced)?;
        }
        self.change(Some((from_directory, from_name)), Some((to_directory, to_name, node)));
        Ok(())
    }

    /// Whether a rename of `node` may take the place of `replaced`.
    fn may_replace(&self, node: Node, replaced: Node) -> io::Result<()> {
        match (self.directories.contains_key(&node), self.directories.get(&replaced)) {
            (true, Some(directory)) if directory.live.is_empty() => Ok(()),
            (true, Some(_)) => Err(errno(libc::ENOTEMPTY)),
            (true, None) => Err(errno(libc::ENOTDIR)),
            (false, Some(_)) => Err(errno(libc::EISDIR)),
            (false, None) => Ok(()),
        }
    }

    /// Makes a directory's entries durable, and what they presuppose in others.
    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let mut needed = BTreeSet::from([self.directory(path)?]);
        let mut due = vec![false; self.changes.len()];
        for (index, change) in self.changes.iter().enumerate().rev() {
            if change.directories().any(|directory| needed.contains(&directory)) {
                due[index] = true;
                needed.extend(change.directories());
            }
        }
        let changes = std::mem::take(&mut self.changes);
        for (change, due) in changes.into_iter().zip(due) {
            if due { self.make_durable(&change) } else { self.changes.push(change) }
        }
        Ok(())
    }

    /// Names, numbers and whether they are directories, sorted.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<(String, Node, bool)>> {
        let directory = self.directory(path)?;
        let entry =
            |(name, node): (&String, &Node)| (name.clone(), *node, self.directories.contains_key(node));
        Ok(self.live(directory).iter().map(entry).collect())
    }

    /// Forgets files that no name, live or durable, and none of `open` refers to.
    pub(super) fn forget_unused(&mut self, open: &BTreeSet<Node>) {
        let pending =
            self.changes.iter().filter_map(|change| change.given.as_ref()).map(|(_, _, node)| *node);
        let mut used: BTreeSet<Node> = pending.chain(open.iter().copied()).collect();
        for directory in self.directories.values() {
            used.extend(directory.live.values().chain(directory.durable.values()));
        }
        self.files.retain(|node, _| used.contains(node));
    }

    /// The tree that a power cut leaves.
    pub(super) fn after_power_cut(mut self, random: &mut Random) -> Tree {
        let mercy = Mercy::pick(random);
        let mut stopped = BTreeSet::new();
        for change in std::mem::take(&mut self.changes) {
            let blocked = change.directories().any(|directory| stopped.contains(&directory));
            if !blocked && mercy.spares(random) {
                self.make_durable(&change);
            } else {
                stopped.extend(change.directories());
            }
        }
        for directory in self.directories.values_mut() {
            directory.live.clone_from(&directory.durable);
        }
        for content in self.files.values_mut() {
            let mercy = if random.percent(50) { mercy } else { Mercy::pick(random) };
            *content = content.after_power_cut(random, mercy);
        }
        self.forget_unused(&BTreeSet::new());
        self
    }

    /// The number of a file or directory by its live name.
    pub(super) fn find(&self, path: &Path) -> io::Result<Node> {
        let (directory, name) = self.place(path)?;
        self.live(directory).get(&name).copied().ok_or_else(|| errno(libc::ENOENT))
    }

    fn directory(&self, path: &Path) -> io::Result<Node> {
        let mut node = ROOT;
        for name in names(path)? {
            node = self.step(node, &name)?;
        }
        Ok(node)
    }

    /// The parent directory and the last name of a path.
    fn place(&self, path: &Path) -> io::Result<(Node, String)> {
        let Some(last) = names(path)?.pop() else { return Err(errno(libc::EISDIR)) };
        let parent = self.ancestors(path)?.pop().expect("the root is an ancestor of every name");
        Ok((parent, last))
    }

    /// The directories on the way to a path, from the root to its parent.
    fn ancestors(&self, path: &Path) -> io::Result<Vec<Node>> {
        let mut names = names(path)?;
        names.pop();
        let mut nodes = vec![ROOT];
        for name in names {
            let parent = *nodes.last().expect("starts with the root");
            nodes.push(self.step(parent, &name)?);
        }
        Ok(nodes)
    }

    fn step(&self, directory: Node, name: &str) -> io::Result<Node> {
        let node = *self.live(directory).get(name).ok_or_else(|| errno(libc::ENOENT))?;
        if self.directories.contains_key(&node) { Ok(node) } else { Err(errno(libc::ENOTDIR)) }
    }

    fn live(&self, directory: Node) -> &BTreeMap<String, Node> {
        &self.directories.get(&directory).expect("directories are never forgotten").live
    }

    fn number(&mut self) -> Node {
        self.next += 1;
        self.next - 1
    }

    fn change(&mut self, taken: Option<(Node, String)>, given: Option<(Node, String, Node)>) {
        let change = Renaming { taken, given };
        if let Some((directory, name)) = &change.taken {
            self.entries(*directory).live.remove(name);
        }
        if let Some((directory, name, node)) = &change.given {
            self.entries(*directory).live.insert(name.clone(), *node);
        }
        self.changes.push(change);
    }

    fn make_durable(&mut self, change: &Renaming) {
        if let Some((directory, name)) = &change.taken {
            self.entries(*directory).durable.remove(name);
        }
        if let Some((directory, name, node)) = &change.given {
            self.entries(*directory).durable.insert(name.clone(), *node);
        }
    }

    fn entries(&mut self, directory: Node) -> &mut Directory {
        self.directories.get_mut(&directory).expect("directories are never forgotten")
    }
}

fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(|| errno(libc::EILSEQ))?;
                if name.len() > NAME_BYTES_MAX {
                    return Err(errno(libc::ENAMETOOLONG));
                }
                names.push(name.to_owned());
            }
            Component::ParentDir | Component::Prefix(_) => return Err(errno(libc::EINVAL)),
        }
    }
    Ok(names)
}

pub(super) fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

const ROOT: Node = 0;
const NAME_BYTES_MAX: usize = 255;
