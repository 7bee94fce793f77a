//! The list of calendars.

use serde_json::Value;

use super::request::{Aim, Ask};
use super::{Google, map};
use crate::ical::ComponentKind;
use crate::provider::{CalendarDetails, Fault, RemoteCalendar, RemoteId};

impl Google {
    pub(super) async fn calendar_list(&self) -> Result<Vec<RemoteCalendar>, Fault> {
        let (mut calendars, mut page) = (Vec::new(), None::<String>);
        for _ in 0..PAGES {
            // Hidden ones are named too: a list that leaves one out would say that it is gone.
            let mut ask =
                Ask::get(&["users", "me", "calendarList"]).query("maxResults", "250").query("showHidden", "true");
            if let Some(page) = &page {
                ask = ask.query("pageToken", page.clone());
            }
            let reply = self.ask(ask, Aim::Calendar).await?;
            let items = reply.get("items").and_then(Value::as_array);
            let items = items.ok_or_else(|| Fault::Garbled("Google's list of calendars has no items".to_owned()))?;
            for entry in items.iter().filter(|entry| entry.get("deleted") != Some(&Value::Bool(true))) {
                calendars.extend(self.calendar(entry));
            }
            match reply.get("nextPageToken").and_then(Value::as_str) {
                Some(next) if page.as_deref() != Some(next) => page = Some(next.to_owned()),
                Some(_) => break,
                None => return Ok(calendars),
            }
        }
        Err(Fault::Garbled("Google's list of calendars has no end".to_owned()))
    }

    fn calendar(&self, entry: &Value) -> Option<RemoteCalendar> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let is = |name: &str| entry.get(name).and_then(Value::as_bool).unwrap_or_default();
        let id = text("id")?;
        let role = text("accessRole").unwrap_or_default();
        let reminders = entry.get("defaultReminders").and_then(Value::as_array).cloned().unwrap_or_default();
        let zone = text("timeZone").map(str::to_owned);
        let seen = map::Calendar { zone: zone.clone(), reminders };
        self.known().calendars.insert(id.to_owned(), seen);
        if is("primary") {
            id.clone_into(&mut self.email.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        }
        Some(RemoteCalendar {
            id: RemoteId::new(id),
            name: text("summaryOverride").or_else(|| text("summary")).unwrap_or(id).to_owned(),
            color: text("backgroundColor").map(str::to_owned),
            // A role that is newer than this program may read.
            read_only: !matches!(role, "owner" | "writer" | "writerWithoutPrivateAccess"),
            components: vec![ComponentKind::Event],
            description: text("description").map(str::to_owned),
            details: CalendarDetails {
                time_zone: zone,
                busy_only: role == "freeBusyReader",
                hidden: is("hidden"),
                primary: is("primary"),
            },
        })
    }
}

/// More than anybody has.
const PAGES: usize = 40;
