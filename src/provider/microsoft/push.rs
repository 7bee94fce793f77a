//! Writing (providers.md 5.6): create by a key, change by what differs, delete, each without a mail that nobody asked for.
//!
//! Exchange mails every attendee of an event whenever anything of it is written, and has no switch for it. So what is
//! there is read first; only parts that differ are sent; what only the owner of the mailbox cares about is not sent at all where
//! others would be mailed for it; and where they would be and may not, the write is refused.
//! Invariant: nothing is written over a state that was not known: by If-Match, and by comparing before where a tag moved.

use serde_json::{Map, Value};

use super::parts::{Part, differing};
use super::refusal::Refusal;
use super::session::{Aim, Ask, segment};
use super::wire::Event;
use super::write::{Projection, address, project};
use super::{Microsoft, stash};
use crate::ical::{self, Component, Object};
use crate::provider::{Change, Fault, IdempotencyKey, Notify, RemoteId, RemoteTag, Removal, Stored, Version, Written};

impl Microsoft {
    pub(super) async fn create_event(
        &self,
        calendar: &RemoteId,
        key: &IdempotencyKey,
        change: &Change<'_>,
    ) -> Result<Written, Fault> {
        let mut wanted = project(change.object, &self.mailbox()).map_err(refused)?;
        if change.notify == Notify::Nobody || !self.is_organizer_of(change.object) {
            without_people(&mut wanted);
        }
        // A mailbox takes a transaction id once, whatever the calendar: in another one the event is another.
        let key = format!("{}-{:08x}", key.as_str(), crc32c::crc32c(calendar.as_str().as_bytes()));
        for generation in 1..=GENERATIONS {
            wanted.event.transaction_id = Some(match generation {
                1 => key.clone(),
                _ => format!("{key}-{generation}"),
            });
            let body = serde_json::to_value(&wanted.event).unwrap_or_default();
            let url = self.session.url(&format!("me/calendars/{}/events", segment(calendar.as_str())));
            let reply = self.session.ask(&Ask::post(url, body)).await?;
            if reply.is_success() {
                let made: Event = reply.read()?;
                return self.complete(&RemoteId::new(made.id), &wanted, change).await;
            }
            let is_repeated = matches!(reply.status, 400 | 409) && reply.code().as_deref() == Some(DUPLICATE);
            if !is_repeated {
                return Err(match self.session.fault(&reply, Aim::Event) {
                    Fault::Gone => Fault::CalendarGone,
                    fault => fault,
                });
            }
            match self.made_before(calendar, &wanted.event, reply.existing()).await? {
                // Our own, of a try whose answer was lost.
                Some(there) if stash::same(&wanted.event, &there) => {
                    return self.complete(&RemoteId::new(there.id), &wanted, change).await;
                }
                Some(there) => {
                    let tag = there.tag().map(RemoteTag::new);
                    return Err(Fault::Exists(Some(Version { id: RemoteId::new(there.id), tag })));
                }
                // It was deleted since: the key is used up, the next one is not.
                None => {}
            }
        }
        Err(Fault::Exists(None))
    }

    /// The event that was made with a transaction id before; `None` if it is gone.
    async fn made_before(
        &self,
        calendar: &RemoteId,
        wanted: &Event,
        existing: Option<String>,
    ) -> Result<Option<Event>, Fault> {
        let found = match existing {
            Some(id) => Some(id),
            None => self.find_by_stash(calendar, wanted).await?,
        };
        let Some(id) = found else { return Ok(None) };
        match self.event(&RemoteId::new(id)).await {
            Ok(event) => Ok(Some(event)),
            Err(Fault::Gone) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// The instances of a series that was just made or changed, and what is there then.
    async fn complete(&self, id: &RemoteId, wanted: &Projection, change: &Change<'_>) -> Result<Written, Fault> {
        let there = self.event(id).await?;
        let there = if self.write_instances(id, wanted, &there).await? { self.event(id).await? } else { there };
        self.written(id, &there, change.object)
    }

    pub(super) fn written(&self, id: &RemoteId, there: &Event, sent: &Object) -> Result<Written, Fault> {
        let object = self.compose(there)?;
        let version = Version { id: id.clone(), tag: there.tag().map(RemoteTag::new) };
        let stored =
            if ical::same_meaning(&object, sent) { Stored::AsSent } else { Stored::Different(object.octets().clone()) };
        Ok(Written { version, stored })
    }

    pub(super) async fn update_event(&self, version: &Version, change: &Change<'_>) -> Result<Written, Fault> {
        let there = self.event(&version.id).await?;
        self.check_known(&there, version, change.base)?;
        if !there.is_own() {
            return self.update_as_guest(version, change, &there).await;
        }
        let wanted = project(change.object, &self.mailbox()).map_err(refused)?;
        let mut parts = differing(&wanted.event, &there);
        if has_silent_people(change.object) || !self.is_organizer_of(change.object) {
            parts.retain(|part| *part != Part::People);
        }
        let moves = parts.iter().any(|part| matches!(part, Part::When | Part::Recurrence));
        if !moves {
            super::series::check_restorable(&wanted, &there).map_err(refused)?;
        }
        let differs = super::series::differs(&wanted, &there);
        let is_meeting = there.has_attendees() || (parts.contains(&Part::People) && wanted.event.has_attendees());
        if is_meeting {
            let matters = parts.iter().any(|part| !part.is_personal()) || differs;
            if !matters {
                return self.written(&version.id, &there, change.object);
            }
            if change.notify == Notify::Nobody {
                return Err(Fault::Refused(
                    "Outlook would mail the people invited about this, and nobody has asked for that".to_owned(),
                ));
            }
        }
        if parts.is_empty() && !differs {
            return self.written(&version.id, &there, change.object);
        }
        if !parts.is_empty() {
            self.patch(&version.id, (&parts, &wanted.event), &there).await?;
        }
        self.complete(&version.id, &wanted, change).await
    }

    /// A tag that moved counts as a change only if the content did: Exchange goes on processing after a write
    /// (fault catalogue 44).
    fn check_known(&self, there: &Event, version: &Version, base: Option<&Object>) -> Result<(), Fault> {
        let tag = there.tag();
        if version.tag.as_ref().is_none_or(|known| tag.as_deref() == Some(known.as_str())) {
            return Ok(());
        }
        let is_same = base.is_some_and(|base| self.compose(there).is_ok_and(|now| ical::same_meaning(&now, base)));
        if is_same { Ok(()) } else { Err(Fault::Changed) }
    }

    /// Sends the parts of `wanted` that differ from `there`, on the state that was read.
    pub(super) async fn patch(
        &self,
        id: &RemoteId,
        (parts, wanted): (&[Part], &Event),
        there: &Event,
    ) -> Result<(), Fault> {
        let mut members = Map::new();
        for part in parts {
            part.members(wanted, there, &mut members);
        }
        let before = self.compose(there);
        let mut tag = there.tag();
        for _ in 0..ROUNDS {
            let ask = Ask::patch(self.session.event(id, ""), Value::Object(members.clone()), tag.as_deref());
            match self.session.succeed(&ask, Aim::Event).await {
                Ok(_) => return Ok(()),
                Err(Fault::Changed) => {}
                Err(fault) => return Err(fault),
            }
            // An instance has the tag of its series, which a write to its neighbour moves, and is not read as a whole.
            let (now, is_same) = if there.is_instance() {
                let now = self.plain(id, "").await?;
                let is_same = super::series::instance_parts(there, &now).is_empty();
                (now, is_same)
            } else {
                let Ok(before) = &before else { return Err(Fault::Changed) };
                let now = self.event(id).await?;
                let is_same = ical::same_meaning(before, &self.compose(&now)?);
                (now, is_same)
            };
            if !is_same {
                return Err(Fault::Changed);
            }
            tag = now.tag();
        }
        Err(Fault::Changed)
    }

    pub(super) async fn delete_event(
        &self,
        calendar: &RemoteId,
        version: &Version,
        removal: &Removal<'_>,
    ) -> Result<(), Fault> {
        let (id, there) = match self.event(&version.id).await {
            // Under another id it would come back with the next round.
            Err(Fault::Gone) => match self.under_another_id(calendar, removal.base).await? {
                Some(found) => found,
                None => return Ok(()),
            },
            other => (version.id.clone(), other?),
        };
        self.check_known(&there, version, removal.base)?;
        if there.has_attendees()
            && there.is_own()
            && there.is_cancelled != Some(true)
            && removal.notify == Notify::Nobody
        {
            return Err(Fault::Refused(
                "Outlook would mail the people invited that the meeting is cancelled, and nobody has asked for that"
                    .to_owned(),
            ));
        }
        let is_open =
            there.response_status.as_ref().is_none_or(|status| status.response.as_deref() != Some("declined"));
        if !there.is_own() && is_open && there.is_cancelled != Some(true) && removal.notify == Notify::Attendees {
            // It moves the event out of the calendar, too.
            return match self.respond(&id, "declined", true).await {
                Err(Fault::Gone) => Ok(()),
                other => other,
            };
        }
        let ask = Ask::delete(self.session.event(&id, ""), there.tag().as_deref());
        match self.session.succeed(&ask, Aim::Event).await {
            Ok(_) | Err(Fault::Gone) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Graph can't move an event: it is made in one calendar and deleted in the other. Of a meeting everybody would be told that
    /// it is cancelled, and an invitation made anew is no invitation any more (providers.md 5.6).
    pub(super) async fn check_movable(&self, from: &RemoteId) -> Result<(), Fault> {
        match self.event(from).await {
            Ok(event) if event.has_attendees() || !event.is_own() => Err(Fault::Refused(
                "Outlook can't move a meeting to another calendar without mailing the people invited: move it in Outlook"
                    .to_owned(),
            )),
            Ok(_) | Err(Fault::Gone) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Whether the meeting is ours to invite to: it names no organizer, or the owner of the mailbox.
    fn is_organizer_of(&self, object: &Object) -> bool {
        let organizer = object.members().find_map(|member| member.property("ORGANIZER")).and_then(address);
        match (organizer, self.mailbox().address) {
            (Some(organizer), Some(own)) => organizer == own,
            (Some(_), None) => false,
            (None, _) => true,
        }
    }
}

/// People whom somebody else invites are not in Exchange, and their absence there means nothing.
fn has_silent_people(object: &Object) -> bool {
    object
        .members()
        .flat_map(Component::properties)
        .filter(|line| line.is("ATTENDEE"))
        .any(|line| line.param("SCHEDULE-AGENT").is_some_and(|agent| !agent.eq_ignore_ascii_case("SERVER")))
}

fn without_people(wanted: &mut Projection) {
    let events = std::iter::once(&mut wanted.event).chain(wanted.overrides.iter_mut().map(|(_, event)| event));
    for event in events {
        event.attendees = None;
        event.response_requested = None;
    }
}

pub(super) fn refused(refusal: Refusal) -> Fault {
    Fault::Refused(refusal.to_string())
}

/// `error.code` of a create that was made before, in small letters.
const DUPLICATE: &str = "errorduplicatetransactionid";
/// Keys that one object may use up.
const GENERATIONS: usize = 5;
const ROUNDS: usize = 3;
