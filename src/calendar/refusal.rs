//! How a write can end other than well: the domain's words for it. Who speaks HTTP maps them; nothing here knows a status.

use crate::ical::Defect;
use crate::id::{Etag, ResourceName};
use crate::store::{CommitError, StoreError};

/// Why a write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// A rule forbids it, however often it is tried.
    #[error("refused: {0}")]
    Refused(#[from] Refusal),
    /// The caller's own If-Match or If-None-Match does not hold.
    #[error("the object is not in the state that the request asks for")]
    ConditionFailed,
    /// There is nothing at this place.
    #[error("there is nothing at this place")]
    NotFound,
    /// Others kept writing the same object; trying again later is right.
    #[error("others are writing the same object")]
    Stale,
    /// The store failed; nothing was written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CommitError> for PutError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Stale(_) => Self::Stale,
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

/// The rule that forbids a write.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The UID is another object's in this collection, the one with this name.
    #[error("another object of the calendar has this UID")]
    UidTaken(ResourceName),
    /// The object at this place has another UID.
    #[error("the UID of an object can't change")]
    UidChanged,
    /// More octets than [`ical::Limits::size`](crate::ical::Limits::size).
    #[error("the object is too large")]
    TooLarge,
    /// The recurrence can't be worked out within the limits.
    #[error("the object recurs too often")]
    TooManyInstances,
    /// More attendees than allowed.
    #[error("the object has too many attendees")]
    TooManyAttendees,
    /// The collection does not hold this kind of component.
    #[error("the calendar does not hold this kind of component")]
    WrongComponent,
    /// Not a calendar object resource.
    #[error("not a valid calendar object: {0}")]
    Invalid(Defect),
    /// The collection, or one of those that hold the event, can't be written.
    #[error("the calendar is read-only")]
    ReadOnly,
    /// The collection holds as many objects, or the home as many collections, as allowed.
    #[error("the calendar is full")]
    Full,
    /// There is no such collection.
    #[error("there is no such calendar")]
    ParentMissing,
    /// A collection of this name exists.
    #[error("a calendar of this name exists")]
    Exists,
    /// The name is kept for something else.
    #[error("this name is reserved")]
    Reserved,
    /// The gateway itself, or an account, keeps this collection.
    #[error("this calendar can't be deleted here")]
    Protected,
    /// Source and destination are the same resource.
    #[error("source and destination are the same")]
    SamePlace,
    /// The properties are too many or too large.
    #[error("too many or too large properties")]
    PropertiesTooLarge,
}

/// What a request demands of the object's state before it is written (RFC 9110 13.1.1, 13.1.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// The object must be there, or have one of these tags.
    pub if_match: Option<Match>,
    /// The object must not be there, or have none of these tags.
    pub if_none_match: Option<Match>,
}

/// The right side of If-Match and If-None-Match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// `*`
    Any,
    /// A list of tags.
    OneOf(Vec<Etag>),
}

impl Match {
    fn holds(&self, current: Option<&Etag>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::OneOf(tags), Some(current)) => tags.contains(current),
        }
    }
}

impl Conditions {
    /// No demands.
    pub const NONE: Self = Self { if_match: None, if_none_match: None };

    /// The object must not exist yet.
    pub fn absent() -> Self {
        Self { if_match: None, if_none_match: Some(Match::Any) }
    }

    /// The object must still have this tag.
    pub fn unchanged(etag: Etag) -> Self {
        Self { if_match: Some(Match::OneOf(vec![etag])), if_none_match: None }
    }

    pub(crate) fn check(&self, current: Option<&Etag>) -> Result<(), PutError> {
        let matches = self.if_match.as_ref().is_none_or(|wanted| wanted.holds(current));
        let differs = self.if_none_match.as_ref().is_none_or(|unwanted| !unwanted.holds(current));
        if matches && differs { Ok(()) } else { Err(PutError::ConditionFailed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_those_of_http() {
        let tag = |text: &str| Etag(text.to_owned());
        let list = |texts: &[&str]| Some(Match::OneOf(texts.iter().map(|t| tag(t)).collect()));
        let there = tag("a");
        let cases = [
            (None, None, None, true),
            (None, None, Some(&there), true),
            (Some(Match::Any), None, None, false),
            (Some(Match::Any), None, Some(&there), true),
            (list(&["a", "b"]), None, Some(&there), true),
            (list(&["b"]), None, Some(&there), false),
            (list(&["a"]), None, None, false),
            (None, Some(Match::Any), None, true),
            (None, Some(Match::Any), Some(&there), false),
            (None, list(&["a"]), Some(&there), false),
            (None, list(&["b"]), Some(&there), true),
            (list(&["a"]), list(&["a"]), Some(&there), false),
        ];
        for (if_match, if_none_match, current, expected) in cases {
            let conditions = Conditions { if_match, if_none_match };
            assert_eq!(conditions.check(current).is_ok(), expected, "{conditions:?} {current:?}");
        }
    }
}
