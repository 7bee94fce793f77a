//! Plain files and folders of a user (RFC 4918 without any calendar), for clients and suites that speak only `WebDAV`.
//!
//! Off unless `dav.plain_collections` is set, and nothing else depends on it. A user's whole tree is small and bounded,
//! so each request reads it whole, changes it in memory, and commits what differs together with a version row that was
//! read: two writers at once never mix, the later one starts again.
//!
//! Invariant: every node's parent is a folder that exists; the root always does.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{EtagOctets, PropertiesRow, millis};
use super::{ATTEMPTS, DeadProperty, PropertyEdit, Transfer};
use crate::clock::Clock;
use crate::id::{Etag, UserId};
use crate::store::table::tables;
use crate::store::{Batch, CommitError, Record, Store, StoreError, Table};

/// The plain files of all users.
#[derive(Debug)]
pub struct Plain {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    limits: PlainLimits,
}

/// How much one user may keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlainLimits {
    /// Files and folders.
    pub nodes: usize,
    /// Octets of all files and properties.
    pub octets: usize,
    /// Folders in one another.
    pub depth: usize,
}

impl Default for PlainLimits {
    fn default() -> Self {
        Self { nodes: 1_000, octets: 16 << 20, depth: 16 }
    }
}

/// Where a file or folder stands: the decoded names from the root down. No names are the root itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlainPath(Vec<String>);

impl PlainPath {
    /// The path of these names, none of which may be empty or hold a slash.
    pub fn new(names: Vec<String>) -> Option<Self> {
        let fine = |name: &String| !name.is_empty() && name.len() <= 255 && !name.contains('/');
        names.iter().all(fine).then_some(Self(names))
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    fn parent(&self) -> Option<Self> {
        let (_, above) = self.0.split_last()?;
        Some(Self(above.to_vec()))
    }

    fn below(&self, other: &Self) -> bool {
        self.0.len() > other.0.len() && self.0.starts_with(&other.0)
    }

    /// This path with the names of `from` at its beginning replaced by those of `to`.
    fn moved(&self, from: &Self, to: &Self) -> Self {
        let rest = self.0.get(from.0.len()..).unwrap_or_default();
        Self(to.0.iter().chain(rest).cloned().collect())
    }
}

/// A file or a folder.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// A file's octets; none is a folder.
    pub octets: Option<Bytes>,
    /// What the client said the octets are.
    pub content_type: Option<String>,
    /// When it was made.
    #[serde(with = "millis")]
    pub created: Timestamp,
    /// When its octets were last written.
    #[serde(with = "millis")]
    pub modified: Timestamp,
    properties: Vec<(String, String, Bytes)>,
}

impl Record for Node {
    const FORMAT: u8 = 1;
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} octets)", self.size())
    }
}

impl Node {
    fn folder(now: Timestamp) -> Self {
        Self { octets: None, content_type: None, created: now, modified: now, properties: Vec::new() }
    }

    /// Whether it holds others.
    pub fn is_folder(&self) -> bool {
        self.octets.is_none()
    }

    /// A file's tag.
    pub fn etag(&self) -> Option<Etag> {
        self.octets.as_ref().map(|octets| EtagOctets::of(octets).etag())
    }

    /// What clients have stored on it.
    pub fn dead(&self) -> Vec<DeadProperty> {
        let dead = |(ns, name, xml): &(String, String, Bytes)| DeadProperty {
            ns: ns.clone(),
            name: name.clone(),
            xml: xml.clone(),
        };
        self.properties.iter().map(dead).collect()
    }

    fn size(&self) -> usize {
        let properties: usize = self.properties.iter().map(|(_, _, xml)| xml.len()).sum();
        self.octets.as_ref().map_or(0, Bytes::len) + properties
    }
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum PlainError {
    /// There is nothing at this path.
    #[error("there is nothing at this path")]
    NotFound,
    /// The folder above is missing.
    #[error("the folder above is missing")]
    ParentMissing,
    /// There is something at this path already.
    #[error("there is something at this path already")]
    Exists,
    /// A file is wanted where a folder is.
    #[error("there is a folder at this path")]
    IsFolder,
    /// A folder can't go into itself, nor anything to where it is.
    #[error("source and destination overlap")]
    Overlap,
    /// A condition of the request does not hold.
    #[error("a condition does not hold")]
    ConditionFailed,
    /// The user keeps as much as allowed.
    #[error("no room is left")]
    Full,
    /// Others were faster, again and again.
    #[error("others were faster")]
    Stale,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// All of a user's files and folders, as they were at one moment.
#[derive(Clone, Debug)]
pub struct Tree {
    nodes: BTreeMap<PlainPath, Node>,
}

/// COPY or MOVE.
#[derive(Clone, Copy, Debug)]
pub struct Carry<'a> {
    /// Which of the two.
    pub kind: Transfer,
    /// From here.
    pub from: &'a PlainPath,
    /// To there.
    pub to: &'a PlainPath,
    /// Whether what is there may be replaced.
    pub overwrite: bool,
    /// Whether a folder takes along what it holds.
    pub deep: bool,
}

impl Tree {
    /// The node at a path.
    pub fn get(&self, path: &PlainPath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// What stands directly in a folder, by name.
    pub fn members<'a>(&'a self, folder: &'a PlainPath) -> impl Iterator<Item = (&'a PlainPath, &'a Node)> {
        self.nodes.iter().filter(move |(path, _)| path.below(folder) && path.0.len() == folder.0.len() + 1)
    }

    fn require_parent(&self, path: &PlainPath) -> Result<(), PlainError> {
        let parent = path.parent().ok_or(PlainError::Exists)?;
        match self.nodes.get(&parent) {
            Some(node) if node.is_folder() => Ok(()),
            _ => Err(PlainError::ParentMissing),
        }
    }

    /// Writes a file; says whether it is new.
    fn put(&mut self, path: &PlainPath, file: File, now: Timestamp) -> Result<bool, PlainError> {
        self.require_parent(path)?;
        match self.nodes.get_mut(path) {
            Some(node) if node.is_folder() => Err(PlainError::IsFolder),
            Some(node) => {
                node.octets = Some(file.octets);
                node.content_type = file.content_type;
                node.modified = now;
                Ok(false)
            }
            None => {
                let node = Node { octets: Some(file.octets), content_type: file.content_type, ..Node::folder(now) };
                self.nodes.insert(path.clone(), node);
                Ok(true)
            }
        }
    }

    fn make_folder(&mut self, path: &PlainPath, now: Timestamp) -> Result<(), PlainError> {
        if self.nodes.contains_key(path) {
            return Err(PlainError::Exists);
        }
        self.require_parent(path)?;
        self.nodes.insert(path.clone(), Node::folder(now));
        Ok(())
    }

    /// Removes a node with all that it holds. The root stays, empty.
    fn remove(&mut self, path: &PlainPath) -> Result<(), PlainError> {
        if !self.nodes.contains_key(path) {
            return Err(PlainError::NotFound);
        }
        self.nodes.retain(|other, _| other.0.is_empty() || (other != path && !other.below(path)));
        Ok(())
    }

    /// Copies or moves; says whether nothing was at the destination.
    fn carry(&mut self, carry: Carry<'_>, now: Timestamp) -> Result<bool, PlainError> {
        let (from, to) = (carry.from, carry.to);
        if !self.nodes.contains_key(from) {
            return Err(PlainError::NotFound);
        }
        if from == to || to.below(from) || from.below(to) {
            return Err(PlainError::Overlap);
        }
        self.require_parent(to)?;
        let created = !self.nodes.contains_key(to);
        if !created {
            if !carry.overwrite {
                return Err(PlainError::ConditionFailed);
            }
            self.remove(to)?;
        }
        let goes = |path: &&PlainPath| *path == from || (carry.deep && path.below(from));
        let paths: Vec<PlainPath> = self.nodes.keys().filter(goes).cloned().collect();
        for path in paths {
            let node = match carry.kind {
                Transfer::Copy => self.nodes.get(&path).map(|node| Node { created: now, ..node.clone() }),
                Transfer::Move => self.nodes.remove(&path),
            };
            if let Some(node) = node {
                self.nodes.insert(path.moved(from, to), node);
            }
        }
        Ok(created)
    }

    fn set_properties(&mut self, path: &PlainPath, edits: &[PropertyEdit]) -> Result<(), PlainError> {
        let node = self.nodes.get_mut(path).ok_or(PlainError::NotFound)?;
        let mut row = PropertiesRow { properties: std::mem::take(&mut node.properties) };
        for edit in edits {
            super::properties::change(&mut row, edit);
        }
        node.properties = row.properties;
        Ok(())
    }

    fn fits(&self, limits: PlainLimits) -> bool {
        let octets: usize = self.nodes.values().map(Node::size).sum();
        let deepest = self.nodes.keys().map(|path| path.0.len()).max().unwrap_or_default();
        self.nodes.len() <= limits.nodes && octets <= limits.octets && deepest <= limits.depth
    }
}

/// What a PUT brings.
#[derive(Clone)]
pub struct File {
    /// The octets.
    pub octets: Bytes,
    /// What the client says they are.
    pub content_type: Option<String>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({} octets)", self.octets.len())
    }
}

impl Plain {
    /// The files in `store`.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, limits: PlainLimits::default() }
    }

    /// Everything that a user keeps.
    pub async fn tree(&self, user: &UserId) -> Result<Tree, StoreError> {
        Ok(self.read(user).await?.0)
    }

    /// Writes a file; says whether it is new. `check` sees what is there.
    pub async fn put(
        &self,
        user: &UserId,
        path: &PlainPath,
        file: &File,
        check: &(dyn Fn(Option<&Etag>) -> bool + Sync),
    ) -> Result<bool, PlainError> {
        let put = |tree: &mut Tree, now| {
            let etag = tree.get(path).and_then(Node::etag);
            if check(etag.as_ref()) { tree.put(path, file.clone(), now) } else { Err(PlainError::ConditionFailed) }
        };
        self.change(user, put).await
    }

    /// Makes a folder.
    pub async fn make_folder(&self, user: &UserId, path: &PlainPath) -> Result<(), PlainError> {
        self.change(user, |tree, now| tree.make_folder(path, now)).await
    }

    /// Removes a file, or a folder with all that it holds. `check` sees the file that is there.
    pub async fn delete(
        &self,
        user: &UserId,
        path: &PlainPath,
        check: &(dyn Fn(Option<&Etag>) -> bool + Sync),
    ) -> Result<(), PlainError> {
        let delete = |tree: &mut Tree, _| {
            let etag = tree.get(path).and_then(Node::etag);
            if check(etag.as_ref()) { tree.remove(path) } else { Err(PlainError::ConditionFailed) }
        };
        self.change(user, delete).await
    }

    /// Copies or moves; says whether nothing was at the destination.
    pub async fn carry(&self, user: &UserId, carry: Carry<'_>) -> Result<bool, PlainError> {
        self.change(user, |tree, now| tree.carry(carry, now)).await
    }

    /// Makes all of the edits, in order, or none.
    pub async fn set_properties(
        &self,
        user: &UserId,
        path: &PlainPath,
        edits: &[PropertyEdit],
    ) -> Result<(), PlainError> {
        self.change(user, |tree, _| tree.set_properties(path, edits)).await
    }

    /// Forgets all that a user keeps.
    pub async fn clear(&self, user: &UserId) -> Result<(), StoreError> {
        let rows = self.store.scan(NODES.range(user), usize::MAX).await?;
        let mut batch = Batch::new();
        for (key, _) in rows {
            batch.delete(key);
        }
        match self.store.commit(batch).await {
            Err(CommitError::Store(error)) => Err(error),
            // Nothing was expected, so nothing can be stale.
            Ok(_) | Err(CommitError::Stale(_)) => Ok(()),
        }
    }

    async fn change<T>(
        &self,
        user: &UserId,
        change: impl Fn(&mut Tree, Timestamp) -> Result<T, PlainError>,
    ) -> Result<T, PlainError> {
        for _ in 0..ATTEMPTS {
            let (before, version) = self.read(user).await?;
            let mut after = before.clone();
            let made = change(&mut after, self.clock.now())?;
            if !after.fits(self.limits) && before.fits(self.limits) {
                return Err(PlainError::Full);
            }
            let mut batch = Batch::new();
            NODES.expect_bytes(&mut batch, &row(user, &PlainPath::default()), version);
            write_difference(&mut batch, user, &before, &after);
            match self.store.commit(batch).await {
                Ok(_) => return Ok(made),
                Err(CommitError::Stale(_)) => {}
                Err(CommitError::Store(error)) => return Err(error.into()),
            }
        }
        Err(PlainError::Stale)
    }

    /// The tree, and the root's row as it was read: every change writes it anew.
    async fn read(&self, user: &UserId) -> Result<(Tree, Option<Bytes>), StoreError> {
        let version = self.store.get(&NODES.key(&row(user, &PlainPath::default()))).await?;
        let rows = NODES.scan(&*self.store, NODES.range(user), usize::MAX).await?;
        let mut nodes: BTreeMap<PlainPath, Node> =
            rows.into_iter().map(|((_, key), node)| (path(&key), node)).collect();
        nodes.entry(PlainPath::default()).or_insert_with(|| Node::folder(Timestamp::UNIX_EPOCH));
        Ok((Tree { nodes }, version))
    }
}

fn write_difference(batch: &mut Batch, user: &UserId, before: &Tree, after: &Tree) {
    for gone in before.nodes.keys().filter(|path| !after.nodes.contains_key(path)) {
        NODES.delete(batch, &row(user, gone));
    }
    for (path, node) in &after.nodes {
        if before.nodes.get(path) != Some(node) {
            NODES.put(batch, &row(user, path), node);
        }
    }
    // The root carries a count of changes in its unused octets, so that it differs after every one of them.
    let root = PlainPath::default();
    if let Some(node) = after.nodes.get(&root) {
        let count = before.nodes.get(&root).and_then(|node| node.content_type.as_deref()?.parse::<u64>().ok());
        let next = count.unwrap_or_default().wrapping_add(1);
        let counted = Node { content_type: Some(next.to_string()), ..node.clone() };
        NODES.put(batch, &row(user, &root), &counted);
    }
}

fn row(user: &UserId, path: &PlainPath) -> (UserId, String) {
    (user.clone(), path.0.join("/"))
}

fn path(key: &str) -> PlainPath {
    PlainPath(if key.is_empty() { Vec::new() } else { key.split('/').map(str::to_owned).collect() })
}

const NODES: Table<(UserId, String), Node> = Table::new(tables::PLAIN);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::store::MemoryStore;

    fn at(text: &str) -> PlainPath {
        path(text)
    }

    fn file(text: &str) -> File {
        File { octets: Bytes::copy_from_slice(text.as_bytes()), content_type: None }
    }

    fn plain() -> (Plain, UserId) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        (Plain::new(Arc::new(MemoryStore::new()), Arc::new(clock)), UserId::parse("ana").unwrap())
    }

    const ANY: &(dyn Fn(Option<&Etag>) -> bool + Sync) = &|_| true;

    #[tokio::test]
    async fn folders_hold_what_was_put_and_go_with_it() {
        let (plain, ana) = plain();
        assert!(matches!(plain.put(&ana, &at("a/b"), &file("x"), ANY).await, Err(PlainError::ParentMissing)));
        plain.make_folder(&ana, &at("a")).await.unwrap();
        assert!(matches!(plain.make_folder(&ana, &at("a")).await, Err(PlainError::Exists)));
        assert!(plain.put(&ana, &at("a/b"), &file("x"), ANY).await.unwrap());
        assert!(!plain.put(&ana, &at("a/b"), &file("y"), ANY).await.unwrap());
        assert!(matches!(plain.put(&ana, &at("a"), &file("x"), ANY).await, Err(PlainError::IsFolder)));
        let tree = plain.tree(&ana).await.unwrap();
        assert_eq!(tree.members(&at("")).count(), 1);
        assert_eq!(tree.get(&at("a/b")).unwrap().octets.as_deref(), Some(&b"y"[..]));
        plain.delete(&ana, &at("a"), ANY).await.unwrap();
        assert!(plain.tree(&ana).await.unwrap().get(&at("a/b")).is_none());
        let bob = UserId::parse("bob").unwrap();
        assert!(plain.tree(&bob).await.unwrap().get(&at("a")).is_none());
    }

    #[tokio::test]
    async fn copies_and_moves_take_the_tree_along() {
        let (plain, ana) = plain();
        plain.make_folder(&ana, &at("a")).await.unwrap();
        plain.put(&ana, &at("a/b"), &file("x"), ANY).await.unwrap();
        plain.put(&ana, &at("ab"), &file("near"), ANY).await.unwrap();
        let carry = |kind, from, to, overwrite, deep| Carry { kind, from, to, overwrite, deep };
        let (a, c, d, inside) = (at("a"), at("c"), at("d"), at("a/x"));
        assert!(plain.carry(&ana, carry(Transfer::Copy, &a, &c, false, true)).await.unwrap());
        assert!(plain.carry(&ana, carry(Transfer::Copy, &a, &d, false, false)).await.unwrap());
        let tree = plain.tree(&ana).await.unwrap();
        assert!(tree.get(&at("c/b")).is_some() && tree.get(&at("d/b")).is_none() && tree.get(&at("a/b")).is_some());
        let refused = plain.carry(&ana, carry(Transfer::Move, &a, &c, false, true)).await;
        assert!(matches!(refused, Err(PlainError::ConditionFailed)));
        let refused = plain.carry(&ana, carry(Transfer::Move, &a, &inside, true, true)).await;
        assert!(matches!(refused, Err(PlainError::Overlap)));
        assert!(!plain.carry(&ana, carry(Transfer::Move, &a, &d, true, true)).await.unwrap());
        let tree = plain.tree(&ana).await.unwrap();
        assert!(tree.get(&a).is_none() && tree.get(&at("d/b")).is_some() && tree.get(&at("ab")).is_some());
    }

    #[tokio::test]
    async fn what_a_user_keeps_is_bounded() {
        let (mut plain, ana) = plain();
        plain.limits = PlainLimits { nodes: 3, octets: 10, depth: 2 };
        plain.put(&ana, &at("a"), &file("12345"), ANY).await.unwrap();
        assert!(matches!(plain.put(&ana, &at("b"), &file("123456"), ANY).await, Err(PlainError::Full)));
        plain.make_folder(&ana, &at("c")).await.unwrap();
        assert!(matches!(plain.make_folder(&ana, &at("d")).await, Err(PlainError::Full)));
        plain.delete(&ana, &at("a"), ANY).await.unwrap();
        plain.make_folder(&ana, &at("c/d")).await.unwrap();
    }

    #[tokio::test]
    async fn of_two_writers_at_once_none_is_lost() {
        let (plain, ana) = plain();
        let (first, second) = (at("a"), at("b"));
        let (file_one, file_two) = (file("1"), file("2"));
        let (one, other) =
            tokio::join!(plain.put(&ana, &first, &file_one, ANY), plain.put(&ana, &second, &file_two, ANY),);
        assert!(one.unwrap() && other.unwrap());
        assert_eq!(plain.tree(&ana).await.unwrap().members(&at("")).count(), 2);
    }
}
