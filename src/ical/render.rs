//! (in building)

use bytes::Bytes;

use super::component::Object;
use super::instances::{Budget, Overrun, TimeRange};
use super::zone::Zone;

/// What a `CALDAV:calendar-data` element asks for (RFC 4791 9.6). By default all, untouched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataRequest {
    pub comp: Option<CompSelect>,
    pub expand: Option<TimeRange>,
    pub limit_recurrence_set: Option<TimeRange>,
    pub limit_freebusy_set: Option<TimeRange>,
}

/// `CALDAV:comp` (RFC 4791 9.6.1): which parts of a component to give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompSelect {
    pub name: String,
    pub properties: Select<PropSelect>,
    pub components: Select<CompSelect>,
}

/// All of a kind (`allprop`, `allcomp`), or the listed ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Select<T> {
    All,
    Only(Vec<T>),
}

/// `CALDAV:prop` inside of `comp` (RFC 4791 9.6.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropSelect {
    pub name: String,
    pub novalue: bool,
}

/// The object as asked for. When nothing is asked for: its own octets.
pub fn render(
    _object: &Object,
    _request: &DataRequest,
    _default: &Zone,
    _budget: &mut Budget,
) -> Result<Bytes, Overrun> {
    todo!()
}
