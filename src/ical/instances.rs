//! (in building)

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::component::Object;
use super::value::DateOrTime;
use super::zone::Zone;

/// From `start` to before `end`; open ends are `Timestamp::MIN` and `Timestamp::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeRange {
    pub start: Timestamp,
    pub end: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { start: Timestamp::MIN, end: Timestamp::MAX };
}

/// How much work may still be done: steps of expansion, and instances kept in memory. One per request, not per object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    steps: u64,
    instances: u64,
}

impl Budget {
    pub const fn new(steps: u64, instances: u64) -> Self {
        Self { steps, instances }
    }

    /// What one request may cost.
    pub const fn request() -> Self {
        Self::new(2_000_000, 20_000)
    }

    /// What one object may cost when it is written.
    pub const fn object() -> Self {
        Self::new(20_000, 3_000)
    }

    /// Takes `steps`, or says that there are no more.
    pub fn spend(&mut self, steps: u64) -> Result<(), Overrun> {
        self.steps = self.steps.checked_sub(steps).ok_or(Overrun)?;
        Ok(())
    }

    /// Takes room for one instance.
    pub fn keep(&mut self) -> Result<(), Overrun> {
        self.instances = self.instances.checked_sub(1).ok_or(Overrun)?;
        Ok(())
    }
}

/// The budget is used up. The answer isn't known, so nobody may act as if it were empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the expansion costs more than one request may")]
pub struct Overrun;

/// One occurrence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub start: Timestamp,
    /// Equal to `start` when it takes no time.
    pub end: Timestamp,
    /// Which of the set it is, as the master's DTSTART would be written; `None` if the object doesn't recur.
    pub recurrence_id: Option<DateOrTime>,
    /// Which of `Object::members()` describes it.
    pub component: usize,
    pub all_day: bool,
}

/// The instances that overlap `range`, by start. `default` is the zone of floating times and of days.
pub fn instances(
    _object: &Object,
    _range: &TimeRange,
    _default: &Zone,
    _budget: &mut Budget,
) -> Result<Vec<Instance>, Overrun> {
    todo!()
}

/// When an object may have to do with a time range, cheap to ask. Admits too much, never too little.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spans {
    /// Seconds UTC, half-open, sorted, apart, at most 40; `i64::MIN` and `i64::MAX` are for ever.
    pub spans: Vec<(i64, i64)>,
    pub recurring: bool,
    pub alarms: bool,
}

/// The spans of an object. Never fails: what costs too much to enumerate becomes one span to the end of time.
pub fn summary(_object: &Object, _budget: &mut Budget) -> Spans {
    todo!()
}
