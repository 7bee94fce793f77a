//! Recurrence rules laid out in time (RFC 5545 3.3.10, 3.8.5.3), in bounded time and memory whatever the rule says.
//!
//! Rules of days and longer are laid out on the wall clock: the `rrule` crate says which days, from a start that is moved
//! close to what is asked for (it has no skip-ahead of its own); the times of day and BYSETPOS are put on here. Hourly
//! rules and faster are laid out in instants. Every step is paid for from a [`Budget`].
//!
//! DTSTART is always an instance and the first one counted, and isn't given again. Never judges zones or exceptions.

use std::panic::{AssertUnwindSafe, catch_unwind};

use chrono::TimeZone as _;
use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::Offset;
use jiff::{Span, Timestamp, ToSpan as _};

use super::instances::{Budget, Overrun};
use super::repeat::{Frequency, Rule};
use super::value::DateOrTime;
use super::zone::Zone;

/// Where a rule begins.
#[derive(Clone, Debug)]
pub(super) struct Anchor<'a> {
    pub(super) local: DateTime,
    pub(super) zone: &'a Zone,
    /// Whether DTSTART is a DATE.
    pub(super) all_day: bool,
}

/// One instance of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beat {
    pub(super) local: DateTime,
    pub(super) instant: Timestamp,
}

/// Whether to go on.
pub(super) type Flow = std::ops::ControlFlow<()>;

/// Gives the beats after DTSTART from `from` to `to`, in order, until `each` says stop.
pub(super) fn expand(
    rule: &Rule,
    anchor: &Anchor<'_>,
    within: (Timestamp, Timestamp),
    budget: &mut Budget,
    each: &mut dyn FnMut(Beat, &mut Budget) -> Result<Flow, Overrun>,
) -> Result<Flow, Overrun> {
    let Some(mut source) = Source::new(rule, anchor, within) else { return Ok(Flow::Continue(())) };
    let ends = Ends::of(rule, anchor, within);
    let most = rule.count.map_or(u64::MAX, |count| count.max(1));
    let mut given = 1 + source.skipped();
    let mut last = None;
    while given < most {
        let Some(beat) = source.next(budget)? else { break };
        if ends.are_passed_by(&beat) {
            break;
        }
        // Two times of day may fall on one instant where the clock was put forward.
        if beat.local <= anchor.local || last == Some(beat.instant) || !ends.admit(&beat) {
            continue;
        }
        last = Some(beat.instant);
        given += 1;
        if beat.instant >= within.0 && each(beat, budget)?.is_break() {
            return Ok(Flow::Break(()));
        }
    }
    Ok(Flow::Continue(()))
}

/// Where to stop: the rule's UNTIL, and what is asked for.
struct Ends<'a> {
    until: Option<&'a DateOrTime>,
    /// Whether UNTIL in UTC is compared on the wall clock: DTSTART isn't tied to a zone.
    naive: bool,
    /// Nothing after this can matter; with a day to spare for offsets.
    local: DateTime,
}

impl<'a> Ends<'a> {
    fn of(rule: &'a Rule, anchor: &Anchor<'_>, within: (Timestamp, Timestamp)) -> Self {
        // The calendar repeats after 400 years: what hasn't come by then never comes.
        let from = anchor.zone.to_civil(within.0).max(anchor.local);
        let mut local = from.saturating_add(400.years()).min(anchor.zone.to_civil(within.1).saturating_add(1.day()));
        if let Some(until) = &rule.until {
            local = local.min(until.civil().saturating_add(2.days()));
        }
        Self { until: rule.until.as_ref(), naive: anchor.all_day || matches!(anchor.zone, Zone::Floating), local }
    }

    fn are_passed_by(&self, beat: &Beat) -> bool {
        beat.local > self.local
    }

    fn admit(&self, beat: &Beat) -> bool {
        match self.until {
            None => true,
            // Written as a day, it means all of that day, also where DTSTART has a time.
            Some(DateOrTime::Date(date)) => beat.local.date() <= *date,
            Some(DateOrTime::Floating(local) | DateOrTime::Zoned { local, .. }) => beat.local <= *local,
            Some(DateOrTime::Utc(instant)) if self.naive => beat.local <= Offset::UTC.to_datetime(*instant),
            Some(DateOrTime::Utc(instant)) => beat.instant <= *instant,
        }
    }
}

enum Source<'a> {
    Days(DaySource<'a>),
    Ticks(TickSource<'a>),
}

impl<'a> Source<'a> {
    fn new(rule: &'a Rule, anchor: &Anchor<'a>, within: (Timestamp, Timestamp)) -> Option<Self> {
        if rule.freq >= Frequency::Daily {
            DaySource::new(rule, anchor, within.0).map(Self::Days)
        } else if anchor.all_day {
            // Days have no hours to repeat at.
            None
        } else {
            Some(Self::Ticks(TickSource::new(rule, anchor, within.0)))
        }
    }

    /// How many beats after DTSTART were passed over at once.
    fn skipped(&self) -> u64 {
        match self {
            Self::Days(_) => 0,
            Self::Ticks(ticks) => ticks.skipped,
        }
    }

    fn next(&mut self, budget: &mut Budget) -> Result<Option<Beat>, Overrun> {
        match self {
            Self::Days(days) => days.next(budget),
            Self::Ticks(ticks) => ticks.next(budget),
        }
    }
}

// ---- days and longer ----

struct DaySource<'a> {
    periods: Periods,
    days: std::iter::Peekable<LibraryDays>,
    times: Vec<Time>,
    set_pos: &'a [i16],
    zone: &'a Zone,
    /// The beats of the day or period at hand, last first.
    ready: Vec<DateTime>,
    /// The last day paid for.
    paid: Date,
}

impl<'a> DaySource<'a> {
    fn new(rule: &'a Rule, anchor: &Anchor<'a>, from: Timestamp) -> Option<Self> {
        let periods = Periods::of(rule, anchor.local.date());
        let mut number = 0;
        if rule.count.is_none() {
            let from = anchor.zone.to_civil(from).saturating_sub(1.day()).date();
            number = periods.number(from).max(0);
        }
        let first = periods.start(number).or_else(|| periods.start(0))?;
        let days = LibraryDays::new(rule, anchor.local.date(), first)?;
        Some(Self {
            periods,
            days: days.peekable(),
            times: times_of_day(rule, anchor),
            set_pos: &rule.by_set_pos,
            zone: anchor.zone,
            ready: Vec::new(),
            paid: first,
        })
    }

    fn next(&mut self, budget: &mut Budget) -> Result<Option<Beat>, Overrun> {
        loop {
            if let Some(local) = self.ready.pop() {
                budget.spend(1)?;
                return Ok(Some(Beat { local, instant: self.zone.to_instant(local) }));
            }
            let Some(day) = self.days.next() else {
                // It looked as far as it ever does.
                budget.spend(FRUITLESS)?;
                return Ok(None);
            };
            self.pay(day, budget)?;
            if self.set_pos.is_empty() {
                self.ready.extend(self.times.iter().rev().map(|time| day.to_datetime(*time)));
            } else {
                self.fill_period(day, budget)?;
            }
        }
    }

    /// For the periods that the library went through to get here.
    fn pay(&mut self, day: Date, budget: &mut Budget) -> Result<(), Overrun> {
        let periods = self.periods.number(day) - self.periods.number(self.paid);
        self.paid = day;
        budget.spend(1 + u64::try_from(periods).unwrap_or(0))
    }

    /// Takes all days of the period that `first` is in, and of their times those that BYSETPOS names.
    fn fill_period(&mut self, first: Date, budget: &mut Budget) -> Result<(), Overrun> {
        let number = self.periods.number(first);
        let mut days = vec![first];
        while let Some(day) = self.days.next_if(|day| self.periods.number(*day) == number) {
            budget.spend(1)?;
            days.push(day);
        }
        let total = i64::try_from(days.len() * self.times.len()).unwrap_or(i64::MAX);
        let mut places: Vec<i64> = self
            .set_pos
            .iter()
            .map(|pos| i64::from(*pos))
            .map(|pos| if pos > 0 { pos - 1 } else { total + pos })
            .filter(|place| (0..total).contains(place))
            .collect();
        places.sort_unstable_by(|a, b| b.cmp(a));
        places.dedup();
        self.ready.extend(places.into_iter().filter_map(|place| {
            let place = usize::try_from(place).ok()?;
            let day = days.get(place.checked_div(self.times.len())?)?;
            Some(day.to_datetime(*self.times.get(place.checked_rem(self.times.len())?)?))
        }));
        Ok(())
    }
}

/// BYHOUR x BYMINUTE x BYSECOND, with DTSTART's own where the rule says nothing. A day has no times but midnight.
fn times_of_day(rule: &Rule, anchor: &Anchor<'_>) -> Vec<Time> {
    if anchor.all_day {
        return vec![Time::midnight()];
    }
    let or = |list: &[i8], own: i8| if list.is_empty() { vec![own] } else { list.to_vec() };
    let hours = or(&rule.by_hour, anchor.local.hour());
    let minutes = or(&rule.by_minute, anchor.local.minute());
    let seconds = or(&rule.by_second, anchor.local.second());
    let mut times = Vec::with_capacity(hours.len() * minutes.len() * seconds.len());
    for hour in hours {
        for minute in &minutes {
            times.extend(seconds.iter().filter_map(|second| Time::new(hour, *minute, *second, 0).ok()));
        }
    }
    times
}

/// The years, months, weeks or days that a rule counts by, number 0 being that of DTSTART.
#[derive(Clone, Copy)]
struct Periods {
    freq: Frequency,
    interval: i64,
    first: Date,
}

impl Periods {
    fn of(rule: &Rule, start: Date) -> Self {
        let first = match rule.freq {
            Frequency::Yearly => start.first_of_year(),
            Frequency::Monthly => start.first_of_month(),
            Frequency::Weekly => start.saturating_sub(i64::from(rule.week_start.until(start.weekday())).days()),
            _ => start,
        };
        Self { freq: rule.freq, interval: i64::from(rule.interval), first }
    }

    /// The number of the last period that starts on or before `date`.
    fn number(&self, date: Date) -> i64 {
        let months = |date: Date| i64::from(date.year()) * 12 + i64::from(date.month());
        let units = match self.freq {
            Frequency::Yearly => i64::from(date.year()) - i64::from(self.first.year()),
            Frequency::Monthly => months(date) - months(self.first),
            Frequency::Weekly => days_between(self.first, date).div_euclid(7),
            _ => days_between(self.first, date),
        };
        units.div_euclid(self.interval)
    }

    /// `None` beyond the years that can be reckoned with.
    fn start(&self, number: i64) -> Option<Date> {
        let units = number.checked_mul(self.interval)?;
        let span = match self.freq {
            Frequency::Yearly => Span::new().try_years(units),
            Frequency::Monthly => Span::new().try_months(units),
            Frequency::Weekly => Span::new().try_weeks(units),
            _ => Span::new().try_days(units),
        };
        self.first.checked_add(span.ok()?).ok()
    }
}

fn days_between(from: Date, to: Date) -> i64 {
    let day = |date: Date| Offset::UTC.to_timestamp(date.to_datetime(Time::midnight())).map_or(0, Timestamp::as_second);
    (day(to) - day(from)).div_euclid(86_400)
}

/// The `rrule` crate, asked for days only, as days in UTC. Ends when nothing comes for 100,000 periods, at the end of its
/// calendar, and when it panics.
struct LibraryDays(Option<Box<dyn Iterator<Item = chrono::DateTime<rrule::Tz>>>>);

impl LibraryDays {
    /// `first` is the start of a period of `rule`, `start` the day of DTSTART. `None`: the library refuses the rule.
    fn new(rule: &Rule, start: Date, first: Date) -> Option<Self> {
        let library = Self::translate(&with_implied_parts(rule, start))?;
        let first = chrono::NaiveDate::from_ymd_opt(
            i32::from(first.year()),
            first.month().unsigned_abs().into(),
            first.day().unsigned_abs().into(),
        )?;
        let first = rrule::Tz::UTC.from_utc_datetime(&first.and_hms_opt(0, 0, 0)?);
        let days = guarded(|| library.build(first).ok())??.limit();
        let days = guarded(|| (&days).into_iter())?;
        Some(Self(Some(Box::new(days))))
    }

    fn translate(rule: &Rule) -> Option<rrule::RRule<rrule::Unvalidated>> {
        let freq = match rule.freq {
            Frequency::Yearly => rrule::Frequency::Yearly,
            Frequency::Monthly => rrule::Frequency::Monthly,
            Frequency::Weekly => rrule::Frequency::Weekly,
            _ => rrule::Frequency::Daily,
        };
        let months: Vec<chrono::Month> =
            rule.by_month.iter().filter_map(|month| chrono::Month::try_from(month.unsigned_abs()).ok()).collect();
        let day = |(ordinal, day): &(i16, Weekday)| {
            rrule::NWeekday::new(Some(*ordinal).filter(|ordinal| *ordinal != 0), library_weekday(*day))
        };
        Some(
            rrule::RRule::new(freq)
                .interval(u16::try_from(rule.interval).ok()?)
                .week_start(library_weekday(rule.week_start))
                .by_month(&months)
                .by_month_day(rule.by_month_day.clone())
                .by_year_day(rule.by_year_day.clone())
                .by_week_no(rule.by_week_no.clone())
                .by_weekday(rule.by_day.iter().map(day).collect())
                .by_hour(vec![0])
                .by_minute(vec![0])
                .by_second(vec![0]),
        )
    }
}

impl Iterator for LibraryDays {
    type Item = Date;

    fn next(&mut self) -> Option<Date> {
        let next = guarded(|| self.0.as_mut().and_then(Iterator::next)).flatten();
        let date = next.and_then(|at| {
            let date = at.naive_utc().date();
            let (month, day) = (chrono::Datelike::month(&date), chrono::Datelike::day(&date));
            let year = i16::try_from(chrono::Datelike::year(&date)).ok()?;
            Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
        });
        if date.is_none() {
            self.0 = None;
        }
        date
    }
}

/// A panic of the library is as if it had nothing to say.
fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

fn library_weekday(day: Weekday) -> chrono::Weekday {
    match day {
        Weekday::Monday => chrono::Weekday::Mon,
        Weekday::Tuesday => chrono::Weekday::Tue,
        Weekday::Wednesday => chrono::Weekday::Wed,
        Weekday::Thursday => chrono::Weekday::Thu,
        Weekday::Friday => chrono::Weekday::Fri,
        Weekday::Saturday => chrono::Weekday::Sat,
        Weekday::Sunday => chrono::Weekday::Sun,
    }
}

/// Writes out what the rule takes from DTSTART, so that the start may be moved.
fn with_implied_parts(rule: &Rule, start: Date) -> Rule {
    let mut rule = rule.clone();
    let no_day = rule.by_day.is_empty() && rule.by_month_day.is_empty() && rule.by_year_day.is_empty();
    match rule.freq {
        Frequency::Yearly if no_day && rule.by_week_no.is_empty() => {
            if rule.by_month.is_empty() {
                rule.by_month = vec![start.month()];
            }
            rule.by_month_day = vec![start.day()];
        }
        Frequency::Monthly if no_day => rule.by_month_day = vec![start.day()],
        Frequency::Yearly | Frequency::Weekly if no_day => rule.by_day = vec![(0, start.weekday())],
        _ => {}
    }
    rule
}

// ---- hours and shorter ----

/// Ticks of real time from DTSTART; the wall clock only decides which of them count.
struct TickSource<'a> {
    rule: &'a Rule,
    zone: &'a Zone,
    start: i64,
    step: i64,
    tick: i64,
    skipped: u64,
    ready: Vec<Beat>,
}

impl<'a> TickSource<'a> {
    fn new(rule: &'a Rule, anchor: &Anchor<'a>, from: Timestamp) -> Self {
        let start = anchor.zone.to_instant(anchor.local).as_second();
        let step = i64::from(rule.interval) * unit(rule.freq);
        let is_plain = Self::is_plain(rule);
        let may_skip = rule.count.is_none() || is_plain;
        let tick = if may_skip { (from.as_second() - start).div_euclid(step).max(0) } else { 0 };
        let skipped = if rule.count.is_some() { u64::try_from(tick - 1).unwrap_or(0) } else { 0 };
        Self { rule, zone: anchor.zone, start, step, tick, skipped, ready: Vec::new() }
    }

    /// Whether every tick counts.
    fn is_plain(rule: &Rule) -> bool {
        *rule
            == Rule {
                count: rule.count,
                interval: rule.interval,
                until: rule.until.clone(),
                week_start: rule.week_start,
                ..Rule::every(rule.freq)
            }
    }

    fn next(&mut self, budget: &mut Budget) -> Result<Option<Beat>, Overrun> {
        loop {
            budget.spend(1)?;
            if let Some(beat) = self.ready.pop() {
                return Ok(Some(beat));
            }
            let second = self.tick.checked_mul(self.step).and_then(|past| past.checked_add(self.start));
            let Some(instant) = second.and_then(|second| Timestamp::from_second(second).ok()) else { return Ok(None) };
            let local = self.zone.to_civil(instant);
            let barren = self.barren_seconds(local);
            if barren == 0 {
                self.fill(Beat { local, instant });
                self.tick += 1;
            } else {
                self.tick += (barren / self.step).max(1);
            }
        }
    }

    /// For how long from here nothing counts, at least; 0 if this tick does.
    fn barren_seconds(&self, local: DateTime) -> i64 {
        let of_hour = i64::from(local.minute()) * 60 + i64::from(local.second());
        let within = |list: &[i8], value: i8| list.is_empty() || list.contains(&value);
        if !self.admits(local.date()) {
            // An hour to spare: the day may be a short one.
            return (86_400 - i64::from(local.hour()) * 3600 - of_hour - 3600).max(1);
        }
        if !within(&self.rule.by_hour, local.hour()) {
            return 3600 - of_hour;
        }
        if self.rule.freq < Frequency::Hourly && !within(&self.rule.by_minute, local.minute()) {
            return 60 - i64::from(local.second());
        }
        i64::from(self.rule.freq == Frequency::Secondly && !within(&self.rule.by_second, local.second()))
    }

    fn admits(&self, date: Date) -> bool {
        let rule = self.rule;
        let back = |length: i16, at: i16| at - length - 1;
        let (day, day_back) = (date.day(), back(i16::from(date.days_in_month()), i16::from(date.day())));
        let (of_year, of_year_back) = (date.day_of_year(), back(date.days_in_year(), date.day_of_year()));
        let any = |found: bool, is_empty: bool| is_empty || found;
        any(rule.by_month.contains(&date.month()), rule.by_month.is_empty())
            && any(
                rule.by_month_day.iter().any(|n| *n == day || i16::from(*n) == day_back),
                rule.by_month_day.is_empty(),
            )
            && any(rule.by_year_day.iter().any(|n| *n == of_year || *n == of_year_back), rule.by_year_day.is_empty())
            && any(rule.by_day.iter().any(|(_, weekday)| *weekday == date.weekday()), rule.by_day.is_empty())
    }

    /// The beats of one tick: itself, or the minutes and seconds that the rule names inside of it.
    fn fill(&mut self, beat: Beat) {
        let or = |list: &[i8], own: i8, expands: bool| {
            if list.is_empty() || !expands { vec![own] } else { list.to_vec() }
        };
        let minutes = or(&self.rule.by_minute, beat.local.minute(), self.rule.freq == Frequency::Hourly);
        let seconds = or(&self.rule.by_second, beat.local.second(), self.rule.freq >= Frequency::Minutely);
        let at = |minute: i8, second: i8| i64::from(minute) * 60 + i64::from(second);
        let own = at(beat.local.minute(), beat.local.second());
        let mut all = Vec::with_capacity(minutes.len() * seconds.len());
        for minute in minutes {
            for second in &seconds {
                let delta = (at(minute, *second) - own).seconds();
                let moved = beat.local.checked_add(delta).ok().zip(beat.instant.checked_add(delta).ok());
                all.extend(moved.map(|(local, instant)| Beat { local, instant }));
            }
        }
        let total = i64::try_from(all.len()).unwrap_or(i64::MAX);
        let picked = |place: usize| {
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            let wanted = |pos: &i16| [place + 1, place - total].contains(&i64::from(*pos));
            self.rule.by_set_pos.is_empty() || self.rule.by_set_pos.iter().any(wanted)
        };
        self.ready = all.into_iter().enumerate().filter(|(place, _)| picked(*place)).map(|(_, beat)| beat).collect();
        self.ready.reverse();
    }
}

fn unit(freq: Frequency) -> i64 {
    match freq {
        Frequency::Secondly => 1,
        Frequency::Minutely => 60,
        _ => 3600,
    }
}

/// What it is charged when the library looked as far as it does and found nothing.
const FRUITLESS: u64 = 100_000;
