//! What must hold at the end of every life.

use std::collections::{BTreeMap, BTreeSet};

use lineartime::calendar::ConflictKind;
use lineartime::id::{CollectionId, Etag};
use lineartime::sync::Health;

use super::life::{ACCOUNTS, Last, Life, Meaning};
use crate::world::{uid_of, value_of};

impl Life {
    pub async fn judge(&mut self) {
        self.nothing_is_there_twice();
        self.mirrors_are_what_they_mirror().await;
        self.what_was_acknowledged_is_kept().await;
        self.what_providers_held_was_seen().await;
        self.the_last_word_stands().await;
        self.no_work_is_lost().await;
        self.nobody_is_written_to_unasked();
        self.who_followed_knows_all().await;
        self.world.assert_quiet(&ACCOUNTS).await;
        self.tell("quiet");
    }

    fn nothing_is_there_twice(&self) {
        for account in ACCOUNTS {
            let uids: Vec<String> = self.world.far_items(account).iter().map(|(_, octets)| uid_of(octets)).collect();
            let distinct: BTreeSet<&String> = uids.iter().collect();
            assert_eq!(distinct.len(), uids.len(), "{account} holds a UID twice: {uids:?}");
        }
    }

    async fn shown(&self, id: &CollectionId) -> BTreeMap<String, Meaning> {
        let shown = self.world.shown(id).await;
        shown.values().map(|octets| (value_of(octets, "UID").unwrap(), Meaning::of(octets))).collect()
    }

    /// What the history of a UID says, by tag.
    async fn history(&self, uid: &str) -> Vec<(Etag, Meaning)> {
        let calendars = self.world.calendars();
        let mut all = Vec::new();
        for info in calendars.history(&self.world.user, uid).await.unwrap() {
            let octets = calendars.octets(&self.world.user, info.event, info.revision).await.unwrap().unwrap();
            all.push((info.etag, Meaning::of(&octets)));
        }
        all
    }

    /// The revisions of an event with who wrote each, for whoever looks into a failure.
    async fn tale(&self, uid: &str) -> Vec<String> {
        let infos = self.world.calendars().history(&self.world.user, uid).await.unwrap();
        let told = infos.iter().zip(self.history(uid).await);
        told.map(|(info, (_, meaning))| format!("{} {:?} {meaning:?}", info.at, info.author)).collect()
    }

    /// Events whose copies differed when they met, as recorded: they are left so until somebody edits.
    async fn twins(&self) -> BTreeSet<String> {
        let mut twins = BTreeSet::new();
        for conflict in self.world.conflicts().await {
            if conflict.kind == ConflictKind::Twin {
                let row = self.world.calendars().event(&self.world.user, conflict.event).await.unwrap().unwrap();
                twins.insert(row.uid);
            }
        }
        twins
    }

    async fn mirrors_are_what_they_mirror(&self) {
        let twins = self.twins().await;
        let mut anywhere = BTreeMap::new();
        for account in ACCOUNTS {
            let items = self.world.far_items(account);
            let mut there: BTreeMap<String, Meaning> =
                items.iter().map(|(_, octets)| (uid_of(octets), Meaning::of(octets))).collect();
            let mut here = self.shown(&self.world.mirror(account, "work").await).await;
            for twin in &twins {
                let kept = self.history(twin).await;
                let differs = there.get(twin) != here.get(twin);
                if let Some(meaning) = there.get(twin).filter(|_| differs && here.contains_key(twin)) {
                    // Later changes are carried over property by property.
                    let is_kept = kept.iter().any(|(_, kept)| kept.summary == meaning.summary)
                        && kept.iter().any(|(_, kept)| kept.location == meaning.location);
                    assert!(is_kept, "{account} {twin}: {meaning:?} is not kept, there is only {kept:?}");
                    there.remove(twin);
                    anywhere.extend(here.remove(twin).map(|meaning| (twin.clone(), meaning)));
                }
            }
            assert_eq!(here, there, "the mirror of {account} (left) is not what is there (right)");
            anywhere.extend(here);
        }
        assert_eq!(
            self.shown(&self.world.unified()).await,
            anywhere,
            "the unified calendar is not the sum of the others"
        );
    }

    async fn what_was_acknowledged_is_kept(&self) {
        for uid in self.uids() {
            let history = self.history(&uid).await;
            for write in self.acknowledged.iter().filter(|write| write.uid == uid) {
                let kept = history.iter().any(|(etag, _)| *etag == write.etag);
                assert!(kept, "lost: {uid} of step {}, there is only {history:?}", write.step);
            }
        }
    }

    /// The gateway overwrites and deletes nothing that it has not read and kept.
    async fn what_providers_held_was_seen(&self) {
        for ((account, uid), meaning) in &self.provided {
            let there = self.world.far_find(account, uid).map(|(_, octets)| Meaning::of(&octets));
            let history = self.history(uid).await;
            let is_kept = history.iter().any(|(_, kept)| kept == meaning);
            let is_merged = history.iter().any(|(_, kept)| kept.summary == meaning.summary)
                && history.iter().any(|(_, kept)| kept.location == meaning.location);
            let stands = there.as_ref() == Some(meaning);
            assert!(stands || is_kept || is_merged, "{account} held {uid} {meaning:?}, nothing has it: {history:?}");
        }
    }

    async fn the_last_word_stands(&self) {
        let shown = self.shown(&self.world.unified()).await;
        for (uid, last) in &self.last {
            match last {
                Last::Says(meaning) => {
                    assert_eq!(shown.get(uid), Some(meaning), "{uid}, {:?}", self.tale(uid).await);
                }
                Last::Nowhere => {
                    assert_eq!(shown.get(uid), None, "{uid} is back");
                    for account in ACCOUNTS {
                        assert!(self.world.far_find(account, uid).is_none(), "{uid} is back at {account}");
                    }
                }
                Last::Contested => {}
            }
        }
    }

    /// Attendees hear of what a person changed here, and of nothing else: not of imports, repairs, or what others changed.
    fn nobody_is_written_to_unasked(&self) {
        for (account, service) in &self.world.services {
            for (uid, mails) in service.mails() {
                let edits = self.edits.get(&uid).copied().unwrap_or_default();
                assert!(
                    mails <= edits,
                    "{account} wrote {mails} times to the attendees of {uid}, which was edited {edits} times"
                );
            }
        }
    }

    async fn no_work_is_lost(&self) {
        let queue = &self.world.process().queue;
        let dead = queue.dead().await.unwrap();
        assert!(dead.is_empty(), "given up: {dead:?}");
        let kinds: BTreeMap<String, usize> =
            queue.list().await.unwrap().iter().fold(BTreeMap::new(), |mut kinds, job| {
                *kinds.entry(job.kind.to_string()).or_default() += 1;
                kinds
            });
        let usual = BTreeMap::from([("discover".to_owned(), 2), ("pull".to_owned(), 2)]);
        assert_eq!(kinds, usual, "the usual jobs and no others");
        for account in self.world.engine().status(None).await.unwrap().accounts {
            assert_eq!(account.state, Health::Healthy, "{account:?}");
            assert_eq!(account.queue, 0, "{account:?}");
        }
    }

    async fn who_followed_knows_all(&mut self) {
        for client in 0..self.clients.len() {
            for collection in ["unified", "a", "b"] {
                let limit = 1 + self.dice.below(4);
                self.catch_up(client, collection, limit).await;
                let (id, shadow) = &self.clients[client].shadows[collection];
                let view = self.world.calendars().view(id).await.unwrap();
                let listing: BTreeMap<_, _> =
                    view.entries().map(|entry| (entry.name.clone(), entry.etag.clone())).collect();
                assert_eq!(shadow.known, listing, "client {client} at {collection}");
            }
        }
    }
}
