//! Finding an event again by what it is known by, where its id says nothing (fault catalogue 43, 51).
//!
//! Ids change when a mailbox moves or an item is exported and imported again (providers.md 5.2). What stays is the stash
//! that we wrote, and for an event that we never wrote its `iCalUId`.
//! Invariant: only the calendar that was asked about is looked through: the same event in another one is another.

use super::session::{Aim, Ask, segment, unreadable};
use super::wire::{Collection, Event};
use super::{Microsoft, stash};
use crate::ical::Object;
use crate::provider::{Fault, RemoteId};

impl Microsoft {
    /// The event in a calendar that has this UID here, by its stash or by what Exchange calls it.
    pub(super) async fn find_anywhere(&self, calendar: &RemoteId, uid: &str) -> Result<Option<String>, Fault> {
        if let Some(id) = self.find_by_uid(calendar, uid).await? {
            return Ok(Some(id));
        }
        for name in names(uid) {
            let ask = self.filtered(calendar, &format!("iCalUId eq '{}'", name.replace('\'', "''")));
            let reply = self.session.ask(&ask).await?;
            // No contract promises this filter.
            if matches!(reply.status, 400 | 501) {
                return self.look_through(calendar, &names(uid)).await;
            }
            if !reply.is_success() {
                return Err(self.session.fault(&reply, Aim::Calendar));
            }
            let found: Collection<Event> = reply.read()?;
            // A service that passes over the filter answers with everything.
            let twin = found.value.into_iter().find(|event| event.ical_uid.as_deref() == Some(name.as_str()));
            if let Some(event) = twin {
                return Ok(Some(event.id));
            }
        }
        Ok(None)
    }

    /// The same without a filter: the whole calendar, a thousand at a time.
    async fn look_through(&self, calendar: &RemoteId, names: &[String]) -> Result<Option<String>, Fault> {
        let path = format!("me/calendars/{}/events?$select=id,iCalUId&$top=1000", segment(calendar.as_str()));
        let mut url = self.session.url(&path);
        for _ in 0..PAGES {
            let page: Collection<Event> = self.session.succeed(&Ask::get(url), Aim::Calendar).await?.read()?;
            let is_it = |event: &Event| event.ical_uid.as_ref().is_some_and(|uid| names.contains(uid));
            if let Some(event) = page.value.into_iter().find(is_it) {
                return Ok(Some(event.id));
            }
            match page.next {
                Some(next) => url = self.session.link(&next)?,
                None => return Ok(None),
            }
        }
        Err(unreadable())
    }

    /// What `base` was under another id; `None` if it is nowhere in the calendar.
    pub(super) async fn under_another_id(
        &self,
        calendar: &RemoteId,
        base: Option<&Object>,
    ) -> Result<Option<(RemoteId, Event)>, Fault> {
        let Some(base) = base.filter(|base| !base.uid().is_empty()) else { return Ok(None) };
        let Some(id) = self.find_anywhere(calendar, base.uid()).await?.map(RemoteId::new) else { return Ok(None) };
        match self.event(&id).await {
            Ok(event) => Ok(Some((id, event))),
            Err(Fault::Gone) => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    pub(super) async fn find_by_stash(&self, calendar: &RemoteId, wanted: &Event) -> Result<Option<String>, Fault> {
        match stash::marker(wanted).and_then(|marker| marker.value) {
            Some(uid) => self.find_by_uid(calendar, &uid).await,
            None => Ok(None),
        }
    }

    /// The event in a calendar whose stash has this UID: one that we wrote.
    async fn find_by_uid(&self, calendar: &RemoteId, uid: &str) -> Result<Option<String>, Fault> {
        let filter = format!(
            "singleValueExtendedProperties/any(ep: ep/id eq '{}' and ep/value eq '{}')",
            stash::marker_id(),
            uid.replace('\'', "''")
        );
        let ask = self.filtered(calendar, &filter);
        let found: Collection<Event> = self.session.succeed(&ask, Aim::Calendar).await?.read()?;
        Ok(found.value.into_iter().next().map(|event| event.id))
    }

    fn filtered(&self, calendar: &RemoteId, filter: &str) -> Ask {
        let mut url = self.session.url(&format!("me/calendars/{}/events", segment(calendar.as_str())));
        url.query_pairs_mut().append_pair("$filter", filter);
        Ask::get(url)
    }
}

/// What Exchange may call an event that has this UID here: so, or wrapped as it wraps the UID of an invitation that came by
/// mail (MS-OXOCAL 2.2.1.27).
fn names(uid: &str) -> Vec<String> {
    if uid.is_empty() || uid.len() > LONGEST {
        return Vec::new();
    }
    let is_exchanges = uid.get(..CLASS.len()).is_some_and(|head| head.eq_ignore_ascii_case(CLASS));
    if is_exchanges { vec![uid.to_owned()] } else { vec![uid.to_owned(), wrapped(uid)] }
}

fn wrapped(uid: &str) -> String {
    let mut data = b"vCal-Uid\x01\x00\x00\x00".to_vec();
    data.extend_from_slice(uid.as_bytes());
    data.push(0);
    let size = u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes();
    // No date of an instance, no time of creation, and the octets that are reserved.
    let head = [0_u8; 20];
    let hex = |octets: &[u8]| data_encoding::HEXUPPER.encode(octets);
    format!("{CLASS}{}{}{}", hex(&head), hex(&size), hex(&data))
}

/// The class of a Global Object ID.
const CLASS: &str = "040000008200E00074C5B7101A82E008";
const PAGES: usize = 100;
/// In octets; a longer one makes an address that no service takes.
const LONGEST: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_wrapped_as_exchange_does() {
        let expected = "040000008200E00074C5B7101A82E0080000000000000000000000000000000000000000\
                        1B0000007643616C2D556964010000006162634078796D706C652E6F726700";
        assert_eq!(wrapped("abc@xymple.org"), expected);
        assert_eq!(names("abc"), ["abc".to_owned(), wrapped("abc")]);
        assert_eq!(names("040000008200e00074c5b7101a82e008AB"), ["040000008200e00074c5b7101a82e008AB"]);
        assert!(names("").is_empty() && names(&"u".repeat(2_000)).is_empty());
    }
}
