//! Sync's write path: what a provider has, taken in as one commit a page.
//!
//! The caller has decided already; here the decisions become rows, together with the caller's own (links, cursor). It says
//! for each item which generation of the event it decided by. If that is not the present one, nothing of the
//! page is written and the whole call is [`PutError::Stale`]: read again, decide again.
//!
//! A new item whose UID the space knows makes that event a member of this source too, if both mean the same. If they
//! don't, that is for the caller to merge, so it is stale as well: look the event up by
//! [`Calendars::event_by_uid`] and say what becomes of it. An item that can't be taken in is refused alone; the others go on.

use crate::calendar::conflict::{Conflict, ConflictId, ConflictKind, Decision};
use crate::calendar::draft::Draft;
use crate::calendar::history::Before;
use crate::calendar::intent::{Cause, Intent, Pending, Want};
use crate::calendar::record::{Author, EtagOctets};
use crate::calendar::{Calendars, PutError, Refusal};
use crate::ical::{Object, same_meaning};
use crate::id::{CollectionName, Etag, EventId, ResourceName, SourceId, UserId};
use crate::store::{Batch, StoreError};

/// What became of one remote item.
#[derive(Clone, Debug)]
pub enum Applied {
    /// It is there, with this content.
    Upsert(Upsert),
    /// It is not there (any more).
    Remove(Remove),
    /// Nothing to write; only hold the event in place while the caller writes rows of its own, or record a conflict.
    Touch(Touch),
}

impl Applied {
    /// What was decided on the way here.
    pub fn clash(&self) -> Option<&Clash> {
        match self {
            Self::Upsert(upsert) => upsert.clash.as_ref(),
            Self::Remove(remove) => remove.clash.as_ref(),
            Self::Touch(touch) => touch.clash.as_ref(),
        }
    }
}

/// A remote item's content for an event.
#[derive(Clone, Debug)]
pub struct Upsert {
    /// The event and the generation decided by; `None` for an item that no event is known for.
    pub event: Option<(EventId, u64)>,
    /// The name it would like to have.
    pub name_hint: Option<ResourceName>,
    /// The content.
    pub object: Object,
    /// Who must be told.
    pub follow: Follow,
    /// What was decided on the way here.
    pub clash: Option<Clash>,
}

/// A remote item's end.
#[derive(Clone, Debug)]
pub struct Remove {
    /// The event and the generation decided by.
    pub event: (EventId, u64),
    /// What was decided on the way here.
    pub clash: Option<Clash>,
}

/// An event that stays as it is.
#[derive(Clone, Debug)]
pub struct Touch {
    /// The event and the generation decided by.
    pub event: (EventId, u64),
    /// What was decided on the way here.
    pub clash: Option<Clash>,
}

/// Which sources get an intent when a provider's content is taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follow {
    /// All members but the one it came from.
    #[default]
    Others,
    /// That one too: what is written is not what it has, but a merge.
    All,
}

/// Two versions that met, to be recorded as a [`Conflict`]; both become revisions if they are none yet.
#[derive(Clone, Debug)]
pub struct Clash {
    /// Its number, to write over a record that waits; `None` for a new one.
    pub id: Option<ConflictId>,
    /// What met.
    pub kind: ConflictKind,
    /// The revision both sides had agreed on.
    pub base: Option<u64>,
    /// Our version.
    pub ours: Version,
    /// Theirs.
    pub theirs: Version,
    /// The names of the properties that differ.
    pub properties: Vec<String>,
    /// What was chosen.
    pub decision: Decision,
    /// By which rule, in words.
    pub rule: String,
}

/// One side of a clash.
#[derive(Clone, Debug)]
pub enum Version {
    /// It was deleted there.
    Gone,
    /// A revision that the history has.
    Revision(u64),
    /// Content that the history may not have yet.
    Content(Object),
}

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken in.
    Written(Written),
    /// A rule forbids it: for the quarantine.
    Refused(Refusal),
}

impl Outcome {
    /// What was written, if it was.
    pub fn written(&self) -> Option<&Written> {
        match self {
            Self::Written(written) => Some(written),
            Self::Refused(_) => None,
        }
    }
}

/// An event as it stands after the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The event.
    pub event: EventId,
    /// Its served revision: the base of a link, if it is what the provider has.
    pub revision: u64,
    /// The tag of that revision.
    pub etag: Etag,
    /// Nobody knew the event before.
    pub created: bool,
}

impl Calendars {
    /// Takes in a page of `source`'s items in one commit with what `also` adds when it knows what became of each item.
    /// Nothing is retried here.
    pub async fn apply(
        &self,
        user: &UserId,
        source: &SourceId,
        items: Vec<Applied>,
        also: impl FnOnce(&[Outcome], &mut Batch) + Send,
    ) -> Result<Vec<Outcome>, PutError> {
        let mut page = Page {
            calendars: self,
            draft: Draft::new(self, user, Author::Provider(source.clone()), Cause::Edit),
            user,
            source,
            collection: source.collection(),
            records: Batch::new(),
        };
        if page.draft.collection(&page.collection).await?.is_none_or(|row| row.closing) {
            return Err(Refusal::ParentMissing.into());
        }
        let mut outcomes = Vec::with_capacity(items.len());
        for item in items {
            outcomes.push(match page.take(item).await {
                Ok(written) => Outcome::Written(written),
                Err(PutError::Refused(refusal)) => Outcome::Refused(refusal),
                Err(error) => return Err(error),
            });
        }
        let mut batch = page.records;
        also(&outcomes, &mut batch);
        page.draft.commit(batch).await?;
        Ok(outcomes)
    }

    /// Takes back what `source` refuses for good: the event, which is still in generation `seen`, is again what the source
    /// holds. The refused version stays in the history. Other members are told.
    #[expect(
        clippy::too_many_arguments,
        reason = "what, from when, to what, for whom: a struct would only repeat the names"
    )]
    pub async fn revert(
        &self,
        user: &UserId,
        (event, seen): (EventId, u64),
        to: Before,
        source: &SourceId,
        also: Batch,
    ) -> Result<Vec<Pending>, PutError> {
        let mut draft = Draft::new(self, user, Author::Provider(source.clone()), Cause::Restore);
        if draft.load(event).await?.generation != seen {
            return Err(PutError::Stale);
        }
        let collection = source.collection();
        match to {
            Before::Absent => {
                for origin in self.origins(user, event, source).await? {
                    draft.join(event, &origin, None).await?;
                }
                draft.leave(event, &collection).await?;
            }
            Before::Revision(revision) => {
                draft.bring_back(event, revision).await?;
                let former = draft.load(event).await?.former.iter().find(|member| member.collection == collection);
                let name = former.map(|member| member.name.clone());
                draft.join(event, &collection, name.as_ref()).await?;
            }
        }
        draft.commit(also).await
    }

    /// The event, which is still in generation `seen`, was moved at its provider from one collection to another while `intent`
    /// was waiting: it is in the other one now, and the wish goes to that one's source as whoever had it wished it.
    #[expect(
        clippy::too_many_arguments,
        reason = "what, from where to where, by which wish: a struct would only repeat the names"
    )]
    pub(crate) async fn relocate(
        &self,
        user: &UserId,
        (event, seen): (EventId, u64),
        (from, to): (&CollectionName, &CollectionName),
        intent: &Intent,
        also: Batch,
    ) -> Result<(), PutError> {
        let mut draft = Draft::new(self, user, intent.author.clone(), intent.cause);
        if draft.load(event).await?.generation != seen {
            return Err(PutError::Stale);
        }
        draft.join(event, to, None).await?;
        draft.leave(event, from).await?;
        draft.tell_author(event).await?;
        draft.because(event, "it was moved to another calendar at its provider").await?;
        draft.commit(also).await.map(drop)
    }

    /// The collections that an event has left for `source`, and whose own sources have yet to be told so: they hold it
    /// until it has arrived.
    pub(crate) async fn origins(
        &self,
        user: &UserId,
        event: EventId,
        source: &SourceId,
    ) -> Result<Vec<CollectionName>, StoreError> {
        let mut origins = Vec::new();
        for row in self.collection_rows(user).await? {
            let Some(other) = row.source().filter(|_| !row.closing) else { continue };
            let intent = self.intent(&other.source, event).await?;
            if intent.is_some_and(|intent| intent.want == Want::Gone && intent.after.as_ref() == Some(source)) {
                origins.push(row.id.name.clone());
            }
        }
        Ok(origins)
    }
}

/// A page on its way in.
struct Page<'a> {
    calendars: &'a Calendars,
    draft: Draft<'a>,
    user: &'a UserId,
    source: &'a SourceId,
    collection: CollectionName,
    records: Batch,
}

impl Page<'_> {
    /// Takes one item in. A refusal leaves the draft as it was.
    async fn take(&mut self, item: Applied) -> Result<Written, PutError> {
        let (event, created, clash) = match item {
            Applied::Upsert(upsert) => {
                let (event, created) = self.upsert(&upsert).await?;
                (event, created, upsert.clash)
            }
            Applied::Remove(remove) => {
                let event = self.seen(remove.event).await?;
                self.draft.leave(event, &self.collection).await?;
                (event, false, remove.clash)
            }
            Applied::Touch(touch) => (self.seen(touch.event).await?, false, touch.clash),
        };
        if let Some(clash) = clash {
            self.record(event, clash).await?;
        }
        let row = self.draft.load(event).await?;
        Ok(Written { event, revision: row.revision, etag: row.etag.etag(), created })
    }

    async fn upsert(&mut self, upsert: &Upsert) -> Result<(EventId, bool), PutError> {
        let (event, created) = match upsert.event {
            Some(seen) => (self.known(seen, &upsert.object).await?, false),
            None => self.unknown(&upsert.object).await?,
        };
        self.draft.join(event, &self.collection, upsert.name_hint.as_ref()).await?;
        if upsert.follow == Follow::All {
            self.draft.tell_author(event).await?;
        }
        Ok((event, created))
    }

    async fn known(&mut self, seen: (EventId, u64), object: &Object) -> Result<EventId, PutError> {
        let event = self.seen(seen).await?;
        if self.draft.load(event).await?.uid != object.uid() {
            return Err(Refusal::UidChanged.into());
        }
        self.draft.write(event, object).await?;
        Ok(event)
    }

    async fn unknown(&mut self, object: &Object) -> Result<(EventId, bool), PutError> {
        let space = match self.draft.collection(&self.collection).await? {
            Some(row) => row.space(),
            None => return Err(Refusal::ParentMissing.into()),
        };
        let Some(event) = self.draft.event_with(&space, object.uid()).await? else {
            let event = self.draft.create(space, object.uid(), &self.collection);
            self.draft.write(event, object).await?;
            return Ok((event, true));
        };
        let row = self.draft.load(event).await?;
        if let Some(member) = row.member(&self.collection) {
            return Err(Refusal::UidTaken(member.name.clone()).into());
        }
        if !row.is_alive() {
            self.draft.write(event, object).await?;
        } else if row.etag != EtagOctets::of(object.octets()) {
            let current = self.calendars.current(self.user, event).await?.ok_or(PutError::Stale)?;
            if !same_meaning(&current, object) {
                return Err(PutError::Stale);
            }
        }
        Ok((event, false))
    }

    async fn seen(&mut self, (event, generation): (EventId, u64)) -> Result<EventId, PutError> {
        let row = self.draft.load(event).await?;
        if row.generation == generation { Ok(event) } else { Err(PutError::Stale) }
    }

    async fn record(&mut self, event: EventId, clash: Clash) -> Result<(), PutError> {
        self.draft.because(event, &clash.rule).await?;
        let theirs = self.number(event, clash.theirs, Author::Provider(self.source.clone())).await?;
        let ours = self.number(event, clash.ours, Author::Person(self.user.clone())).await?;
        let conflict = Conflict {
            event,
            source: self.source.clone(),
            at: self.calendars.clock.now(),
            decided: (clash.decision != Decision::Open).then(|| self.calendars.clock.now()),
            kind: clash.kind,
            base: clash.base,
            ours,
            theirs,
            properties: clash.properties,
            decision: clash.decision,
            rule: clash.rule,
        };
        match clash.id {
            Some(id) => self.calendars.rewrite_conflict(&mut self.records, self.user, id, &conflict),
            None => drop(self.calendars.record_conflict(&mut self.records, self.user, &conflict)),
        }
        Ok(())
    }

    async fn number(&mut self, event: EventId, version: Version, author: Author) -> Result<Option<u64>, PutError> {
        Ok(match version {
            Version::Gone => None,
            Version::Revision(revision) => Some(revision),
            Version::Content(object) => Some(self.draft.keep(event, object.octets(), author).await?),
        })
    }
}
