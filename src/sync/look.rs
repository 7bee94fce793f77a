//! Looking at one remote item out of turn, because a write met something else than was agreed on.
//!
//! Invariant: what is found is taken in as a pull would; an item that is not where it was is gone only when nothing else that
//! we know it by leads to it.

use std::collections::HashSet;

use bytes::Bytes;

use super::item::Planned;
use super::job::PullJob;
use super::pull::PullError;
use super::push::{Done, Outgoing};
use super::record::{self, CURSORS};
use super::take::Plan;
use super::{Engine, Target, item, reconcile};
use crate::calendar::PutError;
use crate::ical::Object;
use crate::jobs::Priority;
use crate::provider::{Fault, IdempotencyKey, Item, RemoteId, Version};
use crate::store::Batch;

impl Engine {
    /// What we wrote is not where it was. A service may have given it another id (fault catalogue 51): before it counts as
    /// deleted, it is looked for by what we know it by.
    pub(super) async fn look_elsewhere(
        &self,
        target: &Target,
        out: &Outgoing,
        remote: &RemoteId,
    ) -> Result<Done, PullError> {
        let key = IdempotencyKey::new(&format!("lineartime-{}", out.event));
        let made = target.provider.made(&target.source.remote, &key, &out.row.uid).await?;
        match target.provider.fetch(&target.source.remote, std::slice::from_ref(remote)).await {
            Err(Fault::Gone) => {}
            _ => return self.look(target, remote).await,
        }
        let Some(other) = made.filter(|other| other != remote) else {
            return self.compare_first(target, out, remote).await;
        };
        let found = target.provider.fetch(&target.source.remote, std::slice::from_ref(&other)).await;
        match found.map(|items| items.into_iter().find_map(whole)) {
            Ok(Some((version, octets))) => {
                self.take_in(target, version, octets, &HashSet::from([remote.clone()])).await
            }
            Ok(None) | Err(Fault::Gone) => self.compare_first(target, out, remote).await,
            Err(fault) => Err(fault.into()),
        }
    }

    /// An item that is not where it was may only have another name, which a comparison tells. Where one since the wish has
    /// not, it is gone.
    pub(super) async fn compare_first(
        &self,
        target: &Target,
        out: &Outgoing,
        remote: &RemoteId,
    ) -> Result<Done, PullError> {
        let compared = CURSORS.get(&*self.store, &target.source.id).await?.map(|row| row.compared);
        if !target.provider.renames() || compared.is_some_and(|at| at > out.intent.since) {
            return self.look(target, remote).await;
        }
        self.compare_now(target).await?;
        Ok(Done::Waits)
    }

    pub(super) async fn compare_now(&self, target: &Target) -> Result<(), PullError> {
        let source = target.source.id.clone();
        let job =
            PullJob { user: target.source.user.clone(), account: target.source.account.clone(), source, full: true };
        let wish = job.wish(self.clock.now(), Priority::High);
        self.queue.enqueue(wish).await.map(drop).map_err(|error| PullError::Account(error.to_string()))
    }

    /// Looks at one remote item and takes in what is found, as a pull would.
    pub(super) async fn look(&self, target: &Target, remote: &RemoteId) -> Result<Done, PullError> {
        let found = target.provider.fetch(&target.source.remote, std::slice::from_ref(remote)).await;
        let full = match found {
            Ok(items) => items.into_iter().find_map(whole),
            Err(Fault::Gone) => {
                let seen = self.see(target, Version { id: remote.clone(), tag: None }, None).await?;
                let step = reconcile::absent(&seen.here);
                let planned = item::plan_gone(seen, step);
                if planned.as_ref().is_some_and(Planned::recreates) && self.follow(target, remote).await? {
                    return Ok(Done::Again);
                }
                let planned = planned.into_iter().collect();
                return self.moved(self.commit(target, planned, Batch::new()).await);
            }
            Err(fault) => return Err(fault.into()),
        };
        let Some((version, octets)) = full else {
            return Err(Fault::Garbled("the server says that the object changed and does not give it".into()).into());
        };
        self.take_in(target, version, octets, &HashSet::new()).await
    }

    /// Takes in an item that is there; `gone` are those that are known not to be.
    async fn take_in(
        &self,
        target: &Target,
        version: Version,
        octets: Bytes,
        gone: &HashSet<RemoteId>,
    ) -> Result<Done, PullError> {
        let object = Object::parse(octets).map_err(|error| Fault::Garbled(error.to_string()))?;
        match self.plan(target, version, object, gone).await? {
            Plan::Do(planned) => self.moved(self.commit(target, vec![*planned], Batch::new()).await),
            Plan::Another(left) => self.moved(self.commit(target, vec![*left], Batch::new()).await),
            Plan::Nothing => Ok(Done::Again),
            Plan::SetAside(remote, row) => {
                let mut batch = Batch::new();
                record::quarantine(&mut batch, &target.source.id, &remote, &row);
                self.store.commit(batch).await.map_err(PutError::from)?;
                Ok(Done::Waits)
            }
        }
    }

    #[expect(clippy::unused_self, reason = "reads as a step of the engine")]
    fn moved(&self, committed: Result<(), PutError>) -> Result<Done, PullError> {
        match committed {
            Ok(()) | Err(PutError::Stale) => Ok(Done::Again),
            Err(error) => Err(error.into()),
        }
    }
}

fn whole(item: Item) -> Option<(Version, Bytes)> {
    match item {
        Item::Full { version, object } => Some((version, object)),
        Item::Stub { .. } => None,
    }
}
