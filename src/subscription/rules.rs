//! What a feed shows: plain values, and the few questions that are asked of them.

use std::collections::BTreeSet;

use serde::de::value::{self, StrDeserializer};
use serde::de::{DeserializeOwned, IntoDeserializer as _};
use serde::{Deserialize, Serialize};

use crate::id::CollectionName;

/// What a feed is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Events.
    #[default]
    Events,
    /// One VFREEBUSY (RFC 5545 3.6.4): when time is taken, and nothing else.
    FreeBusy,
}

/// How much of an event is shown, before single fields are added or taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Detail {
    /// Everything.
    #[default]
    Full,
    /// When it is and what it is called.
    Titles,
    /// When it is.
    Busy,
}

/// A part of an event that can be shown or hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Field {
    /// SUMMARY.
    Title,
    /// LOCATION and GEO.
    Location,
    /// DESCRIPTION and COMMENT.
    Description,
    /// ORGANIZER, ATTENDEE, CONTACT.
    People,
    /// URL, ATTACH, CONFERENCE.
    Links,
    /// CATEGORIES, COLOR, PRIORITY.
    Categories,
    /// All that has no name here.
    Other,
}

impl Field {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Title, Self::Location, Self::Description, Self::People, Self::Links, Self::Categories, Self::Other];
}

/// Which all-day events are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AllDay {
    /// They and the others.
    #[default]
    With,
    /// They alone.
    Only,
    /// The others alone.
    Without,
}

/// A word on the command line or in JSON that means nothing here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownWord(String);

/// Reads one of the words above: `full`, `freebusy`, `location`.
pub fn word<T: DeserializeOwned>(text: &str) -> Result<T, UnknownWord> {
    let deserializer: StrDeserializer<'_, value::Error> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| UnknownWord(error.to_string()))
}

/// What a feed shows of a user's calendars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rules {
    /// Events or busy times.
    pub kind: Kind,
    /// The calendars; none means all that are unified.
    pub sources: Vec<CollectionName>,
    /// How much of each event.
    pub detail: Detail,
    /// Fields beyond that.
    pub show: BTreeSet<Field>,
    /// Fields less than that.
    pub hide: BTreeSet<Field>,
    /// How much of an event that its owner marked as private or confidential (CLASS).
    pub private: Detail,
    /// Days before today; none means all.
    pub past: Option<u32>,
    /// Days after today; none means all.
    pub future: Option<u32>,
    /// Which all-day events.
    pub all_day: AllDay,
    /// Whether meetings that the person declined are shown.
    pub declined: bool,
    /// Events of one of these categories alone; `!name` leaves that category out.
    pub categories: Vec<String>,
    /// Events whose title matches, with `*` for anything, in any case; `!` in front means all others.
    pub pattern: Option<String>,
    /// Whether reminders are passed on.
    pub alarms: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            kind: Kind::default(),
            sources: Vec::new(),
            detail: Detail::default(),
            show: BTreeSet::new(),
            hide: BTreeSet::new(),
            private: Detail::Busy,
            past: None,
            future: None,
            all_day: AllDay::default(),
            declined: false,
            categories: Vec::new(),
            pattern: None,
            alarms: false,
        }
    }
}

impl Rules {
    /// What is shown of an event. `detail` is how much its calendar and its class allow at most.
    pub fn fields(&self, allowed: Detail) -> BTreeSet<Field> {
        let of = |detail: Detail| match detail {
            Detail::Full => Field::ALL.into_iter().collect::<BTreeSet<_>>(),
            Detail::Titles => BTreeSet::from([Field::Title]),
            Detail::Busy => BTreeSet::new(),
        };
        let mut fields = of(self.detail);
        fields.extend(&self.show);
        fields.retain(|field| !self.hide.contains(field));
        // What a calendar or a class does not allow, no wish of the feed brings back.
        let most = of(allowed);
        fields.retain(|field| most.contains(field));
        fields
    }

    /// Whether an event of these categories is shown.
    pub fn wants_categories(&self, has: &[String]) -> bool {
        let named = |name: &str| has.iter().any(|one| one.trim().to_lowercase() == name.trim().to_lowercase());
        let unwanted = self.categories.iter().filter_map(|name| name.strip_prefix('!')).any(named);
        let mut wanted = self.categories.iter().filter(|name| !name.starts_with('!')).peekable();
        !unwanted && (wanted.peek().is_none() || wanted.any(|name| named(name)))
    }

    /// Whether an event of this title is shown.
    pub fn wants_title(&self, title: &str) -> bool {
        match self.pattern.as_deref() {
            None => true,
            Some(pattern) => match pattern.strip_prefix('!') {
                Some(unwanted) => !matches(unwanted, title),
                None => matches(pattern, title),
            },
        }
    }

    /// Whether an event that is or is not all-day is shown.
    pub fn wants_all_day(&self, is_all_day: bool) -> bool {
        match self.all_day {
            AllDay::With => true,
            AllDay::Only => is_all_day,
            AllDay::Without => !is_all_day,
        }
    }
}

/// Whether the parts of `pattern` between its stars stand in `text` one after the other. Without a star it may stand
/// anywhere.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_lowercase(), text.to_lowercase());
    if !pattern.contains('*') {
        return text.contains(&pattern);
    }
    let parts: Vec<&str> = pattern.split('*').collect();
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return true };
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    for part in parts.get(1..parts.len() - 1).unwrap_or_default() {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_others_refused_with_the_choice() {
        assert_eq!(word::<Kind>("freebusy"), Ok(Kind::FreeBusy));
        assert_eq!(word::<Field>("people"), Ok(Field::People));
        assert!(word::<Detail>("all").unwrap_err().to_string().contains("titles"));
    }

    #[test]
    fn patterns_match_titles() {
        let wants =
            |pattern: &str, title: &str| Rules { pattern: Some(pattern.into()), ..Rules::default() }.wants_title(title);
        for (pattern, title, expected) in [
            ("lunch", "Team LUNCH at noon", true),
            ("lunch", "Dinner", false),
            ("!lunch", "Dinner", true),
            ("!lunch", "Lunch", false),
            ("team*noon", "Team lunch at noon", true),
            ("team*noon", "Team lunch at noon!", false),
            ("a*a", "a", false),
            ("*", "", true),
            ("*b*", "abc", true),
            ("x*b*", "abc", false),
        ] {
            assert_eq!(wants(pattern, title), expected, "{pattern} on {title}");
        }
    }

    #[test]
    fn categories_are_wanted_or_left_out() {
        let rules = |list: &[&str]| Rules {
            categories: list.iter().map(|one| (*one).to_owned()).collect(),
            ..Rules::default()
        };
        let has = ["Work".to_owned(), "Travel".to_owned()];
        assert!(rules(&[]).wants_categories(&[]));
        assert!(rules(&["work"]).wants_categories(&has));
        assert!(!rules(&["home"]).wants_categories(&has));
        assert!(!rules(&["!travel"]).wants_categories(&has));
        assert!(!rules(&["work", "!travel"]).wants_categories(&has));
        assert!(rules(&["!travel"]).wants_categories(&[]));
    }

    #[test]
    fn what_a_calendar_does_not_allow_no_wish_brings_back() {
        let rules = Rules { show: BTreeSet::from([Field::Location]), detail: Detail::Titles, ..Rules::default() };
        assert_eq!(rules.fields(Detail::Full), BTreeSet::from([Field::Title, Field::Location]));
        assert_eq!(rules.fields(Detail::Titles), BTreeSet::from([Field::Title]));
        assert!(rules.fields(Detail::Busy).is_empty());
        let hidden = Rules { hide: BTreeSet::from([Field::People]), ..Rules::default() };
        assert!(!hidden.fields(Detail::Full).contains(&Field::People));
    }
}
