//! A life: who does what at which step, and the ledger of what was done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use jiff::SignedDuration;
use lineartime::calendar::{Conditions, Entry, PutError, SyncToken};
use lineartime::entropy::{SeededEntropy, number};
use lineartime::ical::Object;
use lineartime::id::{CollectionId, Etag, Place, ResourceName};

use crate::world::{Habits, Manners, Service, Style, Tags, Trouble, Upstream, World, event, value_of};

pub const ACCOUNTS: [&str; 2] = ["a", "b"];
/// Healing: longer than every pause that anything takes.
const HEALING: Duration = Duration::from_mins(90);

/// Dice.
#[derive(Debug)]
pub struct Dice(SeededEntropy);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub fn below(&self, limit: u64) -> u64 {
        number(&self.0) % limit
    }

    pub fn of<T: Copy>(&self, choices: &[T]) -> T {
        choices[usize::try_from(self.below(choices.len() as u64)).unwrap()]
    }

    pub fn percent(&self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What an event says, as far as the laws ask.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Meaning {
    pub summary: String,
    pub location: String,
}

impl Meaning {
    pub fn of(octets: &[u8]) -> Self {
        let value = |property| value_of(octets, property).unwrap_or_default();
        Self { summary: value("SUMMARY"), location: value("LOCATION") }
    }

    fn octets(&self, uid: &str) -> Bytes {
        // Some are meetings.
        let people = match uid {
            "u0" | "u1" => {
                "ORGANIZER:mailto:ana@example.org\r\nATTENDEE:mailto:ana@example.org\r\nATTENDEE:mailto:bob@example.net\r\n"
            }
            _ => "",
        };
        event(uid, &self.summary, &format!("LOCATION:{}\r\n{people}X-KEPT:here\r\n", self.location))
    }
}

/// The last thing that was done to an event.
#[derive(Clone, Debug)]
pub enum Last {
    /// Done when all sides agreed and nothing was under way, so it must stand: the event says this ...
    Says(Meaning),
    /// ... or is nowhere.
    Nowhere,
    /// Done while sides differed: the rules of conflicts decide.
    Contested,
}

/// What an acknowledged write was.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub step: u64,
    pub uid: String,
    pub etag: Etag,
}

/// What a client knows of one collection: only by following its changes.
#[derive(Debug, Default)]
pub struct Shadow {
    token: Option<SyncToken>,
    pub known: BTreeMap<ResourceName, Etag>,
}

/// One client.
#[derive(Debug)]
pub struct Client {
    /// After a failed condition it reads again and edits again; otherwise it drops its edit.
    persists: bool,
    pub shadows: BTreeMap<String, (CollectionId, Shadow)>,
}

/// One life.
#[derive(Debug)]
pub struct Life {
    pub world: World,
    pub dice: Dice,
    pub clients: Vec<Client>,
    pub acknowledged: Vec<Acknowledged>,
    /// What somebody wrote last at a provider, by account and UID, until somebody there overwrites it.
    pub provided: BTreeMap<(&'static str, String), Meaning>,
    pub last: BTreeMap<String, Last>,
    /// How often clients have changed each event, with success.
    pub edits: BTreeMap<String, u64>,
    pub lines: Vec<String>,
    step: u64,
    tells: bool,
}

fn manners(dice: &Dice) -> Manners {
    Manners {
        sync: dice.percent(60),
        page: dice.percent(30).then(|| usize::try_from(1 + dice.below(3)).unwrap()),
        rewrites: dice.percent(25),
        tag_on_put: dice.percent(70),
        // Without this rule of RFC 4791 5.3.2.1 two who create at once create twice.
        unique_uids: true,
        tags: dice.of(&[Tags::Strong, Tags::Strong, Tags::Strong, Tags::Weak, Tags::None]),
        scrambles: dice.percent(20),
        multiget: dice.of(&[usize::MAX, usize::MAX, 1, 3]),
        moves: true,
    }
}

fn habits(dice: &Dice, style: Style) -> Habits {
    Habits {
        style,
        page: dice.of(&[1, 3, 50]),
        lag: SignedDuration::from_secs(dice.of(&[0, 0, 2, 20])),
        expires: dice.of(&[0, 5, 30]),
        follows_up: dice.of(&[0, 20]),
        repeats: dice.of(&[0, 20]),
    }
}

impl Life {
    pub async fn begin(seed: u64, tells: bool) -> Self {
        let dice = Dice::new(seed ^ 0x5EED);
        let manners = manners(&dice);
        let mut world = World::new(seed, ACCOUNTS.map(|name| (name, Upstream::new(manners, &["work"]))));
        let mut kinds = Vec::new();
        for name in ACCOUNTS {
            let style = dice.of(&[None, Some(Style::Google), Some(Style::Graph)]);
            kinds.push(style);
            if let Some(style) = style {
                let means = (world.net.clone(), world.clock.clone());
                let service = Service::new(name, habits(&dice, style), means, dice.below(u64::MAX));
                world.services.insert(name.to_owned(), Arc::new(service));
            }
        }
        world.boot();
        for account in ACCOUNTS {
            world.connect(account).await;
        }
        let mut collections = vec![("unified".to_owned(), world.unified())];
        for account in ACCOUNTS {
            collections.push((account.to_owned(), world.mirror(account, "work").await));
        }
        let shadows = || collections.iter().map(|(name, id)| (name.clone(), (id.clone(), Shadow::default())));
        let clients = [false, true].map(|persists| Client { persists, shadows: shadows().collect() });
        let mut life = Self {
            world,
            dice,
            clients: clients.into(),
            acknowledged: Vec::new(),
            provided: BTreeMap::new(),
            last: BTreeMap::new(),
            edits: BTreeMap::new(),
            lines: Vec::new(),
            step: 0,
            tells,
        };
        life.tell(&format!("seed {seed}: {kinds:?} {manners:?}"));
        life
    }

    pub fn tell(&mut self, what: &str) {
        let sent = self.world.net.take_lines();
        if self.tells {
            sent.iter().for_each(|line| eprintln!("        {line}"));
            eprintln!("{:3} {what}", self.step);
        }
        self.lines.extend(sent);
        self.lines.push(what.to_owned());
    }

    pub async fn live(&mut self) {
        // Most lives are short, so that there can be many; one in eight is long.
        let steps = if self.dice.percent(12) { 60 + self.dice.below(41) } else { 12 + self.dice.below(25) };
        for _ in 0..steps {
            self.step += 1;
            match self.dice.below(100) {
                0..36 => self.client_acts().await,
                36..60 => self.provider_acts().await,
                60..64 => self.both_delete().await,
                64..72 => self.trouble(),
                72..76 => self.world.net.heal(),
                76..81 => self.store_fails().await,
                81..87 => self.crash().await,
                87..92 => drop(self.world.engine().sync_now(&self.world.user, None, self.dice.percent(30)).await),
                _ => self.time_passes().await,
            }
            // Often the next comes before anybody had a chance to do anything about this.
            if self.dice.percent(70) {
                self.world.idle().await;
            }
        }
    }

    /// Everything that was broken works again, and enough time goes by.
    pub async fn heal(&mut self) {
        self.tell("all heals");
        self.world.net.heal();
        self.world.store.mend();
        self.world.pass(HEALING).await;
        for _ in 0..2 {
            self.world.sync_full().await;
        }
        self.tell("healed");
    }

    fn uid(&self) -> String {
        format!("u{}", self.dice.below(6))
    }

    async fn client_acts(&mut self) {
        let index = usize::try_from(self.dice.below(2)).unwrap();
        let name = self.dice.of(&["unified", "unified", "unified", "unified", "a", "b"]);
        if self.dice.percent(50) {
            self.catch_up(index, name, 1 + self.dice.below(4)).await;
        }
        let uid = self.uid();
        let deletes = self.dice.percent(25);
        if !self.client_tries(index, name, &uid, deletes).await && self.clients[index].persists {
            self.catch_up(index, name, 1 + self.dice.below(4)).await;
            self.client_tries(index, name, &uid, deletes).await;
        }
    }

    /// Follows the changes of a collection, so many at a time.
    pub async fn catch_up(&mut self, client: usize, collection: &str, limit: u64) {
        let (id, mut shadow) = self.clients[client].shadows.remove(collection).unwrap();
        let limit = usize::try_from(limit).unwrap();
        loop {
            let changes = self.world.calendars().changes(&id, shadow.token.as_ref(), limit).await.unwrap();
            for gone in &changes.gone {
                shadow.known.remove(gone);
            }
            shadow.known.extend(changes.changed.into_iter().map(|entry| (entry.name.clone(), entry.etag.clone())));
            shadow.token = Some(changes.token);
            if !changes.truncated {
                break;
            }
        }
        self.clients[client].shadows.insert(collection.to_owned(), (id, shadow));
    }

    /// Edits, creates or deletes on what the client knows; `false` if that was no longer so.
    async fn client_tries(&mut self, client: usize, collection: &str, uid: &str, deletes: bool) -> bool {
        let (id, shadow) = &self.clients[client].shadows[collection];
        let id = id.clone();
        // Objects of providers have names of their own: whose UID it is says the listing of now.
        let served = self.served(&id, uid).await;
        let name =
            served.as_ref().map_or_else(|| format!("{uid}.ics").parse().unwrap(), |(entry, _)| entry.name.clone());
        let known = shadow.known.get(&name).cloned();
        let conditions = known.clone().map_or_else(Conditions::absent, Conditions::unchanged);
        let place = Place { collection: id, name };
        let calm = self.is_calm(uid).await;
        let author = self.world.author();
        let old = served.map(|(_, meaning)| meaning).unwrap_or_default();
        let (result, last) = if deletes {
            if known.is_none() {
                return true;
            }
            let result = self.world.calendars().delete(&place, &conditions, &author).await.map(|_| None);
            (result, if collection == "unified" { Last::Nowhere } else { Last::Contested })
        } else {
            let meaning = self.edited(old);
            let object = Object::parse(meaning.octets(uid)).unwrap();
            let result = self.world.calendars().put(&place, object, &conditions, &author).await;
            (result.map(|put| Some(put.etag)), Last::Says(meaning))
        };
        let said = result.as_ref().map_or_else(ToString::to_string, |etag| format!("{etag:?}"));
        self.tell(&format!("client {client} at {collection} {uid}: {last:?} calm {calm} -> {said}"));
        match result {
            Ok(etag) => {
                let step = self.step;
                *self.edits.entry(uid.to_owned()).or_default() += 1;
                self.acknowledged.extend(etag.map(|etag| Acknowledged { step, uid: uid.to_owned(), etag }));
                self.last.insert(uid.to_owned(), if calm { last } else { Last::Contested });
                true
            }
            Err(PutError::ConditionFailed | PutError::NotFound) => false,
            Err(_) => {
                // It may be on disk all the same.
                *self.edits.entry(uid.to_owned()).or_default() += 1;
                true
            }
        }
    }

    fn edited(&self, old: Meaning) -> Meaning {
        let text = format!("s{}-{}", self.step, self.dice.below(1000));
        match self.dice.below(3) {
            0 => Meaning { location: text, ..old },
            1 => Meaning { summary: text, ..old },
            _ => Meaning { summary: text.clone(), location: text },
        }
    }

    /// What a collection shows of a UID.
    pub async fn served(&self, id: &CollectionId, uid: &str) -> Option<(Entry, Meaning)> {
        let view = self.world.calendars().view(id).await.unwrap();
        for entry in view.entries() {
            let octets = self.world.calendars().entry_octets(id, entry).await.unwrap();
            if value_of(&octets, "UID").as_deref() == Some(uid) {
                return Some((Entry::clone(entry), Meaning::of(&octets)));
            }
        }
        None
    }

    /// All sides say the same of this event, and nothing is under way.
    async fn is_calm(&self, uid: &str) -> bool {
        for source in self.world.accounts().sources(&self.world.user).await.unwrap() {
            let intents = self.world.calendars().intents(&source.id).await.unwrap();
            if !intents.is_empty() {
                return false;
            }
        }
        for account in ACCOUNTS {
            let mirror = self.world.mirror(account, "work").await;
            let there = self.world.far_find(account, uid).map(|(_, octets)| Meaning::of(&octets));
            if self.served(&mirror, uid).await.map(|(_, meaning)| meaning) != there {
                return false;
            }
        }
        true
    }

    async fn provider_acts(&mut self) {
        let (account, uid) = (self.dice.of(&ACCOUNTS), self.uid());
        let calm = self.is_calm(&uid).await;
        let found = self.world.far_find(account, &uid);
        let elsewhere = ACCOUNTS.iter().any(|other| *other != account && self.world.far_find(other, &uid).is_some());
        let last = match found {
            Some((name, _)) if self.dice.percent(25) => {
                self.world.far_delete(account, &name);
                self.provided.remove(&(account, uid.clone()));
                // An edit whose answer was lost, and whose event was deleted there since, is made anew: that invites anew.
                self.edits.entry(uid.clone()).and_modify(|edits| *edits += 1);
                if elsewhere { Last::Contested } else { Last::Nowhere }
            }
            found => {
                let was_there = found.is_some();
                let (name, octets) = found.unwrap_or_else(|| (format!("p{}-{uid}.ics", self.step), Bytes::new()));
                let meaning = self.edited(Meaning::of(&octets));
                self.world.far_put(account, &name, meaning.octets(&uid));
                self.provided.insert((account, uid.clone()), meaning.clone());
                // Copies that come up in two places have to be reconciled first.
                if elsewhere && !was_there { Last::Contested } else { Last::Says(meaning) }
            }
        };
        self.tell(&format!("provider {account} {uid}: {last:?} calm {calm}"));
        self.last.insert(uid, if calm { last } else { Last::Contested });
    }

    /// An event is deleted by a client and at every provider: nobody wants it any more.
    async fn both_delete(&mut self) {
        let uid = self.uid();
        let unified = self.world.unified();
        if let Some((entry, _)) = self.served(&unified, &uid).await {
            let place = Place { collection: unified, name: entry.name.clone() };
            let deleted = self.world.calendars().delete(&place, &Conditions::NONE, &self.world.author()).await;
            if deleted.is_err() {
                return;
            }
            *self.edits.entry(uid.clone()).or_default() += 1;
        }
        for account in ACCOUNTS {
            let found = self.world.far_find(account, &uid);
            if let Some((name, _)) = found {
                self.world.far_delete(account, &name);
            }
            self.provided.remove(&(account, uid.clone()));
        }
        self.tell(&format!("both delete {uid}"));
        self.last.insert(uid, Last::Nowhere);
    }

    fn trouble(&mut self) {
        let all = [
            Trouble::Refused,
            Trouble::TimedOut,
            Trouble::AnswerLost,
            Trouble::CarriedOutBut500,
            Trouble::Truncated,
            Trouble::Html,
            Trouble::Empty,
            Trouble::Status(429, Some(30)),
            Trouble::Status(503, None),
            Trouble::Slow(20),
            Trouble::Twice,
        ];
        let (only, often) = (self.dice.percent(50).then(|| self.dice.of(&all)), self.dice.of(&[10, 30, 60, 100]));
        self.tell(&format!("trouble {only:?} {often}%"));
        let dice = Dice::new(self.dice.below(u64::MAX));
        self.world.net.trouble(move |_| dice.percent(often).then(|| only.unwrap_or_else(|| dice.of(&all))));
    }

    /// One commit fails, or all for a while.
    async fn store_fails(&mut self) {
        let (after, for_good) = (self.dice.below(6), self.dice.percent(50));
        self.tell(&format!("the store fails after {after}, for good {for_good}"));
        self.world.store.fail_after(after, for_good);
        self.client_acts().await;
        drop(self.world.engine().sync_now(&self.world.user, None, true).await);
        self.world.pass(Duration::from_secs(self.dice.below(30))).await;
        self.world.store.mend();
    }

    /// Killed in the middle of things.
    async fn crash(&mut self) {
        let switches = self.dice.below(150);
        self.tell(&format!("killed after {switches}"));
        self.world.store.dial().yields.store(true, Ordering::SeqCst);
        drop(self.world.engine().sync_now(&self.world.user, None, true).await);
        for _ in 0..switches {
            tokio::task::yield_now().await;
        }
        self.world.restart().await;
        self.world.store.dial().yields.store(false, Ordering::SeqCst);
    }

    async fn time_passes(&mut self) {
        let seconds = self.dice.of(&[1, 3, 30, 300, 2000]);
        self.tell(&format!("{seconds} s pass"));
        self.world.pass(Duration::from_secs(seconds)).await;
    }

    /// All UIDs that anybody ever used.
    pub fn uids(&self) -> BTreeSet<String> {
        (0..6).map(|n| format!("u{n}")).collect()
    }
}
