//! (in building)

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::component::{Component, Object};

/// The rules that turn a clock on the wall into an instant.
#[derive(Clone, Debug)]
pub enum Zone {
    Iana(TimeZone),
    Custom(Arc<CustomZone>),
    Fixed(Offset),
    /// Nobody said where; reckoned as UTC.
    Floating,
}

#[derive(Debug)]
pub struct CustomZone;

impl Zone {
    pub const UTC: Self = Self::Fixed(Offset::UTC);

    /// The zone that a TZID means, with the VTIMEZONE of the same object if there is one.
    pub fn resolve(_tzid: &str, _definition: Option<&Component>) -> Option<Self> {
        todo!()
    }

    /// By RFC 5545 3.3.5.
    pub fn to_instant(&self, _local: DateTime) -> Timestamp {
        todo!()
    }

    pub fn to_civil(&self, _instant: Timestamp) -> DateTime {
        todo!()
    }
}

/// The zones that an object's TZIDs mean.
#[derive(Clone, Debug)]
pub struct Zones;

impl Zones {
    pub fn of(_object: &Object) -> Self {
        todo!()
    }
}
