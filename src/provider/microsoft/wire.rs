//! Events as Microsoft Graph v1.0 writes them: the members that a calendar mirror reads or sends.
//!
//! Unknown members and enum values are passed over; a null is an absent member. Holds the words of the person, so
//! nothing here is printed: [`fmt::Debug`] shows sizes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// `microsoft.graph.event`. On the way out only what is set is written.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Event {
    #[serde(rename = "@odata.etag", skip_serializing)]
    pub(super) etag: Option<String>,
    #[serde(rename = "@removed", skip_serializing)]
    pub(super) removed: Option<Removed>,
    #[serde(skip_serializing)]
    pub(super) id: String,
    #[serde(skip_serializing)]
    pub(super) change_key: Option<String>,
    #[serde(skip_serializing)]
    pub(super) created_date_time: Option<String>,
    #[serde(skip_serializing)]
    pub(super) last_modified_date_time: Option<String>,
    #[serde(rename = "iCalUId", skip_serializing)]
    pub(super) ical_uid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transaction_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) body: Option<ItemBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Option<DateTimeTimeZone>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end: Option<DateTimeTimeZone>,
    #[serde(skip_serializing)]
    pub(super) original_start_time_zone: Option<String>,
    #[serde(skip_serializing)]
    pub(super) original_end_time_zone: Option<String>,
    #[serde(skip_serializing)]
    pub(super) original_start: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_all_day: Option<bool>,
    #[serde(skip_serializing)]
    pub(super) is_cancelled: Option<bool>,
    #[serde(skip_serializing)]
    pub(super) is_organizer: Option<bool>,
    #[serde(skip_serializing)]
    pub(super) is_draft: Option<bool>,
    #[serde(skip_serializing)]
    pub(super) is_online_meeting: Option<bool>,
    #[serde(skip_serializing)]
    pub(super) online_meeting: Option<OnlineMeeting>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) importance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sensitivity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) show_as: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) categories: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) is_reminder_on: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reminder_minutes_before_start: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) location: Option<Location>,
    #[serde(skip_serializing)]
    pub(super) locations: Option<Vec<Location>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) attendees: Option<Vec<Attendee>>,
    #[serde(skip_serializing)]
    pub(super) organizer: Option<Recipient>,
    #[serde(skip_serializing)]
    pub(super) response_status: Option<ResponseStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) response_requested: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allow_new_time_proposals: Option<bool>,
    #[serde(skip_serializing)]
    pub(super) series_master_id: Option<String>,
    #[serde(rename = "type", skip_serializing)]
    pub(super) kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recurrence: Option<Recurrence>,
    #[serde(skip_serializing)]
    pub(super) cancelled_occurrences: Option<Vec<String>>,
    #[serde(skip_serializing)]
    pub(super) exception_occurrences: Option<Vec<Event>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) single_value_extended_properties: Option<Vec<ExtendedProperty>>,
}

impl Event {
    pub(super) fn is_master(&self) -> bool {
        self.kind.as_deref() == Some("seriesMaster")
    }

    /// An instance of a series: `occurrence` or `exception`.
    pub(super) fn is_instance(&self) -> bool {
        matches!(self.kind.as_deref(), Some("occurrence" | "exception"))
    }

    pub(super) fn has_attendees(&self) -> bool {
        self.attendees.as_ref().is_some_and(|attendees| !attendees.is_empty())
    }

    /// The mailbox is the organiser's: true unless the service says otherwise.
    pub(super) fn is_own(&self) -> bool {
        self.is_organizer != Some(false)
    }

    /// What writes are made conditional on, as it has to be sent back.
    pub(super) fn tag(&self) -> Option<String> {
        self.etag.clone().or_else(|| self.change_key.as_ref().map(|key| format!("W/\"{key}\"")))
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Event({})", self.kind.as_deref().unwrap_or("?"))
    }
}

/// The mark of an item that a delta round says is gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Removed {
    pub(super) reason: Option<String>,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ItemBody {
    pub(super) content_type: Option<String>,
    pub(super) content: Option<String>,
}

/// A local date and time without offset, and its zone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DateTimeTimeZone {
    pub(super) date_time: String,
    pub(super) time_zone: Option<String>,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct OnlineMeeting {
    pub(super) join_url: Option<String>,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) coordinates: Option<Coordinates>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Coordinates {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latitude: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) longitude: Option<f64>,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Recipient {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email_address: Option<EmailAddress>,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EmailAddress {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Attendee {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    /// Of others it can't be set in a reliable way, so it is never sent.
    #[serde(skip_serializing)]
    pub(super) status: Option<ResponseStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) email_address: Option<EmailAddress>,
}

impl Attendee {
    /// The address in small letters, as it is compared.
    pub(super) fn address(&self) -> Option<String> {
        let address = self.email_address.as_ref()?.address.as_ref()?;
        Some(address.trim().to_lowercase())
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResponseStatus {
    pub(super) response: Option<String>,
    pub(super) time: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Recurrence {
    pub(super) pattern: Pattern,
    pub(super) range: Range,
}

/// `recurrencePattern`. Members that the type does not use come back filled, so only `type` says which count.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Pattern {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) interval: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) month: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) day_of_month: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) days_of_week: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_day_of_week: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) index: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Range {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) start_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) recurrence_time_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) number_of_occurrences: Option<i32>,
}

#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ExtendedProperty {
    pub(super) id: String,
    pub(super) value: Option<String>,
}

/// `microsoft.graph.calendar`.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(clippy::struct_field_names, reason = "the names of the field's own words")]
pub(super) struct Calendar {
    pub(super) id: String,
    pub(super) name: Option<String>,
    pub(super) color: Option<String>,
    pub(super) hex_color: Option<String>,
    pub(super) can_edit: Option<bool>,
    pub(super) is_default_calendar: Option<bool>,
    pub(super) owner: Option<EmailAddress>,
}

/// A page of a collection.
#[derive(Deserialize)]
pub(super) struct Collection<T> {
    /// An answer without it is no page.
    pub(super) value: Vec<T>,
    #[serde(rename = "@odata.nextLink")]
    pub(super) next: Option<String>,
    #[serde(rename = "@odata.deltaLink")]
    pub(super) delta: Option<String>,
}
