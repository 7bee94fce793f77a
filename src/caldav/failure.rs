//! How a request can fail, in the protocol's words, and the one table from the domain's refusals to them.
//!
//! Nothing here is a status code: `server::respond` chooses that (and a [`Precondition`] knows its own).
//! RFC 4918 16, RFC 4791 1.3 and 5.3.2.1, `reliability.md` 2.5.

use std::error::Error;

use crate::calendar::{PutError, Refusal};
use crate::dav::header::BadHeader;
use crate::dav::name::dav;
use crate::dav::{Href, Malformed, Precondition};
use crate::ical::{Defect, DefectClass};
use crate::id::{Place, ResourceName};

use super::path::Path;

/// Why a request was not done.
#[derive(Debug)]
pub enum Failure {
    /// A named condition is violated.
    Violated(Precondition),
    /// The body is not what the method takes.
    Malformed(Malformed),
    /// Something else about the request can't be understood.
    Bad(&'static str),
    /// A header field can't be read.
    BadHeader(BadHeader),
    /// There is nothing here, or nothing that this user may know of.
    NotFound,
    /// The resource does not take this method now.
    NotAllowed,
    /// It is forbidden, and no element names why.
    Forbidden(&'static str),
    /// What must be there first is missing.
    Conflict(&'static str),
    /// A condition of the request's header does not hold.
    ConditionFailed,
    /// A body of a kind that the method does not take.
    MediaType(&'static str),
    /// The destination is another server's.
    Elsewhere,
    /// The provider behind the calendar refused for good, with this reason.
    Rejected(String),
    /// Not now; trying again is right.
    Busy,
    /// The store failed; nothing was written.
    Store(Box<dyn Error + Send + Sync>),
}

impl Failure {
    /// Whatever the store says.
    pub fn store(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Store(Box::new(error))
    }

    /// What a failed write at `place` means.
    pub fn of_write(error: PutError, place: &Place) -> Self {
        match error {
            PutError::Refused(refusal) => Self::of_refusal(refusal, place),
            other => Self::of_other(other),
        }
    }

    /// What a failed write to a collection as a whole means; `href` is the collection's.
    pub fn of_collection(error: PutError, href: &Href) -> Self {
        match error {
            PutError::Refused(Refusal::Exists) => Precondition::ResourceMustBeNull.into(),
            PutError::Refused(Refusal::Reserved) => Precondition::CalendarCollectionLocationOk.into(),
            PutError::Refused(Refusal::ReadOnly | Refusal::Protected) => needs(href.clone(), dav::UNBIND),
            PutError::Refused(Refusal::Full | Refusal::PropertiesTooLarge | Refusal::TooLarge) => {
                Precondition::QuotaNotExceeded.into()
            }
            PutError::Refused(Refusal::WrongComponent) => Precondition::SupportedCalendarComponent.into(),
            PutError::Refused(_) => Self::Forbidden("The calendar can't be changed so."),
            other => Self::of_other(other),
        }
    }

    fn of_other(error: PutError) -> Self {
        match error {
            PutError::ConditionFailed => Self::ConditionFailed,
            PutError::NotFound => Self::NotFound,
            PutError::Stale => Self::Busy,
            PutError::Store(error) if error.is_full() => Precondition::SufficientDiskSpace.into(),
            PutError::Store(error) => Self::store(error),
            PutError::Refused(_) => Self::Forbidden("This can't be done."),
        }
    }

    fn of_refusal(refusal: Refusal, place: &Place) -> Self {
        let member = |name: ResourceName| Path::Object(Place { collection: place.collection.clone(), name }).href();
        match refusal {
            Refusal::UidTaken(name) => Precondition::NoUidConflict(Some(member(name))).into(),
            Refusal::UidChanged => Precondition::NoUidConflict(Some(member(place.name.clone()))).into(),
            Refusal::TooLarge => Precondition::MaxResourceSize.into(),
            Refusal::TooManyInstances => Precondition::MaxInstances.into(),
            Refusal::TooManyAttendees => Precondition::MaxAttendeesPerInstance.into(),
            Refusal::WrongComponent => Precondition::SupportedCalendarComponent.into(),
            Refusal::Invalid(defect) => of_defect(defect).into(),
            Refusal::ReadOnly | Refusal::Protected => needs(member(place.name.clone()), dav::WRITE_CONTENT),
            Refusal::Full | Refusal::PropertiesTooLarge => Precondition::QuotaNotExceeded.into(),
            Refusal::ParentMissing => Self::Conflict("There is no calendar to put it in."),
            Refusal::SamePlace => Self::Forbidden("Source and destination are the same."),
            Refusal::Exists => Precondition::ResourceMustBeNull.into(),
            Refusal::Reserved => Precondition::CalendarCollectionLocationOk.into(),
        }
    }
}

/// The condition of RFC 4791 5.3.2.1 that an object's defect violates.
fn of_defect(defect: Defect) -> Precondition {
    match defect.class() {
        DefectClass::CalendarData => Precondition::ValidCalendarData,
        DefectClass::ObjectResource => Precondition::ValidCalendarObjectResource,
        DefectClass::Size => Precondition::MaxResourceSize,
        DefectClass::Instances => Precondition::MaxInstances,
        DefectClass::Attendees => Precondition::MaxAttendeesPerInstance,
        DefectClass::Early => Precondition::MinDateTime,
        DefectClass::Late => Precondition::MaxDateTime,
    }
}

/// The right that is missing, and where.
fn needs(href: Href, privilege: crate::dav::QName) -> Failure {
    Precondition::NeedPrivileges(vec![(href, privilege)]).into()
}

impl From<Precondition> for Failure {
    fn from(violated: Precondition) -> Self {
        Self::Violated(violated)
    }
}

impl From<Malformed> for Failure {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Refused(precondition) => Self::Violated(precondition),
            other => Self::Malformed(other),
        }
    }
}

impl From<BadHeader> for Failure {
    fn from(bad: BadHeader) -> Self {
        Self::BadHeader(bad)
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::id::{CollectionId, CollectionName, UserId};

    fn place() -> Place {
        let collection = CollectionId::new(&UserId::parse("ana").unwrap(), CollectionName::unified());
        Place { collection, name: "a.ics".parse().unwrap() }
    }

    /// What the failure says: the condition's name and status, or the variant's.
    fn said(failure: Failure) -> (String, Option<StatusCode>) {
        match failure {
            Failure::Violated(condition) => (condition.element().local().to_owned(), Some(condition.status())),
            other => (format!("{other:?}").chars().take_while(|c| c.is_alphanumeric()).collect(), None),
        }
    }

    #[test]
    fn each_refusal_of_an_object_has_its_condition() {
        let forbidden = Some(StatusCode::FORBIDDEN);
        let full = Some(StatusCode::INSUFFICIENT_STORAGE);
        let table = [
            (Refusal::UidTaken("b.ics".parse().unwrap()), "no-uid-conflict", forbidden),
            (Refusal::UidChanged, "no-uid-conflict", forbidden),
            (Refusal::TooLarge, "max-resource-size", forbidden),
            (Refusal::TooManyInstances, "max-instances", forbidden),
            (Refusal::TooManyAttendees, "max-attendees-per-instance", forbidden),
            (Refusal::WrongComponent, "supported-calendar-component", forbidden),
            (Refusal::Invalid(Defect::Method), "valid-calendar-object-resource", forbidden),
            (Refusal::Invalid(Defect::Version), "valid-calendar-data", forbidden),
            (Refusal::Invalid(Defect::TooEarly), "min-date-time", forbidden),
            (Refusal::Invalid(Defect::TooLate), "max-date-time", forbidden),
            (Refusal::ReadOnly, "need-privileges", forbidden),
            (Refusal::Protected, "need-privileges", forbidden),
            (Refusal::Full, "quota-not-exceeded", full),
            (Refusal::PropertiesTooLarge, "quota-not-exceeded", full),
            (Refusal::ParentMissing, "Conflict", None),
            (Refusal::SamePlace, "Forbidden", None),
            (Refusal::Exists, "resource-must-be-null", forbidden),
            (Refusal::Reserved, "calendar-collection-location-ok", forbidden),
        ];
        for (refusal, name, status) in table {
            let shown = format!("{refusal:?}");
            assert_eq!(said(Failure::of_write(refusal.into(), &place())), (name.to_owned(), status), "{shown}");
        }
    }

    #[test]
    fn other_failures_of_a_write_are_told_apart() {
        let said = |error| said(Failure::of_write(error, &place())).0;
        assert_eq!(said(PutError::ConditionFailed), "ConditionFailed");
        assert_eq!(said(PutError::NotFound), "NotFound");
        // Never a 4xx: others were faster, and the client did nothing wrong.
        assert_eq!(said(PutError::Stale), "Busy");
    }

    #[test]
    fn each_refusal_of_a_collection_has_its_condition() {
        let href = Path::Calendar(place().collection).href();
        let table = [
            (Refusal::Exists, "resource-must-be-null"),
            (Refusal::Reserved, "calendar-collection-location-ok"),
            (Refusal::Full, "quota-not-exceeded"),
            (Refusal::Protected, "need-privileges"),
            (Refusal::ReadOnly, "need-privileges"),
            (Refusal::PropertiesTooLarge, "quota-not-exceeded"),
            (Refusal::WrongComponent, "supported-calendar-component"),
        ];
        for (refusal, name) in table {
            assert_eq!(said(Failure::of_collection(refusal.into(), &href)).0, name);
        }
    }
}
