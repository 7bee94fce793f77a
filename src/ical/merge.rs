//! Three-way merge (base, ours, theirs), property by property: what one side changed is taken, what both changed alike
//! is kept, and only the same thing changed to different values is a clash.
//!
//! What is "the same thing" follows from keys: ATTENDEE by address, alarms by UID or trigger, CATEGORIES, EXDATE and
//! the like value by value, overrides by RECURRENCE-ID. Start, end, duration and rule are one thing: half of a move
//! is worse than none. SEQUENCE takes the higher number, time stamps the later; they never clash.
//! The result is our octets with edits, so what nobody changed keeps its form. Pure; never fails.

use std::collections::{BTreeMap, BTreeSet};

use super::component::{Component, Object, Property};
use super::edit::{At, Edit, EditError, Line};
use super::meaning::{
    SILENT, address, canonical_component, canonical_moment, canonical_params, canonical_property, same_meaning,
    settle_end,
};
use super::stream::collect_zones;
use super::text;

/// What came of a merge.
#[derive(Clone, Debug)]
pub enum Merged {
    /// Everything that either side changed is in it.
    Clean(Object),
    /// Both changed the same: either way of deciding, each with all else merged.
    Clash {
        /// The names of the properties (or components, when one side removed what the other changed).
        properties: Vec<String>,
        ours_wins: Object,
        theirs_wins: Object,
    },
}

/// Merges two descendants of `base`. If one side says what `base` says, the other is the result as it is.
pub fn merge(base: &Object, ours: &Object, theirs: &Object) -> Merged {
    if same_meaning(base, theirs) || same_meaning(ours, theirs) {
        return Merged::Clean(ours.clone());
    }
    if same_meaning(base, ours) {
        return Merged::Clean(theirs.clone());
    }
    match (merge_with(base, ours, theirs, Winner::Ours), merge_with(base, ours, theirs, Winner::Theirs)) {
        (Ok((object, clashes)), Ok(_)) if clashes.is_empty() => Merged::Clean(object),
        (Ok((ours_wins, clashes)), Ok((theirs_wins, _))) => {
            Merged::Clash { properties: clashes.into_iter().collect(), ours_wins, theirs_wins }
        }
        // Together they are more than an object may hold: then one or the other.
        _ => Merged::Clash {
            properties: vec!["VCALENDAR".to_owned()],
            ours_wins: ours.clone(),
            theirs_wins: theirs.clone(),
        },
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Winner {
    Ours,
    Theirs,
}

fn merge_with(
    base: &Object,
    ours: &Object,
    theirs: &Object,
    winner: Winner,
) -> Result<(Object, BTreeSet<String>), EditError> {
    let mut merger = Merger { ours, theirs, winner, edit: Edit::new(ours), clashes: BTreeSet::new() };
    merger.component(Some(base.root()), ours.root(), theirs.root(), &[]);
    let object = merger.edit.finish()?;
    Ok((with_zones(&object, &[theirs, base])?, merger.clashes))
}

struct Merger<'a> {
    ours: &'a Object,
    theirs: &'a Object,
    winner: Winner,
    edit: Edit<'a>,
    clashes: BTreeSet<String>,
}

/// What to do about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Take {
    Ours,
    Theirs,
}

impl<'a> Merger<'a> {
    /// Merges a component that both sides have, at `path` in ours. Depth is bounded by the reader.
    fn component(&mut self, base: Option<&Component>, ours: &Component, theirs: &Component, path: &[usize]) {
        self.properties(base, ours, theirs, path);
        self.lists(base, ours, theirs, path);
        self.stamps(ours, theirs, path);
        self.children(base, ours, theirs, path);
    }

    fn change(&mut self, with: impl FnOnce(Edit<'a>) -> Edit<'a>) {
        // The builder goes by value; an empty one stands in for a moment.
        let edit = std::mem::replace(&mut self.edit, Edit::new(self.ours));
        self.edit = with(edit);
    }

    /// Things compared as a whole.
    fn properties(&mut self, base: Option<&Component>, ours: &Component, theirs: &Component, path: &[usize]) {
        let repeated = repeated_names(base.into_iter().chain([ours, theirs]));
        let things = |component| things_of(component, &repeated);
        let (base, ours, theirs) = (base.map(things).unwrap_or_default(), things(ours), things(theirs));
        let at = At::Path(path.to_vec());
        for key in ours.keys().chain(theirs.keys().filter(|key| !ours.contains_key(*key))) {
            let said = |side: &BTreeMap<Key, Thing<'_>>| side.get(key).map(|thing| thing.said.clone());
            let (base, our, their) = (said(&base), said(&ours), said(&theirs));
            if self.decide(&base.unwrap_or_default(), &our.unwrap_or_default(), &their.unwrap_or_default(), &key.name)
                == Take::Ours
            {
                continue;
            }
            let old = ours.get(key).map(|thing| thing.lines.as_slice()).unwrap_or_default();
            let new = theirs.get(key).map(|thing| thing.lines.as_slice()).unwrap_or_default();
            self.change(|edit| exchange(edit, &at, old, new));
        }
    }

    /// Sets written as lists: value by value, so never a clash.
    fn lists(&mut self, base: Option<&Component>, ours: &Component, theirs: &Component, path: &[usize]) {
        let at = At::Path(path.to_vec());
        for name in LISTS {
            let base = base.map(|base| items_of(base, name)).unwrap_or_default();
            let (our, their) = (items_of(ours, name), items_of(theirs, name));
            let gone: BTreeSet<_> = our.iter().filter(|item| base.contains(*item) && !their.contains(*item)).collect();
            let mut new: BTreeSet<_> =
                their.iter().filter(|item| !base.contains(*item) && !our.contains(*item)).collect();
            for property in ours.all(name) {
                let kept: Vec<&str> =
                    items(property).filter(|(said, _)| !gone.contains(said)).map(|(_, v)| v).collect();
                if kept.is_empty() && items(property).next().is_some() {
                    self.change(|edit| edit.remove_property(property));
                } else if kept.len() < items(property).count() {
                    self.change(|edit| edit.replace(property, &Line::with_value_of(property, &kept.join(","))));
                }
            }
            for property in theirs.all(name) {
                let added: Vec<&str> = items(property).filter(|(said, _)| new.remove(said)).map(|(_, v)| v).collect();
                if !added.is_empty() {
                    self.change(|edit| edit.add(&at, &Line::with_value_of(property, &added.join(","))));
                }
            }
        }
    }

    /// What only ever grows.
    fn stamps(&mut self, ours: &Component, theirs: &Component, path: &[usize]) {
        let at = At::Path(path.to_vec());
        for name in ["SEQUENCE", "DTSTAMP", "LAST-MODIFIED"] {
            let rank = |component: &Component| {
                let value = component.property(name).map(|property| property.value().trim().to_owned());
                value.map(|value| (value.parse::<u64>().unwrap_or_default(), value))
            };
            if let Some(property) = theirs.property(name)
                && rank(ours) < rank(theirs)
            {
                self.change(|edit| edit.set(&at, &Line::copy(property)));
            }
        }
    }

    fn children(&mut self, base: Option<&Component>, ours: &Component, theirs: &Component, path: &[usize]) {
        let (base, our, their) = (base.map(children_of).unwrap_or_default(), children_of(ours), children_of(theirs));
        for (key, &(index, our)) in &our {
            let path: Vec<usize> = path.iter().copied().chain([index]).collect();
            let base = base.get(key).map(|&(_, child)| child);
            match (base, their.get(key)) {
                (_, Some(&(_, their))) => self.component(base, our, their, &path),
                (Some(base), None) => {
                    let (base, said) = (canonical_component(base), canonical_component(our));
                    if self.decide(&base, &said, "", our.name()) == Take::Theirs {
                        self.change(|edit| edit.remove_component(&At::Path(path)));
                    }
                }
                (None, None) => {}
            }
        }
        for (key, &(_, their)) in their.iter().filter(|(key, _)| !our.contains_key(*key)) {
            let said = canonical_component(their);
            let base = base.get(key).map(|(_, child)| canonical_component(child)).unwrap_or_default();
            if self.decide(&base, "", &said, their.name()) == Take::Theirs {
                let octets = self.theirs.octets().slice(their.span());
                self.change(|edit| edit.add_component(&At::Path(path.to_vec()), &octets));
            }
        }
    }

    /// The whole of the three-way rule. Nothing said is "".
    fn decide(&mut self, base: &str, ours: &str, theirs: &str, name: &str) -> Take {
        if ours == theirs || theirs == base {
            return Take::Ours;
        }
        if ours == base {
            return Take::Theirs;
        }
        self.clashes.insert(name.to_ascii_uppercase());
        if self.winner == Winner::Ours { Take::Ours } else { Take::Theirs }
    }
}

/// What makes a property the same thing on both sides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    name: String,
    /// Tells those apart that may be there more than once.
    id: String,
}

#[derive(Default)]
struct Thing<'a> {
    said: String,
    lines: Vec<&'a Property>,
}

fn things_of<'a>(component: &'a Component, repeated: &BTreeSet<String>) -> BTreeMap<Key, Thing<'a>> {
    let mut things: BTreeMap<Key, Thing<'a>> = BTreeMap::new();
    for property in component.properties() {
        let mut name = property.name().to_ascii_uppercase();
        if SILENT.contains(&name.as_str()) || LISTS.contains(&name.as_str()) {
            continue;
        }
        let said = canonical_property(property).join("\n");
        let id = match name.as_str() {
            "ATTENDEE" => address(property.value()),
            _ if WHEN.contains(&name.as_str()) => String::new(),
            _ if repeated.contains(&name) => said.clone(),
            _ => String::new(),
        };
        if WHEN.contains(&name.as_str()) {
            "DTSTART".clone_into(&mut name);
        }
        let thing = things.entry(Key { name, id }).or_default();
        thing.lines.push(property);
        // Several lines of one key are rare and compared in their order.
        if !thing.said.is_empty() && !said.is_empty() {
            thing.said.push('\n');
        }
        thing.said.push_str(&said);
    }
    if let Some(when) = things.get_mut(&Key { name: "DTSTART".to_owned(), id: String::new() }) {
        let mut lines: Vec<String> = when.said.lines().map(str::to_owned).collect();
        settle_end(component, &mut lines);
        lines.sort_unstable();
        when.said = lines.join("\n");
    }
    things
}

/// The names that at least one side has more than once.
fn repeated_names<'a>(sides: impl Iterator<Item = &'a Component>) -> BTreeSet<String> {
    let mut repeated: BTreeSet<String> = BY_VALUE.iter().map(|&name| name.to_owned()).collect();
    for side in sides {
        let mut seen = BTreeSet::new();
        for property in side.properties() {
            let name = property.name().to_ascii_uppercase();
            if !seen.insert(name.clone()) {
                repeated.insert(name);
            }
        }
    }
    repeated
}

/// The values of a list property: what each says, and how it is written.
fn items(property: &Property) -> impl Iterator<Item = (String, &str)> {
    let name = property.name().to_ascii_uppercase();
    let params = canonical_params(property, &name);
    let tzid = property.param("TZID");
    let is_text = matches!(name.as_str(), "CATEGORIES" | "RESOURCES");
    let said = move |item: &str| match name.as_str() {
        "EXDATE" | "RDATE" => canonical_moment(item, tzid.as_deref()),
        _ if is_text => text::unescape_text(item.trim()).into_owned(),
        _ => item.trim().to_ascii_uppercase(),
    };
    let values: Vec<&str> = if is_text { property.list().collect() } else { property.value().split(',').collect() };
    let values = values.into_iter().filter(|item| !item.trim().is_empty());
    values.map(move |item| (format!("{params}:{}", said(item)), item))
}

fn items_of(component: &Component, name: &str) -> BTreeSet<String> {
    component.all(name).flat_map(items).map(|(said, _)| said).collect()
}

/// The components inside of one, each with its index. VTIMEZONEs go where they are needed afterwards.
fn children_of(component: &Component) -> BTreeMap<(Key, usize), (usize, &Component)> {
    let mut children = BTreeMap::new();
    for (index, child) in component.children().iter().enumerate().filter(|(_, child)| !child.is("VTIMEZONE")) {
        let key = child_key(child);
        let twins = component.children().len();
        let twin = (0..twins).find(|twin| !children.contains_key(&(key.clone(), *twin))).unwrap_or_default();
        children.insert((key, twin), (index, child));
    }
    children
}

fn child_key(child: &Component) -> Key {
    let name = child.name().to_ascii_uppercase();
    let said = |name: &str| child.property(name).map(|property| canonical_property(property).join("\n"));
    let id = match name.as_str() {
        "VALARM" => said("UID").or_else(|| said("X-WR-ALARMUID")).unwrap_or_else(|| {
            format!("{}\n{}", said("ACTION").unwrap_or_default(), said("TRIGGER").unwrap_or_default())
        }),
        "VEVENT" | "VTODO" | "VJOURNAL" => said("RECURRENCE-ID").unwrap_or_default(),
        _ => said("UID").unwrap_or_else(|| canonical_component(child)),
    };
    Key { name, id }
}

/// `new` lines in place of `old` ones.
fn exchange<'a>(mut edit: Edit<'a>, at: &At, old: &[&Property], new: &[&Property]) -> Edit<'a> {
    for (old, new) in old.iter().zip(new) {
        edit = edit.replace(old, &Line::copy(new));
    }
    for old in old.iter().skip(new.len()) {
        edit = edit.remove_property(old);
    }
    for new in new.iter().skip(old.len()) {
        edit = edit.add(at, &Line::copy(new));
    }
    edit
}

/// The object with the VTIMEZONEs that it names and lacks, from those that have them.
fn with_zones(object: &Object, sources: &[&Object]) -> Result<Object, EditError> {
    let tzid_of = |zone: &Component| zone.property("TZID").map(Property::text).unwrap_or_default();
    let mut wanted = BTreeSet::new();
    object.members().for_each(|member| collect_zones(member, &mut wanted));
    for zone in object.timezones() {
        wanted.remove(&tzid_of(zone));
    }
    let mut edit = Edit::new(object);
    for source in sources {
        for zone in source.timezones().filter(|zone| wanted.remove(&tzid_of(zone))) {
            edit = edit.add_component(&At::Calendar, source.octets().get(zone.span()).unwrap_or_default());
        }
    }
    edit.finish()
}

/// Compared value by value.
const LISTS: &[&str] = &["CATEGORIES", "RESOURCES", "EXDATE", "RDATE", "FREEBUSY"];
/// May be there more than once, and have no key but themselves.
const BY_VALUE: &[&str] = &["ATTACH", "COMMENT", "CONTACT", "RELATED-TO", "CONFERENCE", "IMAGE", "REQUEST-STATUS"];
/// One thing, and called DTSTART.
const WHEN: &[&str] = &["DTSTART", "DTEND", "DUE", "DURATION", "RRULE", "EXRULE"];

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::super::meaning::meaning;
    use super::*;
    use crate::ical::DateOrTime;

    const HEAD: &str = "UID:1\nDTSTART;TZID=A:20250101T100000\nDTEND;TZID=A:20250101T110000\n";
    const BASE: &str = "SUMMARY:s\nLOCATION:l\nATTENDEE;PARTSTAT=NEEDS-ACTION:mailto:a@x\nATTENDEE:mailto:b@x\n\
        CATEGORIES:A,B\nEXDATE:20250103T100000Z\nSEQUENCE:1\nBEGIN:VALARM\nUID:al\nTRIGGER:-PT5M\nEND:VALARM\n";

    fn parse(events: &str) -> Object {
        let text = format!("BEGIN:VCALENDAR\nVERSION:2.0\n{events}END:VCALENDAR\n");
        Object::parse(Bytes::from(text)).unwrap()
    }

    fn event(lines: &str) -> Object {
        parse(&format!("BEGIN:VEVENT\n{HEAD}{lines}END:VEVENT\n"))
    }

    fn clean(base: &Object, ours: &Object, theirs: &Object) -> Object {
        match merge(base, ours, theirs) {
            Merged::Clean(object) => object,
            Merged::Clash { properties, .. } => panic!("clash of {properties:?}"),
        }
    }

    /// Ours and theirs as replacements in the base; what the clean merge must be.
    fn check(ours: (&str, &str), theirs: (&str, &str)) {
        let base = event(BASE);
        let (our, their) = (event(&BASE.replace(ours.0, ours.1)), event(&BASE.replace(theirs.0, theirs.1)));
        let both = event(&BASE.replace(ours.0, ours.1).replace(theirs.0, theirs.1));
        for merged in [clean(&base, &our, &their), clean(&base, &their, &our)] {
            assert!(same_meaning(&merged, &both), "{}", std::str::from_utf8(merged.octets()).unwrap());
        }
    }

    #[test]
    fn different_things_merge() {
        check(("SUMMARY:s", "SUMMARY:new"), ("LOCATION:l\n", ""));
        check(("SUMMARY:s\n", "SUMMARY:s\nURL:u\nX-A:1\nX-A:2\n"), ("CATEGORIES:A,B", "CATEGORIES:A,C"));
        check(("CATEGORIES:A,B", "CATEGORIES:B"), ("EXDATE:", "CATEGORIES:D\\,E,B\nEXDATE:"));
        check(("NEEDS-ACTION:mailto:a", "ACCEPTED:MAILTO:A"), ("ATTENDEE:mailto:b@x\n", "ATTENDEE:mailto:c@x\n"));
        check(("SUMMARY:s\n", "EXDATE:20250102T100000Z\nSUMMARY:s\n"), ("EXDATE:20250103T100000Z\n", ""));
        check(("TRIGGER:-PT5M\n", "TRIGGER:-PT5M\nACKNOWLEDGED:20250101T000000Z\n"), ("-PT5M", "-PT10M"));
        check(
            ("BEGIN:VALARM", "BEGIN:VALARM\nUID:z\nEND:VALARM\nBEGIN:VALARM"),
            ("SUMMARY:s\n", "COMMENT:1\nCOMMENT:2\n"),
        );
        check(("SUMMARY:s\n", "COMMENT:ours\n"), ("LOCATION:l\n", "LOCATION:l\nCOMMENT:theirs\n"));
    }

    #[test]
    fn the_same_thing_changed_twice_is_a_clash_and_the_rest_is_merged() {
        let (ours, theirs) = (BASE.replace("SUMMARY:s", "SUMMARY:o"), BASE.replace("SUMMARY:s", "SUMMARY:t"));
        let theirs = theirs.replace("LOCATION:l", "LOCATION:t");
        let Merged::Clash { properties, ours_wins, theirs_wins } = merge(&event(BASE), &event(&ours), &event(&theirs))
        else {
            panic!("no clash")
        };
        assert_eq!(properties, ["SUMMARY"]);
        assert!(same_meaning(&ours_wins, &event(&ours.replace("LOCATION:l", "LOCATION:t"))));
        assert!(same_meaning(&theirs_wins, &event(&theirs)));
    }

    #[test]
    fn start_end_and_rule_are_one_thing() {
        let with = |head: &str| parse(&format!("BEGIN:VEVENT\n{head}END:VEVENT\n"));
        let (ours, theirs) = (HEAD.replace("T10", "T09"), HEAD.replace("T11", "T12"));
        let clash = merge(&with(HEAD), &with(&ours), &with(&theirs));
        assert!(matches!(clash, Merged::Clash { properties, .. } if properties == ["DTSTART"]));
        let by_duration = HEAD.replace("DTEND;TZID=A:20250101T110000", "DURATION:PT2H\nRRULE:FREQ=DAILY");
        let merged = clean(&with(HEAD), &with(&format!("{HEAD}SUMMARY:s\n")), &with(&by_duration));
        assert!(same_meaning(&merged, &with(&format!("{by_duration}SUMMARY:s\n"))));
    }

    #[test]
    fn numbers_and_stamps_never_clash_and_the_higher_stays() {
        let ours = BASE.replace("SEQUENCE:1", "SEQUENCE:9\nDTSTAMP:20250101T000000Z").replace("SUMMARY:s", "SUMMARY:o");
        let theirs =
            BASE.replace("SEQUENCE:1", "SEQUENCE:10\nDTSTAMP:20240101T000000Z").replace("LOCATION:l", "LOCATION:t");
        for merged in
            [clean(&event(BASE), &event(&ours), &event(&theirs)), clean(&event(BASE), &event(&theirs), &event(&ours))]
        {
            let master = merged.master().unwrap();
            assert_eq!(master.all("SEQUENCE").map(Property::value).collect::<Vec<_>>(), ["10"]);
            assert_eq!(master.all("DTSTAMP").map(Property::value).collect::<Vec<_>>(), ["20250101T000000Z"]);
        }
    }

    #[test]
    fn overrides_by_their_recurrence_id_and_the_zones_they_need() {
        let one = |day: u32, more: &str| {
            format!(
                "BEGIN:VEVENT\nUID:1\nRECURRENCE-ID:2025010{day}T090000Z\nDTSTART:2025010{day}T120000Z\n{more}END:VEVENT\n"
            )
        };
        let zone = "BEGIN:VTIMEZONE\nTZID:B\nEND:VTIMEZONE\n";
        let master = format!("BEGIN:VEVENT\n{HEAD}RRULE:FREQ=DAILY\nEND:VEVENT\n");
        let moved = one(2, "DUE;TZID=B:20250102T130000\n");
        let base = parse(&[master.as_str(), &one(3, ""), &one(4, "")].concat());
        let ours = parse(&[&one(3, "SUMMARY:o\n"), master.as_str(), &one(4, "")].concat());
        let theirs = parse(&[zone, master.as_str(), &moved, &one(3, "LOCATION:t\n")].concat());
        let expected = parse(&[master.as_str(), &moved, &one(3, "SUMMARY:o\nLOCATION:t\n")].concat());
        for merged in [clean(&base, &ours, &theirs), clean(&base, &theirs, &ours)] {
            assert!(same_meaning(&merged, &expected), "{}", std::str::from_utf8(merged.octets()).unwrap());
            assert_eq!(merged.timezones().count(), 1);
        }
        let changed = parse(&[master.as_str(), &one(3, ""), &one(4, "SUMMARY:o\n")].concat());
        let Merged::Clash { properties, ours_wins, theirs_wins } = merge(&base, &changed, &theirs) else {
            panic!("an edit of what the other side removed is a clash")
        };
        assert_eq!(properties, ["VEVENT"]);
        assert_eq!((ours_wins.members().count(), theirs_wins.members().count()), (4, 3));
    }

    #[test]
    fn what_nobody_changed_keeps_its_form() {
        let base = "summary:s\nX-B;b=1;A=2:v\nDESCRIPTION:long\n  er\nLOCATION:l\n";
        let ours = base.replace("summary:s", "summary:o");
        let merged = clean(&event(base), &event(&ours), &event(&base.replace("LOCATION:l", "LOCATION:t")));
        assert_eq!(merged.octets(), event(&ours.replace("LOCATION:l", "LOCATION:t")).octets());
    }

    /// A small world, so that both sides often touch the same things.
    fn lines() -> impl Strategy<Value = Vec<String>> {
        let text = |name: &'static str| proptest::option::of((0..3u8).prop_map(move |n| format!("{name}:{n}")));
        let set = |name: &'static str, items: &'static [&'static str]| {
            proptest::sample::subsequence(items, 0..=items.len())
                .prop_map(move |items| (!items.is_empty()).then(|| format!("{name}:{}", items.join(","))))
        };
        let people = proptest::collection::btree_map(0..3u8, 0..2u8, 0..3).prop_map(|people| {
            let line =
                |(who, how)| format!("ATTENDEE;PARTSTAT={}:mailto:{who}@x", ["ACCEPTED", "DECLINED"][how as usize]);
            people.into_iter().map(line).collect::<Vec<_>>()
        });
        let comments = proptest::sample::subsequence(vec!["COMMENT:1", "COMMENT:2", "X-C:1", "X-C:2"], 0..=4)
            .prop_map(|lines| lines.into_iter().map(str::to_owned).collect::<Vec<_>>());
        let alarms = proptest::collection::btree_map(0..3u8, 0..2u8, 0..3).prop_map(|alarms| {
            let alarm = |(id, t)| format!("BEGIN:VALARM\nUID:{id}\nTRIGGER:-PT{t}M\nACTION:DISPLAY\nEND:VALARM");
            alarms.into_iter().map(alarm).collect::<Vec<_>>()
        });
        let whens = (0..3u8, proptest::option::of(Just("RRULE:FREQ=DAILY"))).prop_map(|(hour, rule)| {
            let when = format!("DTSTART:20250101T1{hour}0000Z\nDURATION:PT1H");
            std::iter::once(when).chain(rule.map(str::to_owned)).collect::<Vec<_>>()
        });
        (
            text("SUMMARY"),
            text("LOCATION"),
            set("CATEGORIES", &["A", "B", "C"]),
            set("EXDATE", &["20250102T100000Z", "20250103T100000Z", "20250104T100000Z"]),
            (people, comments, alarms, whens),
        )
            .prop_map(|(summary, location, categories, dates, (people, comments, alarms, whens))| {
                let single = [summary, location, categories, dates].into_iter().flatten();
                single.chain(people).chain(comments).chain(whens).chain(alarms).collect()
            })
    }

    fn object() -> impl Strategy<Value = Object> {
        let overrides = proptest::collection::btree_map(2..5u8, lines(), 0..3);
        (lines(), overrides).prop_map(|(master, overrides)| {
            let mut text = format!("BEGIN:VEVENT\nUID:1\n{}\nEND:VEVENT\n", master.join("\n"));
            for (day, lines) in overrides {
                let id = format!("RECURRENCE-ID:2025010{day}T100000Z");
                let lines = lines.join("\n");
                text = format!("{text}BEGIN:VEVENT\nUID:1\n{id}\n{lines}\nEND:VEVENT\n");
            }
            parse(&text)
        })
    }

    /// What a side says, thing by thing, each under the name of where it stands.
    fn facts(object: &Object) -> BTreeSet<String> {
        let mut facts = BTreeSet::new();
        for member in object.members() {
            let id = member.property("RECURRENCE-ID").map(DateOrTime::parse);
            let place = format!("{id:?}");
            facts.extend(member.properties().iter().flat_map(canonical_property).map(|said| format!("{place} {said}")));
            for alarm in member.children() {
                let uid = alarm.property("UID").unwrap().value();
                let said = alarm.properties().iter().flat_map(canonical_property);
                facts.extend(said.map(|said| format!("{place} {uid} {said}")));
            }
        }
        facts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn an_unchanged_side_gives_the_other(base in object(), changed in object()) {
            let both = [merge(&base, &base, &changed), merge(&base, &changed, &base), merge(&base, &changed, &changed)];
            for merged in both {
                prop_assert!(matches!(&merged, Merged::Clean(object) if same_meaning(object, &changed)));
            }
        }

        #[test]
        fn the_order_of_the_sides_does_not_matter(base in object(), ours in object(), theirs in object()) {
            match (merge(&base, &ours, &theirs), merge(&base, &theirs, &ours)) {
                (Merged::Clean(a), Merged::Clean(b)) => prop_assert_eq!(meaning(&a), meaning(&b)),
                (
                    Merged::Clash { properties: a, ours_wins, theirs_wins },
                    Merged::Clash { properties: b, ours_wins: b_theirs, theirs_wins: b_ours },
                ) => {
                    prop_assert_eq!(a, b);
                    prop_assert_eq!(meaning(&ours_wins), meaning(&b_ours));
                    prop_assert_eq!(meaning(&theirs_wins), meaning(&b_theirs));
                }
                _ => prop_assert!(false, "clean one way, a clash the other"),
            }
        }

        #[test]
        fn nothing_that_one_side_said_or_took_back_is_lost(base in object(), ours in object(), theirs in object()) {
            let merged = match merge(&base, &ours, &theirs) {
                Merged::Clean(object) => object,
                Merged::Clash { ours_wins, theirs_wins, .. } => {
                    // Whichever wins, its own new facts are all there.
                    for (winner, side) in [(&ours_wins, &ours), (&theirs_wins, &theirs)] {
                        let (base, side, merged) = (facts(&base), facts(side), facts(winner));
                        prop_assert!(side.difference(&base).all(|fact| merged.contains(fact)));
                    }
                    return Ok(());
                }
            };
            let (base, ours, theirs, merged) = (facts(&base), facts(&ours), facts(&theirs), facts(&merged));
            for side in [&ours, &theirs] {
                prop_assert!(side.difference(&base).all(|fact| merged.contains(fact)), "an addition is lost");
            }
            for fact in base.iter().filter(|fact| !ours.contains(*fact) || !theirs.contains(*fact)) {
                prop_assert!(!merged.contains(fact), "{} came back", fact);
            }
            prop_assert!(merged.iter().all(|fact| ours.contains(fact) || theirs.contains(fact)), "invented");
        }
    }
}
