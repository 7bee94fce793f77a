//! Moves between two calendars of one account, which neither delete an event nor make another.
//!
//! One made there, while the event was edited here: to the calendar that it left this looks like a deletion, and an edit wins
//! over one of those: the event would be made there anew, and be in both. So before that the account's other calendars are
//! asked for it, and the edit follows it.
//!
//! One made here: where the service can move an event it does, so that nobody hears of one that is called off and of
//! another that is called. The rows follow in one commit; a move whose answer was lost is found where the event is then.

use std::collections::HashSet;

use super::item::{self, Seen};
use super::pull::PullError;
use super::push::Outgoing;
use super::reconcile::Here;
use super::record::{self, BaseContent, Link, Linked};
use super::{Engine, Target};
use crate::calendar::{Cause, Intent, Mirror, PutError, Want};
use crate::failpoint;
use crate::ical::{self, Object};
use crate::id::EventId;
use crate::provider::{Change, Fault, IdempotencyKey, Item, RemoteId, Stored, Version, Written};
use crate::store::{Batch, CommitError};

/// Where an event has turned up.
struct Arrival {
    target: Target,
    linked: Linked,
    /// The link that it had there already.
    before: Option<Linked>,
}

/// What an edit that follows its event takes along.
struct Edit<'a> {
    event: EventId,
    uid: &'a str,
    /// What was agreed on with the calendar that it left.
    agreed: &'a Linked,
}

impl Engine {
    /// `remote` is gone from `target` and was edited here: if another calendar of the account has the event, the edit goes
    /// there. Whether it does.
    pub(super) async fn follow(&self, target: &Target, remote: &RemoteId) -> Result<bool, PullError> {
        let seen = self.see(target, Version { id: remote.clone(), tag: None }, None).await?;
        let Seen { linked: Some(agreed), event: Some((event, row)), intent: Some(intent), here, .. } = &seen else {
            return Ok(false);
        };
        let is_edited = matches!(here, Here::Member { dirty: true, held: false, .. }) && intent.want == Want::Live;
        if !is_edited || item::is_copy(target, row) {
            return Ok(false);
        }
        let edit = Edit { event: *event, uid: &row.uid, agreed };
        let Some(arrival) = self.arrival(target, &edit).await? else { return Ok(false) };
        let mut also = Batch::new();
        record::drop_link(&mut also, &target.source.id, agreed);
        self.calendars.clear_intent_into(&mut also, &target.source.id, *event, intent);
        let before = arrival.before.as_ref().map(|before| &before.link);
        record::put_link(&mut also, &arrival.target.source.id, &arrival.linked, before);
        let places = (&target.collection.name, &arrival.target.collection.name);
        let at = (*event, row.generation);
        match self.calendars.relocate(&target.source.user, at, places, intent, also).await {
            Ok(()) => {
                self.confirmed.doubt(&arrival.target.source.id);
                tracing::info!(source.id = %arrival.target.source.id, "an edit follows its event to another calendar");
                Ok(true)
            }
            // Written again meanwhile: whoever asked looks again.
            Err(PutError::Stale) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn arrival(&self, left: &Target, edit: &Edit<'_>) -> Result<Option<Arrival>, PullError> {
        let account = self.accounts.account(&left.source.account).await.map_err(PullError::from)?;
        let mut others = HashSet::new();
        for source in self.accounts.sources_of(&account).await.map_err(PullError::from)? {
            if source.id == left.source.id || !others.insert(source.id.clone()) {
                continue;
            }
            let target = match self.target(&source.id).await {
                Ok(target) if target.mirror == Mirror::TwoWay && !source.read_only => target,
                Ok(_) | Err(PullError::NotMirrored) => continue,
                Err(error) => return Err(error),
            };
            let before = record::link_of(&*self.store, &source.id, edit.event).await?;
            let Some((version, object)) = self.there(&target, edit, before.as_ref()).await? else { continue };
            let linked = self.arrived(edit, version, &object);
            if before.as_ref().is_some_and(|before| before.remote != linked.remote) {
                continue;
            }
            return Ok(Some(Arrival { target, linked, before }));
        }
        Ok(None)
    }

    /// The link of an event in the calendar that it has come to.
    fn arrived(&self, edit: &Edit<'_>, version: Version, object: &Object) -> Linked {
        let meaning = ical::meaning(object);
        // What both sides said before the edit stands opposite to what is there: so it is the edit that is sent.
        let base = if meaning == edit.agreed.link.meaning {
            edit.agreed.link.base.clone()
        } else {
            let opposite = item::agreed_revision(&edit.agreed.link.base);
            BaseContent::Octets { octets: object.octets().clone(), opposite }
        };
        let link = Link { event: edit.event, tag: version.tag, meaning, base, at: self.clock.now() };
        Linked { remote: version.id, link }
    }

    /// An event that is to come to `target` and was in another calendar of the account: its service moves it, if it can.
    /// Whether it is there now.
    pub(super) async fn carry_over(&self, target: &Target, out: &Outgoing, ours: &Object) -> Result<bool, PullError> {
        if target.provider.deletes_first() || item::is_copy(target, &out.row) {
            return Ok(false);
        }
        let Some((left, agreed, intent)) = self.origin(target, out).await? else {
            return self.arrived_before(target, out).await;
        };
        let known = self.known(&left, &agreed).await?;
        let notify = self.notify(target, out, (known.base.as_ref(), Some(ours))).await?;
        let change = Change { object: ours, base: known.base.as_ref(), notify };
        let places = (&left.source.remote, &target.source.remote);
        let edit = Edit { event: out.event, uid: &out.row.uid, agreed: &agreed };
        let there = match target.provider.relocate(places, &agreed.version(), &key(out.event), &change).await {
            Ok(Some(Written { version, stored: Stored::AsSent })) => Some((version, ours.clone())),
            Ok(Some(Written { version, stored: Stored::Different(octets) })) => {
                let object = Object::parse(octets).map_err(|error| Fault::Garbled(error.to_string()))?;
                Some((version, object))
            }
            Ok(None) | Err(Fault::Changed) => {
                // What others would be mailed about, though nobody wants that, is not moved at all.
                target.provider.may_move(&agreed.remote).await?;
                return Ok(false);
            }
            // By a try whose answer was lost, or by somebody else.
            Err(Fault::Gone) => self.there(target, &edit, None).await?,
            Err(fault) => return Err(fault.into()),
        };
        let Some((version, object)) = there else { return Ok(false) };
        failpoint::reach("move.between_src_dst");
        let mut batch = Batch::new();
        record::drop_link(&mut batch, &left.source.id, &agreed);
        self.calendars.clear_intent_into(&mut batch, &left.source.id, out.event, &intent);
        record::put_link(&mut batch, &target.source.id, &self.arrived(&edit, version, &object), None);
        match self.store.commit(batch).await {
            // Something was written meanwhile: the next look finds the event where it is.
            Ok(_) | Err(CommitError::Stale(_)) => {}
            Err(CommitError::Store(error)) => return Err(error.into()),
        }
        self.confirmed.doubt(&left.source.id);
        self.confirmed.doubt(&target.source.id);
        Ok(true)
    }

    /// The calendar of the same account that the event leaves for `target`.
    async fn origin(&self, target: &Target, out: &Outgoing) -> Result<Option<(Target, Linked, Intent)>, PullError> {
        let account = self.accounts.account(&target.source.account).await.map_err(PullError::from)?;
        for source in self.accounts.sources_of(&account).await.map_err(PullError::from)? {
            let intent = self.calendars.intent(&source.id, out.event).await?;
            let leaves =
                |intent: &Intent| intent.want == Want::Gone && intent.after.as_ref() == Some(&target.source.id);
            let Some(intent) = intent.filter(leaves) else { continue };
            let Some(linked) = record::link_of(&*self.store, &source.id, out.event).await? else { continue };
            return match self.target(&source.id).await {
                Ok(left) => Ok(Some((left, linked, intent))),
                Err(PullError::NotMirrored) => Ok(None),
                Err(error) => Err(error),
            };
        }
        Ok(None)
    }

    /// A move whose rows were not written before its origin told that the event is gone from there. Whether it was taken in.
    async fn arrived_before(&self, target: &Target, out: &Outgoing) -> Result<bool, PullError> {
        if out.intent.cause != Cause::Move {
            return Ok(false);
        }
        let calendar = &target.source.remote;
        let Some(id) = target.provider.made(calendar, &key(out.event), &out.row.uid).await? else { return Ok(false) };
        match target.provider.fetch(calendar, std::slice::from_ref(&id)).await {
            Ok(found) if found.iter().any(|item| matches!(item, Item::Full { .. })) => {
                self.look(target, &id).await.map(|_| true)
            }
            Ok(_) | Err(Fault::Gone) => Ok(false),
            Err(fault) => Err(fault.into()),
        }
    }

    /// The event as another calendar has it, if it does.
    async fn there(
        &self,
        target: &Target,
        edit: &Edit<'_>,
        before: Option<&Linked>,
    ) -> Result<Option<(Version, Object)>, PullError> {
        let calendar = &target.source.remote;
        let known = match before {
            Some(before) => Some(before.remote.clone()),
            None => target.provider.find(calendar, &key(edit.event), edit.uid).await?,
        };
        let Some(id) = known else { return Ok(None) };
        let found = match target.provider.fetch(calendar, std::slice::from_ref(&id)).await {
            Ok(found) => found,
            Err(Fault::Gone) => return Ok(None),
            Err(fault) => return Err(fault.into()),
        };
        Ok(found.into_iter().find_map(|item| match item {
            Item::Full { version, object } => {
                Object::parse(object).ok().filter(|object| object.uid() == edit.uid).map(|object| (version, object))
            }
            Item::Stub { .. } => None,
        }))
    }
}

fn key(event: EventId) -> IdempotencyKey {
    IdempotencyKey::new(&format!("lineartime-{event}"))
}
