//! The domain: collections, events, their history, and the one write path.
//!
//! RFC 4791 4 and 5.3 (calendar collections and object resources), RFC 6578 3 (what a sync token promises).
//! Knows no XML, no HTTP and no provider: it says [`Refusal`], and the floor above says 403.
//!
//! **Events and places.** An event is one UID in one [`Space`]. All collections with `unify` share one space, so the
//! same UID in two accounts is one event with two *members*; every other collection is a space of its own. A VEVENT of
//! the shared space also stands in `unified`. Each place has an entry row that holds all that listings need, and each
//! collection a change log.
//!
//! **One commit.** Every write goes through `draft`: revision, event, entries, UIDs, change logs, intents and job wishes
//! stand or fall together, guarded by what was read. Two writers of different names never meet: ids are random,
//! and change numbers are given by the store while it commits.
//!
//! **Invariants** (checked by [`check::consistent`]):
//! an entry exists exactly where its event says it stands, with the etag of the served revision; a UID row points to the
//! event that has it; the last line of a change log about a name says what its entry says; an etag changes exactly when
//! the octets do.
//!
//! **Decisions** that the design leaves open:
//! - A deleted event keeps its row, its UID row and its history (the trash) until [`Calendars::purge`]; the same UID
//!   written again revives it, so that what the provider still holds is updated and not doubled.
//! - The leader stays while it is a member that can be written, else the first such member leads.
//! - A COPY inside the shared space makes the event a member of one more collection. A MOVE from `unified` to a collection of the
//!   shared space makes that collection its only home; it goes on to stand in `unified`, which its change log repeats.
//! - A MOVE between sources leaves the old one only `after` the new one has it ([`Intent::after`]).
//! - A provider that removes its copy removes that member alone. Followers are not deleted by it.
//! - Limits bind clients and imports. What a provider already holds is taken in.

mod apply;
mod audit;
mod changes;
pub mod check;
mod collection;
mod conflict;
mod draft;
mod history;
mod inbox;
mod index;
mod intent;
mod notice;
pub mod plain;
mod properties;
mod query;
mod record;
mod refusal;
mod resolve;
mod route;
mod unify;
mod view;
mod write;

use std::sync::Arc;

use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::ical;
use crate::jobs::Queue;
use crate::store::{Store, tables};

pub use crate::store::Wake as Changed;

pub use apply::{Applied, Clash, Follow, Outcome, Remove, Touch, Upsert, Version, Written};
pub use audit::{AuditLine, Deed};
pub use changes::{Changes, ChangesError, SyncToken};
pub use collection::{
    Collection, CollectionChange, CollectionKind, Mirror, NewCollection, NewSourceCollection, Privacy, SourceRef,
};
pub use conflict::{Conflict, ConflictId, ConflictKind, Decision};
pub use history::{Before, RevisionInfo};
pub use inbox::Message;
pub use index::TimeIndex;
pub use intent::{Cause, Counts, Intent, Pending, PushJob, Want};
pub use properties::{DeadProperty, Owner, PropertyEdit};
pub use query::{QueryError, Stored};
pub use record::{Author, EtagOctets, EventRow, Member, Space};
pub use refusal::{Conditions, Match, PutError, Refusal};
pub use resolve::{Keep, ResolveError};
pub use route::{Criterion, Route};
pub use view::{Entry, View};
pub use write::{Deleted, Overwrite, Put, Transfer};

/// What is allowed, and how much memory is used (`reliability.md` section 5).
#[derive(Clone, Debug)]
pub struct Limits {
    /// What one object may be.
    pub object: ical::Limits,
    /// Objects in one collection.
    pub objects: usize,
    /// Collections of one user.
    pub collections: usize,
    /// Octets of one dead property.
    pub property_size: usize,
    /// Dead properties of one resource.
    pub properties: usize,
    /// Revisions kept of one event; older ones are dropped when a new one is written.
    pub revisions: u64,
    /// Octets of objects that are kept parsed.
    pub object_cache: u64,
    /// Entries of all views that are kept.
    pub view_cache: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            object: ical::Limits::default(),
            objects: 50_000,
            collections: 100,
            property_size: 4096,
            properties: 50,
            revisions: 500,
            object_cache: 16 * 1024 * 1024,
            view_cache: 300_000,
        }
    }
}

/// All calendars of all users. Cheap to share behind an `Arc`; every method may be called at once from anywhere.
#[derive(Debug)]
pub struct Calendars {
    store: Arc<dyn Store>,
    queue: Arc<Queue>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    limits: Limits,
    routes: Vec<Route>,
    objects: query::ObjectCache,
    views: view::ViewCache,
}

impl Calendars {
    /// The calendars in `store`. Pushes are wished for in `queue`, which must live in the same store.
    pub fn new(
        store: Arc<dyn Store>,
        queue: Arc<Queue>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: Limits,
    ) -> Self {
        let objects = query::object_cache(limits.object_cache);
        // A collection that is full, and the unified one beside it, must fit: else they would be built for every request.
        let views = view::view_cache(limits.view_cache.max(limits.objects as u64 * 3));
        Self { store, queue, clock, entropy, limits, routes: Vec::new(), objects, views }
    }

    /// Tells of changes in any calendar from now on: that there are some, never which.
    pub fn changed(&self) -> Changed {
        self.store.changed(tables::CHANGE)
    }

    /// What is allowed here.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// How often a write is tried again when others were faster.
const ATTEMPTS: usize = 4;

#[cfg(test)]
mod tests;
