//! Random writes against a model that a person can follow: what each collection holds, which writes are refused, and
//! that clients which follow their sync tokens, in steps of any size, have what the server has.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const COLLECTIONS: [&str; 5] = ["unified", "local", "s-a", "s-b", "work"];

#[derive(Clone, Debug)]
enum Op {
    Put {
        to: Spot,
        uid: u8,
        content: u8,
    },
    Delete {
        at: Spot,
    },
    Transfer {
        kind: Transfer,
        from: Spot,
        to: Spot,
        overwrite: Overwrite,
    },
    /// A provider has this, under a name it would like.
    Theirs {
        source: usize,
        name: u8,
        uid: u8,
        content: u8,
    },
    /// A provider has this no more.
    TheirsGone {
        source: usize,
        uid: u8,
    },
    /// A client asks what is new, so many names at most.
    Follow {
        collection: usize,
        limit: usize,
    },
    /// All that is cached is lost.
    Forget,
}

#[derive(Clone, Debug, PartialEq)]
struct Spot {
    collection: usize,
    name: u8,
}

fn spot() -> impl Strategy<Value = Spot> {
    (0..COLLECTIONS.len(), 0..3_u8).prop_map(|(collection, name)| Spot { collection, name })
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(Transfer::Copy), Just(Transfer::Move)];
    let overwrite = prop_oneof![Just(Overwrite::Allowed), Just(Overwrite::Forbidden)];
    prop_oneof![
        6 => (spot(), 0..4_u8, 0..3_u8).prop_map(|(to, uid, content)| Op::Put { to, uid, content }),
        3 => spot().prop_map(|at| Op::Delete { at }),
        4 => (kind, spot(), spot(), overwrite)
            .prop_map(|(kind, from, to, overwrite)| Op::Transfer { kind, from, to, overwrite }),
        3 => (2..4_usize, 0..3_u8, 0..4_u8, 0..3_u8)
            .prop_map(|(source, name, uid, content)| Op::Theirs { source, name, uid, content }),
        1 => (2..4_usize, 0..4_u8).prop_map(|(source, uid)| Op::TheirsGone { source, uid }),
        4 => (0..COLLECTIONS.len(), 1..4_usize).prop_map(|(collection, limit)| Op::Follow { collection, limit }),
        1 => Just(Op::Forget),
    ]
}

/// Why the model expects a write to fail.
#[derive(Clone, Copy, Debug, PartialEq)]
enum No {
    NotFound,
    ConditionFailed,
    UidTaken,
    UidChanged,
    SamePlace,
}

/// A name, or whatever the server has chosen because the wished one was taken.
type Name = Option<String>;

#[derive(Clone, Debug, Default)]
struct Event {
    content: u8,
    members: Vec<(usize, Name)>,
    former: Vec<usize>,
    unified: Option<Name>,
}

impl Event {
    fn name_in(&self, collection: usize) -> Option<&Name> {
        if collection == 0 {
            return self.unified.as_ref();
        }
        self.members.iter().find(|(member, _)| *member == collection).map(|(_, name)| name)
    }
}

/// The events by space (`true`: the shared one) and UID.
#[derive(Clone, Debug, Default)]
struct Model {
    events: BTreeMap<(bool, u8), Event>,
}

impl Model {
    fn shared(collection: usize) -> bool {
        collection != 4
    }

    fn at(&self, spot: &Spot) -> Option<(bool, u8)> {
        let name = Some(file(spot.name));
        self.events.iter().find(|(_, event)| event.name_in(spot.collection) == Some(&name)).map(|(key, _)| *key)
    }

    fn free(&self, spot: &Spot) -> Name {
        self.at(spot).is_none().then(|| file(spot.name))
    }

    fn join(&mut self, key: (bool, u8), collection: usize, wish: u8) {
        let event = self.events.entry(key).or_default();
        if event.name_in(collection).is_some() {
            return;
        }
        let shows = key.0 && event.unified.is_none();
        let name = self.free(&Spot { collection, name: wish });
        let unified = shows.then(|| self.free(&Spot { collection: 0, name: wish }));
        let event = self.events.entry(key).or_default();
        event.members.push((collection, name));
        event.unified = unified.or(event.unified.take());
    }

    fn leave(&mut self, key: (bool, u8), collections: &[usize]) {
        let Some(event) = self.events.get_mut(&key) else { return };
        let before: Vec<usize> = event.members.iter().map(|(member, _)| *member).collect();
        if before.is_empty() {
            return;
        }
        event.members.retain(|(member, _)| !collections.contains(member));
        if event.members.is_empty() {
            event.former = before;
            event.unified = None;
        }
    }

    /// Removed as seen from a collection.
    fn remove(&mut self, key: (bool, u8), collection: usize) {
        if collection == 0 { self.leave(key, &[0, 1, 2, 3]) } else { self.leave(key, &[collection]) }
    }

    fn put(&mut self, to: &Spot, uid: u8, content: u8) -> Result<(), No> {
        let key = (Self::shared(to.collection), uid);
        if let Some(there) = self.at(to) {
            if there != key {
                return Err(No::UidChanged);
            }
            self.events.get_mut(&key).unwrap().content = content;
            return Ok(());
        }
        let known = self.events.get(&key).cloned().unwrap_or_default();
        if known.name_in(to.collection).is_some() {
            return Err(No::UidTaken);
        }
        // The first source attached is the default; what comes back goes where it was.
        let home = if to.collection == 0 { known.former.first().copied().unwrap_or(2) } else { to.collection };
        self.events.entry(key).or_default().content = content;
        self.join(key, home, to.name);
        Ok(())
    }

    fn transfer(&mut self, kind: Transfer, from: &Spot, to: &Spot, overwrite: Overwrite) -> Result<(), No> {
        if from == to {
            return Err(No::SamePlace);
        }
        let key = self.at(from).ok_or(No::NotFound)?;
        let there = self.at(to);
        if there.is_some() && overwrite == Overwrite::Forbidden {
            return Err(No::ConditionFailed);
        }
        let same_space = key.0 == Self::shared(to.collection);
        if let Some(other) = there
            && other != key
            && (same_space || other.1 != key.1)
        {
            self.remove(other, to.collection);
        }
        if !same_space {
            let content = self.events[&key].content;
            self.put(to, key.1, content)?;
            if kind == Transfer::Move {
                self.remove(key, from.collection);
            }
            return Ok(());
        }
        if kind == Transfer::Move && from.collection == to.collection {
            let event = self.events.get_mut(&key).unwrap();
            let name = Some(file(to.name));
            if from.collection == 0 {
                event.unified = Some(name);
            } else {
                event.members.iter_mut().find(|(member, _)| *member == to.collection).unwrap().1 = name;
            }
            return Ok(());
        }
        match self.events[&key].name_in(to.collection) {
            Some(name) if *name != Some(file(to.name)) || to.collection == 0 => return Err(No::UidTaken),
            _ => self.join(key, to.collection, to.name),
        }
        if kind == Transfer::Move {
            let all: Vec<usize> = (1..4).filter(|member| *member != to.collection).collect();
            let left = if from.collection == 0 { all } else { vec![from.collection] };
            self.leave(key, &left);
        }
        Ok(())
    }

    fn listing(&self, collection: usize) -> BTreeMap<String, u8> {
        let named = self.events.values().filter_map(|event| Some((event.name_in(collection)?, event.content)));
        named.map(|(name, content)| (name.clone().expect("names are known by now"), content)).collect()
    }
}

fn file(name: u8) -> String {
    format!("{name}.ics")
}

fn content(uid: u8, content: u8) -> Object {
    event(&format!("u{uid}"), &format!("content {content}"))
}

/// A client that knows nothing but what `changes` told it.
#[derive(Default)]
struct Shadow {
    token: Option<SyncToken>,
    known: BTreeMap<String, String>,
}

impl Shadow {
    /// One request; says whether there is more.
    async fn follow(&mut self, house: &House, collection: usize, limit: usize) -> bool {
        let id = house.id(COLLECTIONS[collection]);
        let changes = house.calendars.changes(&id, self.token.as_ref(), limit).await.unwrap();
        assert!(changes.changed.len() + changes.gone.len() <= limit);
        for entry in changes.changed {
            self.known.insert(entry.name.to_string(), entry.etag.0.clone());
        }
        for name in changes.gone {
            self.known.remove(name.as_str());
        }
        self.token = Some(changes.token.to_string().parse().unwrap());
        changes.truncated
    }
}

struct Run {
    house: House,
    model: Model,
    shadows: Vec<Shadow>,
}

impl Run {
    async fn new() -> Self {
        let house = House::new();
        house.attach("a", Mirror::TwoWay).await;
        house.attach("b", Mirror::TwoWay).await;
        house.calendars.create_local(&house.id("work"), NewCollection::default()).await.unwrap();
        Self { house, model: Model::default(), shadows: COLLECTIONS.iter().map(|_| Shadow::default()).collect() }
    }

    fn place(&self, spot: &Spot) -> Place {
        self.house.at(COLLECTIONS[spot.collection], &file(spot.name))
    }

    async fn step(&mut self, op: &Op) {
        let mut next = self.model.clone();
        let (real, expected) = match op {
            Op::Put { to, uid, content: c } => {
                let (at, object, client) = (self.place(to), content(*uid, *c), &self.house.client);
                let put = self.house.calendars.put(&at, object, &Conditions::NONE, client).await;
                (put.map(drop), next.put(to, *uid, *c))
            }
            Op::Delete { at } => {
                let deleted = self.house.calendars.delete(&self.place(at), &Conditions::NONE, &self.house.client).await;
                let expected = next.at(at).ok_or(No::NotFound).map(|key| next.remove(key, at.collection));
                (deleted.map(drop), expected)
            }
            Op::Transfer { kind, from, to, overwrite } => {
                let (source, target, calendars) = (self.place(from), self.place(to), &self.house.calendars);
                let (none, client) = (&Conditions::NONE, &self.house.client);
                let real = match kind {
                    Transfer::Copy => calendars.copy(&source, &target, *overwrite, none, client).await,
                    Transfer::Move => calendars.move_to(&source, &target, *overwrite, none, client).await,
                };
                (real.map(drop), next.transfer(*kind, from, to, *overwrite))
            }
            Op::Theirs { source, name, uid, content: c } => {
                let real = self.theirs(*source, *name, *uid, *c).await;
                next.events.entry((true, *uid)).or_default().content = *c;
                next.join((true, *uid), *source, *name);
                (real, Ok(()))
            }
            Op::TheirsGone { source, uid } => {
                next.leave((true, *uid), &[*source]);
                (self.theirs_gone(*source, *uid).await, Ok(()))
            }
            Op::Follow { collection, limit } => {
                self.shadows[*collection].follow(&self.house, *collection, *limit).await;
                return;
            }
            Op::Forget => {
                self.house.calendars.views.clear();
                self.house.calendars.objects.clear();
                return;
            }
        };
        assert_eq!(real.map_err(no), expected, "{op:?}");
        if expected.is_ok() {
            self.model = next;
            self.learn_names().await;
        }
    }

    async fn known(&self, source: usize, uid: u8) -> Option<(EventId, EventRow)> {
        let id = self.house.id(COLLECTIONS[source]);
        let known = self.house.calendars.event_by_uid(&id, &format!("u{uid}")).await.unwrap();
        known.filter(|(_, row)| row.is_alive())
    }

    async fn theirs(&self, source: usize, name: u8, uid: u8, c: u8) -> Result<(), PutError> {
        let event = self.known(source, uid).await.map(|(event, row)| (event, row.generation));
        let name_hint = Some(file(name).parse().unwrap());
        let upsert = Upsert { event, name_hint, object: content(uid, c), follow: Follow::Others, clash: None };
        self.apply(source, Applied::Upsert(upsert)).await
    }

    async fn theirs_gone(&self, source: usize, uid: u8) -> Result<(), PutError> {
        let Some((event, row)) = self.known(source, uid).await else { return Ok(()) };
        self.apply(source, Applied::Remove(Remove { event: (event, row.generation), clash: None })).await
    }

    async fn apply(&self, source: usize, item: Applied) -> Result<(), PutError> {
        let source: SourceId = COLLECTIONS[source].parse().unwrap();
        let outcomes = self.house.apply(&source, vec![item]).await?;
        assert!(outcomes.iter().all(|outcome| outcome.written().is_some()));
        Ok(())
    }

    /// Fills in the names that were the server's to choose.
    async fn learn_names(&mut self) {
        for ((shared, uid), event) in &mut self.model.events {
            let id = self.house.id(if *shared { "unified" } else { "work" });
            let row = self.house.calendars.event_by_uid(&id, &format!("u{uid}")).await.unwrap();
            let row = row.expect("an event is kept in the trash").1;
            for (collection, name) in &mut event.members {
                let real = row.name_in(&COLLECTIONS[*collection].parse().unwrap()).expect("a member").to_string();
                name.get_or_insert(real);
            }
            if let Some(name) = &mut event.unified {
                name.get_or_insert_with(|| row.unified_name.expect("shown").to_string());
            }
        }
    }

    async fn compare(&mut self) {
        self.house.check().await;
        for (number, collection) in COLLECTIONS.iter().enumerate() {
            let view = self.house.calendars.view(&self.house.id(collection)).await.unwrap();
            let mut listed = BTreeMap::new();
            for entry in view.entries() {
                let octets = self.house.calendars.entry_octets(&self.house.id(collection), entry).await.unwrap();
                assert_eq!(EtagOctets::of(&octets).etag(), entry.etag);
                listed.insert(entry.name.to_string(), octets);
            }
            let expected: BTreeMap<String, u8> = self.model.listing(number);
            let contents: BTreeMap<String, u8> =
                listed.iter().map(|(name, octets)| (name.clone(), read(octets))).collect();
            assert_eq!(contents, expected, "{collection}");
        }
    }

    async fn catch_up(&mut self) {
        for (number, collection) in COLLECTIONS.iter().enumerate() {
            while self.shadows[number].follow(&self.house, number, 2).await {}
            let view = self.house.calendars.view(&self.house.id(collection)).await.unwrap();
            let listed: BTreeMap<String, String> =
                view.entries().map(|entry| (entry.name.to_string(), entry.etag.0.clone())).collect();
            assert_eq!(self.shadows[number].known, listed, "{collection}");
        }
    }
}

fn read(octets: &[u8]) -> u8 {
    let text = String::from_utf8_lossy(octets);
    let at = text.find("content ").unwrap() + "content ".len();
    text[at..=at].parse().unwrap()
}

fn no(error: PutError) -> No {
    match error {
        PutError::NotFound => No::NotFound,
        PutError::ConditionFailed => No::ConditionFailed,
        PutError::Refused(Refusal::UidTaken(_)) => No::UidTaken,
        PutError::Refused(Refusal::UidChanged) => No::UidChanged,
        PutError::Refused(Refusal::SamePlace) => No::SamePlace,
        other => panic!("unexpected: {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn calendars_do_as_the_model_says(ops in proptest::collection::vec(op(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new().await;
            for op in &ops {
                run.step(op).await;
                run.compare().await;
            }
            run.catch_up().await;
        });
    }
}
