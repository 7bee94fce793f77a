//! The table's own laws.

use std::collections::HashSet;

use super::*;

#[test]
fn a_name_stands_once() {
    let mut seen = HashSet::new();
    for property in PROPERTIES {
        assert!(seen.insert(property.name.clone()), "{:?} stands twice", property.name);
        assert!(!property.rfc.is_empty());
    }
}

#[test]
fn caldav_properties_stay_out_of_allprop() {
    for property in PROPERTIES.iter().filter(|property| property.allprop) {
        assert_eq!(property.name.ns(), "DAV:", "{:?}", property.name);
    }
}

#[test]
fn only_traits_of_calendars_can_be_set() {
    for property in PROPERTIES.iter().filter(|property| property.set != Setting::Protected) {
        assert!(property.on.meets(On::CALENDAR), "{:?}", property.name);
    }
}
