//! One remote item on its way in: what is read to decide about it, and the rows that come of it.

use std::collections::HashSet;

use bytes::Bytes;

use super::job::PullJob;
use super::reconcile::{Agreed, Here, Known, Met, Ours, Remote, Step};
use super::record::{self, BaseContent, Link, Linked, ON_HOLD, OnHold, Quarantined};
use super::strategy::{Favour, Strategy};
use super::{Engine, Target};
use crate::account::AccountError;
use crate::calendar::{
    Applied, Author, Clash, ConflictId, ConflictKind, Decision, EventRow, Follow, Intent, Outcome, Remove, Touch,
    Upsert, Version as Side, Want,
};
use crate::failpoint;
use crate::ical::{self, Object};
use crate::id::{EventId, ResourceName, SourceId, UserId};
use crate::jobs::Priority;
use crate::provider::{RemoteId, RemoteTag, Version};
use crate::store::{Batch, StoreError};

/// An item with all that is known of it here.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) version: Version,
    pub(super) linked: Option<Linked>,
    pub(super) known: Option<Known>,
    pub(super) event: Option<(EventId, EventRow)>,
    pub(super) intent: Option<Intent>,
    pub(super) here: Here,
    /// Our content, where there is an event.
    current: Option<Object>,
    /// Another item of this source that the event is linked to.
    pub(super) other: Option<Linked>,
    /// The source is not told of the event before a person has chosen.
    pub(super) hold: Option<OnHold>,
    /// Whose change stands, should both have changed the same.
    pub(super) favour: Favour,
}

impl Seen {
    /// The event and the generation decided by.
    pub(super) fn at(&self) -> Option<(EventId, u64)> {
        self.event.as_ref().map(|(event, row)| (*event, row.generation))
    }
}

impl Engine {
    /// Reads what is known of an item; `uid` finds the event of an item that is not linked yet.
    pub(super) async fn see(&self, target: &Target, version: Version, uid: Option<&str>) -> Result<Seen, StoreError> {
        let (store, source) = (&*self.store, &target.source.id);
        let linked = record::link(store, source, &version.id).await?;
        let event = match (&linked, uid) {
            (Some(linked), _) => {
                let row = self.calendars.event(&target.source.user, linked.link.event).await?;
                row.map(|row| (linked.link.event, row))
            }
            (None, Some(uid)) => self.calendars.event_by_uid(&target.collection, uid).await?,
            (None, None) => None,
        };
        let Some((id, row)) = event else {
            return Ok(Seen {
                version,
                linked,
                known: None,
                event: None,
                intent: None,
                here: Here::Unknown,
                current: None,
                other: None,
                hold: None,
                favour: Favour::Later,
            });
        };
        let intent = self.calendars.intent(source, id).await?;
        let current = self.calendars.current(&target.source.user, id).await?;
        let other = match &linked {
            Some(_) => None,
            None => record::link_of(store, source, id).await?,
        };
        let hold = ON_HOLD.get(store, &(source.clone(), id)).await?;
        let here = here(target, &row, current.as_ref(), (intent.as_ref(), hold.is_some()));
        let favour = self.favour(target, intent.as_ref()).await?;
        let known = match &linked {
            Some(linked) => Some(self.known(target, linked).await?),
            None => None,
        };
        Ok(Seen { version, linked, known, event: Some((id, row)), intent, here, current, other, hold, favour })
    }

    /// The item as it was before it was made a copy that invites nobody, if it is one: another source's copy leads.
    pub(super) fn unmarked(target: &Target, seen: &Seen, remote: Remote) -> Remote {
        match (&seen.event, &seen.current) {
            (Some((_, row)), Some(ours)) if is_copy(target, row) => {
                Remote::of(ical::from_silent_copy(&remote.object, ours))
            }
            _ => remote,
        }
    }

    /// Recognises what a push has left at the source before its answer was lost: content that is none the link knows, and
    /// that a revision of ours since then has. Without this our own words would count as somebody's edit.
    pub(super) async fn recognise(&self, target: &Target, seen: &mut Seen, remote: &Remote) -> Result<(), StoreError> {
        let agreed = seen.known.as_ref().map(|known| known.link.meaning);
        let (Some((event, _)), Some(_), None) = (&seen.event, &seen.intent, &seen.hold) else { return Ok(()) };
        if agreed == Some(remote.meaning) {
            return Ok(());
        }
        let since = seen.linked.as_ref().map_or(0, |linked| agreed_revision(&linked.link.base).unwrap_or(0));
        // What a server adds or drops on its own tells nobody's edit from another's.
        let before = seen.known.as_ref().and_then(|known| known.base.as_ref());
        let is_as_before = before.is_some_and(|before| ical::is_rewritten(before, &remote.object));
        let user = &target.source.user;
        let revisions = self.calendars.revisions(user, *event).await?;
        let ours =
            revisions.iter().rev().filter(|one| one.revision > since && !one.author.is_source(&target.source.id));
        for one in ours.take(RECOGNISED) {
            let object = match self.calendars.octets(user, *event, one.revision).await? {
                Some(octets) => Object::parse(octets).ok(),
                None => None,
            };
            let Some(object) = object else { continue };
            let (base, object) = if ical::meaning(&object) == remote.meaning {
                (BaseContent::Revision(one.revision), object)
            } else if !is_as_before && ical::is_rewritten(&object, &remote.object) {
                let octets = remote.object.octets().clone();
                (BaseContent::Octets { octets, opposite: Some(one.revision) }, remote.object.clone())
            } else {
                continue;
            };
            let (tag, at) = (seen.version.tag.clone(), self.clock.now());
            let link = Link { event: *event, tag, meaning: remote.meaning, base, at };
            seen.known = Some(Known { link, base: Some(object), echo: Some(one.revision) });
            return Ok(());
        }
        Ok(())
    }

    /// Whose change stands, should ours, which `intent` tells of, and the source's be changes of the same thing.
    async fn favour(&self, target: &Target, intent: Option<&Intent>) -> Result<Favour, StoreError> {
        let (strategy, _) = self.strategy(&target.source.user, Some(&target.source.account)).await?;
        let Strategy::ProviderPriority(_) = &strategy else { return Ok(strategy.favour(None, "")) };
        let theirs = self.label(&target.source.id).await?;
        let ours = match intent.map(|intent| &intent.author) {
            Some(Author::Provider(source)) => self.label(source).await?,
            _ => None,
        };
        Ok(strategy.favour(ours.as_deref(), theirs.as_deref().unwrap_or_default()))
    }

    /// The label of the account that a source is in. One that is gone has none.
    async fn label(&self, source: &SourceId) -> Result<Option<String>, StoreError> {
        let account = match self.accounts.source(source).await {
            Ok(source) => self.accounts.account(&source.account).await,
            Err(error) => Err(error),
        };
        match account {
            Ok(account) => Ok(Some(account.label)),
            Err(AccountError::Store(error)) => Err(error),
            Err(_) => Ok(None),
        }
    }

    /// A link with the content of its base.
    pub(super) async fn known(&self, target: &Target, linked: &Linked) -> Result<Known, StoreError> {
        let octets = match &linked.link.base {
            BaseContent::Revision(number) => {
                self.calendars.octets(&target.source.user, linked.link.event, *number).await?
            }
            BaseContent::Octets { octets, .. } => Some(octets.clone()),
        };
        let base = octets.and_then(|octets| Object::parse(octets).ok());
        Ok(Known { link: linked.link.clone(), base, echo: None })
    }
}

/// Whether the event leads elsewhere, or did so when it was deleted, so that this source must not invite anybody to it.
pub(super) fn is_copy(target: &Target, row: &EventRow) -> bool {
    row.leader != target.collection.name
}

fn here(target: &Target, row: &EventRow, current: Option<&Object>, (intent, held): (Option<&Intent>, bool)) -> Here {
    let is_member = row.member(&target.collection.name).is_some();
    let wants = |want| intent.is_some_and(|intent| intent.want == want);
    match current {
        Some(object) if row.is_alive() => {
            let ours = Ours { object: object.clone(), modified: row.modified };
            if is_member {
                Here::Member { ours, dirty: wants(Want::Live), held }
            } else if wants(Want::Gone) {
                Here::Left { wanted: true }
            } else {
                Here::Elsewhere(ours)
            }
        }
        _ => Here::Left { wanted: wants(Want::Gone) },
    }
}

/// A step that has been turned into a change of the calendar and the rows beside it.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) applied: Applied,
    rows: Rows,
}

/// What has to be written beside the calendar's own rows.
#[derive(Debug)]
struct Rows {
    version: Version,
    old: Option<Linked>,
    /// A link that this one takes the place of: the item has another name now.
    replaced: Option<Linked>,
    link: NewLink,
    clear: Option<(EventId, Intent)>,
    octets: Option<Bytes>,
    hold: Holding,
}

/// What becomes of an event's being on hold.
#[derive(Debug)]
enum Holding {
    /// It is as before.
    Same,
    /// It waits for a person's word on this conflict.
    On(EventId, OnHold),
    /// It waits no more.
    Off(EventId),
}

#[derive(Debug)]
enum NewLink {
    /// There is none afterwards.
    Gone,
    /// It is as before, with the item's tag of now.
    Same,
    /// This meaning, agreed on like this.
    Agreed { meaning: [u8; 32], how: Agreed },
}

/// Turns a decision about an item that is there into what is to be written. `None`: nothing at all.
/// `fresh` is the number of the conflict that may have to be recorded.
pub(super) fn plan(seen: Seen, remote: &Remote, step: Step, fresh: ConflictId) -> Option<Planned> {
    let octets = remote.object.octets().clone();
    let clash = |met: Met| clash(&seen, met, Some(&remote.object));
    let at = seen.at();
    let mut hold = Holding::Same;
    let (applied, how, clear) = match step {
        Step::Stay { agreed, settled } => {
            let tag_is_same = seen.linked.as_ref().is_some_and(|linked| linked.link.tag == seen.version.tag);
            if agreed == Agreed::Unchanged && tag_is_same && seen.version.tag.is_some() {
                return None;
            }
            let end = seen.hold.filter(|_| settled).map(|held| {
                let rule = "both sides came to say the same";
                let met = Met { kind: ConflictKind::Edit, properties: Vec::new(), decision: Decision::Other, rule };
                Clash { id: Some(held.conflict), ..clash(met) }
            });
            let event = at?;
            if end.is_some() {
                hold = Holding::Off(event.0);
            }
            (Applied::Touch(Touch { event, clash: end }), agreed, settled)
        }
        Step::Hold(met) => {
            let event = at?;
            let conflict = seen.hold.map_or(fresh, |held| held.conflict);
            hold = Holding::On(event.0, OnHold { conflict });
            let clash = Clash { id: Some(conflict), ..clash(met) };
            (Applied::Touch(Touch { event, clash: Some(clash) }), Agreed::Overruled, true)
        }
        Step::Join { agreed, met } => {
            let object = seen.current.clone()?;
            let clash = met.map(clash);
            (upsert(&seen, object, Follow::Others, clash), agreed, false)
        }
        Step::Write { object, agreed, tell, met } => {
            let follow = if tell { Follow::All } else { Follow::Others };
            let clash = met.map(clash);
            (upsert(&seen, object, follow, clash), agreed, !tell)
        }
        // These say that the item is not there; they can't come of one that is.
        Step::Remove | Step::Forget | Step::Recreate(_) => return None,
    };
    let link = match how {
        Agreed::Unchanged if seen.linked.is_some() || seen.other.is_some() => NewLink::Same,
        Agreed::Unchanged => NewLink::Agreed { meaning: remote.meaning, how: Agreed::Theirs },
        how => NewLink::Agreed { meaning: remote.meaning, how },
    };
    let clear = clear.then(|| seen.intent.clone().zip(at).map(|(intent, (event, _))| (event, intent))).flatten();
    let rows =
        Rows { version: seen.version, old: seen.linked, replaced: seen.other, link, clear, octets: Some(octets), hold };
    Some(Planned { applied, rows })
}

/// Turns a decision about an item that is gone into what is to be written. `None`: it was never linked.
pub(super) fn plan_gone(seen: Seen, step: Step) -> Option<Planned> {
    let event = seen.at()?;
    let applied = match step {
        Step::Remove => Applied::Remove(Remove { event, clash: None }),
        Step::Recreate(met) => Applied::Touch(Touch { event, clash: Some(clash(&seen, met, None)) }),
        _ => Applied::Touch(Touch { event, clash: None }),
    };
    let hold = if matches!(seen.here, Here::Left { .. }) { Holding::Off(event.0) } else { Holding::Same };
    // An intent that wants it gone has its will; one that wants it there creates it anew.
    let clear = seen.intent.clone().filter(|intent| intent.want == Want::Gone).map(|intent| (event.0, intent));
    let rows = Rows {
        version: seen.version,
        old: seen.linked,
        replaced: None,
        link: NewLink::Gone,
        clear,
        octets: None,
        hold,
    };
    Some(Planned { applied, rows })
}

impl Planned {
    /// Whether the event is to be made anew where it is gone.
    pub(super) fn recreates(&self) -> bool {
        matches!(&self.applied, Applied::Touch(Touch { clash: Some(clash), .. }) if clash.kind == ConflictKind::EditDelete)
    }

    /// Whether the event leaves the source.
    pub(super) fn removes(&self) -> bool {
        matches!(self.applied, Applied::Remove(_))
    }
}

impl Engine {
    /// Commits planned steps and `also` in one go.
    pub(super) async fn commit(
        &self,
        target: &Target,
        planned: Vec<Planned>,
        also: Batch,
    ) -> Result<(), crate::calendar::PutError> {
        let mut also = also;
        let leaving = planned.iter().filter_map(|plan| match &plan.applied {
            Applied::Remove(remove) => Some(remove.event.0),
            _ => None,
        });
        self.bequeath((&target.source.user, &target.source.id), &leaving.collect(), &mut also).await?;
        let (applied, rows): (Vec<_>, Vec<_>) = planned.into_iter().map(|p| (p.applied, p.rows)).unzip();
        if applied.is_empty() && also.is_empty() {
            return Ok(());
        }
        let write = |outcomes: &[Outcome], batch: &mut Batch| {
            batch.merge(also);
            for (rows, outcome) in rows.iter().zip(outcomes) {
                self.put_rows(target, rows, outcome, batch);
            }
        };
        let clashes = applied.iter().any(|one| one.clash().is_some());
        let written = self.calendars.apply(&target.source.user, &target.source.id, applied, write).await;
        failpoint::reach("apply.item");
        if clashes && written.is_ok() {
            failpoint::reach("conflict.loser_saved");
        }
        written.map(drop)
    }

    /// Events leave the source whose copy was shown. A twin, which differed when the two met and has been left as it is
    /// since, is what is there now: its source is read again, and its content taken as a change.
    pub(super) async fn bequeath(
        &self,
        (user, source): (&UserId, &SourceId),
        leaving: &HashSet<EventId>,
        batch: &mut Batch,
    ) -> Result<(), StoreError> {
        if leaving.is_empty() {
            return Ok(());
        }
        for (_, met) in self.calendars.conflicts(user).await? {
            if !leaving.contains(&met.event) || met.kind != ConflictKind::Twin || met.source == *source {
                continue;
            }
            let Some(row) = self.calendars.event(user, met.event).await? else { continue };
            let Some(linked) = record::link_of(&*self.store, &met.source, met.event).await? else { continue };
            let Ok(heir) = self.accounts.source(&met.source).await else { continue };
            if matches!(linked.link.base, BaseContent::Octets { opposite, .. } if opposite == Some(row.revision)) {
                let base = BaseContent::Revision(row.revision);
                let unseen = Link { tag: None, meaning: [0; 32], base, ..linked.link.clone() };
                let unseen = Linked { remote: linked.remote, link: unseen };
                record::put_link(batch, &met.source, &unseen, Some(&linked.link));
                let job = PullJob { user: user.clone(), account: heir.account, source: heir.id, full: true };
                self.queue.enqueue_into(batch, &job.wish(self.clock.now(), Priority::High));
            }
        }
        Ok(())
    }

    fn put_rows(&self, target: &Target, rows: &Rows, outcome: &Outcome, batch: &mut Batch) {
        let (source, now) = (&target.source.id, self.clock.now());
        let written = match outcome {
            Outcome::Written(written) => written,
            Outcome::Refused(refusal) => {
                let row = Quarantined {
                    tag: rows.version.tag.clone(),
                    why: refusal.to_string(),
                    octets: rows.octets.clone(),
                    since: now,
                };
                record::quarantine(batch, source, &rows.version.id, &row);
                return;
            }
        };
        match &rows.hold {
            Holding::Same => {}
            Holding::On(event, hold) => ON_HOLD.put(batch, &(source.clone(), *event), hold),
            Holding::Off(event) => ON_HOLD.delete(batch, &(source.clone(), *event)),
        }
        if let Some((event, intent)) = &rows.clear {
            self.calendars.clear_intent_into(batch, source, *event, intent);
        }
        if let Some(replaced) = &rows.replaced {
            record::drop_link(batch, source, replaced);
        }
        let tag = rows.version.tag.clone();
        // One that took another's place goes on from what was agreed on with that one.
        let link = match (&rows.link, rows.old.as_ref().or(rows.replaced.as_ref())) {
            (NewLink::Gone, Some(old)) => return record::drop_link(batch, source, old),
            (NewLink::Gone, None) => return record::release(batch, source, &rows.version.id),
            (NewLink::Same, Some(old)) => Link { tag, ..old.link.clone() },
            (NewLink::Same, None) => return,
            (NewLink::Agreed { meaning, how }, _) => {
                let base = base(*how, written.revision, rows.octets.clone());
                Link { event: written.event, tag, meaning: *meaning, base, at: now }
            }
        };
        let linked = Linked { remote: rows.version.id.clone(), link };
        record::put_link(batch, source, &linked, rows.old.as_ref().map(|old| &old.link));
    }
}

fn base(how: Agreed, revision: u64, octets: Option<Bytes>) -> BaseContent {
    match (how, octets) {
        (Agreed::Rewritten(number), Some(octets)) => BaseContent::Octets { octets, opposite: Some(number) },
        (Agreed::Earlier(number) | Agreed::Rewritten(number), _) => BaseContent::Revision(number),
        (Agreed::Theirs, Some(octets)) => BaseContent::Octets { octets, opposite: Some(revision) },
        (Agreed::Overruled, Some(octets)) => BaseContent::Octets { octets, opposite: None },
        _ => BaseContent::Revision(revision),
    }
}

/// The revision of ours that a link's base is, or stands opposite to.
pub(super) fn agreed_revision(base: &BaseContent) -> Option<u64> {
    match base {
        BaseContent::Revision(number) => Some(*number),
        BaseContent::Octets { opposite, .. } => *opposite,
    }
}

/// Revisions of ours that are looked through for one that a push may have left at a source.
const RECOGNISED: usize = 50;

fn upsert(seen: &Seen, object: Object, follow: Follow, clash: Option<Clash>) -> Applied {
    Applied::Upsert(Upsert { event: seen.at(), name_hint: name_hint(&seen.version.id), object, follow, clash })
}

fn clash(seen: &Seen, met: Met, theirs: Option<&Object>) -> Clash {
    let base = seen.linked.as_ref().and_then(|linked| agreed_revision(&linked.link.base));
    let is_here = matches!(seen.here, Here::Member { .. } | Here::Elsewhere(_));
    let ours = match &seen.event {
        Some((_, row)) if is_here => Side::Revision(row.revision),
        _ => Side::Gone,
    };
    Clash {
        id: None,
        kind: met.kind,
        base,
        ours,
        theirs: theirs.map_or(Side::Gone, |object| Side::Content(object.clone())),
        properties: met.properties,
        decision: met.decision,
        rule: met.rule.to_owned(),
    }
}

/// The name an item would like to have here: the last segment of its own, where that is a name at all.
fn name_hint(remote: &RemoteId) -> Option<ResourceName> {
    let last = remote.as_str().trim_end_matches('/').rsplit('/').next()?;
    let name = percent_encoding::percent_decode_str(last).decode_utf8().ok()?;
    name.parse().ok()
}

/// Notes an item that can't be taken in.
pub(super) fn quarantined(
    why: &str,
    tag: Option<RemoteTag>,
    octets: Option<Bytes>,
    now: jiff::Timestamp,
) -> Quarantined {
    Quarantined { tag, why: why.to_owned(), octets, since: now }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_keeps_its_last_segment_as_a_name() {
        let hint = |text: &str| name_hint(&RemoteId::new(text)).map(|name| name.to_string());
        assert_eq!(hint("/ana/work/a%20b.ics").as_deref(), Some("a b.ics"));
        assert_eq!(hint("/ana/work/a%2Fb.ics"), None);
        assert_eq!(hint("abc").as_deref(), Some("abc"));
    }

    #[test]
    fn an_overruled_copy_is_not_measured_against() {
        let octets = Some(Bytes::from_static(b"x"));
        assert_eq!(base(Agreed::Ours, 3, octets.clone()), BaseContent::Revision(3));
        let theirs = BaseContent::Octets { octets: Bytes::from_static(b"x"), opposite: Some(3) };
        assert_eq!(base(Agreed::Theirs, 3, octets.clone()), theirs);
        assert!(matches!(base(Agreed::Overruled, 3, octets), BaseContent::Octets { opposite: None, .. }));
    }
}
