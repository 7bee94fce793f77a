//! (in building)

use bytes::Bytes;
use jiff::Timestamp;

use super::component::Object;
use super::instances::{Budget, Overrun, TimeRange};
use super::zone::Zone;

/// A time that isn't free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    pub start: Timestamp,
    pub end: Timestamp,
    pub kind: BusyKind,
}

/// FBTYPE (RFC 5545 3.2.9), the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BusyKind {
    Tentative,
    Unavailable,
    Busy,
}

/// The times inside `range` that an object takes.
pub fn busy(_object: &Object, _range: &TimeRange, _default: &Zone, _budget: &mut Budget) -> Result<Vec<Busy>, Overrun> {
    todo!()
}

/// Sorted and without overlaps.
pub fn merge_busy(_busy: Vec<Busy>) -> Vec<Busy> {
    todo!()
}

/// A whole VCALENDAR with one VFREEBUSY (RFC 4791 7.10). `busy` is merged already.
pub fn vfreebusy(_busy: &[Busy], _range: &TimeRange, _now: Timestamp) -> Bytes {
    todo!()
}
