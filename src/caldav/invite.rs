//! Scheduling between the users of this server (RFC 6638 3): what an organizer writes reaches the attendees who live
//! here, and what they answer reaches the organizer.
//!
//! Only for events that no provider holds: an account's own server invites its people itself, and nobody must get an
//! invitation twice. Nobody outside is told, and no mail is sent. What fails here is logged and never undoes the write
//! that was acknowledged; the next write of the object tells again.

use http::{HeaderMap, HeaderValue};

use crate::calendar::{Author, Collection, CollectionKind, Conditions, Entry, EventRow};
use crate::ical::{Object, itip};
use crate::id::{CollectionId, CollectionName, EventId, Place, ResourceName, UserId};

use super::path::Path;
use super::{Failure, Service, Visitor};

/// An object before and after a client's write.
#[derive(Debug)]
pub(super) struct Written<'a> {
    pub(super) visitor: &'a Visitor,
    pub(super) event: EventId,
    pub(super) before: Option<Object>,
    pub(super) after: Option<Object>,
    /// Whether an attendee who deletes is silent (`Schedule-Reply: F`, RFC 6638 8.1).
    pub(super) silent: bool,
}

impl Service {
    /// Whether the users of this server invite one another here.
    pub(super) fn schedules(&self) -> bool {
        self.users.is_some()
    }

    /// What stands at a place before it is written, if scheduling has to know.
    pub(super) async fn before(&self, place: &Place) -> Result<Option<Object>, Failure> {
        if !self.schedules() {
            return Ok(None);
        }
        let stored = self.calendars.get(place).await.map_err(Failure::store)?;
        Ok(stored.and_then(|stored| Object::parse(stored.octets).ok()))
    }

    /// Tells the others who take part.
    pub(super) async fn tell_participants(&self, written: Written<'_>) {
        if !self.schedules() {
            return;
        }
        if let Err(failure) = self.try_tell(&written).await {
            tracing::warn!(event = %written.event, ?failure, "participants could not be told of a change");
        }
    }

    async fn try_tell(&self, written: &Written<'_>) -> Result<(), Failure> {
        let user = &written.visitor.user;
        let Some(object) = written.after.as_ref().or(written.before.as_ref()) else { return Ok(()) };
        let Some(organizer) = itip::organizer(object) else { return Ok(()) };
        let row = self.calendars.event(user, written.event).await.map_err(Failure::store)?;
        if row.is_some_and(|row| held_by_provider(&row)) {
            return Ok(());
        }
        let facts = self.facts(user);
        if facts.is_own_address(organizer) {
            return self.tell_attendees(user, written).await;
        }
        let own = |address: &str| facts.is_own_address(address);
        let said = |object: &Option<Object>| object.as_ref().map(|object| itip::participation(object, own));
        let (before, mut now) = (said(&written.before).unwrap_or_default(), said(&written.after));
        if now.is_none() && !written.silent {
            let declined = |(instance, _): (&Option<String>, &String)| (instance.clone(), "DECLINED".to_owned());
            now = Some(before.iter().map(declined).collect());
        }
        match (now, self.resident(organizer).await?) {
            (Some(now), Some(organizer)) if now != before && organizer != *user => {
                self.tell_organizer(user, &organizer, object, &now).await
            }
            _ => Ok(()),
        }
    }

    async fn tell_attendees(&self, user: &UserId, written: &Written<'_>) -> Result<(), Failure> {
        let invited = written.after.as_ref().map(itip::attendees).unwrap_or_default();
        let known = written.before.as_ref().map(itip::attendees).unwrap_or_default();
        let same = matches!((&written.before, &written.after), (Some(a), Some(b)) if a.octets() == b.octets());
        if let (Some(object), false) = (&written.after, same) {
            for address in &invited {
                if let Some(attendee) = self.resident(address).await?.filter(|attendee| attendee != user) {
                    let copy = itip::copy_for_attendee(object).map_err(broken)?;
                    if self.send(user, &attendee, &copy).await? {
                        let message = itip::message(object, "REQUEST").map_err(broken)?;
                        self.calendars.deliver(&attendee, &message).await.map_err(Failure::store)?;
                    }
                }
            }
        }
        let Some(object) = &written.before else { return Ok(()) };
        for address in known.iter().filter(|address| !invited.contains(address)) {
            if let Some(attendee) = self.resident(address).await?.filter(|attendee| attendee != user) {
                let off = itip::cancelled(&itip::copy_for_attendee(object).map_err(broken)?).map_err(broken)?;
                let is_gone = self.find(&attendee, object.uid()).await?.is_none();
                if is_gone || self.send(user, &attendee, &off).await? {
                    let message = itip::message(&off, "CANCEL").map_err(broken)?;
                    self.calendars.deliver(&attendee, &message).await.map_err(Failure::store)?;
                }
            }
        }
        Ok(())
    }

    async fn tell_organizer(
        &self,
        attendee: &UserId,
        organizer: &UserId,
        object: &Object,
        said: &itip::Participation,
    ) -> Result<(), Failure> {
        let Some((place, row)) = self.find(organizer, object.uid()).await? else { return Ok(()) };
        let theirs = self.calendars.get(&place).await.map_err(Failure::store)?;
        let Some(stored) = theirs.filter(|_| !held_by_provider(&row)) else { return Ok(()) };
        let theirs = Object::parse(stored.octets).map_err(|_| Failure::Busy)?;
        let facts = self.facts(attendee);
        let is_them = |address: &str| facts.is_own_address(address);
        let is_theirs = itip::organizer(&theirs).is_some_and(|address| self.facts(organizer).is_own_address(address));
        if !is_theirs {
            return Ok(());
        }
        if let Some(changed) = itip::with_participation(&theirs, is_them, said).map_err(broken)? {
            let conditions = Conditions::unchanged(stored.etag);
            let put = self.calendars.put(&place, changed, &conditions, &delivery(attendee)).await;
            put.map_err(|error| Failure::of_write(error, &place))?;
        }
        let answered = itip::with_participation(object, is_them, said).map_err(broken)?;
        let message = itip::reply(answered.as_ref().unwrap_or(object), is_them).map_err(broken)?;
        self.calendars.deliver(organizer, &message).await.map_err(Failure::store)
    }

    /// Writes an attendee's copy: where the event is, or into the calendar that no provider holds. A UID is no secret, so
    /// only the organizer of what the attendee has there may write over it; says whether it was theirs to tell.
    async fn send(&self, organizer: &UserId, attendee: &UserId, copy: &Object) -> Result<bool, Failure> {
        let (place, conditions) = if let Some((place, row)) = self.find(attendee, copy.uid()).await? {
            let stored = self.calendars.get(&place).await.map_err(Failure::store)?.ok_or(Failure::Busy)?;
            let there = Object::parse(stored.octets).map_err(|_| Failure::Busy)?;
            let facts = self.facts(organizer);
            if itip::organizer(&there).is_none_or(|address| !facts.is_own_address(address)) {
                return Ok(false);
            }
            if held_by_provider(&row) {
                return Ok(true);
            }
            (place, Conditions::unchanged(stored.etag))
        } else {
            let name = name_for(copy.uid()).ok_or(Failure::Busy)?;
            let collection = CollectionId::new(attendee, CollectionName::local());
            (Place { collection, name }, Conditions::absent())
        };
        let put = self.calendars.put(&place, copy.clone(), &conditions, &delivery(attendee)).await;
        put.map(|_| true).map_err(|error| Failure::of_write(error, &place))
    }

    /// Where a user has an event, in whichever calendar.
    async fn find(&self, user: &UserId, uid: &str) -> Result<Option<(Place, EventRow)>, Failure> {
        for collection in self.calendars.collections(user).await.map_err(Failure::store)? {
            let found = self.calendars.event_by_uid(&collection.id, uid).await.map_err(Failure::store)?;
            let Some((_, row)) = found.filter(|(_, row)| row.is_alive()) else { continue };
            if let Some(name) = row.name_in(&collection.id.name)
                && collection.kind != CollectionKind::Unified
            {
                return Ok(Some((Place { collection: collection.id.clone(), name: name.clone() }, row.clone())));
            }
        }
        Ok(None)
    }

    /// The Schedule-Tag of an object: those have one whose invitations are sent here.
    pub(super) async fn schedule_tag(&self, row: &Collection, entry: &Entry) -> Result<Option<String>, Failure> {
        if !self.schedules() || is_source(entry.leader()) {
            return Ok(None);
        }
        let object = self.calendars.object(&row.id, entry).await.map_err(Failure::store)?;
        Ok(itip::schedule_tag(&object))
    }

    /// The Schedule-Tag of what stands at a place, given its octets.
    pub(super) async fn schedule_tag_at(&self, place: &Place) -> Result<Option<String>, Failure> {
        if !self.schedules() {
            return Ok(None);
        }
        let view = self.calendars.view(&place.collection).await.map_err(Failure::store)?;
        let Some(row) = self.calendars.collection(&place.collection).await.map_err(Failure::store)? else {
            return Ok(None);
        };
        match view.get(&place.name) {
            Some(entry) => self.schedule_tag(&row, entry).await,
            None => Ok(None),
        }
    }

    /// The user of this server who has this address.
    pub(super) async fn resident(&self, address: &str) -> Result<Option<UserId>, Failure> {
        let Some(users) = &self.users else { return Ok(None) };
        let address = address.trim();
        let mail = address.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:")).and(address.get(7..));
        let named = match mail {
            Some(mail) => {
                let domain = format!("@{}", self.settings.mail_domain);
                let bare = mail
                    .len()
                    .checked_sub(domain.len())
                    .filter(|_| mail.to_ascii_lowercase().ends_with(&domain.to_ascii_lowercase()));
                let bare = bare.and_then(|length| mail.get(..length));
                [Some(mail), bare].into_iter().flatten().filter_map(|name| UserId::parse(name).ok()).collect()
            }
            None => match crate::dav::Href::parse(address).ok().and_then(|href| Path::of(&href)) {
                Some(Path::Principal(user)) => vec![user],
                _ => Vec::new(),
            },
        };
        for user in named {
            let lives_here = users.user(&user).await.map_err(Failure::store)?.is_some();
            if lives_here && self.facts(&user).is_own_address(address) {
                return Ok(Some(user));
            }
        }
        Ok(None)
    }
}

/// Writes the Schedule-Tag field.
pub(super) fn set_schedule_tag(headers: &mut HeaderMap, tag: Option<String>) {
    if let Some(value) = tag.and_then(|tag| HeaderValue::from_str(&format!("\"{tag}\"")).ok()) {
        headers.insert("schedule-tag", value);
    }
}

/// Whether the client wants nobody told of its deletion.
pub(super) fn is_silent(headers: &HeaderMap) -> bool {
    headers.get("schedule-reply").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"F"))
}

/// Whether the event has a copy at a provider, who does the inviting then.
pub(super) fn held_by_provider(row: &EventRow) -> bool {
    row.members.iter().any(|member| is_source(&member.collection))
}

/// Whether a collection is that of a remote calendar; the names of others can't be told from these by clients' will,
/// since a name that looks like a source's only means that nobody is invited from there.
pub(super) fn is_source(name: &CollectionName) -> bool {
    name.as_str().starts_with("s-")
}

fn name_for(uid: &str) -> Option<ResourceName> {
    let tag = crate::calendar::EtagOctets::of(uid.as_bytes()).etag();
    ResourceName::try_from(format!("invitation-{}.ics", tag.0)).ok()
}

fn delivery(user: &UserId) -> Author {
    Author::Client { user: user.clone(), device: Some("invitation".to_owned()) }
}

fn broken(error: crate::ical::EditError) -> Failure {
    Failure::store(error)
}
