//! The calendars of an account: those that Graph lists as the person's, and those of each calendar group.
//!
//! Invariant: a group that could not be read for the moment is a fault, never a list without its calendars.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Microsoft;
use super::session::{Aim, Ask, segment, unreadable};
use super::wire::{Calendar, Collection};
use crate::provider::Fault;

/// `microsoft.graph.calendarGroup`.
#[derive(Deserialize)]
struct Group {
    id: String,
}

impl Microsoft {
    /// Every calendar once: the person's own, and what others share with them, in whatever group it was put.
    pub(super) async fn all_calendars(&self) -> Result<Vec<Calendar>, Fault> {
        let mut found: Vec<Calendar> = self.all("me/calendars?$top=100").await?.unwrap_or_default();
        if found.is_empty() {
            // Every mailbox has one, so this is a fault of the moment, and not to be mended by half.
            return Ok(found);
        }
        let mut known: HashSet<String> = found.iter().map(|calendar| calendar.id.clone()).collect();
        let groups: Vec<Group> = self.all("me/calendarGroups?$top=100").await?.unwrap_or_default();
        for group in groups.into_iter().filter(|group| !group.id.is_empty()) {
            let path = format!("me/calendarGroups/{}/calendars?$top=100", segment(&group.id));
            let of_group: Vec<Calendar> = self.all(&path).await?.unwrap_or_default();
            found.extend(of_group.into_iter().filter(|calendar| known.insert(calendar.id.clone())));
        }
        Ok(found)
    }

    /// All pages of a collection; `None` if the mailbox has no such collection.
    async fn all<T: DeserializeOwned>(&self, path: &str) -> Result<Option<Vec<T>>, Fault> {
        let (mut found, mut url) = (Vec::new(), self.session.url(path));
        for _ in 0..PAGES {
            let reply = self.session.ask(&Ask::get(url)).await?;
            let is_absent = path.contains("calendarGroups") && matches!(reply.status, 400 | 403 | 404 | 405 | 501);
            if is_absent && !reply.code().unwrap_or_default().starts_with("mailboxnot") {
                return Ok(None);
            }
            if !reply.is_success() {
                return Err(self.session.fault(&reply, Aim::Calendar));
            }
            let page: Collection<T> = reply.read()?;
            found.extend(page.value);
            match page.next {
                Some(next) => url = self.session.link(&next)?,
                None => return Ok(Some(found)),
            }
        }
        Err(unreadable())
    }
}

const PAGES: usize = 100;
