//! Every rule of the domain by name, on the memory store.

use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::clock::ManualClock;
use crate::entropy::SeededEntropy;
use crate::ical::Object;
use crate::id::{AccountId, CollectionId, EventId, Place, ResourceName, SourceId, UserId};
use crate::jobs::Policy;
use crate::store::{Batch, MemoryStore};

mod model;
mod rules;
mod sync;

/// One user's calendars on a fresh store.
struct House {
    store: Arc<MemoryStore>,
    clock: ManualClock,
    calendars: Calendars,
    user: UserId,
    client: Author,
}

impl House {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let store = Arc::new(MemoryStore::new());
        let clock = ManualClock::new("2026-11-22T10:00:00Z".parse().unwrap());
        let entropy = Arc::new(SeededEntropy::new(7));
        let queue = Queue::new(store.clone(), Arc::new(clock.clone()), entropy.clone(), Policy::default());
        let calendars = Calendars::new(store.clone(), Arc::new(queue), Arc::new(clock.clone()), entropy, limits);
        let user = UserId::parse("ana").unwrap();
        let client = Author::Client { user: user.clone(), device: None };
        Self { store, clock, calendars, user, client }
    }

    fn id(&self, collection: &str) -> CollectionId {
        CollectionId::new(&self.user, collection.parse().unwrap())
    }

    fn at(&self, collection: &str, name: &str) -> Place {
        Place { collection: self.id(collection), name: name.parse().unwrap() }
    }

    /// A source collection `s-NAME` of the account `a-NAME`.
    async fn attach(&self, name: &str, mirror: Mirror) -> SourceId {
        let source: SourceId = format!("s-{name}").parse().unwrap();
        let account: AccountId = format!("a-{name}").parse().unwrap();
        let new = NewSourceCollection {
            user: self.user.clone(),
            source: SourceRef { account, source: source.clone() },
            display_name: name.to_owned(),
            color: None,
            description: None,
            components: vec![ical::ComponentKind::Event, ical::ComponentKind::Todo],
            mirror,
            unify: true,
        };
        self.calendars.attach(new).await.unwrap();
        source
    }

    async fn put(&self, collection: &str, name: &str, object: Object) -> Result<Put, PutError> {
        self.calendars.put(&self.at(collection, name), object, &Conditions::NONE, &self.client).await
    }

    async fn delete(&self, collection: &str, name: &str) -> Result<Deleted, PutError> {
        self.calendars.delete(&self.at(collection, name), &Conditions::NONE, &self.client).await
    }

    async fn names(&self, collection: &str) -> Vec<String> {
        let view = self.calendars.view(&self.id(collection)).await.unwrap();
        view.entries().map(|entry| entry.name.to_string()).collect()
    }

    async fn etag(&self, collection: &str, name: &str) -> Option<String> {
        self.calendars.get(&self.at(collection, name)).await.unwrap().map(|stored| stored.etag.0)
    }

    /// Who must be told what about an event: `s-a:Live`.
    async fn wishes(&self, source: &SourceId) -> Vec<(EventId, Want)> {
        let intents = self.calendars.intents(source).await.unwrap();
        intents.into_iter().map(|(event, intent)| (event, intent.want)).collect()
    }

    async fn forget_intents(&self, source: &SourceId) {
        for (event, intent) in self.calendars.intents(source).await.unwrap() {
            let mut batch = Batch::new();
            self.calendars.clear_intent_into(&mut batch, source, event, &intent);
            self.store.commit(batch).await.unwrap();
        }
    }

    async fn check(&self) {
        let wrong = check::consistent(&*self.store, &self.user).await.unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }

    async fn apply(&self, source: &SourceId, items: Vec<Applied>) -> Result<Vec<Outcome>, PutError> {
        self.calendars.apply(&self.user, source, items, |_, _| {}).await
    }
}

fn component(kind: &str, uid: &str, summary: &str) -> Object {
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//test//EN\r\nBEGIN:{kind}\r\nUID:{uid}\r\nDTSTAMP:20261101T000000Z\r\n\
         DTSTART:20261124T090000Z\r\nSUMMARY:{summary}\r\nEND:{kind}\r\nEND:VCALENDAR\r\n"
    );
    Object::parse(Bytes::from(text)).unwrap()
}

fn event(uid: &str, summary: &str) -> Object {
    component("VEVENT", uid, summary)
}

fn new_item(name: &str, object: Object) -> Applied {
    let name_hint = Some(name.parse::<ResourceName>().unwrap());
    Applied::Upsert(Upsert { event: None, name_hint, object, follow: Follow::Others, clash: None })
}

fn refusal<T: std::fmt::Debug>(result: Result<T, PutError>) -> Refusal {
    match result {
        Err(PutError::Refused(refusal)) => refusal,
        other => panic!("refused is expected: {other:?}"),
    }
}

/// The server runs these on many threads.
#[test]
fn everything_can_be_awaited_anywhere() {
    fn check<T: Send>(_: T) {}
    let house = House::new();
    let place = house.at("local", "a.ics");
    check(house.calendars.put(&place, event("u", "x"), &Conditions::NONE, &house.client));
    check(house.calendars.delete(&place, &Conditions::NONE, &house.client));
    check(house.calendars.copy(&place, &place, Overwrite::Allowed, &Conditions::NONE, &house.client));
    check(house.calendars.delete_collection(&place.collection));
    check(house.calendars.view(&place.collection));
    check(house.calendars.changes(&place.collection, None, 1));
    let source: SourceId = "s-a".parse().unwrap();
    check(house.calendars.apply(&house.user, &source, Vec::new(), |_, _| {}));
    check(house.calendars.restore(&house.user, EventId(1), 1, &house.client));
}

impl Calendars {
    /// A PUT that does not try again.
    async fn try_once(&self, place: &Place, object: &Object, author: &Author) -> Result<Put, PutError> {
        self.try_put(place, object, &Conditions::NONE, author).await
    }
}
