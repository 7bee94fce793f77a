//! iCalendar text (RFC 5545, 6868, 7986) as CalDAV needs it: read without loss, checked, edited in place,
//! compared by meaning, merged, expanded and filtered.
//!
//! The octets are the truth and the tree is a reading of them: an [`Object`] gives back exactly the octets it was made
//! of, an [`Edit`] touches only the lines it names. Nothing in here does IO, asks for the time, or panics on outside data.
//!
//! Where to start: [`Object`] (one resource), [`DateOrTime`] (values), [`Edit`] (changes), [`merge()`].

mod agent;
mod component;
mod edit;
mod filter;
mod freebusy;
mod instances;
pub mod itip;
mod loss;
mod meaning;
mod merge;
mod recur;
mod render;
mod repeat;
mod rule;
mod spans;
mod stream;
mod text;
mod timing;
mod validate;
mod value;
mod vtimezone;
mod windows_zones;
mod zone;

pub use agent::{as_silent_copy, from_silent_copy};
pub use component::{Component, ComponentKind, Object, Param, Params, ParseError, Property};
pub use edit::{At, Draft, Edit, EditError, Line, PRODID};
pub use filter::{
    Collation, CompFilter, CompTest, ParamFilter, ParamTest, PropFilter, PropTest, TextMatch, ValueTest, matches,
};
pub use freebusy::{Busy, BusyKind, busy, merge_busy, vfreebusy};
pub use instances::{Budget, Instance, Overrun, TimeRange, instances};
pub use loss::{is_rewritten, lost};
pub use meaning::{meaning, same_meaning};
pub use merge::{Merged, merge};
pub use render::{CompSelect, DataRequest, PropSelect, Select, render};
pub use repeat::{Frequency, Rule, RuleError};
pub use rule::{RuleDefect, check_rule};
pub use spans::{Spans, summary};
pub use stream::{join, split};
pub use text::{
    clean_octets, clean_text, decode_param, encode_param, escape_text, fold_line, split_list, unescape_text,
};
pub use validate::{Defect, DefectClass, Limits};
pub use value::{DateOrTime, Duration, Period, UtcOffset, ValueError};
pub use vtimezone::as_vtimezone;
pub use zone::{CustomZone, Zone, Zones};
