//! (in building)

use super::component::Object;
use super::instances::{Budget, Overrun, TimeRange};
use super::zone::Zone;

/// `CALDAV:comp-filter` (RFC 4791 9.7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompFilter {
    /// `VCALENDAR`, `VEVENT`, ...
    pub name: String,
    pub test: CompTest,
}

/// What a `comp-filter` asks of the component it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompTest {
    NotDefined,
    /// All of it, by one and the same component. With nothing in it: the component exists.
    Defined {
        time_range: Option<TimeRange>,
        properties: Vec<PropFilter>,
        components: Vec<CompFilter>,
    },
}

/// `CALDAV:prop-filter` (RFC 4791 9.7.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropFilter {
    pub name: String,
    pub test: PropTest,
}

/// What a `prop-filter` asks of the property it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PropTest {
    NotDefined,
    /// All of it, by one and the same property. With nothing in it: the property exists.
    Defined {
        value: Option<ValueTest>,
        params: Vec<ParamFilter>,
    },
}

/// What a property's value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueTest {
    TimeRange(TimeRange),
    Text(TextMatch),
}

/// `CALDAV:param-filter` (RFC 4791 9.7.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamFilter {
    pub name: String,
    pub test: ParamTest,
}

/// What a `param-filter` asks of the parameter it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamTest {
    NotDefined,
    Defined { text: Option<TextMatch> },
}

/// `CALDAV:text-match` (RFC 4791 9.7.5): whether the value contains the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextMatch {
    pub collation: Collation,
    pub text: String,
    pub negate: bool,
}

/// The collations of RFC 4791 7.5, and that of RFC 5051.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Collation {
    #[default]
    AsciiCasemap,
    Octet,
    UnicodeCasemap,
}

impl Collation {
    pub const ALL: [Self; 3] = [Self::AsciiCasemap, Self::Octet, Self::UnicodeCasemap];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AsciiCasemap => "i;ascii-casemap",
            Self::Octet => "i;octet",
            Self::UnicodeCasemap => "i;unicode-casemap",
        }
    }

    /// The collation of this name; `default` is the first. `None`: `supported-collation` is violated.
    pub fn named(name: &str) -> Option<Self> {
        if name == "default" {
            return Some(Self::default());
        }
        Self::ALL.into_iter().find(|collation| collation.name() == name)
    }
}

impl CompFilter {
    /// A range outside of which nothing can match, for an index to begin with; `None` if there is no telling.
    pub fn window(&self) -> Option<TimeRange> {
        todo!()
    }
}

/// Whether the object matches. `default` is the zone of floating times and of days.
pub fn matches(_filter: &CompFilter, _object: &Object, _default: &Zone, _budget: &mut Budget) -> Result<bool, Overrun> {
    todo!()
}
