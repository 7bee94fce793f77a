//! The writer over an engine whose syncs can be held up and made to fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::task::JoinHandle;

use crate::store::disk::Disk;
use crate::store::engine::{self, Direction, Engine, Rows};
use crate::store::folder::{Home, Mark, own};
use crate::store::{Batch, CommitError, Expect, Key, KeyRange, Receipt, Store, StoreError, TableId};

/// Every opened disk of these tests, by its folder.
static DISKS: Mutex<BTreeMap<PathBuf, Arc<Platter>>> = Mutex::new(BTreeMap::new());

#[derive(Debug, Default)]
struct Platter {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    durable: Rows,
    held: bool,
    failing: bool,
    applied: usize,
    syncs: usize,
}

impl Platter {
    fn at(folder: &Path) -> Arc<Self> {
        Arc::clone(DISKS.lock().unwrap().entry(folder.to_owned()).or_default())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.moved.notify_all();
    }

    fn wait(&self, until: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        self.moved.wait_while(self.state.lock().unwrap(), |state| !until(state)).unwrap()
    }
}

#[derive(Debug)]
struct Slow {
    platter: Arc<Platter>,
    applied: Mutex<Rows>,
}

impl Engine for Slow {
    const NAME: &'static str = "slow";

    fn open(folder: &Path, _: u64) -> Result<Self, StoreError> {
        Ok(Self { platter: Platter::at(folder), applied: Mutex::default() })
    }

    fn needs(_: &str) -> bool {
        true
    }

    fn get(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        Ok(self.platter.state.lock().unwrap().durable.get(key).cloned().flatten())
    }

    fn scan(&self, _: &KeyRange, _: usize, _: Direction) -> Result<Vec<(Key, Bytes)>, StoreError> {
        Ok(Vec::new())
    }

    fn walk(&self, _: &KeyRange, _: &mut dyn FnMut(Vec<(Key, Bytes)>) -> bool) -> Result<(), StoreError> {
        Ok(())
    }

    fn latest(&self, key: &Key) -> Result<Option<Bytes>, StoreError> {
        let applied = self.applied.lock().unwrap().get(key).cloned();
        applied.map_or_else(|| self.get(key), Ok)
    }

    fn apply(&self, rows: Rows) -> Result<(), StoreError> {
        self.applied.lock().unwrap().extend(rows);
        self.platter.change(|state| state.applied += 1);
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        let rows = self.applied.lock().unwrap().clone();
        self.platter.change(|state| state.syncs += 1);
        let mut state = self.platter.wait(|state| !state.held);
        if state.failing {
            return Err(StoreError::failed("the disk is gone"));
        }
        state.durable.extend(rows);
        Ok(())
    }
}

struct World {
    _folder: tempfile::TempDir,
    platter: Arc<Platter>,
    store: Arc<Disk<Slow>>,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let engine = Slow::open(folder.path(), 0).unwrap();
    let (key, value) = own::commits(0);
    engine.write(Rows::from([(key.clone(), Some(engine::frame(&key, &value).into()))])).unwrap();
    let platter = Platter::at(folder.path());
    platter.change(|state| (state.applied, state.syncs) = (0, 0));
    let mark = Mark::open(folder.path()).unwrap();
    let lock = std::fs::File::create(folder.path().join("lock")).unwrap();
    let home = Home { engine, epoch: "e".to_owned(), folder: folder.path().to_owned(), commits: 0, mark, lock };
    let store = Arc::new(Disk::start(home, 0, None).unwrap());
    World { _folder: folder, platter, store }
}

impl World {
    async fn commit(&self, batch: Batch) -> JoinHandle<Result<Receipt, CommitError>> {
        let store = Arc::clone(&self.store);
        let asked = tokio::spawn(async move { store.commit(batch).await });
        // Once it has had its turn, it is in the writer's queue.
        tokio::task::yield_now().await;
        asked
    }
}

fn key(number: u64) -> Key {
    Key::new(TableId(200), &number)
}

fn put(number: u64, expect: Expect) -> Batch {
    let mut batch = Batch::new();
    batch.expect(key(number), expect).put(key(number), Bytes::from_static(b"v"));
    batch
}

#[tokio::test]
async fn what_comes_in_during_a_sync_is_applied_meanwhile_and_shares_the_next_one() {
    let world = world();
    world.platter.change(|state| state.held = true);
    let first = world.commit(put(1, Expect::Absent)).await;
    drop(world.platter.wait(|state| state.syncs == 1));
    let mut others = Vec::new();
    for number in 2..7 {
        others.push(world.commit(put(number, Expect::Absent)).await);
        let applied = usize::try_from(number).unwrap();
        drop(world.platter.wait(|state| state.applied == applied));
    }
    // Decided against what is applied, seen by nobody before it is durable, and not answered either.
    let stale = world.commit(put(2, Expect::Absent)).await;
    assert_eq!(world.store.get(&key(1)).await.unwrap(), None);
    assert_eq!(world.store.get(&key(2)).await.unwrap(), None);
    assert!(!first.is_finished() && !stale.is_finished());
    world.platter.change(|state| state.held = false);
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    assert!(matches!(stale.await.unwrap(), Err(CommitError::Stale(at)) if at == key(2)));
    assert!(world.store.get(&key(2)).await.unwrap().is_some(), "what made it stale can be read");
    world.store.close().await.unwrap();
    // The last of them may have been handed over a moment after the first sync ended.
    let syncs = world.platter.wait(|_| true).syncs;
    assert!((2..=3).contains(&syncs), "{syncs}");
}

#[tokio::test]
async fn a_failed_sync_takes_back_what_was_built_on_it() {
    let world = world();
    world.platter.change(|state| (state.held, state.failing) = (true, true));
    let first = world.commit(put(1, Expect::Absent)).await;
    drop(world.platter.wait(|state| state.syncs == 1));
    let second = world.commit(put(1, Expect::Present)).await;
    drop(world.platter.wait(|state| state.applied == 2));
    world.platter.change(|state| state.held = false);
    assert!(matches!(first.await.unwrap(), Err(CommitError::Store(_))));
    assert!(matches!(second.await.unwrap(), Err(CommitError::Store(_))));
    world.platter.change(|state| state.failing = false);
    let third = world.commit(put(1, Expect::Present)).await;
    assert!(matches!(third.await.unwrap(), Err(CommitError::Stale(_))), "nothing of it is there");
    world.commit(put(1, Expect::Absent)).await.await.unwrap().unwrap();
    assert!(world.store.get(&key(1)).await.unwrap().is_some());
    world.store.close().await.unwrap();
}

#[tokio::test]
async fn closing_waits_for_what_was_asked_before() {
    let world = world();
    world.platter.change(|state| state.held = true);
    let commit = world.commit(put(1, Expect::Absent)).await;
    drop(world.platter.wait(|state| state.syncs == 1));
    let store = Arc::clone(&world.store);
    let closing = tokio::spawn(async move { store.close().await });
    tokio::task::yield_now().await;
    assert!(!closing.is_finished());
    world.platter.change(|state| state.held = false);
    closing.await.unwrap().unwrap();
    commit.await.unwrap().unwrap();
    assert!(matches!(world.store.commit(put(2, Expect::Absent)).await, Err(CommitError::Store(_))));
}
