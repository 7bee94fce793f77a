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
    let merged = merger.edit.finish()?;
    Ok((with_zones(merged, &[theirs, base])?, merger.clashes))
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
        let twin = (0..).find(|twin| !children.contains_key(&(key.clone(), *twin))).unwrap_or_default();
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
fn with_zones(object: Object, sources: &[&Object]) -> Result<Object, EditError> {
    let tzid_of = |zone: &Component| zone.property("TZID").map(Property::text).unwrap_or_default();
    let mut wanted = BTreeSet::new();
    object.members().for_each(|member| collect_zones(member, &mut wanted));
    for zone in object.timezones() {
        wanted.remove(&tzid_of(zone));
    }
    let mut edit = Edit::new(&object);
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
