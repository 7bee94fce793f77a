//! The laws that every store keeps, one function each; the engines are run through them in `tests/it/store.rs`.
//!
//! Each law gets a `Bench`, which opens the store under test and opens it again after closing.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Bound;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::poll;

use super::{Batch, CommitError, Expect, Key, KeyRange, Receipt, Store, TableId, dump};

const T: TableId = TableId(200);
const OTHER: TableId = TableId(201);
const LAST: TableId = TableId(255);

/// Opens the store under test: the first time an empty one, later the same one again where it is kept on disk.
pub trait Bench {
    /// The next opening.
    fn open(&self) -> Arc<dyn Store>;
    /// Whether rows outlive closing.
    fn keeps(&self) -> bool;
}

/// A row of the table that the laws use.
pub fn key(number: u64) -> Key {
    Key::new(T, &number)
}

fn bytes(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

fn put(key: Key, value: Bytes) -> Batch {
    let mut batch = Batch::new();
    batch.put(key, value);
    batch
}

fn all(table: TableId) -> KeyRange {
    KeyRange::below(&Key::new(table, &()))
}

/// What was put is there; what was deleted is not; an empty value is a value.
pub async fn a_row_is_what_was_last_written(bench: &dyn Bench) {
    let store = bench.open();
    assert_eq!(store.get(&key(1)).await.unwrap(), None);
    store.commit(put(key(1), bytes("a"))).await.unwrap();
    store.commit(put(key(2), Bytes::new())).await.unwrap();
    assert_eq!(store.get(&key(1)).await.unwrap(), Some(bytes("a")));
    assert_eq!(store.get(&key(2)).await.unwrap(), Some(Bytes::new()));
    let mut batch = Batch::new();
    batch.put(key(1), bytes("b")).delete(key(2)).put(key(3), bytes("x")).delete(key(3)).delete(key(4));
    store.commit(batch).await.unwrap();
    assert_eq!(store.scan(all(T), 10).await.unwrap(), vec![(key(1), bytes("b"))]);
    let large = Bytes::from(vec![7; 1_300_000]);
    store.commit(put(key(5), large.clone())).await.unwrap();
    assert_eq!(store.get(&key(5)).await.unwrap(), Some(large));
    store.close().await.unwrap();
}

/// A batch whose expectation fails writes nothing and names the row; expectations see the state before the batch.
pub async fn a_stale_batch_writes_nothing(bench: &dyn Bench) {
    let store = bench.open();
    store.commit(put(key(1), bytes("a"))).await.unwrap();
    let cases = [
        (key(1), Expect::Absent, false),
        (key(1), Expect::Present, true),
        (key(1), Expect::Exactly(bytes("a")), true),
        (key(1), Expect::Exactly(bytes("b")), false),
        (key(2), Expect::Absent, true),
        (key(2), Expect::Present, false),
        (key(2), Expect::Exactly(Bytes::new()), false),
    ];
    for (at, expect, holds) in cases {
        let mut batch = Batch::new();
        // The change comes first on purpose: it must not satisfy its own expectation.
        batch.put(key(9), bytes("mark")).append(key(7), key(8), bytes("x")).put(key(2), bytes("y"));
        batch.expect(key(1), Expect::Present).expect(at.clone(), expect.clone());
        match store.commit(batch).await {
            Ok(receipt) => {
                assert!(holds, "{at:?} {expect:?}");
                assert_eq!(receipt.appended.len(), 1);
                let mut undo = Batch::new();
                undo.delete(key(9)).delete(key(2));
                store.commit(undo).await.unwrap();
            }
            Err(CommitError::Stale(found)) => {
                assert!(!holds, "{at:?} {expect:?}");
                assert_eq!(found, at);
                assert_eq!(store.get(&key(9)).await.unwrap(), None);
                assert_eq!(store.get(&key(2)).await.unwrap(), None);
            }
            Err(other) => panic!("{other}"),
        }
    }
    store.close().await.unwrap();
}

/// Of many that compare and swap at once exactly one wins, and the losers can read why.
pub async fn one_of_many_swaps_wins(bench: &dyn Bench) {
    let store = bench.open();
    for round in 0..5_u64 {
        let attempts = (0..20_u64).map(|attempt| {
            let store = Arc::clone(&store);
            async move {
                let mut batch = Batch::new();
                batch.expect(key(round), Expect::Absent).put(key(round), attempt.to_be_bytes().to_vec().into());
                let outcome = store.commit(batch).await;
                if matches!(outcome, Err(CommitError::Stale(_))) {
                    assert!(store.get(&key(round)).await.unwrap().is_some(), "stale, but there is nothing to see");
                }
                outcome.is_ok()
            }
        });
        let won = join_all(attempts).await.into_iter().filter(|won| *won).count();
        assert_eq!(won, 1);
    }
    store.close().await.unwrap();
}

/// Appends never make each other stale, and their numbers have no gap and no twin, whoever makes them.
pub async fn appends_are_numbered_without_gaps(bench: &dyn Bench) {
    let store = bench.open();
    let counter = Key::new(OTHER, &String::from("changes"));
    let prefix = Key::new(T, &String::from("log"));
    let append = |by: u64| {
        let (counter, prefix) = (counter.clone(), prefix.clone());
        let store = Arc::clone(&store);
        async move {
            let mut batch = Batch::new();
            for nth in 0..=by % 3 {
                let value = Bytes::from(format!("{by}.{nth}"));
                batch.append(counter.clone(), prefix.clone(), value);
            }
            (by, store.commit(batch).await.unwrap())
        }
    };
    let receipts = join_all((0..40).map(append)).await;
    let rows = store.scan(KeyRange::below(&prefix), 1000).await.unwrap();
    let mut expected = BTreeMap::new();
    for (by, Receipt { appended }) in receipts {
        for (nth, number) in appended.into_iter().enumerate() {
            let twin = expected.insert(number, Bytes::from(format!("{by}.{nth}")));
            assert_eq!(twin, None, "number {number} was given out twice");
        }
    }
    assert_eq!(expected.keys().copied().collect::<Vec<_>>(), (1..=expected.len() as u64).collect::<Vec<_>>());
    let expected: Vec<_> = expected.into_iter().map(|(number, value)| (prefix.numbered(number), value)).collect();
    assert_eq!(rows, expected);
    store.close().await.unwrap();
}

/// Scans give the rows of their range and no others, in order, up to the limit, from both ends.
pub async fn scans_keep_to_range_order_and_limit(bench: &dyn Bench) {
    let store = bench.open();
    let mut batch = Batch::new();
    for n in 0..10 {
        batch.put(key(n), n.to_be_bytes().to_vec().into());
        batch.put(Key::new(OTHER, &n), bytes("other"));
        batch.put(Key::new(LAST, &n), bytes("last"));
    }
    store.commit(batch).await.unwrap();
    let numbers = |rows: Vec<(Key, Bytes)>| -> Vec<u64> {
        rows.iter().map(|(_, value)| u64::from_be_bytes(value.as_ref().try_into().unwrap())).collect()
    };
    let range = KeyRange { start: key(3), end: key(7) };
    assert_eq!(numbers(store.scan(range.clone(), 100).await.unwrap()), [3, 4, 5, 6]);
    assert_eq!(numbers(store.scan_back(range.clone(), 100).await.unwrap()), [6, 5, 4, 3]);
    assert_eq!(numbers(store.scan(range.clone(), 2).await.unwrap()), [3, 4]);
    assert_eq!(numbers(store.scan_back(range.clone(), 2).await.unwrap()), [6, 5]);
    assert_eq!(numbers(store.scan(range.clone(), 0).await.unwrap()), Vec::<u64>::new());
    assert_eq!(numbers(store.scan(range.clone().after(&key(4)), 9).await.unwrap()), [5, 6]);
    assert_eq!(numbers(store.scan_back(range.clone().before(&key(4)), 9).await.unwrap()), [3]);
    assert_eq!(numbers(store.scan(range.after(&key(6)), 9).await.unwrap()), Vec::<u64>::new());
    for empty in [KeyRange { start: key(5), end: key(5) }, KeyRange { start: key(6), end: key(2) }] {
        assert_eq!(store.scan(empty.clone(), 9).await.unwrap(), vec![]);
        assert_eq!(store.scan_back(empty, 9).await.unwrap(), vec![]);
    }
    assert_eq!(store.scan(all(T), 100).await.unwrap().len(), 10);
    assert_eq!(store.scan(all(LAST), 100).await.unwrap().len(), 10);
    store.close().await.unwrap();
}

/// A scan shows every batch whole or not at all, also while others commit.
pub async fn a_scan_sees_one_moment(bench: &dyn Bench) {
    let store = bench.open();
    let write = |value: u64| {
        let mut batch = Batch::new();
        for n in 0..20 {
            batch.put(key(n), value.to_be_bytes().to_vec().into());
        }
        batch
    };
    store.commit(write(0)).await.unwrap();
    let writing = async {
        for value in 1..40 {
            store.commit(write(value)).await.unwrap();
        }
    };
    let reading = async {
        for n in 0..40 {
            let rows = if n % 2 == 0 { store.scan(all(T), 100).await } else { store.scan_back(all(T), 100).await };
            let rows = rows.unwrap();
            assert_eq!(rows.len(), 20);
            assert!(rows.iter().all(|(_, value)| *value == rows[0].1), "a torn batch");
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(writing, reading);
    store.close().await.unwrap();
}

/// A wake taken before a commit to its table resolves, however much later it waits; other tables do not wake it.
pub async fn a_wake_misses_nothing(bench: &dyn Bench) {
    let store = bench.open();
    let mut wake = store.changed(T);
    let mut other = store.changed(OTHER);
    store.commit(put(key(1), bytes("a"))).await.unwrap();
    store.commit(put(key(1), bytes("b"))).await.unwrap();
    wake.wait().await;
    assert!(is_pending(wake.wait()).await, "two commits are one wake");
    assert!(is_pending(other.wait()).await, "another table");
    let mut stale = put(key(1), bytes("c"));
    stale.expect(key(1), Expect::Absent);
    store.commit(stale).await.unwrap_err();
    assert!(is_pending(wake.wait()).await, "nothing was written");
    let waiting = async {
        wake.wait().await;
        store.get(&key(1)).await.unwrap()
    };
    let (seen, committed) = tokio::join!(waiting, store.commit(put(key(1), bytes("d"))));
    committed.unwrap();
    assert_eq!(seen, Some(bytes("d")), "awake, but the change is not to be seen");
    store.close().await.unwrap();
}

async fn is_pending(wait: impl Future<Output = ()>) -> bool {
    poll!(pin!(wait)).is_pending()
}

/// After closing everything fails as closed; opening again shows the same rows and the same epoch.
pub async fn closing_ends_and_keeps(bench: &dyn Bench) {
    let store = bench.open();
    let epoch = store.epoch().to_owned();
    store.commit(put(key(1), bytes("a"))).await.unwrap();
    store.close().await.unwrap();
    assert!(store.get(&key(1)).await.unwrap_err().is_closed());
    assert!(store.scan(all(T), 1).await.unwrap_err().is_closed());
    match store.commit(put(key(2), bytes("b"))).await {
        Err(CommitError::Store(error)) => assert!(error.is_closed()),
        other => panic!("{other:?}"),
    }
    store.close().await.unwrap();
    if bench.keeps() {
        let again = bench.open();
        assert_eq!(again.epoch(), epoch);
        assert_eq!(again.scan(all(T), 10).await.unwrap(), vec![(key(1), bytes("a"))]);
        again.close().await.unwrap();
    }
}

/// A dump loads into another store as it was, and never when it was cut or altered.
pub async fn a_dump_is_all_or_refused(bench: &dyn Bench) {
    let store = bench.open();
    let mut batch = Batch::new();
    for n in 0..700 {
        batch.put(key(n), vec![u8::try_from(n % 251).unwrap(); 30].into()).put(Key::new(LAST, &n), Bytes::new());
    }
    store.commit(batch).await.unwrap();
    let mut file = Vec::new();
    let summary = dump::dump(store.as_ref(), &mut file).await.unwrap();
    assert_eq!((summary.rows, summary.epoch.as_str()), (1400, store.epoch()));

    let copy = super::MemoryStore::new();
    assert_eq!(dump::load(&mut std::io::Cursor::new(&file), &copy).await.unwrap(), summary);
    for table in [T, LAST] {
        assert_eq!(copy.scan(all(table), 9999).await.unwrap(), store.scan(all(table), 9999).await.unwrap());
    }
    let twice = dump::load(&mut std::io::Cursor::new(&file), &copy).await;
    assert!(matches!(twice, Err(dump::DumpError::NotEmpty)));

    for damage in 0..200 {
        let mut bad = file.clone();
        let at = damage * file.len() / 200;
        match damage % 3 {
            0 => bad.truncate(at),
            1 => bad[at] ^= 1 << (damage % 8),
            _ => bad.push(0),
        }
        let empty = super::MemoryStore::new();
        dump::load(&mut std::io::Cursor::new(&bad), &empty).await.unwrap_err();
        assert_eq!(empty.scan(all(T), 1).await.unwrap(), vec![], "something of a bad file was loaded");
    }
    store.close().await.unwrap();
}

/// One step of a random history.
#[derive(Clone, Debug)]
pub enum Op {
    /// Commits a batch of writes, with one expectation that may fail.
    Commit(Vec<Change>, Option<(u8, Guess)>),
    /// Reads a stretch of rows.
    Scan(u8, u8, usize, bool),
    /// Closes and opens again.
    Restart,
}

/// One write of a batch.
#[derive(Clone, Debug)]
pub enum Change {
    /// Put this many octets of this.
    Put(u8, u8, u16),
    /// Delete.
    Delete(u8),
    /// Append below a counter.
    Append(u8),
}

/// What a batch expects.
#[derive(Clone, Debug)]
pub enum Guess {
    /// No row.
    Absent,
    /// Some row.
    Present,
    /// What the model holds.
    Right,
    /// Something else.
    Wrong,
}

fn row(n: u8) -> Key {
    // Keys of different lengths that are prefixes of one another.
    let length = usize::from(n % 5) + 1;
    Key::from_bytes([vec![T.0], vec![n / 5; length]].concat()).unwrap()
}

fn counter(n: u8) -> Key {
    Key::new(OTHER, &n)
}

fn log(n: u8) -> Key {
    Key::new(LAST, &n)
}

/// Every history gives the same answers as a sorted map.
pub async fn every_history_is_that_of_a_map(bench: &dyn Bench, history: &[Op]) {
    let mut store = bench.open();
    let mut model = BTreeMap::<Key, Bytes>::new();
    for op in history {
        match op {
            Op::Commit(changes, guess) => commit_both(&*store, &mut model, changes, guess.as_ref()).await,
            Op::Scan(from, to, limit, back) => {
                let range = KeyRange { start: row(*from), end: row(*to) };
                let inside = (Bound::Included(range.start.clone()), Bound::Excluded(range.end.clone()));
                // A map panics on a range that ends before it starts.
                let rows = (!range.is_empty()).then(|| model.range(inside)).into_iter().flatten();
                let mut expected: Vec<_> = rows.map(|(key, value)| (key.clone(), value.clone())).collect();
                if *back {
                    expected.reverse();
                }
                expected.truncate(*limit);
                let found = if *back { store.scan_back(range, *limit) } else { store.scan(range, *limit) };
                assert_eq!(found.await.unwrap(), expected);
            }
            Op::Restart if bench.keeps() => {
                store.close().await.unwrap();
                store = bench.open();
            }
            Op::Restart => {}
        }
    }
    for table in [T, OTHER, LAST] {
        let expected: Vec<_> = model.clone().into_iter().filter(|(key, _)| key.table() == table).collect();
        assert_eq!(store.scan(all(table), usize::MAX).await.unwrap(), expected);
    }
    store.close().await.unwrap();
}

async fn commit_both(
    store: &dyn Store,
    model: &mut BTreeMap<Key, Bytes>,
    changes: &[Change],
    guess: Option<&(u8, Guess)>,
) {
    let mut batch = Batch::new();
    let mut stale = false;
    if let Some((n, guess)) = guess {
        let found = model.get(&row(*n));
        let expect = match (guess, found) {
            (Guess::Absent, _) | (Guess::Right, None) => Expect::Absent,
            (Guess::Present, _) => Expect::Present,
            (Guess::Right, Some(value)) => Expect::Exactly(value.clone()),
            (Guess::Wrong, _) => Expect::Exactly(bytes("never written")),
        };
        stale = match &expect {
            Expect::Absent => found.is_some(),
            Expect::Present => found.is_none(),
            Expect::Exactly(value) => found != Some(value),
        };
        batch.expect(row(*n), expect);
    }
    let mut after = model.clone();
    let mut appended = Vec::new();
    for change in changes {
        match change {
            Change::Put(n, octet, length) => {
                let value = Bytes::from(vec![*octet; usize::from(*length)]);
                after.insert(row(*n), value.clone());
                batch.put(row(*n), value);
            }
            Change::Delete(n) => {
                after.remove(&row(*n));
                batch.delete(row(*n));
            }
            Change::Append(n) => {
                let old = after.get(&counter(*n)).map_or(0, |old| u64::from_be_bytes(old.as_ref().try_into().unwrap()));
                let number = old + 1;
                after.insert(counter(*n), number.to_be_bytes().to_vec().into());
                after.insert(log(*n).numbered(number), bytes("entry"));
                batch.append(counter(*n), log(*n), bytes("entry"));
                appended.push(number);
            }
        }
    }
    match store.commit(batch).await {
        Ok(receipt) => {
            assert!(!stale);
            assert_eq!(receipt.appended, appended);
            *model = after;
        }
        Err(CommitError::Stale(at)) => {
            assert!(stale);
            assert_eq!(Some(at), guess.map(|(n, _)| row(*n)));
        }
        Err(other) => panic!("{other}"),
    }
}
