//! Writing to a source: every intent is looked at anew and whatever the present state asks for is done.
//!
//! Invariants: a create carries an identity that follows from the event, updates and deletions the tag of the base, so that
//! doing it twice does it once; an intent is cleared only in the commit that notes what the provider holds, and
//! only if nobody has wished again meanwhile; a race at the provider is merged here, never handed to the client.

use jiff::{SignedDuration, Timestamp};

use super::invitation::{self, Outward};
use super::item;
use super::job;
use super::pull::PullError;
use super::record::{self, BaseContent, CURSORS, Link, Linked, ON_HOLD, OnHold};
use super::verdict::Verdict;
use super::{Engine, Target};
use crate::account::Invitations;
use crate::calendar::{
    Applied, Before, Cause, Clash, ConflictKind, Decision, EventRow, Intent, Mirror, PushJob, PutError, Touch,
    Version as Side, Want,
};
use crate::failpoint;
use crate::ical::{self, Merged, Object};
use crate::id::{EventId, SourceId};
use crate::jobs::Priority;
use crate::provider::{Change, Fault, IdempotencyKey, Item, Notify, Removal, Stored, Written};
use crate::store::{Batch, CommitError};

/// Rounds that one intent may take when the provider's side keeps moving.
const ROUNDS: usize = 4;

/// How long after a wish a comparison may still not have seen what the provider says is in its way.
const IN_THE_WAY: SignedDuration = SignedDuration::from_mins(10);

/// For so long a refusal does not end the second half of a move.
const UNDER_WAY: SignedDuration = SignedDuration::from_hours(24);

/// What a push has left to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Pushed {
    /// Some intents wait for something else: another source's, or a look at this one. The youngest waits since then.
    pub(super) waits: Option<Timestamp>,
}

/// How one intent went.
pub(super) enum Done {
    /// The provider holds what it should.
    Settled,
    /// It can't be done before something else has happened.
    Waits,
    /// The provider moved; look again.
    Again,
}

/// One event on its way out.
pub(super) struct Outgoing {
    pub(super) event: EventId,
    pub(super) intent: Intent,
    pub(super) row: EventRow,
    pub(super) linked: Option<Linked>,
    /// What is to be there; `None` if it is to be gone.
    ours: Option<Object>,
}

impl Engine {
    /// Works off the intents of a source, the oldest first.
    pub(super) async fn push(&self, job: &PushJob) -> Result<Pushed, PullError> {
        let target = self.target(&job.source).await?;
        if target.mirror != Mirror::TwoWay {
            return Err(PullError::NotMirrored);
        }
        let (mut pushed, mut trouble) = (Pushed::default(), None);
        for (event, intent) in self.calendars.intents(&job.source).await? {
            let waits = match &intent.after {
                Some(first) if self.calendars.intent(first, event).await?.is_some() => {
                    !self.goes_first(&target, &intent, first).await?
                }
                _ => false,
            };
            let sent = if waits { Ok(true) } else { self.push_event(&target, event).await };
            let waits = match sent {
                Ok(waits) => waits,
                // What one object can't have must not hold up the others.
                Err(PullError::Fault(fault)) if is_about_one(&fault) => {
                    trouble = Some(fault);
                    false
                }
                // The object alone, if the server still answers.
                Err(PullError::Fault(fault @ Fault::Unreachable(_))) if target.provider.calendars().await.is_ok() => {
                    trouble = Some(fault);
                    false
                }
                Err(error) => return Err(error),
            };
            if waits {
                pushed.waits = pushed.waits.max(Some(intent.since));
            }
        }
        match trouble {
            Some(fault) => Err(fault.into()),
            None => Ok(pushed),
        }
    }

    /// Whether a deletion goes before the creation that it would wait for: the account takes a UID once, and the event moves
    /// within it. Until the other half is done too the safety copy is ours.
    async fn goes_first(&self, target: &Target, intent: &Intent, other: &SourceId) -> Result<bool, PullError> {
        if intent.want != Want::Gone || !target.provider.deletes_first() {
            return Ok(false);
        }
        let other = self.accounts.source(other).await.map_err(PullError::from)?;
        Ok(other.account == target.source.account)
    }

    /// The other half of [`Engine::goes_first`]: whether the event has still to leave another calendar of the account.
    async fn has_to_leave(&self, target: &Target, event: EventId) -> Result<bool, PullError> {
        if !target.provider.deletes_first() {
            return Ok(false);
        }
        let account = self.accounts.account(&target.source.account).await.map_err(PullError::from)?;
        for source in self.accounts.sources_of(&account).await.map_err(PullError::from)? {
            let is_other = source.id != target.source.id;
            let intent = if is_other { self.calendars.intent(&source.id, event).await? } else { None };
            if intent.is_some_and(|intent| intent.want == Want::Gone) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Brings one event's remote copy up to date. Whether that has to wait for something.
    async fn push_event(&self, target: &Target, event: EventId) -> Result<bool, PullError> {
        // A merge on the way wishes anew; who waits for the wish before waits for that one.
        let mut wishes = Vec::new();
        for _ in 0..ROUNDS {
            let Some(outgoing) = self.outgoing(target, event).await? else {
                self.tell(&wishes, &Verdict::Accepted);
                return Ok(false);
            };
            wishes.push(outgoing.intent.seq);
            failpoint::reach("outbox.picked");
            let sent = match ON_HOLD.get(&*self.store, &(target.source.id.clone(), event)).await? {
                Some(hold) => self.keep_back(target, &outgoing, hold).await,
                None => self.send(target, &outgoing).await,
            };
            match sent {
                Ok(Done::Settled) => {
                    self.tell(&wishes, &Verdict::Accepted);
                    self.attempts.looked_at(&target.source.id, super::attempts::Kind::Push, 1);
                    return Ok(false);
                }
                Ok(Done::Waits) => return Ok(true),
                Ok(Done::Again) => {}
                Err(PullError::Fault(Fault::Refused(_) | Fault::Forbidden(_)))
                    if self.is_under_way(target, &outgoing) =>
                {
                    return Ok(true);
                }
                Err(PullError::Fault(Fault::Refused(why) | Fault::Forbidden(why))) => {
                    if self.refused(target, &outgoing, &why).await? {
                        self.tell(&wishes, &Verdict::Refused(why));
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        // The provider keeps moving, or the client keeps writing; the intent stands and comes round again.
        Ok(true)
    }

    fn tell(&self, wishes: &[u64], verdict: &Verdict) {
        for seq in wishes {
            self.verdicts.tell(*seq, verdict.clone());
        }
    }

    async fn outgoing(&self, target: &Target, event: EventId) -> Result<Option<Outgoing>, PullError> {
        let source = &target.source.id;
        let Some(intent) = self.calendars.intent(source, event).await? else { return Ok(None) };
        let linked = record::link_of(&*self.store, source, event).await?;
        let Some(row) = self.calendars.event(&target.source.user, event).await? else {
            let mut batch = Batch::new();
            self.calendars.clear_intent_into(&mut batch, source, event, &intent);
            self.store.commit(batch).await.map_err(PutError::from)?;
            return Ok(None);
        };
        let is_member = row.is_alive() && row.member(&target.collection.name).is_some();
        let ours = match intent.want {
            Want::Live if is_member => self.calendars.current(&target.source.user, event).await?,
            _ => None,
        };
        Ok(Some(Outgoing { event, intent, row, linked, ours }))
    }

    async fn send(&self, target: &Target, out: &Outgoing) -> Result<Done, PullError> {
        failpoint::reach("outbox.before_send");
        match (&out.ours, &out.linked) {
            (Some(ours), None) => self.create(target, out, ours).await,
            (Some(ours), Some(linked)) => self.update(target, out, (ours, linked)).await,
            (None, Some(linked)) => self.delete(target, out, linked).await,
            (None, None) => self.unmade(target, out).await,
        }
    }

    /// The event waits for a person's word. The hold itself remembers that the source must be told, so the intent has
    /// done its part. A deletion here ends the wait: theirs, which nobody here has agreed to delete, comes back.
    async fn keep_back(&self, target: &Target, out: &Outgoing, hold: OnHold) -> Result<Done, PullError> {
        let source = &target.source.id;
        let key = (source.clone(), out.event);
        let mut batch = Batch::new();
        ON_HOLD.expect(&mut batch, &key, &hold);
        if out.ours.is_some() {
            self.calendars.clear_intent_into(&mut batch, source, out.event, &out.intent);
        } else {
            ON_HOLD.delete(&mut batch, &key);
            if let Some(linked) = &out.linked {
                // A meaning that no content has: whatever is there counts as changed since both agreed.
                let unseen =
                    Linked { remote: linked.remote.clone(), link: Link { meaning: [0; 32], ..linked.link.clone() } };
                record::put_link(&mut batch, source, &unseen, Some(&linked.link));
            }
        }
        match self.store.commit(batch).await {
            Ok(_) if out.ours.is_some() => return Ok(Done::Settled),
            Ok(_) => {}
            Err(CommitError::Stale(_)) => return Ok(Done::Again),
            Err(CommitError::Store(error)) => return Err(error.into()),
        }
        match &out.linked {
            Some(linked) => self.look(target, &linked.remote).await,
            None => Ok(Done::Again),
        }
    }

    async fn create(&self, target: &Target, out: &Outgoing, ours: &Object) -> Result<Done, PullError> {
        if self.has_to_leave(target, out.event).await? {
            return Ok(Done::Waits);
        }
        if self.carry_over(target, out, ours).await? {
            return Ok(Done::Again);
        }
        let key = IdempotencyKey::new(&format!("lineartime-{}", out.event));
        let sent = outward(target, out, ours);
        let change = Change { object: &sent, base: None, notify: self.notify(target, out, (None, Some(&sent))).await? };
        match target.provider.create(&target.source.remote, &key, &change).await {
            Ok(written) => self.note(target, out, Some(self.link(target, out, (ours, ours), &written))).await,
            // Ours of a try whose answer was lost, or somebody else's: its content tells.
            Err(Fault::Exists(Some(version))) => self.look(target, &version.id).await,
            Err(Fault::Exists(None)) => {
                // A comparison since has not brought whatever is in the way.
                let compared = CURSORS.get(&*self.store, &target.source.id).await?.map(|row| row.compared);
                if compared.is_some_and(|at| at.duration_since(out.intent.since) > IN_THE_WAY) {
                    let why = "another calendar of the account has an event with this UID";
                    return Err(Fault::Refused(why.to_owned()).into());
                }
                self.compare_now(target).await?;
                Ok(Done::Waits)
            }
            Err(fault) => Err(fault.into()),
        }
    }

    /// It is to be gone, and nothing is known of its having been there. A create whose answer was lost may have put
    /// it there all the same.
    async fn unmade(&self, target: &Target, out: &Outgoing) -> Result<Done, PullError> {
        let key = IdempotencyKey::new(&format!("lineartime-{}", out.event));
        let Some(id) = target.provider.made(&target.source.remote, &key, &out.row.uid).await? else {
            return self.note(target, out, None).await;
        };
        match target.provider.fetch(&target.source.remote, std::slice::from_ref(&id)).await {
            Ok(items) if items.iter().any(|item| matches!(item, Item::Full { .. })) => self.look(target, &id).await,
            Ok(_) | Err(Fault::Gone) => self.note(target, out, None).await,
            Err(fault) => Err(fault.into()),
        }
    }

    async fn update(
        &self,
        target: &Target,
        out: &Outgoing,
        (ours, linked): (&Object, &Linked),
    ) -> Result<Done, PullError> {
        let sent = self.to_send(target, linked, ours).await?;
        if ical::meaning(&sent) == linked.link.meaning {
            let base = if linked.link.meaning == ical::meaning(ours) {
                BaseContent::Revision(out.row.revision)
            } else {
                linked.link.base.clone()
            };
            let link = Linked { remote: linked.remote.clone(), link: Link { base, ..linked.link.clone() } };
            return self.note(target, out, Some(link)).await;
        }
        if self.has_moved_unseen(target, out, linked).await? {
            return self.look_elsewhere(target, out, &linked.remote).await;
        }
        let known = self.known(target, linked).await?;
        let outward = outward(target, out, &sent);
        let base = known.base.as_ref();
        let notify = self.notify(target, out, (base, Some(&outward))).await?;
        let change = Change { object: &outward, base, notify };
        match target.provider.update(&target.source.remote, &linked.version(), &change).await {
            Ok(written) => self.note(target, out, Some(self.link(target, out, (ours, &sent), &written))).await,
            Err(Fault::Gone) => self.look_elsewhere(target, out, &linked.remote).await,
            Err(Fault::Changed) => self.look(target, &linked.remote).await,
            Err(fault) => Err(fault.into()),
        }
    }

    async fn delete(&self, target: &Target, out: &Outgoing, linked: &Linked) -> Result<Done, PullError> {
        if self.has_moved_unseen(target, out, linked).await? {
            return self.look(target, &linked.remote).await;
        }
        let known = self.known(target, linked).await?;
        let base = known.base.as_ref();
        let removal = Removal { base, notify: self.notify(target, out, (base, None)).await? };
        match target.provider.delete(&target.source.remote, &linked.version(), &removal).await {
            Err(Fault::Gone) if target.provider.renames() => self.compare_first(target, out, &linked.remote).await,
            Ok(()) | Err(Fault::Gone) => self.note(target, out, None).await,
            Err(Fault::Changed) => self.look(target, &linked.remote).await,
            Err(fault) => Err(fault.into()),
        }
    }

    /// Whom the provider may tell of this write.
    pub(super) async fn notify(
        &self,
        target: &Target,
        out: &Outgoing,
        (before, after): (Option<&Object>, Option<&Object>),
    ) -> Result<Notify, PullError> {
        let account = self.accounts.account(&target.source.account).await.map_err(PullError::from)?;
        let write = Outward { author: &out.intent.author, cause: out.intent.cause, before, after };
        // A copy is nobody's invitation.
        let setting = if item::is_copy(target, &out.row) { Invitations::Never } else { account.invitations };
        Ok(invitation::notify(setting, write))
    }

    /// Without a tag a write can have no condition, and would go over whatever was changed there since. So what is
    /// there is compared first; the moment in between is all that such a provider leaves open.
    async fn has_moved_unseen(&self, target: &Target, out: &Outgoing, linked: &Linked) -> Result<bool, PullError> {
        if linked.link.tag.is_some() {
            return Ok(false);
        }
        // The link means the copy without its marks. What they replaced is in our version; of a deleted event, in the base.
        let mut ours = self.calendars.current(&target.source.user, out.event).await?;
        if ours.is_none() {
            ours = self.known(target, linked).await?.base;
        }
        let is_same = |object: &Object| {
            let is_copy = |ours: &Object| ical::meaning(&ical::from_silent_copy(object, ours)) == linked.link.meaning;
            ical::meaning(object) == linked.link.meaning || ours.as_ref().is_some_and(is_copy)
        };
        match target.provider.fetch(&target.source.remote, std::slice::from_ref(&linked.remote)).await {
            Ok(items) => Ok(items.into_iter().any(|item| match item {
                Item::Full { object, .. } => Object::parse(object).map_or(true, |object| !is_same(&object)),
                Item::Stub { .. } => false,
            })),
            Err(Fault::Gone) => Ok(true),
            Err(fault) => Err(fault.into()),
        }
    }

    /// What is to be sent where the provider's copy was never quite ours: its own, with our changes carried over.
    async fn to_send(&self, target: &Target, linked: &Linked, ours: &Object) -> Result<Object, PullError> {
        let BaseContent::Octets { octets, opposite: Some(revision) } = &linked.link.base else {
            return Ok(ours.clone());
        };
        let before = self.calendars.octets(&target.source.user, linked.link.event, *revision).await?;
        let before = before.and_then(|octets| Object::parse(octets).ok());
        let (Some(before), Ok(theirs)) = (before, Object::parse(octets.clone())) else { return Ok(ours.clone()) };
        Ok(match ical::merge(&before, ours, &theirs) {
            Merged::Clean(merged) => merged,
            Merged::Clash { ours_wins, .. } => ours_wins,
        })
    }

    /// The link after a write of `sent`, which stands for `ours`.
    fn link(&self, target: &Target, out: &Outgoing, (ours, sent): (&Object, &Object), written: &Written) -> Linked {
        let stored = match &written.stored {
            Stored::AsSent => Some(sent.clone()),
            Stored::Different(octets) => Object::parse(octets.clone()).ok(),
        };
        let stored = match stored {
            Some(stored) if item::is_copy(target, &out.row) => Some(ical::from_silent_copy(&stored, ours)),
            stored => stored,
        };
        // What came back can't be read: without a tag the next look reads it again, and sets it aside.
        let tag = if stored.is_some() { written.version.tag.clone() } else { None };
        let stored = stored.unwrap_or_else(|| sent.clone());
        let meaning = ical::meaning(&stored);
        let base = if meaning == ical::meaning(ours) {
            BaseContent::Revision(out.row.revision)
        } else {
            BaseContent::Octets { octets: stored.octets().clone(), opposite: Some(out.row.revision) }
        };
        let link = Link { event: out.event, tag, meaning, base, at: self.clock.now() };
        Linked { remote: written.version.id.clone(), link }
    }

    /// Notes what the provider holds, and clears the intent unless somebody has wished again.
    async fn note(&self, target: &Target, out: &Outgoing, link: Option<Linked>) -> Result<Done, PullError> {
        let source = &target.source.id;
        if link.is_some() && out.linked.is_none() {
            self.confirmed.doubt(source);
        }
        let rows = |batch: &mut Batch| match (&link, &out.linked) {
            (Some(link), old) => {
                if let Some(old) = old.as_ref().filter(|old| old.remote != link.remote) {
                    record::drop_link(batch, source, old);
                    record::put_link(batch, source, link, None);
                } else {
                    record::put_link(batch, source, link, old.as_ref().map(|old| &old.link));
                }
            }
            (None, Some(old)) => record::drop_link(batch, source, old),
            (None, None) => {}
        };
        let mut batch = Batch::new();
        self.calendars.clear_intent_into(&mut batch, source, out.event, &out.intent);
        rows(&mut batch);
        failpoint::reach("outbox.reply_before_persist");
        match self.store.commit(batch).await {
            Ok(_) => {
                failpoint::reach("outbox.persisted");
                if out.intent.cause == Cause::Move && out.ours.is_some() {
                    failpoint::reach("move.between_src_dst");
                }
                Ok(Done::Settled)
            }
            Err(CommitError::Store(error)) => Err(error.into()),
            Err(CommitError::Stale(_)) => {
                let mut batch = Batch::new();
                rows(&mut batch);
                self.store.commit(batch).await.map_err(PutError::from)?;
                Ok(Done::Again)
            }
        }
    }

    /// Whether it has left another calendar of the account and must not be given up yet: iCloud tells a limit, which passes,
    /// with a 403 that explains nothing.
    fn is_under_way(&self, target: &Target, out: &Outgoing) -> bool {
        out.ours.is_some()
            && target.provider.deletes_first()
            && is_half_of_move(target, out)
            && self.clock.now().duration_since(out.intent.since) < UNDER_WAY
    }

    /// The provider refuses it for good. Somebody who still waits is told, and what was before is again; else a
    /// conflict says so and the version is kept. A deletion that is refused is undone either way. Whether that is done now.
    async fn refused(&self, target: &Target, out: &Outgoing, why: &str) -> Result<bool, PullError> {
        let (source, user) = (&target.source.id, &target.source.user);
        let is_awaited = self.verdicts.is_awaited(out.intent.seq);
        let mut also = Batch::new();
        self.calendars.clear_intent_into(&mut also, source, out.event, &out.intent);
        let base = out.linked.as_ref().and_then(|linked| item::agreed_revision(&linked.link.base));
        // Where it came from still has it, and waits for this source before it lets go.
        let is_moved = out.linked.is_none()
            && out.ours.is_some()
            && !self.calendars.origins(user, out.event, source).await?.is_empty();
        let undo = match (&out.linked, base, &out.ours) {
            // It was moved here and is nowhere else any more: it must not go from here too.
            (None, _, _) if !is_moved && is_half_of_move(target, out) => None,
            (None, _, _) => Some(Before::Absent),
            // It lives elsewhere: what it has become there stays, and it is here beside that.
            (Some(_), _, None) if out.row.is_alive() => Some(Before::Revision(out.row.revision)),
            (Some(_), Some(revision), _) => Some(Before::Revision(revision)),
            (Some(_), None, None) => Some(Before::Revision(out.row.revision)),
            (Some(_), None, Some(_)) => None,
        };
        let committed = match undo {
            Some(before) if is_awaited || is_moved || out.ours.is_none() => {
                self.calendars.revert(user, (out.event, out.row.generation), before, source, also).await.map(drop)
            }
            _ => self.record_refusal(target, out, base, why, also).await,
        };
        match committed {
            Ok(()) => {
                tracing::warn!(source.id = %source, is_awaited, "the provider refuses a change for good");
                Ok(true)
            }
            // Written again meanwhile: the newer version gets its own verdict.
            Err(PutError::Stale) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one place calls it, with what it has at hand")]
    async fn record_refusal(
        &self,
        target: &Target,
        out: &Outgoing,
        base: Option<u64>,
        why: &str,
        also: Batch,
    ) -> Result<(), PutError> {
        let clash = Clash {
            id: None,
            kind: ConflictKind::Refused,
            base,
            ours: Side::Revision(out.row.revision),
            theirs: base.map_or(Side::Gone, Side::Revision),
            properties: Vec::new(),
            decision: Decision::Open,
            rule: why.to_owned(),
        };
        let touch = Applied::Touch(Touch { event: (out.event, out.row.generation), clash: Some(clash) });
        let write = |_: &[crate::calendar::Outcome], batch: &mut Batch| {
            batch.merge(also);
        };
        self.calendars.apply(&target.source.user, &target.source.id, vec![touch], write).await.map(drop)
    }

    /// The wish that the intents of a source be worked off.
    pub(super) fn push_wish(&self, target: &Target) -> crate::jobs::NewJob {
        let payload = PushJob {
            user: target.source.user.clone(),
            account: target.source.account.clone(),
            source: target.source.id.clone(),
        };
        job::push(&payload, self.clock.now(), Priority::High)
    }
}

/// Whether a fault concerns the object that was sent and says nothing of the others.
fn is_about_one(fault: &Fault) -> bool {
    matches!(fault, Fault::Garbled(_) | Fault::Changed | Fault::Exists(_) | Fault::Gone)
}

/// Whether an event that the source does not hold was somewhere else before, and is no more.
fn is_half_of_move(target: &Target, out: &Outgoing) -> bool {
    let was_sent = target.provider.deletes_first() && out.row.last_revision > 1;
    out.linked.is_none() && out.row.members.len() < 2 && (out.intent.cause == Cause::Move || was_sent)
}

/// What is sent of `object`: as a copy that invites nobody, if another source's leads.
fn outward(target: &Target, out: &Outgoing, object: &Object) -> Object {
    if item::is_copy(target, &out.row) { ical::as_silent_copy(object) } else { object.clone() }
}
