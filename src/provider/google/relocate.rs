//! Moving an event between two calendars of the account (`events.move`): it stays the event that it was.

use http::Method;
use serde_json::{Value, json};

use super::Google;
use super::group::text;
use super::request::{Aim, Ask};
use super::write::told;
use crate::provider::{Change, Fault, RemoteId, Version, Written};

impl Google {
    /// Moves an event with its exceptions. `None` where the API moves none: of another type than `default`, or somebody else's.
    pub(super) async fn move_event(
        &self,
        (from, to): (&RemoteId, &RemoteId),
        version: &Version,
        change: &Change<'_>,
    ) -> Result<Option<Written>, Fault> {
        let id = version.id.as_str();
        // The request knows no condition.
        let group = self.group(from, id).await?;
        if version.tag.is_some() && group.tag() != version.tag {
            return Err(Fault::Changed);
        }
        let Some(master) = group.master.as_ref().filter(|master| is_own(master)) else { return Ok(None) };
        if text(master, "eventType").is_some_and(|kind| kind != "default") {
            return Ok(None);
        }
        let ask = Ask::empty(Method::POST, &["calendars", from.as_str(), "events", id, "move"]);
        match self.ask(told(ask.query("destination", to.as_str()), change.notify), Aim::Event).await {
            Ok(_) => self.read_back(to, id, change.object).await.map(Some),
            Err(Fault::Refused(why) | Fault::Forbidden(why)) => {
                tracing::debug!(why, "Google does not move the event; it is made anew");
                Ok(None)
            }
            Err(fault) => Err(fault),
        }
    }
}

fn is_own(event: &Value) -> bool {
    event.pointer("/organizer/self") == Some(&json!(true))
}
