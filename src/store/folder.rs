//! The store's folder: its lock, its making, its repair, and the checks before anything trusts it.
//!
//! ```text
//! <path>/lock                    held while a process has the store
//! <path>/<engine>/               the engine's files, and
//! <path>/<engine>/acknowledged   how many commits were acknowledged at least
//! <path>/<engine>.new/           a store being made; never used
//! <path>/<engine>.repairing/     a repair under way; never used
//! <path>/<engine>.repaired/      a finished repair, about to take its place
//! <path>/<engine>.corrupt-<ts>/  damaged files, as they were found
//! ```
//!
//! A folder gets its final name only with a whole store in it. So a store without its own rows, or with fewer
//! commits than were acknowledged, is damaged and never new; and an empty store never takes the place of one.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::disk::verify;
use super::engine::{self, Engine, Rows, guarded};
use super::{Key, KeyRange, OpenError, StoreError, TableId, batch};

/// The layout of rows that this program writes. A newer one is refused.
pub(super) const SCHEMA: u32 = 1;
const MARK: &str = "acknowledged";
const RESTORE: &str = "restore the last backup with `lineartime restore`; the damaged files are left as they are";

/// The store's own rows.
pub(super) mod own {
    use bytes::Bytes;

    use crate::store::{Key, tables};

    pub(in crate::store) fn key(name: &str) -> Key {
        Key::new(tables::OWN, &name.to_owned())
    }

    pub(in crate::store) fn schema(version: u32) -> (Key, Bytes) {
        (key("schema"), Bytes::copy_from_slice(&version.to_be_bytes()))
    }

    pub(in crate::store) fn epoch(epoch: &str) -> (Key, Bytes) {
        (key("epoch"), Bytes::copy_from_slice(epoch.as_bytes()))
    }

    pub(in crate::store) fn commits(number: u64) -> (Key, Bytes) {
        (key("commits"), Bytes::copy_from_slice(&number.to_be_bytes()))
    }
}

/// All rows of all tables.
pub(super) fn everything() -> KeyRange {
    let first = Key::new(TableId(0), &());
    let end = KeyRange::below(&Key::new(TableId(u8::MAX), &())).end;
    KeyRange { start: first, end }
}

/// An opened store, with all that must be kept while it is open.
#[derive(Debug)]
pub(super) struct Home<E> {
    pub(super) engine: E,
    pub(super) epoch: String,
    pub(super) folder: PathBuf,
    pub(super) commits: u64,
    pub(super) mark: Mark,
    pub(super) lock: File,
}

/// How many commits were acknowledged at least: noted after each sync, and compared at the next opening.
#[derive(Debug)]
pub(super) struct Mark(File);

impl Mark {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        options.open(folder.join(MARK)).map(Self)
    }

    pub(super) fn set(&mut self, commits: u64) -> io::Result<()> {
        use std::io::{Seek as _, Write as _};
        let number = commits.to_be_bytes();
        let mut bytes = [number.as_slice(), &crc32c::crc32c(&number).to_be_bytes()].concat();
        bytes.push(b'\n');
        self.0.rewind()?;
        self.0.write_all(&bytes)
    }

    /// `None` when nothing readable was noted: then nothing can be compared.
    fn read(folder: &Path) -> Option<u64> {
        let bytes = fs::read(folder.join(MARK)).ok()?;
        let (number, rest) = bytes.split_first_chunk::<8>()?;
        let (sum, _) = rest.split_first_chunk::<4>()?;
        (crc32c::crc32c(number).to_be_bytes() == *sum).then(|| u64::from_be_bytes(*number))
    }
}

/// Why files do not make a store.
#[derive(Debug)]
enum Trouble {
    Store(StoreError),
    Newer(u32),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Trouble {
    fn damage(what: impl Into<String>) -> Self {
        Self::Store(StoreError::corrupt(what))
    }

    fn into_error(self, path: &Path) -> OpenError {
        let path = path.to_owned();
        match self {
            Self::Newer(found) => OpenError::Newer { path, found, known: SCHEMA },
            Self::Store(error) if error.is_locked() => OpenError::InUse { path },
            Self::Store(error) if error.is_full() => OpenError::Full { path },
            Self::Store(error) if error.is_damaged() => {
                OpenError::Damaged { path, what: in_words(&error), way_out: RESTORE.into() }
            }
            Self::Store(error) => OpenError::Failed { path, reason: in_words(&error) },
        }
    }
}

pub(super) fn in_words(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error} ({source})"),
        None => error.to_string(),
    }
}

/// What to open, and how.
#[derive(Debug)]
pub(super) struct Opening<'a> {
    pub(super) path: &'a Path,
    pub(super) cache: u64,
    pub(super) now: Timestamp,
    /// Makes a store with this epoch if there is none; without it, there must be one.
    pub(super) make: Option<String>,
    /// Read every row, not only what opening reads.
    pub(super) thorough: bool,
}

/// Opens the folder, with a repair if one is needed and possible; says what was repaired.
pub(super) fn open<E: Engine>(opening: &Opening<'_>) -> Result<(Home<E>, Option<String>), OpenError> {
    let path = opening.path;
    let lock = claim(path)?;
    let home = path.join(E::NAME);
    settle::<E>(opening, &home)?;
    let (opened, repaired) = match check::<E>(&home, opening.cache, opening.thorough) {
        Err(Trouble::Store(error)) if error.is_damaged() => {
            let repaired = repair::<E>(opening, &home, &error)?;
            let opened = check::<E>(&home, opening.cache, false).map_err(|trouble| trouble.into_error(path))?;
            (opened, Some(repaired))
        }
        other => (other.map_err(|trouble| trouble.into_error(path))?, None),
    };
    let mut mark = Mark::open(&home).map_err(|error| unwritable(path, &error))?;
    mark.set(opened.commits).map_err(|error| unwritable(path, &error))?;
    let Opened { engine, epoch, commits } = opened;
    Ok((Home { engine, epoch, folder: home, commits, mark, lock }, repaired))
}

/// Makes the folder if need be, and takes its lock.
pub(super) fn claim(path: &Path) -> Result<File, OpenError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).map_err(|error| unwritable(path, &error))?;
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    let lock = options.open(path.join("lock")).map_err(|error| unwritable(path, &error))?;
    for tries_left in (0..LOCK_TRIES).rev() {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if tries_left > 0 => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::WouldBlock) => break,
            Err(TryLockError::Error(error)) => return Err(unwritable(path, &error)),
        }
    }
    Err(OpenError::InUse { path: path.to_owned() })
}

/// An owner that is just ending, or a program that is just being started and has inherited the lock until it runs, is
/// waited for: a second in all.
const LOCK_TRIES: u32 = 50;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

fn unwritable(path: &Path, error: &io::Error) -> OpenError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => OpenError::Full { path: path.to_owned() },
        _ => OpenError::Unwritable { path: path.to_owned(), reason: error.to_string() },
    }
}

/// Clears what an interrupted making or repair left, and makes the store if there is none and may be one.
fn settle<E: Engine>(opening: &Opening<'_>, home: &Path) -> Result<(), OpenError> {
    let path = opening.path;
    let failed = |error: &io::Error| unwritable(path, error);
    for leftover in ["new", "repairing"] {
        remove(&path.join(format!("{}.{leftover}", E::NAME))).map_err(|error| failed(&error))?;
    }
    if home.exists() {
        return Ok(());
    }
    let repaired = path.join(format!("{}.repaired", E::NAME));
    if repaired.exists() {
        return replace(&repaired, home).map_err(|error| failed(&error));
    }
    let entries = fs::read_dir(path).map_err(|error| failed(&error))?;
    for entry in entries {
        let name = entry.map_err(|error| failed(&error))?.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(&format!("{}.corrupt-", E::NAME)) {
            return Err(OpenError::Damaged {
                path: path.to_owned(),
                what: format!("only {name} is there, the files of a damaged store that were moved aside"),
                way_out: format!("{RESTORE}; to start with an empty store, move {name} out of the folder"),
            });
        }
        if let Some(found) = ["sled", "redb"].into_iter().find(|other| *other == name) {
            return Err(OpenError::OtherEngine { path: path.to_owned(), found });
        }
    }
    let Some(epoch) = &opening.make else {
        return Err(OpenError::Failed { path: path.to_owned(), reason: "there is no store here yet".into() });
    };
    make::<E>(opening, home, epoch).map_err(|trouble| trouble.into_error(path))
}

fn make<E: Engine>(opening: &Opening<'_>, home: &Path, epoch: &str) -> Result<(), Trouble> {
    let draft = home.with_extension("new");
    fs::create_dir(&draft)?;
    let engine = guarded(|| E::open(&draft, opening.cache))?;
    let rows: Rows = [own::schema(SCHEMA), own::epoch(epoch), own::commits(0)]
        .into_iter()
        .map(|(key, value)| (key.clone(), Some(engine::frame(&key, &value).into())))
        .collect();
    guarded(|| engine.write(rows))?;
    drop(engine);
    Mark::open(&draft)?.set(0)?;
    sync_tree(&draft)?;
    Ok(replace(&draft, home)?)
}

struct Opened<E> {
    engine: E,
    epoch: String,
    commits: u64,
}

/// Opens the engine and makes sure that it holds what it should.
fn check<E: Engine>(home: &Path, cache: u64, thorough: bool) -> Result<Opened<E>, Trouble> {
    // An engine would make anew what is missing, so what must be there is looked for first.
    if !fs::read_dir(home)?.any(|entry| entry.is_ok_and(|entry| is_essential::<E>(&entry))) {
        return Err(Trouble::damage("the engine's files are missing or empty"));
    }
    let engine = guarded(|| E::open(home, cache))?;
    let schema =
        read_own(&engine, "schema")?.and_then(|bytes| Some(u32::from_be_bytes(bytes.as_ref().try_into().ok()?)));
    match schema {
        Some(SCHEMA) => {}
        Some(newer) if newer > SCHEMA => return Err(Trouble::Newer(newer)),
        _ => return Err(Trouble::damage("the files open, but what every store begins with is not in them")),
    }
    let epoch = read_own(&engine, "epoch")?.and_then(|bytes| String::from_utf8(bytes.to_vec()).ok());
    let epoch = epoch.ok_or_else(|| Trouble::damage("the store's epoch is missing"))?;
    let commits = commits(&engine)?;
    if let Some(acknowledged) = Mark::read(home).filter(|acknowledged| *acknowledged > commits) {
        let lost = acknowledged - commits;
        return Err(Trouble::damage(format!("the last {lost} acknowledged changes are missing")));
    }
    if thorough && let Some(damage) = verify(&engine)?.damage() {
        return Err(Trouble::damage(damage));
    }
    Ok(Opened { engine, epoch, commits })
}

fn is_essential<E: Engine>(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let is_ours = name == MARK || !E::needs(&name.to_string_lossy());
    !is_ours && entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 0) && name != "conf"
}

pub(super) fn read_own<E: Engine>(engine: &E, name: &str) -> Result<Option<Bytes>, StoreError> {
    let key = own::key(name);
    let framed = guarded(|| engine.get(&key))?;
    framed.map(|framed| engine::unframe(&key, &framed)).transpose()
}

/// How many commits the store holds.
pub(super) fn commits<E: Engine>(engine: &E) -> Result<u64, StoreError> {
    let number = read_own(engine, "commits")?.and_then(|bytes| batch::number(&bytes));
    number.ok_or_else(|| StoreError::corrupt("the number of commits is missing"))
}

/// Tries without the files that the engine can do without, on a copy, and checks every row of the result.
/// Only a whole store takes the place of the damaged files, which are kept beside it.
fn repair<E: Engine>(opening: &Opening<'_>, home: &Path, error: &StoreError) -> Result<String, OpenError> {
    let path = opening.path;
    let damaged = || Trouble::Store(error.clone()).into_error(path);
    let dropped = dispensable::<E>(home);
    if dropped.is_empty() {
        return Err(damaged());
    }
    tracing::error!(error = %error, reason = ?error, "the store is damaged; trying to repair a copy of it");
    let copy = home.with_extension("repairing");
    let mended = copy_tree::<E>(home, &copy).map_err(Trouble::from).and_then(|()| {
        let opened = check::<E>(&copy, opening.cache, true)?;
        drop(opened);
        Ok(sync_tree(&copy)?)
    });
    if let Err(trouble) = mended {
        tracing::error!(trouble = ?trouble, "the store could not be repaired; its files are left as they are");
        // What is left of the copy is removed at the next opening, too.
        let _left = remove(&copy).is_err();
        return Err(match trouble {
            Trouble::Store(error) if error.is_full() => OpenError::Full { path: path.to_owned() },
            _ => damaged(),
        });
    }
    let aside = home.with_extension(format!("corrupt-{}", opening.now.strftime("%Y%m%dT%H%M%SZ")));
    let repaired = home.with_extension("repaired");
    let exchanged =
        replace(&copy, &repaired).and_then(|()| replace(home, &aside)).and_then(|()| replace(&repaired, home));
    exchanged.map_err(|error| unwritable(path, &error))?;
    let what = format!(
        "{error}; it was recovered whole without {}, and the damaged files are kept in {}",
        dropped.join(", "),
        aside.display()
    );
    tracing::error!(what, "the store was repaired");
    Ok(what)
}

fn dispensable<E: Engine>(home: &Path) -> Vec<String> {
    let entries = fs::read_dir(home).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| !E::needs(name)).collect()
}

pub(super) fn copy_tree<E: Engine>(from: &Path, to: &Path) -> io::Result<()> {
    remove(to)?;
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            copy_tree::<E>(&entry.path(), &to.join(&name))?;
        } else if E::needs(&name.to_string_lossy()) {
            fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

pub(super) fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

/// Renames, durably.
pub(super) fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    File::open(to.parent().unwrap_or(Path::new(".")))?.sync_all()
}

pub(super) fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Octets in all files below `folder`.
pub(super) fn size(folder: &Path) -> io::Result<u64> {
    let mut octets = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        octets += if metadata.is_dir() { size(&entry.path())? } else { metadata.len() };
    }
    Ok(octets)
}

/// Free octets for us on the disk of `folder`, where that can be asked.
#[cfg(unix)]
pub fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
pub fn free(_: &Path) -> Option<u64> {
    None
}
