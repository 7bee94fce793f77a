//! Taking in what a round of changes brought: contents are fetched, decided about one by one, and committed some at a time.
//!
//! Invariant: what can't be had or read is set aside with its reason, and the rest goes on; of an event that a chunk touches
//! twice, the second waits for the first.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures_util::future::join;

use super::attempts::Kind;
use super::item::{self, Planned, Seen};
use super::pull::{ATTEMPTS, CHUNK, PullError, TWIN};
use super::reconcile::{self, Here, Remote};
use super::record;
use super::strategy::Favour;
use super::{Engine, Target};
use crate::calendar::PutError;
use crate::ical::Object;
use crate::provider::{Fault, IdempotencyKey, Item, RemoteId, Version};
use crate::store::{Batch, StoreError};

impl Engine {
    /// Takes in what is there. Returns what is gone, with those that turned out to be so on the way.
    pub(super) async fn take_items(
        &self,
        target: &Target,
        items: Vec<Item>,
        mut gone: Vec<RemoteId>,
    ) -> Result<Vec<RemoteId>, PullError> {
        let there: HashSet<RemoteId> = items.iter().map(|item| item.id().clone()).collect();
        // An item that came back after it was deleted in the same round is there.
        gone.retain(|remote| !there.contains(remote));
        let mut chunks = items.chunks(CHUNK);
        let Some(first) = chunks.next() else { return Ok(gone) };
        let mut read = self.contents(target, first).await;
        loop {
            let (full, missing) = read?;
            gone.extend(missing);
            let taking = self.take_chunk(target, full, &gone);
            let Some(next) = chunks.next() else {
                taking.await?;
                return Ok(gone);
            };
            // The provider is busy with the next ones while these are being committed.
            let (taken, following) = join(taking, self.contents(target, next)).await;
            taken?;
            read = following;
        }
    }

    async fn take_chunk(
        &self,
        target: &Target,
        full: Vec<(Version, Bytes)>,
        gone: &[RemoteId],
    ) -> Result<(), PullError> {
        let departed: HashSet<RemoteId> = gone.iter().cloned().collect();
        let mut rest = full;
        while !rest.is_empty() {
            rest = self.take_some(target, rest, &departed).await?;
        }
        self.attempts.looked_at(&target.source.id, Kind::Pull, 0);
        Ok(())
    }

    /// The contents of a chunk, and which of its items are gone. What can't be had is quarantined.
    async fn contents(
        &self,
        target: &Target,
        chunk: &[Item],
    ) -> Result<(Vec<(Version, Bytes)>, Vec<RemoteId>), PullError> {
        let mut full: HashMap<RemoteId, (Version, Bytes)> = HashMap::new();
        let keep = |full: &mut HashMap<_, _>, item: Item| {
            if let Item::Full { version, object } = item {
                full.insert(version.id.clone(), (version, object));
            }
        };
        let mut wanted = Vec::new();
        for item in chunk {
            match item {
                Item::Full { .. } => keep(&mut full, item.clone()),
                Item::Stub { id, .. } => wanted.push(id.clone()),
            }
        }
        // One alone is asked for below, where its failing is told from the server's.
        if wanted.len() > 1 {
            for item in target.provider.fetch(&target.source.remote, &wanted).await? {
                keep(&mut full, item);
            }
        }
        let (mut gone, mut quarantine) = (Vec::new(), Batch::new());
        for item in chunk.iter().filter(|item| !full.contains_key(item.id())).cloned().collect::<Vec<_>>() {
            match target.provider.fetch(&target.source.remote, std::slice::from_ref(item.id())).await {
                Ok(found) if !found.is_empty() => found.into_iter().for_each(|found| keep(&mut full, found)),
                Err(Fault::Gone) => gone.push(item.id().clone()),
                Ok(_) => self.set_aside(target, &item, "the server lists it and does not give it", &mut quarantine),
                Err(fault @ (Fault::Garbled(_) | Fault::Refused(_) | Fault::Forbidden(_))) => {
                    self.set_aside(target, &item, &fault.to_string(), &mut quarantine);
                }
                // The object alone, if the server still answers.
                Err(fault @ Fault::Unreachable(_)) if target.provider.calendars().await.is_ok() => {
                    self.set_aside(target, &item, &fault.to_string(), &mut quarantine);
                }
                Err(fault) => return Err(fault.into()),
            }
        }
        if !quarantine.is_empty() {
            self.store.commit(quarantine).await.map_err(PutError::from)?;
        }
        let order = chunk.iter().filter_map(|item| full.remove(item.id())).collect();
        Ok((order, gone))
    }

    fn set_aside(&self, target: &Target, item: &Item, why: &str, batch: &mut Batch) {
        let row = item::quarantined(why, item.tag().cloned(), None, self.clock.now());
        record::quarantine(batch, &target.source.id, item.id(), &row);
        tracing::warn!(source.id = %target.source.id, why, "a remote item is set aside");
    }

    /// Decides and commits as many items as can go together; returns those that touch an event twice, for later.
    async fn take_some(
        &self,
        target: &Target,
        items: Vec<(Version, Bytes)>,
        gone: &HashSet<RemoteId>,
    ) -> Result<Vec<(Version, Bytes)>, PullError> {
        for attempt in 1.. {
            let (mut planned, mut later, mut also) = (Vec::new(), Vec::new(), Batch::new());
            let mut uids = HashSet::new();
            for (version, octets) in items.clone() {
                match Object::parse(octets.clone()) {
                    Ok(object) if !uids.insert(object.uid().to_owned()) => later.push((version, octets)),
                    Ok(object) => match self.plan(target, version.clone(), object, gone).await? {
                        Plan::Do(plan) => planned.push(*plan),
                        // It is as it was agreed on; what kept it from being read has passed.
                        Plan::Nothing => self.let_go(target, &version.id, &mut also).await?,
                        Plan::Another(left) => {
                            planned.push(*left);
                            later.push((version, octets));
                        }
                        Plan::SetAside(remote, row) => record::quarantine(&mut also, &target.source.id, &remote, &row),
                    },
                    Err(error) => {
                        let since = self.since(target, &version).await?;
                        let row = item::quarantined(&error.to_string(), version.tag, Some(octets), since);
                        record::quarantine(&mut also, &target.source.id, &version.id, &row);
                        tracing::warn!(source.id = %target.source.id, why = %error, "a remote item can't be read");
                    }
                }
            }
            match self.commit(target, planned, also).await {
                Ok(()) => return Ok(later),
                Err(PutError::Stale) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PutError::Stale.into())
    }

    /// Takes an item out of quarantine, if it is there.
    async fn let_go(&self, target: &Target, remote: &RemoteId, batch: &mut Batch) -> Result<(), StoreError> {
        let key = (target.source.id.clone(), remote.as_str().to_owned());
        if record::QUARANTINE.get(&*self.store, &key).await?.is_some() {
            record::release(batch, &target.source.id, remote);
        }
        Ok(())
    }

    /// Since when an item is in quarantine, which may be now.
    async fn since(&self, target: &Target, version: &Version) -> Result<jiff::Timestamp, StoreError> {
        let key = (target.source.id.clone(), version.id.as_str().to_owned());
        let before = record::QUARANTINE.get(&*self.store, &key).await?;
        let before = before.filter(|row| row.tag == version.tag && row.octets.is_some());
        Ok(before.map_or_else(|| self.clock.now(), |row| row.since))
    }

    /// Decides about one item that is there.
    pub(super) async fn plan(
        &self,
        target: &Target,
        version: Version,
        object: Object,
        gone: &HashSet<RemoteId>,
    ) -> Result<Plan, PullError> {
        let remote = Remote::of(object);
        let mut seen: Seen = self.see(target, version, Some(remote.object.uid())).await?;
        if let Some(other) = &seen.other
            && gone.contains(&other.remote)
        {
            // It goes by another name now; what was agreed on stays agreed.
            seen.known = Some(self.known(target, other).await?);
        } else if seen.other.is_some() {
            let octets = Some(remote.object.octets().clone());
            let row = item::quarantined(TWIN, seen.version.tag.clone(), octets, self.clock.now());
            return Ok(Plan::SetAside(seen.version.id, Box::new(row)));
        }
        if seen.linked.is_some() && seen.event.as_ref().is_some_and(|(_, row)| row.uid != remote.object.uid()) {
            let step = reconcile::absent(&seen.here);
            return Ok(item::plan_gone(seen, step).map_or(Plan::Nothing, |left| Plan::Another(Box::new(left))));
        }
        let remote = Self::unmarked(target, &seen, remote);
        self.recognise(target, &mut seen, &remote).await?;
        if Self::is_unfinished(target, &seen, &remote) {
            seen.favour = Favour::Ours;
        }
        let step = reconcile::present(seen.known.as_ref(), &seen.here, &remote, seen.favour);
        let fresh = self.calendars.conflict_id();
        Ok(item::plan(seen, &remote, step, fresh).map_or(Plan::Nothing, |planned| Plan::Do(Box::new(planned))))
    }

    /// Whether the item is a create of ours that came to no end: the series stands and its changed instances were still to
    /// be written. It is younger than the edit and no edit of anybody's.
    fn is_unfinished(target: &Target, seen: &Seen, remote: &Remote) -> bool {
        let (None, Here::Member { ours, dirty: true, .. }, Some((event, _))) = (&seen.linked, &seen.here, &seen.event)
        else {
            return false;
        };
        let key = IdempotencyKey::new(&format!("lineartime-{event}"));
        remote.object.members().count() < ours.object.members().count()
            && target.provider.identity(&target.source.remote, &key).as_ref() == Some(&seen.version.id)
    }
}

/// What is to be done about one item.
pub(super) enum Plan {
    /// This.
    Do(Box<Planned>),
    /// Nothing.
    Nothing,
    /// It is another object than the one that was there under its name: this one leaves, and then the item is new.
    Another(Box<Planned>),
    /// It can't be taken in.
    SetAside(RemoteId, Box<record::Quarantined>),
}
