//! A world for the sync engine: one thread, a clock that moves when told, a store that fails, a network that lies.
//!
//! The engine in it is the real one with all its floors; only what comes in through the doors is ours.

#![allow(unreachable_pub, reason = "the world is shared by the test modules of this binary, and nobody else")]

mod channels;
mod network;
mod service;
mod store;
mod upstream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use lineartime::account::{AccountError, Accounts, Means, NewCalDav, Source};
use lineartime::calendar::{Author, Calendars, Conditions, Conflict, Deleted, Limits, Pending, Put, PutError, check};
use lineartime::clock::{Clock, ManualClock};
use lineartime::entropy::SeededEntropy;
use lineartime::ical::Object;
use lineartime::id::{AccountId, CollectionId, CollectionName, Place, UserId};
use lineartime::jobs::{Policy, Queue};
use lineartime::provider::Provider;
use lineartime::store::Store;
use lineartime::sync::{Config, Engine, Parts, Providers, Verdict};
use lineartime::vault::{KeyRing, MasterKey, Secret};
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use channels::Open;
pub use network::{At, Network, Trouble};
pub use service::{Habits, Service, Style};
pub use store::FaultyStore;
pub use upstream::{Manners, Tags, Upstream, uid_of};

/// One run of the process.
#[derive(Debug)]
pub struct Process {
    pub queue: Arc<Queue>,
    pub calendars: Arc<Calendars>,
    pub accounts: Arc<Accounts>,
    pub engine: Arc<Engine>,
    /// Dropped with the process: whoever works hears that nobody is left.
    _stop: watch::Sender<bool>,
    work: JoinHandle<()>,
}

/// The world.
#[derive(Debug)]
pub struct World {
    pub clock: ManualClock,
    pub store: FaultyStore,
    pub net: Arc<Network>,
    pub user: UserId,
    pub config: Config,
    /// Accounts, by label, that are at a service which speaks no CalDAV: only connecting goes by CalDAV.
    pub services: BTreeMap<String, Arc<Service>>,
    entropy: Arc<SeededEntropy>,
    keys: Arc<KeyRing>,
    process: Option<Process>,
}

/// The services' own providers for their accounts, the accounts' for all others.
#[derive(Debug)]
struct Switchboard {
    accounts: Arc<Accounts>,
    services: BTreeMap<String, Arc<Service>>,
}

#[async_trait]
impl Providers for Switchboard {
    async fn provider(&self, account: &AccountId) -> Result<Arc<dyn Provider>, AccountError> {
        if self.services.is_empty() {
            return self.accounts.provider(account).await;
        }
        let label = self.accounts.account(account).await?.label;
        match self.services.get(&label) {
            Some(service) => Ok(service.clone()),
            None => self.accounts.provider(account).await,
        }
    }
}

/// An event as text.
pub fn event(uid: &str, summary: &str, extra: &str) -> Bytes {
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:{uid}\r\nDTSTAMP:20260101T000000Z\r\n\
         DTSTART:20260601T100000Z\r\nDTEND:20260601T110000Z\r\nSUMMARY:{summary}\r\n{extra}END:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    text.into()
}

/// The value of a property's first line.
pub fn value_of(octets: &[u8], property: &str) -> Option<String> {
    let text = String::from_utf8_lossy(octets);
    text.lines().find_map(|line| Some(line.strip_prefix(property)?.strip_prefix(':')?.to_owned()))
}

impl World {
    /// Upstreams by name; each is an account waiting to be added.
    pub fn new(seed: u64, upstreams: impl IntoIterator<Item = (&'static str, Upstream)>) -> Self {
        let entropy = Arc::new(SeededEntropy::new(seed));
        let clock = ManualClock::new("2026-05-01T00:00:00Z".parse().unwrap());
        let keys = Arc::new(KeyRing::load(&MasterKey::generate(entropy.as_ref())));
        let upstreams: BTreeMap<String, Upstream> =
            upstreams.into_iter().map(|(name, upstream)| (name.to_owned(), upstream)).collect();
        Self {
            net: Arc::new(Network::new(upstreams, clock.clone())),
            clock,
            store: FaultyStore::new(),
            user: UserId::parse("ana").unwrap(),
            config: Config::default(),
            services: BTreeMap::new(),
            entropy,
            keys,
            process: None,
        }
    }

    /// Two upstreams `a` and `b` with a calendar `work` each, both connected and read.
    pub async fn with_two(seed: u64, manners: Manners) -> Self {
        let upstream = || Upstream::new(manners, &["work"]);
        let mut world = Self::new(seed, [("a", upstream()), ("b", upstream())]);
        world.boot();
        world.connect("a").await;
        world.connect("b").await;
        world
    }

    /// One upstream `a` with a calendar `work`, connected and read.
    pub async fn with_one(manners: Manners) -> Self {
        let mut world = Self::new(1, [("a", Upstream::new(manners, &["work"]))]);
        world.boot();
        world.connect("a").await;
        world
    }

    /// Starts the process on what the store has.
    pub fn boot(&mut self) {
        let store: Arc<dyn Store> = Arc::new(self.store.clone());
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let entropy = self.entropy.clone();
        let queue = Arc::new(Queue::new(store.clone(), clock.clone(), entropy.clone(), Policy::default()));
        let calendars =
            Arc::new(Calendars::new(store.clone(), queue.clone(), clock.clone(), entropy.clone(), Limits::default()));
        let means = Means { transport: self.net.clone(), clock: clock.clone(), entropy: entropy.clone() };
        let accounts = Arc::new(Accounts::new(store.clone(), self.keys.clone(), calendars.clone(), means));
        let parts = Parts {
            store,
            calendars: calendars.clone(),
            accounts: accounts.clone(),
            providers: Arc::new(Switchboard { accounts: accounts.clone(), services: self.services.clone() }),
            queue: queue.clone(),
            clock,
            entropy,
        };
        let engine = Arc::new(Engine::new(parts, self.config.clone()));
        let (stop, stopped) = watch::channel(false);
        let work = tokio::spawn(engine.clone().work(stopped));
        self.process = Some(Process { queue, calendars, accounts, engine, _stop: stop, work });
    }

    /// The process dies where it stands; what the store has stays.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.work.abort();
            drop(process.work.await);
            // The jobs that ran are dropped by the executor, each in its turn.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        }
    }

    pub async fn restart(&mut self) {
        self.kill().await;
        self.boot();
    }

    pub fn process(&self) -> &Process {
        self.process.as_ref().unwrap()
    }

    pub fn calendars(&self) -> &Calendars {
        &self.process().calendars
    }

    pub fn accounts(&self) -> &Accounts {
        &self.process().accounts
    }

    pub fn engine(&self) -> &Engine {
        &self.process().engine
    }

    pub fn at(&self, name: &str) -> At<'_> {
        self.net.at(name)
    }

    /// Connects the account at an upstream and reads it.
    pub async fn connect(&self, name: &str) -> AccountId {
        let new = NewCalDav {
            label: Some(name.to_owned()),
            address: format!("https://{name}.example.org/home/"),
            username: "ana".to_owned(),
            password: Secret::new("correct horse"),
        };
        let account = self.accounts().add_caldav(&self.user, new).await.unwrap();
        self.engine().attend(&account.id).await.unwrap();
        self.idle().await;
        account.id
    }

    pub async fn account(&self, name: &str) -> AccountId {
        let all = self.accounts().list(&self.user).await.unwrap();
        all.into_iter().find(|account| account.label == name).unwrap().id
    }

    pub async fn source(&self, account: &str, calendar: &str) -> Source {
        let account = self.account(account).await;
        let all = self.accounts().sources(&self.user).await.unwrap();
        let remote = format!("/home/{calendar}/");
        all.into_iter().find(|s| s.account == account && s.remote.as_str() == remote).unwrap()
    }

    /// The verdict on a change, for which a client waits at most three seconds.
    pub async fn verdict(&self, pending: &[Pending]) -> Option<Verdict> {
        let patience = Duration::from_secs(3);
        let (verdict, ()) = tokio::join!(self.engine().verdict(pending, patience), self.pass(patience));
        verdict
    }

    /// Lets everything run that can run now.
    pub async fn idle(&self) {
        let activity = || self.net.sent.load(Ordering::SeqCst) + self.store.dial().calls.load(Ordering::SeqCst);
        let (mut before, mut quiet) = (activity(), 0);
        let start = before;
        while quiet < 12 {
            tokio::task::yield_now().await;
            let now = activity();
            quiet = if now == before { quiet + 1 } else { 0 };
            assert!(
                now - start < 200_000,
                "it spins: {:#?}",
                self.net.take_lines().iter().rev().take(20).collect::<Vec<_>>()
            );
            before = now;
        }
    }

    /// Lets so much time pass, stopping wherever somebody has set an alarm.
    pub async fn pass(&self, time: Duration) {
        let end = self.clock.monotonic() + time;
        self.idle().await;
        while self.clock.monotonic() < end {
            let left = end.checked_sub(self.clock.monotonic()).unwrap();
            let next = self.clock.until_next().map_or(left, |next| next.max(Duration::from_millis(1)).min(left));
            self.clock.advance(next);
            self.idle().await;
        }
    }

    /// The same in steps of `step`: for so many alarms that stopping at each takes too long.
    pub async fn pass_coarsely(&self, time: Duration, step: Duration) {
        let end = self.clock.monotonic() + time;
        while self.clock.monotonic() < end {
            self.clock.advance(step);
            self.idle().await;
        }
    }

    /// Reads and writes everything, as `sync --wait` does.
    pub async fn sync(&self) {
        self.engine().sync_now(&self.user, None, false).await.unwrap();
        self.pass(Duration::from_secs(10)).await;
    }

    /// The same with everything compared.
    pub async fn sync_full(&self) {
        self.engine().sync_now(&self.user, None, true).await.unwrap();
        self.pass(Duration::from_secs(10)).await;
    }

    pub fn unified(&self) -> CollectionId {
        CollectionId::new(&self.user, CollectionName::unified())
    }

    /// The collection of a source.
    pub async fn mirror(&self, account: &str, calendar: &str) -> CollectionId {
        CollectionId::new(&self.user, self.source(account, calendar).await.collection)
    }

    pub fn author(&self) -> Author {
        Author::Client { user: self.user.clone(), device: None }
    }

    /// A client's PUT.
    pub async fn put(&self, collection: &CollectionId, name: &str, octets: impl Into<Bytes>) -> Result<Put, PutError> {
        self.put_if(collection, name, octets, &Conditions::NONE).await
    }

    pub async fn put_if(
        &self,
        collection: &CollectionId,
        name: &str,
        octets: impl Into<Bytes>,
        when: &Conditions,
    ) -> Result<Put, PutError> {
        let place = Place { collection: collection.clone(), name: name.parse().unwrap() };
        self.calendars().put(&place, Object::parse(octets.into()).unwrap(), when, &self.author()).await
    }

    /// A client's DELETE.
    pub async fn delete(&self, collection: &CollectionId, name: &str) -> Result<Deleted, PutError> {
        let place = Place { collection: collection.clone(), name: name.parse().unwrap() };
        self.calendars().delete(&place, &Conditions::NONE, &self.author()).await
    }

    /// What a collection shows: name and content.
    pub async fn shown(&self, collection: &CollectionId) -> BTreeMap<String, Bytes> {
        let view = self.calendars().view(collection).await.unwrap();
        let mut shown = BTreeMap::new();
        for entry in view.entries() {
            let octets = self.calendars().entry_octets(collection, entry).await.unwrap();
            shown.insert(entry.name.to_string(), octets);
        }
        shown
    }

    /// The summaries in a collection, sorted.
    pub async fn summaries(&self, collection: &CollectionId) -> Vec<String> {
        let shown = self.shown(collection).await;
        let mut all: Vec<String> = shown.values().filter_map(|octets| value_of(octets, "SUMMARY")).collect();
        all.sort();
        all
    }

    /// The summaries at an upstream, sorted.
    pub fn summaries_at(&self, account: &str, calendar: &str) -> Vec<String> {
        let items = self.at(account).items(calendar);
        let mut all: Vec<String> = items.iter().filter_map(|(_, octets)| value_of(octets, "SUMMARY")).collect();
        all.sort();
        all
    }

    pub async fn conflicts(&self) -> Vec<Conflict> {
        self.calendars().conflicts(&self.user).await.unwrap().into_iter().map(|(_, conflict)| conflict).collect()
    }

    /// Writes by the gateway at an upstream since the last call.
    pub fn take_writes(&self, account: &str) -> Vec<String> {
        match self.services.get(account) {
            Some(service) => service.take_writes(),
            None => std::mem::take(&mut self.at(account).writes),
        }
    }

    /// Name and content of all that the calendar `work` holds at a provider, of whatever kind.
    pub fn far_items(&self, account: &str) -> Vec<(String, Bytes)> {
        match self.services.get(account) {
            Some(service) => service.items(),
            None => self.at(account).items("work"),
        }
    }

    /// The item with this UID there.
    pub fn far_find(&self, account: &str, uid: &str) -> Option<(String, Bytes)> {
        self.far_items(account).into_iter().find(|(_, octets)| uid_of(octets) == uid)
    }

    /// Somebody else writes there.
    pub fn far_put(&self, account: &str, name: &str, octets: Bytes) {
        match self.services.get(account) {
            Some(service) => service.put(name, octets),
            None => self.at(account).put("work", name, octets),
        }
    }

    /// Somebody else deletes there.
    pub fn far_delete(&self, account: &str, name: &str) {
        match self.services.get(account) {
            Some(service) => service.delete(name),
            None => self.at(account).delete("work", name),
        }
    }

    /// The rows agree with one another.
    pub async fn check(&self) {
        let wrong = check::consistent(&self.store, &self.user).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    /// Nothing is left to do, and doing it again does nothing.
    pub async fn assert_quiet(&self, accounts: &[&str]) {
        for account in accounts {
            self.take_writes(account);
        }
        for _ in 0..2 {
            self.sync_full().await;
        }
        for account in accounts {
            assert_eq!(
                self.take_writes(account),
                Vec::<String>::new(),
                "upstream {account} is written without a cause"
            );
        }
        for source in self.accounts().sources(&self.user).await.unwrap() {
            let left = self.calendars().intents(&source.id).await.unwrap();
            assert!(left.is_empty(), "left over: {left:?}");
        }
        self.check().await;
    }
}
