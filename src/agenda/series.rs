//! Edits of a series: of one occurrence, of it and all later ones, of all. Pure: an object in, one or two out.
//!
//! One occurrence becomes an override (RECURRENCE-ID). "This and all later ones" ends the series before it and begins
//! another, for few programs and no large provider understand RANGE=THISANDFUTURE.

use jiff::Timestamp;

use super::input::{Input, InputFault, When, at_civil, instant};
use crate::ical::{At, Budget, Component, DateOrTime, Duration, Edit, Line, Object, TimeRange, Zone, Zones, instances};

/// How much of a series an edit is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// One occurrence.
    This,
    /// It and all later ones.
    Future,
    /// All.
    #[default]
    All,
}

/// What becomes of an event.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It is this now.
    Changed(Object),
    /// It is deleted.
    Deleted,
    /// It ends earlier, and the other begins.
    Split {
        /// The earlier part, with the UID that there was.
        before: Object,
        /// The later part, with another UID.
        after: Object,
    },
}

/// An event that is to be changed, and where.
#[derive(Debug)]
pub struct Series<'a> {
    object: &'a Object,
    zones: Zones,
    /// The occurrence that is named.
    key: Option<DateOrTime>,
    now: Timestamp,
}

impl<'a> Series<'a> {
    /// `key` names an occurrence as [`super::Occurrence::id`] does behind its `_`.
    pub fn at(object: &'a Object, key: Option<&str>, now: Timestamp) -> Result<Self, InputFault> {
        let zones = Zones::of(object);
        let key = match key {
            None => None,
            Some(text) => {
                let value = DateOrTime::parse_value(text, None).map_err(|_| InputFault::NoOccurrence)?;
                Some(value)
            }
        };
        let mut series = Self { object, zones, key: None, now };
        if let Some(value) = key {
            let written = series.as_master_writes(&value)?;
            if series.member_of(&written).is_none() && !series.occurs(&written) {
                return Err(InputFault::NoOccurrence);
            }
            series.key = Some(written);
        }
        Ok(series)
    }

    /// What the edit makes of the event.
    pub fn change(&self, input: &Input, scope: Scope, new_uid: &str) -> Result<Outcome, InputFault> {
        match (scope, &self.key) {
            (Scope::All, _) | (_, None) => self.change_all(input).map(Outcome::Changed),
            (Scope::This, Some(key)) => self.change_one(input, key).map(Outcome::Changed),
            (Scope::Future, Some(key)) if self.is_first(key) => self.change_all(input).map(Outcome::Changed),
            (Scope::Future, Some(key)) => {
                let after = self.rest(key, new_uid)?;
                let later = Series { object: &after, zones: Zones::of(&after), key: None, now: self.now };
                Ok(Outcome::Split { before: self.ended(key)?, after: later.change_all(input)? })
            }
        }
    }

    /// What a deletion makes of the event.
    pub fn delete(&self, scope: Scope) -> Result<Outcome, InputFault> {
        match (scope, &self.key) {
            (Scope::All, _) | (_, None) => Ok(Outcome::Deleted),
            (Scope::Future, Some(key)) if self.is_first(key) => Ok(Outcome::Deleted),
            (Scope::Future, Some(key)) => self.ended(key).map(Outcome::Changed),
            (Scope::This, Some(key)) => {
                let mut edit = Edit::new(self.object);
                if let Some(member) = self.member_of(key) {
                    edit = edit.remove_component(&At::Member(member));
                }
                if self.object.master().is_none() && self.object.members().count() == 1 {
                    return Ok(Outcome::Deleted);
                }
                if self.object.master().is_some() {
                    edit = edit.add(&At::Master, &Line::at("EXDATE", key));
                    edit = self.stamped(edit, &At::Master);
                }
                edit.finish().map(Outcome::Changed).map_err(|_| InputFault::Unchangeable)
            }
        }
    }

    fn change_all(&self, input: &Input) -> Result<Object, InputFault> {
        let number = self.master_number().unwrap_or_default();
        let member = self.object.members().nth(number).ok_or(InputFault::Unchangeable)?;
        let old = self.when(member).ok_or(InputFault::Unchangeable)?;
        // The person sees one occurrence; what moves it moves them all by as much.
        let seen = self.key.as_ref().map_or_else(|| old.clone(), |key| self.moved_to(&old, key));
        let when = input.when(&seen)?.map(|asked| self.shifted(&old, &seen, &asked));
        let to_another_day = |when: &When| when.start.civil().date() != old.start.civil().date();
        if input.rrule.is_none() && repeats_on_fixed_days(member) && when.as_ref().is_some_and(to_another_day) {
            return Err(InputFault::Member(
                "start",
                "is another day, and the series repeats on fixed days: say rrule as well",
            ));
        }
        let changed = input.apply(self.object, &At::Member(number), when.as_ref(), self.now)?;
        let changed = match &when {
            Some(when) => self.follow(&changed, &old, when)?,
            None => changed,
        };
        input.remind(changed, number)
    }

    fn change_one(&self, input: &Input, key: &DateOrTime) -> Result<Object, InputFault> {
        if let Some(member) = self.member_of(key) {
            let component = self.object.members().nth(member).ok_or(InputFault::Unchangeable)?;
            let old = self.when(component).ok_or(InputFault::Unchangeable)?;
            let changed = input.apply(self.object, &At::Member(member), input.when(&old)?.as_ref(), self.now)?;
            return input.remind(changed, member);
        }
        let master = self.object.master().ok_or(InputFault::Unchangeable)?;
        let old = self.moved_to(&self.when(master).ok_or(InputFault::Unchangeable)?, key);
        let alone = self.copy(master)?;
        let at = At::Member(0);
        let mut edit = Edit::new(&alone).set(&at, &Line::at("RECURRENCE-ID", key));
        for name in ["RRULE", "RDATE", "EXDATE", "EXRULE", "DURATION"] {
            edit = edit.remove(&at, name);
        }
        let edit = edit.set(&at, &Line::at("DTSTART", &old.start)).set(&at, &Line::at("DTEND", &old.end));
        let alone = edit.finish().map_err(|_| InputFault::Unchangeable)?;
        let member = alone.members().next().ok_or(InputFault::Unchangeable)?;
        let octets = alone.octets().get(member.span()).ok_or(InputFault::Unchangeable)?;
        let with = Edit::new(self.object).add_component(&At::Calendar, octets).finish();
        let with = with.map_err(|_| InputFault::Unchangeable)?;
        let last = with.members().count().saturating_sub(1);
        let input = Input { rrule: None, ..input.clone() };
        let changed = input.apply(&with, &At::Member(last), input.when(&old)?.as_ref(), self.now)?;
        input.remind(changed, last)
    }

    /// The series up to before an occurrence.
    fn ended(&self, key: &DateOrTime) -> Result<Object, InputFault> {
        let master = self.object.master().ok_or(InputFault::Unchangeable)?;
        let rule = master.property("RRULE").ok_or(InputFault::Unchangeable)?;
        let edit = Edit::new(self.object).replace(rule, &Line::new("RRULE").value(&until(rule.value(), key)));
        let mut edit = self.stamped(edit, &At::Master);
        for (number, member) in self.object.members().enumerate() {
            if self.id_of(member).is_some_and(|id| self.instant(&id) >= self.instant(key)) {
                edit = edit.remove_component(&At::Member(number));
            }
        }
        for name in ["RDATE", "EXDATE"] {
            for line in master.all(name) {
                edit = self.kept(edit, name, line, |at| at < self.instant(key));
            }
        }
        edit.finish().map_err(|_| InputFault::Unchangeable)
    }

    /// The series from an occurrence on, under another UID.
    fn rest(&self, key: &DateOrTime, uid: &str) -> Result<Object, InputFault> {
        let master = self.object.master().ok_or(InputFault::Unchangeable)?;
        let rule = master.property("RRULE").ok_or(InputFault::Unchangeable)?;
        let when = self.moved_to(&self.when(master).ok_or(InputFault::Unchangeable)?, key);
        let mut edit =
            Edit::new(self.object).replace(rule, &Line::new("RRULE").value(&self.remaining(rule.value(), key)));
        edit = edit.set(&At::Master, &Line::at("DTSTART", &when.start)).set(&At::Master, &Line::at("DTEND", &when.end));
        edit = edit.remove(&At::Master, "DURATION");
        for (number, member) in self.object.members().enumerate() {
            match self.id_of(member) {
                Some(id) if self.instant(&id) < self.instant(key) => edit = edit.remove_component(&At::Member(number)),
                _ => edit = edit.set(&At::Member(number), &Line::new("UID").text(uid)),
            }
        }
        for name in ["RDATE", "EXDATE"] {
            for line in master.all(name) {
                edit = self.kept(edit, name, line, |at| at >= self.instant(key));
            }
        }
        edit.finish().map_err(|_| InputFault::Unchangeable)
    }

    /// A list of dates without those that `keep` says no to.
    fn kept<'e>(
        &self,
        edit: Edit<'e>,
        name: &str,
        line: &crate::ical::Property,
        keep: impl Fn(i64) -> bool,
    ) -> Edit<'e> {
        let Ok(values) = DateOrTime::parse_all(line) else { return edit };
        let kept: Vec<DateOrTime> = values.iter().filter(|value| keep(self.instant(value))).cloned().collect();
        match kept.split_first() {
            _ if kept.len() == values.len() => edit,
            None => edit.remove_property(line),
            Some((first, more)) => {
                let new = more.iter().fold(Line::at(name, first), |new, at| new.value(",").value(&at.to_string()));
                edit.replace(line, &new)
            }
        }
    }

    /// The rule for what comes from an occurrence on: a count is less by what has been.
    fn remaining(&self, rule: &str, key: &DateOrTime) -> String {
        let parts = rule.split(';').map(|part| match part.split_once('=') {
            Some((name, count)) if name.eq_ignore_ascii_case("COUNT") => {
                let count: usize = count.trim().parse().unwrap_or(1);
                format!("COUNT={}", count.saturating_sub(self.before(key)).max(1))
            }
            _ => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(";")
    }

    /// How many occurrences the rule alone gives before one.
    fn before(&self, key: &DateOrTime) -> usize {
        let Some(master) = self.object.master() else { return 0 };
        let Ok(alone) = self.copy(master) else { return 0 };
        let edit = Edit::new(&alone).remove(&At::Member(0), "EXDATE").remove(&At::Member(0), "RDATE");
        let Ok(plain) = edit.finish() else { return 0 };
        let end = Timestamp::from_second(self.instant(key)).unwrap_or(Timestamp::MAX);
        let range = TimeRange { start: Timestamp::MIN, end };
        let found = instances(&plain, &range, &Zone::UTC, &mut Budget::object()).unwrap_or_default();
        found.iter().filter(|one| one.start < end).count()
    }

    /// Overrides and exceptions go along when a series moves.
    fn follow(&self, changed: &Object, old: &When, new: &When) -> Result<Object, InputFault> {
        let by =
            Zone::UTC.to_instant(new.start.civil()).as_second() - Zone::UTC.to_instant(old.start.civil()).as_second();
        let moved = |at: &DateOrTime| {
            let civil = at.civil().checked_add(jiff::SignedDuration::from_secs(by)).unwrap_or(at.civil());
            at_civil(&new.start, civil)
        };
        let mut edit = Edit::new(changed);
        for (number, member) in changed.members().enumerate() {
            if let Some(line) = member.property("RECURRENCE-ID")
                && let Ok(id) = DateOrTime::parse(line)
            {
                let id = self.as_master_writes(&id)?;
                edit = edit.set(&At::Member(number), &Line::at("RECURRENCE-ID", &moved(&id)));
            }
            for line in member.all("EXDATE") {
                let Ok(values) = DateOrTime::parse_all(line) else { continue };
                let mut values = values.iter().filter_map(|at| self.as_master_writes(at).ok()).map(|at| moved(&at));
                if let Some(first) = values.next() {
                    let list = values.fold(Line::at("EXDATE", &first), |l, at| l.value(",").value(&at.to_string()));
                    edit = edit.replace(line, &list);
                }
            }
        }
        edit.finish().map_err(|_| InputFault::Unchangeable)
    }

    /// `asked` is where the occurrence at `seen` shall be: where the first one is then.
    #[expect(clippy::unused_self, reason = "called like its neighbours, which use it")]
    fn shifted(&self, old: &When, seen: &When, asked: &When) -> When {
        let seconds = |at: &DateOrTime| Zone::UTC.to_instant(at.civil()).as_second();
        let back = seconds(&seen.start) - seconds(&old.start);
        let earlier = |at: &DateOrTime| {
            let civil = at.civil().checked_sub(jiff::SignedDuration::from_secs(back)).unwrap_or(at.civil());
            at_civil(at, civil)
        };
        When { start: earlier(&asked.start), end: earlier(&asked.end) }
    }

    /// Start and end of a component.
    #[expect(clippy::unused_self, reason = "called like its neighbours, which use it")]
    fn when(&self, member: &Component) -> Option<When> {
        let start = DateOrTime::parse(member.property("DTSTART")?).ok()?;
        let end = member.property("DTEND").and_then(|line| DateOrTime::parse(line).ok());
        let length = member.property("DURATION").and_then(|line| Duration::parse(line.value()).ok());
        let end = end.unwrap_or_else(|| {
            let seconds = length.map_or(if start.is_date() { 86_400 } else { 0 }, |length| length.total_seconds());
            let civil = start.civil();
            at_civil(&start, civil.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(civil))
        });
        Some(When { start, end })
    }

    /// The same length from an occurrence's start on.
    #[expect(clippy::unused_self, reason = "called like its neighbours, which use it")]
    fn moved_to(&self, old: &When, key: &DateOrTime) -> When {
        When { start: key.clone(), end: super::input::lasting(key, old) }
    }

    fn occurs(&self, key: &DateOrTime) -> bool {
        let at = Timestamp::from_second(self.instant(key)).unwrap_or(Timestamp::MAX);
        let end = at.checked_add(jiff::SignedDuration::from_secs(1)).unwrap_or(at);
        let found = instances(self.object, &TimeRange { start: at, end }, &Zone::UTC, &mut Budget::object());
        let wanted = self.instant(key);
        let is_it = |id: &DateOrTime| self.instant(id) == wanted;
        found.unwrap_or_default().iter().any(|one| one.recurrence_id.as_ref().is_some_and(is_it))
    }

    fn is_first(&self, key: &DateOrTime) -> bool {
        let start = self.object.master().and_then(|master| self.when(master)).map(|when| self.instant(&when.start));
        start.is_none_or(|start| start >= self.instant(key))
    }

    /// An instant in the form that the master's DTSTART has.
    fn as_master_writes(&self, value: &DateOrTime) -> Result<DateOrTime, InputFault> {
        let member = self.object.master().or_else(|| self.object.members().next()).ok_or(InputFault::Unchangeable)?;
        let start = self.when(member).ok_or(InputFault::Unchangeable)?.start;
        Ok(match (&start, value) {
            (DateOrTime::Zoned { tzid, .. }, DateOrTime::Utc(instant)) => {
                let zone = self.zones.get(tzid).cloned().unwrap_or(Zone::UTC);
                DateOrTime::Zoned { local: zone.to_civil(*instant), tzid: tzid.clone() }
            }
            (DateOrTime::Zoned { .. }, zoned @ DateOrTime::Zoned { .. }) => zoned.clone(),
            (DateOrTime::Utc(_), other) => {
                DateOrTime::Utc(Timestamp::from_second(self.instant(other)).map_err(|_| InputFault::NoOccurrence)?)
            }
            (like, other) => at_civil(like, other.civil()),
        })
    }

    fn instant(&self, at: &DateOrTime) -> i64 {
        match at {
            DateOrTime::Zoned { local, tzid } => match self.zones.get(tzid) {
                Some(zone) => zone.to_instant(*local).as_second(),
                None => instant(at),
            },
            other => instant(other),
        }
    }

    fn master_number(&self) -> Option<usize> {
        self.object.members().position(|member| member.property("RECURRENCE-ID").is_none())
    }

    #[expect(clippy::unused_self, reason = "called like its neighbours, which use it")]
    fn id_of(&self, member: &Component) -> Option<DateOrTime> {
        member.property("RECURRENCE-ID").and_then(|line| DateOrTime::parse(line).ok())
    }

    fn member_of(&self, key: &DateOrTime) -> Option<usize> {
        let wanted = self.instant(key);
        self.object.members().position(|member| self.id_of(member).is_some_and(|id| self.instant(&id) == wanted))
    }

    /// A component in an object of its own.
    fn copy(&self, component: &Component) -> Result<Object, InputFault> {
        let octets = self.object.octets().get(component.span()).ok_or(InputFault::Unchangeable)?;
        let mut out = b"BEGIN:VCALENDAR\r\n".to_vec();
        for zone in self.object.timezones() {
            out.extend_from_slice(self.object.octets().get(zone.span()).unwrap_or_default());
        }
        out.extend_from_slice(octets);
        out.extend_from_slice(b"END:VCALENDAR\r\n");
        Object::parse(out.into()).map_err(|_| InputFault::Unchangeable)
    }

    fn stamped<'e>(&self, edit: Edit<'e>, at: &At) -> Edit<'e> {
        let now = DateOrTime::Utc(self.now);
        edit.set(at, &Line::at("LAST-MODIFIED", &now)).set(at, &Line::at("DTSTAMP", &now))
    }
}

/// Whether a series says on which days it takes place, so that it can't just be moved to another.
pub(crate) fn repeats_on_fixed_days(master: &Component) -> bool {
    let rule = master.property("RRULE").map(|rule| rule.value().to_ascii_uppercase()).unwrap_or_default();
    ["BYDAY=", "BYMONTHDAY=", "BYYEARDAY=", "BYWEEKNO=", "BYSETPOS="].iter().any(|part| rule.contains(part))
}

/// The rule without its end, ending before an occurrence.
fn until(rule: &str, key: &DateOrTime) -> String {
    let second = jiff::SignedDuration::from_secs(1);
    let end = match key {
        DateOrTime::Date(date) => DateOrTime::Date(date.yesterday().unwrap_or(*date)),
        DateOrTime::Floating(local) => DateOrTime::Floating(local.checked_sub(second).unwrap_or(*local)),
        other => DateOrTime::Utc(Timestamp::from_second(instant(other) - 1).unwrap_or(Timestamp::MIN)),
    };
    let is_end = |part: &&str| {
        let name = part.split('=').next().unwrap_or_default();
        name.eq_ignore_ascii_case("UNTIL") || name.eq_ignore_ascii_case("COUNT") || name.is_empty()
    };
    let kept: Vec<&str> = rule.trim().split(';').filter(|part| !is_end(part)).collect();
    format!("{};UNTIL={end}", kept.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-03-01T00:00:00Z";

    fn daily(more: &str) -> Object {
        let text = format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//test//EN\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
             DTSTART;TZID=Europe/Berlin:20260327T090000\r\nDTEND;TZID=Europe/Berlin:20260327T100000\r\nSUMMARY:Daily\r\n\
             RRULE:FREQ=DAILY;COUNT=5\r\n{more}END:VEVENT\r\nEND:VCALENDAR\r\n"
        );
        Object::parse(text.into()).unwrap()
    }

    fn starts(object: &Object) -> Vec<String> {
        let range =
            TimeRange { start: "2026-03-01T00:00:00Z".parse().unwrap(), end: "2026-05-01T00:00:00Z".parse().unwrap() };
        let found = instances(object, &range, &Zone::UTC, &mut Budget::request()).unwrap();
        found.iter().map(|one| one.start.strftime("%d %H:%M").to_string()).collect()
    }

    fn changed(object: &Object, key: &str, scope: Scope, input: &Input) -> Vec<Object> {
        let series = Series::at(object, Some(key), NOW.parse().unwrap()).unwrap();
        match series.change(input, scope, "new").unwrap() {
            Outcome::Changed(object) => vec![object],
            Outcome::Split { before, after } => vec![before, after],
            Outcome::Deleted => Vec::new(),
        }
    }

    fn later() -> Input {
        Input { start: Some("2026-03-29T11:00:00".into()), title: Some("Later".into()), ..Input::default() }
    }

    // The third occurrence: summer time has begun.
    const THIRD: &str = "20260329T070000Z";

    #[test]
    fn one_occurrence_moves_alone() {
        let object = daily("");
        let [one] = changed(&object, THIRD, Scope::This, &later()).try_into().unwrap();
        assert_eq!(starts(&one), ["27 08:00", "28 08:00", "29 09:00", "30 07:00", "31 07:00"]);
        assert_eq!(one.members().count(), 2);
        assert_eq!(one.master().unwrap().property("SUMMARY").unwrap().text(), "Daily");
        // A second edit changes the override that there is.
        let [again] = changed(&one, THIRD, Scope::This, &Input { title: Some("Again".into()), ..Input::default() })
            .try_into()
            .unwrap();
        assert_eq!((again.members().count(), starts(&again)), (2, starts(&one)));
    }

    #[test]
    fn all_move_by_as_much_as_the_one_that_was_seen() {
        let object = daily("EXDATE;TZID=Europe/Berlin:20260328T090000\r\n");
        let [all] = changed(&object, THIRD, Scope::All, &later()).try_into().unwrap();
        assert_eq!(starts(&all), ["27 10:00", "29 09:00", "30 09:00", "31 09:00"]);
    }

    #[test]
    fn another_time_is_another_revision_and_another_day_needs_another_rule() {
        let at = |start: &str| Input { start: Some(start.into()), ..Input::default() };
        let [moved] =
            changed(&daily("SEQUENCE:3\r\n"), THIRD, Scope::All, &at("2026-03-29T11:00:00")).try_into().unwrap();
        assert_eq!(moved.master().unwrap().property("SEQUENCE").unwrap().value(), "4");
        let [told] = changed(&daily(""), THIRD, Scope::All, &Input { title: Some("Told".into()), ..Input::default() })
            .try_into()
            .unwrap();
        assert!(told.master().unwrap().property("SEQUENCE").is_none());
        let weekly =
            Object::parse(daily("").as_text().replace("FREQ=DAILY;COUNT=5", "FREQ=WEEKLY;BYDAY=FR").into()).unwrap();
        let series = Series::at(&weekly, None, NOW.parse().unwrap()).unwrap();
        let refused = series.change(&at("2026-03-28T09:00:00"), Scope::All, "new").unwrap_err();
        assert!(matches!(refused, InputFault::Member("start", _)));
        let with_rule = Input { rrule: Some("FREQ=WEEKLY;BYDAY=SA".into()), ..at("2026-03-28T09:00:00") };
        assert!(matches!(series.change(&with_rule, Scope::All, "new"), Ok(Outcome::Changed(_))));
    }

    #[test]
    fn the_rest_of_a_series_becomes_one_of_its_own() {
        let object = daily("EXDATE;TZID=Europe/Berlin:20260330T090000\r\n");
        let [before, after] = changed(&object, THIRD, Scope::Future, &later()).try_into().unwrap();
        assert_eq!(starts(&before), ["27 08:00", "28 08:00"]);
        assert_eq!(starts(&after), ["29 09:00", "31 09:00"]);
        assert_eq!((before.uid(), after.uid()), ("u", "new"));
        assert!(!before.octets().windows(6).any(|part| part == b"EXDATE"));
        // From the first on it is all of it.
        assert_eq!(changed(&object, "20260327T080000Z", Scope::Future, &later()).len(), 1);
    }

    #[test]
    fn deletions_take_one_some_or_all() {
        let object = daily("");
        let deleted = |scope| Series::at(&object, Some(THIRD), NOW.parse().unwrap()).unwrap().delete(scope).unwrap();
        let Outcome::Changed(one) = deleted(Scope::This) else { panic!("it goes on") };
        assert_eq!(starts(&one), ["27 08:00", "28 08:00", "30 07:00", "31 07:00"]);
        let Outcome::Changed(some) = deleted(Scope::Future) else { panic!("it goes on") };
        assert_eq!(starts(&some), ["27 08:00", "28 08:00"]);
        assert!(matches!(deleted(Scope::All), Outcome::Deleted));
    }

    #[test]
    fn an_occurrence_that_is_none_is_refused() {
        let object = daily("");
        for bad in ["20260329T080000Z", "20270101T080000Z", "nonsense"] {
            assert_eq!(
                Series::at(&object, Some(bad), NOW.parse().unwrap()).unwrap_err(),
                InputFault::NoOccurrence,
                "{bad}"
            );
        }
    }

    #[test]
    fn what_is_said_becomes_an_event() {
        let input = Input {
            title: Some("Lunch, with Ana".into()),
            start: Some("2026-03-02T12:30:00".into()),
            time_zone: Some("Europe/Berlin".into()),
            reminders: Some(vec![10]),
            ..Input::default()
        };
        let made = input.create("u", NOW.parse().unwrap()).unwrap();
        assert_eq!(starts(&made), ["02 11:30"]);
        assert_eq!(made.timezones().count(), 1);
        for (input, member) in [
            (Input::default(), "start"),
            (Input { start: Some("soon".into()), ..Input::default() }, "start"),
            (Input { start: Some("2026-03-02".into()), end: Some("2026-03-01".into()), ..Input::default() }, "end"),
            (Input { start: Some("2026-03-02".into()), rrule: Some("FREQ=OFTEN".into()), ..Input::default() }, "rrule"),
            (Input { start: Some("2026-03-02".into()), status: Some("maybe".into()), ..Input::default() }, "status"),
        ] {
            let error = input.create("u", NOW.parse().unwrap()).unwrap_err();
            assert!(matches!(error, InputFault::Member(found, _) if found == member), "{error}");
        }
    }
}
