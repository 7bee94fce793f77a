//! What a disk engine must be able to do, and what is the same for all: the frame around each value.
//!
//! A stored value is `CRC-32C of key and value (4) | value`, checked at every read: of the engines, some hand back
//! damaged bytes without a word. With the key under the sum, a value that turns up at another key is found too.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;

use super::{Key, KeyRange, StoreError, TableId};

/// The rows that a group of batches leaves: `None` where one was taken away.
pub(super) type Rows = BTreeMap<Key, Option<Bytes>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ascending,
    Descending,
}

/// An embedded engine over one folder. All calls block; values are framed above it.
pub(super) trait Engine: fmt::Debug + Send + Sync + Sized + 'static {
    /// The folder's name, and the word in `storage.engine`.
    const NAME: &'static str;

    /// Opens, or makes, the files in `folder`.
    fn open(folder: &Path, cache: u64) -> Result<Self, StoreError>;

    /// Whether opening needs the file `name`. One that is only a shortcut may be dropped in a repair.
    fn needs(name: &str) -> bool;

    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError>;

    /// Rows of one moment.
    fn scan(&self, range: &KeyRange, limit: usize, direction: Direction) -> Result<Vec<(Key, Bytes)>, StoreError>;

    /// All rows of `range` at one moment, in pages, until `page` says stop.
    fn walk(&self, range: &KeyRange, page: &mut dyn FnMut(Vec<(Key, Bytes)>) -> bool) -> Result<(), StoreError>;

    /// What `get` will say when all that was applied is synced. Asked by the thread that applies.
    fn latest(&self, key: &Key) -> Result<Option<Bytes>, StoreError>;

    /// Takes in rows, of which a crash leaves all or nothing. Readers do not see them before `sync`. Called by one
    /// thread only.
    fn apply(&self, rows: Rows) -> Result<(), StoreError>;

    /// Makes durable, and then lets readers see, all that was applied before the call. Called by one thread only,
    /// beside which another may apply. After an error here or in `apply` the engine must be opened anew.
    fn sync(&self) -> Result<(), StoreError>;

    /// Applies and syncs.
    fn write(&self, rows: Rows) -> Result<(), StoreError> {
        self.apply(rows)?;
        self.sync()
    }
}

/// Engines panic on files that they do not understand; that ends here.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        let words = words(panic.as_ref());
        Err(StoreError::corrupt(format!("the storage engine gave up on its files ({words})")))
    })
}

fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}

fn sum(key: &Key, value: &[u8]) -> [u8; 4] {
    crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), value).to_be_bytes()
}

pub(super) fn frame(key: &Key, value: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(4 + value.len());
    framed.extend_from_slice(&sum(key, value));
    framed.extend_from_slice(value);
    framed
}

pub(super) fn unframe(key: &Key, framed: &Bytes) -> Result<Bytes, StoreError> {
    match framed.split_first_chunk::<4>() {
        Some((found, value)) if *found == sum(key, value) => Ok(framed.slice(4..)),
        _ => Err(StoreError::damaged(key.table())),
    }
}

/// A key as the engine gave it back. None of ours is empty.
pub(super) fn key(bytes: Bytes) -> Result<Key, StoreError> {
    Key::from_bytes(bytes).ok_or_else(|| StoreError::damaged(TableId(0)))
}

/// Rows as a range of an engine's tree must give them: within it, each once, one after the other. A damaged inner page can
/// lead a walk in a circle, which would have no end.
pub(super) fn in_order(
    rows: Vec<(Key, Bytes)>,
    range: &KeyRange,
    direction: Direction,
) -> Result<Vec<(Key, Bytes)>, StoreError> {
    let keys = || rows.iter().map(|(key, _)| key);
    let is_ordered = keys().zip(keys().skip(1)).all(|(one, next)| match direction {
        Direction::Ascending => one < next,
        Direction::Descending => one > next,
    });
    if is_ordered && keys().all(|key| range.start <= *key && *key < range.end) {
        return Ok(rows);
    }
    Err(StoreError::corrupt("the order of the rows is broken".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_finds_a_changed_bit_a_cut_and_a_value_at_another_key() {
        let at = |n: u64| Key::new(TableId(9), &n);
        let framed = frame(&at(1), b"value");
        assert_eq!(unframe(&at(1), &framed.clone().into()).unwrap(), "value");
        assert!(unframe(&at(2), &framed.clone().into()).unwrap_err().is_damaged());
        assert!(unframe(&at(1), &Bytes::from_static(b"abc")).unwrap_err().is_damaged());
        for bit in 0..framed.len() * 8 {
            let mut bad = framed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(unframe(&at(1), &bad.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_panic_becomes_an_error() {
        let error = guarded::<()>(|| panic!("on purpose")).unwrap_err();
        assert!(error.is_damaged());
    }

    #[test]
    fn rows_in_a_circle_are_damage() {
        let range = KeyRange::below(&Key::new(TableId(9), &()));
        let rows = |numbers: &[u64]| -> Vec<(Key, Bytes)> {
            numbers.iter().map(|n| (Key::new(TableId(9), n), Bytes::new())).collect()
        };
        assert!(in_order(rows(&[1, 2, 5]), &range, Direction::Ascending).is_ok());
        assert!(in_order(rows(&[5, 2]), &range, Direction::Descending).is_ok());
        for circle in [&[1, 2, 1][..], &[1, 1], &[2, 1]] {
            assert!(in_order(rows(circle), &range, Direction::Ascending).unwrap_err().is_damaged());
        }
        let foreign = vec![(Key::new(TableId(8), &1_u64), Bytes::new())];
        assert!(in_order(foreign, &range, Direction::Ascending).is_err());
    }

    fn unseen_until_synced<E: Engine>() {
        let folder = tempfile::tempdir().unwrap();
        let engine = E::open(folder.path(), 1 << 20).unwrap();
        let at = |n: u64| Key::new(TableId(9), &n);
        let row = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
        engine.write(Rows::from([(at(1), row("a")), (at(2), row("b"))])).unwrap();
        engine.apply(Rows::from([(at(1), row("c")), (at(3), row("d"))])).unwrap();
        engine.apply(Rows::from([(at(1), None), (at(2), None), (at(3), row("e")), (at(4), row("f"))])).unwrap();
        let all = KeyRange::below(&Key::new(TableId(9), &()));
        let seen = |limit, direction| {
            let rows = engine.scan(&all, limit, direction).unwrap();
            rows.into_iter().map(|(_, value)| String::from_utf8(value.to_vec()).unwrap()).collect::<String>()
        };
        assert_eq!([1, 2, 3, 4].map(|n| engine.get(&at(n)).unwrap()), [row("a"), row("b"), None, None]);
        assert_eq!([1, 2, 3, 4].map(|n| engine.latest(&at(n)).unwrap()), [None, None, row("e"), row("f")]);
        assert_eq!((seen(9, Direction::Ascending), seen(1, Direction::Descending)), ("ab".to_owned(), "b".to_owned()));
        engine.sync().unwrap();
        assert_eq!([1, 2, 3, 4].map(|n| engine.get(&at(n)).unwrap()), [None, None, row("e"), row("f")]);
        assert_eq!((seen(9, Direction::Ascending), seen(1, Direction::Descending)), ("ef".to_owned(), "f".to_owned()));
    }

    #[test]
    fn readers_see_what_is_synced_and_the_writer_what_is_applied() {
        unseen_until_synced::<super::super::sled::Sled>();
        unseen_until_synced::<super::super::redb::Redb>();
    }
}
