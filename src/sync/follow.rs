//! An event that somebody has moved to another calendar of the account while it was edited here.
//!
//! To the calendar that it left this looks like a deletion, and an edit wins over one of those: the event would be made there
//! anew, and be in both. So before that the account's other calendars are asked for it, and the edit follows it.

use std::collections::HashSet;

use super::item::{self, Seen};
use super::pull::PullError;
use super::reconcile::Here;
use super::record::{self, BaseContent, Link, Linked};
use super::{Engine, Target};
use crate::calendar::{Mirror, PutError, Want};
use crate::ical::{self, Object};
use crate::id::EventId;
use crate::provider::{Fault, IdempotencyKey, Item, RemoteId, Version};
use crate::store::Batch;

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
            let meaning = ical::meaning(&object);
            // What both sides said before the edit stands opposite to what is there: so it is the edit that is sent.
            let base = if meaning == edit.agreed.link.meaning {
                edit.agreed.link.base.clone()
            } else {
                let opposite = item::agreed_revision(&edit.agreed.link.base);
                BaseContent::Octets { octets: object.octets().clone(), opposite }
            };
            let link = Link { event: edit.event, tag: version.tag, meaning, base, at: self.clock.now() };
            let linked = Linked { remote: version.id, link };
            if before.as_ref().is_some_and(|before| before.remote != linked.remote) {
                continue;
            }
            return Ok(Some(Arrival { target, linked, before }));
        }
        Ok(None)
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
            None => {
                let key = IdempotencyKey::new(&format!("lineartime-{}", edit.event));
                target.provider.find(calendar, &key, edit.uid).await?
            }
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
