//! Reading a source: what changed there since the last time, taken in page by page, the cursor with the last of it.
//!
//! Invariants: a cursor moves only in the commit that holds the last of what it covers; an item is deleted here
//! only when its provider said so or a complete listing lacks it, and many at once only through the brake; what
//! can't be taken in is quarantined and the rest goes on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::SignedDuration;

use super::attempts::Kind;
use super::guard::{Brake, Proof, guard};
use super::item::{self, Planned};
use super::job::PullJob;
use super::reconcile;
use super::record::{self, CURSORS, CursorRow, HELD, Held, Linked};
use super::{Engine, Target};
use crate::calendar::{Mirror, PutError};
use crate::failpoint;
use crate::ical::Object;
use crate::provider::{Cursor, Fault, Item, Page, Position, RemoteId, Then, Version};
use crate::store::{Batch, StoreError};

/// Why a source could not be read or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum PullError {
    /// There is no such source any more, or it is not mirrored.
    #[error("the source is not mirrored")]
    NotMirrored,
    /// The provider failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The calendar's rows could not be written.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The account can't be worked with as it is stored.
    #[error("{0}")]
    Account(String),
}

/// Items that are committed together.
pub(super) const CHUNK: usize = 100;
/// Quarantined items that get another chance in one round.
const SECOND_CHANCES: usize = 20;
/// For so long an item that can't be read is read again in every round, for the answer may have been cut.
const DOUBT: SignedDuration = SignedDuration::from_hours(1);
/// Why a second item with the UID of another is not taken in.
pub(super) const TWIN: &str = "the calendar has another item with this UID";
/// Pages that one round may have; more is a provider that never ends.
const PAGES: usize = 10_000;
/// How often a chunk is decided anew because somebody wrote meanwhile.
pub(super) const ATTEMPTS: usize = 5;
/// For so long after a write, its absence from a listing, and what a listing says of it, are checked by asking for it: a
/// listing may show a moment before the write (providers.md 7.3: searches lag by up to three minutes).
const LAG: SignedDuration = SignedDuration::from_mins(10);

/// Whether a round named any item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// None.
    Nothing,
    /// Some.
    Something,
}

/// All that one round of changes said.
struct Round {
    items: Vec<Item>,
    gone: Vec<RemoteId>,
    complete: bool,
    /// It began at the start, whether or not it proves absence.
    whole: bool,
    cursor: Cursor,
}

impl Engine {
    /// Reads the source once. Whether it told of anything.
    pub(super) async fn pull(&self, job: &PullJob) -> Result<Told, PullError> {
        let target = self.target(&job.source).await?;
        let before = CURSORS.get(&*self.store, &job.source).await?;
        let (round, compared) = self.round(&target, before.clone(), job.full).await?;
        let since = before.as_ref().map(|row| row.at);
        let row = CursorRow { cursor: round.cursor.clone(), compared, at: since.unwrap_or_default() };
        let is_quiet = round.items.is_empty() && round.gone.is_empty() && !round.complete;
        let told = if is_quiet { Told::Nothing } else { Told::Something };
        let is_quiet = is_quiet && before.as_ref() == Some(&row) && self.confirmed.holds(&job.source);
        if is_quiet && record::quarantined(&*self.store, &job.source).await?.is_empty() {
            return Ok(told);
        }
        self.confirmed.doubt(&job.source);
        self.take(&target, round, row).await?;
        failpoint::reach("pull.after_cursor");
        self.confirmed.confirm(&job.source);
        Ok(told)
    }

    /// Takes a round in, and the cursor `row` with the last of it.
    async fn take(&self, target: &Target, round: Round, row: CursorRow) -> Result<(), PullError> {
        let known: BTreeMap<RemoteId, Linked> = record::links(&*self.store, &target.source.id)
            .await?
            .into_iter()
            .map(|linked| (linked.remote.clone(), linked))
            .collect();
        let (mut gone, proof) = (round.gone, if round.complete { Proof::Absent } else { Proof::Told });
        if round.complete {
            gone.extend(self.absent(target, &known, &round.items).await?);
        } else {
            // A listing that does not claim to be complete proves no absence: what it lacks is asked for, one by one.
            let since = if round.whole { jiff::Timestamp::MIN } else { row.at };
            gone.extend(self.unmentioned(target, &known, (&round.items, &gone), since).await?);
        }
        if round.whole {
            gone.extend(self.left_quarantine(target, (&round.items, &gone), round.complete).await?);
        }
        let fresh = self.fresh(target, &known, round.items, &gone).await?;
        let gone = self.take_items(target, fresh, gone).await?;
        let mut also = Batch::new();
        CURSORS.put(&mut also, &target.source.id, &CursorRow { at: self.clock.now(), ..row });
        let deletions = self.deletions(target, gone, (known.len(), proof, round.whole), &mut also).await?;
        self.take_deletions(target, deletions, also).await
    }

    /// What was linked since `since` and a delta since then does not mention: what a push or a round that did not come to its
    /// end has made known, and somebody has deleted again. Each is asked for.
    async fn unmentioned(
        &self,
        target: &Target,
        known: &BTreeMap<RemoteId, Linked>,
        (items, gone): (&[Item], &[RemoteId]),
        since: jiff::Timestamp,
    ) -> Result<Vec<RemoteId>, PullError> {
        let named: HashSet<&RemoteId> = items.iter().map(Item::id).chain(gone).collect();
        let doubtful = known.values().filter(|linked| linked.link.at > since && !named.contains(&linked.remote));
        let doubtful: Vec<RemoteId> = doubtful.map(|linked| linked.remote.clone()).collect();
        let mut proven = Vec::new();
        for remote in self.left_out(target, &doubtful).await? {
            match self.is_gone(target, &remote).await {
                Ok(true) => proven.push(remote),
                // One that can't be read is no proof, and must not keep the others from being taken in.
                Ok(false) | Err(PullError::Fault(Fault::Garbled(_) | Fault::Refused(_) | Fault::Forbidden(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(proven)
    }

    /// Those that the provider leaves out when it is asked for many at once.
    async fn left_out(&self, target: &Target, ids: &[RemoteId]) -> Result<Vec<RemoteId>, PullError> {
        let mut missing = Vec::new();
        for chunk in ids.chunks(CHUNK) {
            // Of one alone more is said below.
            let found = if chunk.len() > 1 {
                target.provider.fetch(&target.source.remote, chunk).await
            } else {
                Ok(Vec::new())
            };
            let found = match found {
                Ok(found) => found,
                Err(Fault::Garbled(_) | Fault::Refused(_) | Fault::Forbidden(_) | Fault::Gone) => Vec::new(),
                Err(fault) => return Err(fault.into()),
            };
            let found: HashSet<&RemoteId> = found.iter().map(Item::id).collect();
            missing.extend(chunk.iter().filter(|id| !found.contains(id)).cloned());
        }
        Ok(missing)
    }

    /// Quarantined items that a listing from the start lacks: nobody else would ever say that they are gone.
    async fn left_quarantine(
        &self,
        target: &Target,
        (items, gone): (&[Item], &[RemoteId]),
        complete: bool,
    ) -> Result<Vec<RemoteId>, PullError> {
        let named: HashSet<&RemoteId> = items.iter().map(Item::id).chain(gone).collect();
        let mut left = Vec::new();
        for (remote, _) in record::quarantined(&*self.store, &target.source.id).await? {
            if named.contains(&remote) {
                continue;
            }
            match if complete { Ok(true) } else { self.is_gone(target, &remote).await } {
                Ok(true) => left.push(remote),
                Ok(false) | Err(PullError::Fault(Fault::Garbled(_) | Fault::Refused(_) | Fault::Forbidden(_))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(left)
    }

    /// One round of changes, all its pages. An expired cursor leads to a full listing, once.
    async fn round(
        &self,
        target: &Target,
        row: Option<CursorRow>,
        full: bool,
    ) -> Result<(Round, jiff::Timestamp), PullError> {
        let now = self.clock.now();
        let is_held = HELD.get(&*self.store, &target.source.id).await?.is_some();
        let is_due = |row: &CursorRow| full || is_held || now.duration_since(row.compared) >= self.compare_every();
        let row = match row {
            Some(row) if !is_due(&row) => row,
            before => return Ok((self.listing(target, before.map(|row| row.cursor)).await?, now)),
        };
        match self.pages(target, Position::After(row.cursor.clone())).await {
            Err(PullError::Fault(Fault::CursorExpired)) => Ok((self.listing(target, Some(row.cursor)).await?, now)),
            // A provider that can only list has compared everything.
            Ok(round) if round.complete => Ok((round, now)),
            other => Ok((other?, row.compared)),
        }
    }

    /// A full listing, by a provider that may want to know where the last round ended.
    async fn listing(&self, target: &Target, before: Option<Cursor>) -> Result<Round, PullError> {
        let first = target.provider.changes_afresh(&target.source.remote, before.as_ref()).await?;
        self.pages_from(target, first, true).await
    }

    async fn pages(&self, target: &Target, from: Position) -> Result<Round, PullError> {
        let first = target.provider.changes(&target.source.remote, &from).await?;
        self.pages_from(target, first, from == Position::Start).await
    }

    /// The rest of a round. `whole`: it began with nothing known.
    async fn pages_from(&self, target: &Target, first: Page, whole: bool) -> Result<Round, PullError> {
        let (mut items, mut gone) = (Vec::new(), Vec::new());
        let (mut page, mut tokens) = (first, HashSet::new());
        for _ in 0..PAGES {
            self.attempts.looked_at(&target.source.id, Kind::Pull, page.items.len());
            failpoint::reach("pull.page.received");
            items.extend(page.items);
            gone.extend(page.gone);
            failpoint::reach("pull.page.staged");
            match page.then {
                Then::Done(cursor) => return Ok(Round { items, gone, complete: page.complete, whole, cursor }),
                Then::Next(token) if tokens.insert(token.0.clone()) => {
                    page = target.provider.changes(&target.source.remote, &Position::Next(token)).await?;
                }
                Then::Next(_) => return Err(Fault::Garbled("the listing repeats itself without end".into()).into()),
            }
        }
        Err(Fault::Garbled("the listing has no end".into()).into())
    }

    /// Linked items that a complete listing lacks. One that was written a moment ago is asked for by name.
    async fn absent(
        &self,
        target: &Target,
        known: &BTreeMap<RemoteId, Linked>,
        items: &[Item],
    ) -> Result<Vec<RemoteId>, PullError> {
        let listed: HashSet<&RemoteId> = items.iter().map(Item::id).collect();
        let mut absent = Vec::new();
        for (remote, linked) in known.iter().filter(|(remote, _)| !listed.contains(remote)) {
            if !self.is_recent(&linked.link) || self.is_gone(target, remote).await? {
                absent.push(remote.clone());
            }
        }
        Ok(absent)
    }

    /// Whether a listing may still show a moment before the last agreement.
    fn is_recent(&self, link: &record::Link) -> bool {
        self.clock.now().duration_since(link.at) < LAG
    }

    /// Whether the provider itself says that this one item is gone.
    async fn is_gone(&self, target: &Target, remote: &RemoteId) -> Result<bool, PullError> {
        match target.provider.fetch(&target.source.remote, std::slice::from_ref(remote)).await {
            Err(Fault::Gone) => Ok(true),
            Err(fault) => Err(fault.into()),
            Ok(_) => Ok(false),
        }
    }

    /// The items that have to be looked at: those with a tag that is neither linked nor quarantined, and quarantined ones
    /// that may fare better now.
    async fn fresh(
        &self,
        target: &Target,
        known: &BTreeMap<RemoteId, Linked>,
        items: Vec<Item>,
        gone: &[RemoteId],
    ) -> Result<Vec<Item>, PullError> {
        let quarantined: BTreeMap<_, _> =
            record::quarantined(&*self.store, &target.source.id).await?.into_iter().collect();
        let is_known = |item: &Item| {
            let tag = item.tag();
            tag.is_some()
                && (known.get(item.id()).is_some_and(|linked| linked.link.tag.as_ref() == tag)
                    || quarantined.get(item.id()).is_some_and(|row| row.tag.as_ref() == tag))
        };
        // Of several states of one item in a round, the last counts.
        let mut last = HashMap::new();
        for (index, item) in items.iter().enumerate() {
            last.insert(item.id().clone(), index);
        }
        let latest = items.into_iter().enumerate().filter(|(index, item)| last.get(item.id()) == Some(index));
        let mut fresh: Vec<Item> = latest.map(|(_, item)| item).filter(|item| !is_known(item)).collect();
        let listed: HashSet<RemoteId> =
            fresh.iter().map(|item| item.id().clone()).chain(gone.iter().cloned()).collect();
        let mut waiting: Vec<_> = quarantined.into_iter().filter(|(remote, _)| !listed.contains(remote)).collect();
        // From anywhere among them, so that each has its turn, and only a try counts.
        if let Some(count) = u64::try_from(waiting.len()).ok().filter(|count| *count > 0) {
            let first = crate::entropy::number(&*self.entropy) % count;
            waiting.rotate_left(usize::try_from(first).unwrap_or_default());
        }
        let mut tries = 0;
        for (remote, row) in waiting {
            if tries == SECOND_CHANCES {
                break;
            }
            let again = self.second_chance(target, remote, row, gone).await?;
            tries += usize::from(again.is_some());
            fresh.extend(again);
        }
        let lists_whole = target.provider.lists_whole();
        let is_doubtful = |item: &Item| {
            known
                .get(item.id())
                .is_some_and(|linked| !lists_whole || (target.mirror == Mirror::TwoWay && self.is_recent(&linked.link)))
        };
        let asked = |item: Item| Item::Stub { id: item.id().clone(), tag: item.tag().cloned() };
        Ok(fresh.into_iter().map(|item| if is_doubtful(&item) { asked(item) } else { item }).collect())
    }

    /// A quarantined item that could not be had is asked for again; a second one with the same UID is taken when the
    /// first is gone. For all others the provider has to change something.
    async fn second_chance(
        &self,
        target: &Target,
        remote: RemoteId,
        row: record::Quarantined,
        gone: &[RemoteId],
    ) -> Result<Option<Item>, PullError> {
        let Some(object) = row.octets else { return Ok(Some(Item::Stub { id: remote, tag: row.tag })) };
        let Ok(parsed) = Object::parse(object.clone()) else {
            // It may have been cut on the way.
            let is_young = self.clock.now().duration_since(row.since) < DOUBT;
            return Ok(is_young.then_some(Item::Stub { id: remote, tag: row.tag }));
        };
        if row.why != TWIN {
            return Ok(None);
        }
        let first = match self.calendars.event_by_uid(&target.collection, parsed.uid()).await? {
            Some((event, _)) => record::link_of(&*self.store, &target.source.id, event).await?,
            None => None,
        };
        let is_free = first.is_none_or(|first| gone.contains(&first.remote));
        Ok(is_free.then_some(Item::Full { version: Version { id: remote, tag: row.tag }, object }))
    }

    /// Which of the items that are gone really leave: the brake judges those that would delete something here.
    async fn deletions(
        &self,
        target: &Target,
        gone: Vec<RemoteId>,
        (known, proof, whole): (usize, Proof, bool),
        also: &mut Batch,
    ) -> Result<Vec<RemoteId>, PullError> {
        let (source, gone) = (&target.source.id, distinct(gone));
        let held = HELD.get(&*self.store, source).await?;
        match &held {
            Some(row) => HELD.expect(also, source, row),
            None => HELD.expect_absent(also, source),
        }
        let is_second = held.is_some() && whole;
        // A person's word is for those that were held when it was given, and for no others.
        let confirmed: HashSet<RemoteId> =
            held.iter().filter(|held| held.confirmed && whole).flat_map(|held| held.gone.iter().cloned()).collect();
        let mut deleting = Vec::new();
        for remote in gone.iter().filter(|remote| !confirmed.contains(remote)) {
            let planned = self.plan_gone(target, remote).await?;
            if planned.is_some_and(|planned| planned.removes()) {
                deleting.push(remote.clone());
            }
        }
        let brake = guard(deleting.len(), known, proof, &self.config.mass_delete_guard);
        if brake == Brake::Open {
            HELD.delete(also, source);
            return Ok(gone);
        }
        let missing = if is_second { gone.clone() } else { self.second_opinion(target, gone).await? };
        if brake == Brake::Verify {
            HELD.delete(also, source);
            return Ok(missing);
        }
        let deleting: HashSet<RemoteId> = deleting.into_iter().collect();
        let (braked, go): (Vec<_>, Vec<_>) = missing.into_iter().partition(|remote| deleting.contains(remote));
        if guard(braked.len(), known, proof, &self.config.mass_delete_guard) == Brake::Open {
            HELD.delete(also, source);
            return Ok(braked.into_iter().chain(go).collect());
        }
        let since = held.map_or_else(|| self.clock.now(), |held| held.since);
        tracing::warn!(source.id = %source, held = braked.len(), known, "deletions are held until a person confirms them");
        HELD.put(also, source, &Held { gone: braked, known: known as u64, since, confirmed: false });
        Ok(go)
    }

    /// Those of `gone` that a second listing lacks too.
    async fn second_opinion(&self, target: &Target, gone: Vec<RemoteId>) -> Result<Vec<RemoteId>, PullError> {
        let round = self.pages(target, Position::Start).await?;
        let listed: HashSet<RemoteId> = round.items.iter().map(|item| item.id().clone()).collect();
        let mut missing = Vec::new();
        for remote in gone.into_iter().filter(|remote| !listed.contains(remote)) {
            // Where no listing is complete, each is asked for by name.
            if round.complete || self.is_gone(target, &remote).await? {
                missing.push(remote);
            }
        }
        Ok(missing)
    }

    /// Decides about one item that is gone.
    async fn plan_gone(&self, target: &Target, remote: &RemoteId) -> Result<Option<Planned>, PullError> {
        let seen = self.see(target, Version { id: remote.clone(), tag: None }, None).await?;
        if seen.linked.is_none() {
            return Ok(None);
        }
        let step = reconcile::absent(&seen.here);
        Ok(item::plan_gone(seen, step))
    }

    /// Commits deletions, the last of them with `also`, which holds the cursor.
    async fn take_deletions(&self, target: &Target, gone: Vec<RemoteId>, also: Batch) -> Result<(), PullError> {
        let mut chunks = gone.chunks(CHUNK).peekable();
        let mut also = Some(also);
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let batch = if chunks.peek().is_none() { also.take() } else { None };
            let is_last = batch.is_some();
            if is_last {
                failpoint::reach("pull.before_cursor");
            }
            self.take_gone(target, chunk, &batch.unwrap_or_default()).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn take_gone(&self, target: &Target, gone: &[RemoteId], also: &Batch) -> Result<(), PullError> {
        for attempt in 1.. {
            let (mut planned, mut batch) = (Vec::new(), also.clone());
            for remote in gone {
                match self.plan_gone(target, remote).await? {
                    Some(plan) if plan.recreates() && self.follow(target, remote).await? => {}
                    Some(plan) => planned.push(plan),
                    None => record::release(&mut batch, &target.source.id, remote),
                }
            }
            match self.commit(target, planned, batch).await {
                Ok(()) => return Ok(()),
                Err(PutError::Stale) if attempt < ATTEMPTS => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PutError::Stale.into())
    }

    fn compare_every(&self) -> SignedDuration {
        SignedDuration::try_from(self.config.compare_interval).unwrap_or(SignedDuration::MAX)
    }

    /// A pause of about `around`, so that many accounts do not come at once.
    pub(super) fn spread(&self, around: Duration) -> Duration {
        let part = crate::entropy::number(&*self.entropy) % 1000;
        around.mul_f64(0.9 + 0.2 * f64::from(u32::try_from(part).unwrap_or_default()) / 1000.0)
    }
}

/// Each of them once: a server may say of an item that it is gone, and leave it out of a complete listing too.
fn distinct(ids: Vec<RemoteId>) -> Vec<RemoteId> {
    let mut seen = HashSet::new();
    ids.into_iter().filter(|id| seen.insert(id.clone())).collect()
}
