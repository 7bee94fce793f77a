//! The form of an event: its fields, what is wrong with them, and what they mean.

use askama::Template;
use http::StatusCode;
use jiff::civil::{Date, DateTime, Time};
use jiff::{SignedDuration, ToSpan as _};

use super::Found;
use crate::agenda::{Clockwork, Input, InputFault, quick};
use crate::ical::{Component, Object, Zone};
use crate::web::calendar::edit::Wanted;
use crate::web::calendar::read::{Calendar, calendars, text};
use crate::web::form::Form;
use crate::web::page::{Answer, Page, shown};
use crate::web::request::{Request, Trouble};
use crate::web::{Desk, time};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
{% if !problem.is_empty() %}<p class="problem" role="alert" id="problem">{{ problem }}</p>{% endif %}
<form method="post" class="card"><input type="hidden" name="csrf" value="{{ csrf }}"><input type="hidden" name="at" value="{{ at }}"><input type="hidden" name="etag" value="{{ etag }}">
<label for="title">Title</label><input id="title" name="title" value="{{ fields.title }}" required maxlength="1000" dir="auto">
<label class="tick"><input type="checkbox" id="all_day" name="all_day" value="1"{% if fields.all_day %} checked{% endif %}> Whole day</label>
<div class="row"><div><label for="from_day">Start</label><input id="from_day" name="from_day" type="date" value="{{ fields.from_day }}" required></div>
<div data-time><label for="from_time">At</label><input id="from_time" name="from_time" type="time" value="{{ fields.from_time }}"></div>
<div><label for="to_day">End</label><input id="to_day" name="to_day" type="date" value="{{ fields.to_day }}" required></div>
<div data-time><label for="to_time">At</label><input id="to_time" name="to_time" type="time" value="{{ fields.to_time }}"></div></div>
<p class="hint">Times are in {{ zone }}.</p>
<label for="location">Where</label><input id="location" name="location" value="{{ fields.location }}" maxlength="2000" dir="auto">
<label for="description">Notes</label><textarea id="description" name="description" rows="4" maxlength="20000" dir="auto">{{ fields.description }}</textarea>
<div class="row"><div><label for="repeat">Repeats</label><select id="repeat" name="repeat">
{% for (value, word) in choices %}<option value="{{ value }}"{% if *value == fields.repeat %} selected{% endif %}>{{ word }}</option>{% endfor %}
</select></div>
<div><label for="calendar">Calendar</label><select id="calendar" name="calendar">
{% if fresh %}<option value="unified">Where new events go</option>{% endif %}
{% for one in calendars %}<option value="{{ one.name }}"{% if one.name.as_str() == fields.calendar %} selected{% endif %}>{{ one.title }}</option>{% endfor %}
</select></div></div>
{% if !at.is_empty() %}<fieldset><legend>Change</legend>
<label class="tick"><input type="radio" name="scope" value="this" checked> Only this one</label>
<label class="tick"><input type="radio" name="scope" value="future"> This and all later ones</label>
<label class="tick"><input type="radio" name="scope" value="all"> All of them</label></fieldset>{% endif %}
<button class="main" name="do" value="save">Save</button></form>
"#
)]
struct EventForm<'a> {
    problem: &'a str,
    fields: &'a Fields,
    zone: String,
    calendars: Vec<Calendar>,
    choices: Vec<(&'static str, String)>,
    fresh: bool,
    at: &'a str,
    etag: &'a str,
    csrf: String,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<p><a href="/calendar">Calendar</a></p><h1>New event</h1>
<form method="get" class="card"><label for="line">In one line</label>
<div class="row"><input id="line" name="line" value="{{ line }}" maxlength="500" placeholder="Lunch with Ana tomorrow 12:30 at Rossi"><button>Fill in</button></div>
<p class="hint">In English. What was understood stands in the form below; nothing is saved yet.</p></form>
{{ form|safe }}"#
)]
struct New<'a> {
    line: &'a str,
    form: String,
}

/// The fields as text, so that what was typed can be shown again.
#[derive(Clone, Default)]
pub(super) struct Fields {
    pub(super) title: String,
    location: String,
    description: String,
    all_day: bool,
    from_day: String,
    from_time: String,
    to_day: String,
    to_time: String,
    repeat: String,
    pub(super) calendar: String,
}

/// The rules that the form knows.
const RULES: [(&str, &str, &str); 6] = [
    ("daily", "Every day", "FREQ=DAILY"),
    ("workdays", "Every working day", "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"),
    ("weekly", "Every week", "FREQ=WEEKLY"),
    ("fortnightly", "Every two weeks", "FREQ=WEEKLY;INTERVAL=2"),
    ("monthly", "Every month", "FREQ=MONTHLY"),
    ("yearly", "Every year", "FREQ=YEARLY"),
];

impl Fields {
    /// What was sent.
    pub(super) fn read(form: &Form) -> Self {
        let field = |name: &str| form.get(name).to_owned();
        Self {
            title: form.word("title").to_owned(),
            location: form.word("location").to_owned(),
            description: form.get("description").replace("\r\n", "\n").trim_end().to_owned(),
            all_day: form.has("all_day"),
            from_day: field("from_day"),
            from_time: field("from_time"),
            to_day: field("to_day"),
            to_time: field("to_time"),
            repeat: field("repeat"),
            calendar: field("calendar"),
        }
    }

    /// What an event says.
    pub(super) fn of(found: &Found, member: &Component, zone: &Zone) -> Self {
        let seen = &found.seen;
        let (start, end) = (zone.to_civil(seen.start), zone.to_civil(seen.end));
        let last = if seen.all_day { end.date().yesterday().unwrap_or_else(|_| end.date()) } else { end.date() };
        let time = |at: DateTime| at.strftime("%H:%M").to_string();
        Self {
            title: text(member, "SUMMARY"),
            location: text(member, "LOCATION"),
            description: text(member, "DESCRIPTION"),
            all_day: seen.all_day,
            from_day: start.date().to_string(),
            from_time: if seen.all_day { String::new() } else { time(start) },
            to_day: last.max(start.date()).to_string(),
            to_time: if seen.all_day { String::new() } else { time(end) },
            repeat: "keep".to_owned(),
            calendar: String::new(),
        }
    }

    /// The same with what a line said.
    fn with(self, input: &Input) -> Self {
        let (title, location) = (input.title.clone(), input.location.clone());
        let said = Self { title: title.unwrap_or_default(), location: location.unwrap_or_default(), ..self };
        // As written on the clock of the page: a date, and for a time `T` and the time after it.
        let parted = |text: &Option<String>| {
            let text = text.clone().unwrap_or_default();
            let time = text.get(11..16).unwrap_or_default().to_owned();
            (text.get(..10).unwrap_or_default().to_owned(), time)
        };
        let (from_day, from_time) = parted(&input.start);
        if input.all_day == Some(true) {
            return Self { all_day: true, to_day: from_day.clone(), from_day, ..said };
        }
        let (to_day, to_time) = parted(&input.end);
        Self { from_day, from_time, to_day, to_time, ..said }
    }

    /// What they mean, or which field is wrong.
    pub(super) fn wanted(&self) -> Result<Wanted, String> {
        let day = |field: &str, text: &str| {
            let day = text.parse::<Date>().ok().filter(|day| (1900..=2200).contains(&day.year()));
            day.ok_or_else(|| format!("{field}: {text:?} is no date such as 2026-03-05."))
        };
        let time = |field: &str, text: &str| {
            let time = text.get(..5).and_then(|text| Time::strptime("%H:%M", text).ok());
            time.ok_or_else(|| format!("{field}: {text:?} is no time such as 09:30."))
        };
        if self.title.is_empty() {
            return Err("Title: please give the event a title.".to_owned());
        }
        let (from, to) = (day("Start", &self.from_day)?, day("End", &self.to_day)?);
        let (start, end) = if self.all_day {
            let after = to.checked_add(1.days()).map_err(|_| "End: this date is too late.".to_owned())?;
            (from.to_datetime(Time::midnight()), after.to_datetime(Time::midnight()))
        } else {
            let (begins, ends) = (time("Start, at", &self.from_time)?, time("End, at", &self.to_time)?);
            (from.to_datetime(begins), to.to_datetime(ends))
        };
        if end < start {
            return Err("End: the event ends before it starts.".to_owned());
        }
        let rule = match self.repeat.as_str() {
            "keep" => None,
            known => Some(RULES.iter().find(|(name, ..)| *name == known).map_or("", |(.., rule)| *rule).to_owned()),
        };
        let (title, location) = (self.title.clone(), self.location.clone());
        Ok(Wanted { title, location, description: self.description.clone(), all_day: self.all_day, start, end, rule })
    }
}

/// The rule of an event, as people say it.
pub(super) fn rule_in_words(object: &Object) -> String {
    let rule = object.master().and_then(|master| master.property("RRULE"));
    let Some(rule) = rule else { return String::new() };
    let known = RULES.iter().find(|(.., known)| *known == rule.value());
    known.map_or_else(|| shown(rule.value()), |(_, word, _)| word.to_lowercase())
}

/// The form in HTML.
pub(super) async fn html(
    desk: &Desk,
    request: &Request<'_>,
    fields: &Fields,
    (problem, found): (&str, Option<&Found>),
) -> Result<String, Trouble> {
    let user = request.user()?;
    let mut calendars = calendars(desk, user).await?;
    calendars.retain(|one| one.writable);
    let mut fields = fields.clone();
    if let (Some(found), true) = (found, fields.calendar.is_empty()) {
        let row = desk.calendars.event(user, found.stored.event).await.map_err(Trouble::later)?;
        fields.calendar = row.map(|row| row.leader.to_string()).unwrap_or_default();
    }
    let repeats = found.map(|found| rule_in_words(&found.object)).unwrap_or_default();
    let mut choices = Vec::new();
    if found.is_some() {
        let word = if repeats.is_empty() { "As it is: never".to_owned() } else { format!("As it is: {repeats}") };
        choices.push(("keep", word));
    }
    choices.push(("never", "Never".to_owned()));
    choices.extend(RULES.iter().map(|(name, word, _)| (*name, (*word).to_owned())));
    let zone = time::zone(request).name().unwrap_or("UTC").to_owned();
    let (at, etag) = found.map_or(("", ""), |found| (found.at.as_str(), found.stored.etag.0.as_str()));
    let (fresh, csrf) = (found.is_none(), request.csrf());
    let form = EventForm { problem, fields: &fields, zone, calendars, choices, fresh, at, etag, csrf };
    form.render().map_err(Trouble::render)
}

/// The empty form, for a day that the link names.
pub(super) async fn blank(desk: &Desk, request: &Request<'_>) -> Answer {
    let ask = request.ask();
    let now = time::zone(request).to_civil(desk.clock.now());
    let day = ask.word("day").parse::<Date>().unwrap_or_else(|_| now.date());
    let hour = day.at(now.hour().min(22), 0, 0, 0);
    let start = hour.checked_add(SignedDuration::from_hours(1)).unwrap_or(hour);
    let end = start.checked_add(SignedDuration::from_hours(1)).unwrap_or(start);
    let time = |at: DateTime| at.strftime("%H:%M").to_string();
    let fields = Fields {
        title: ask.word("title").to_owned(),
        from_day: day.to_string(),
        from_time: time(start),
        to_day: end.date().to_string(),
        to_time: time(end),
        repeat: "never".to_owned(),
        calendar: "unified".to_owned(),
        ..Fields::default()
    };
    let line = ask.word("line");
    if line.is_empty() {
        return answer(desk, request, &fields, ("", StatusCode::OK)).await;
    }
    let clock = time::zone(request).name().and_then(Clockwork::named).unwrap_or_else(Clockwork::utc);
    match quick(line, &clock, desk.clock.now()) {
        Ok(input) => answer(desk, request, &fields.with(&input), ("", StatusCode::OK)).await,
        Err(InputFault::Member(_, words)) => {
            let problem = format!("In one line: this {words}.");
            answer(desk, request, &fields, (&problem, StatusCode::UNPROCESSABLE_ENTITY)).await
        }
        Err(other) => {
            answer(desk, request, &fields, (&format!("In one line: {other}."), StatusCode::UNPROCESSABLE_ENTITY)).await
        }
    }
}

/// The form again, with what was typed and what is wrong with it.
pub(super) async fn again(desk: &Desk, request: &Request<'_>, fields: Fields, problem: String) -> Answer {
    answer(desk, request, &fields, (problem.as_str(), StatusCode::UNPROCESSABLE_ENTITY)).await
}

async fn answer(desk: &Desk, request: &Request<'_>, fields: &Fields, (problem, status): (&str, StatusCode)) -> Answer {
    let form = html(desk, request, fields, (problem, None)).await?;
    let ask = request.ask();
    Page { title: "New event", here: "/calendar", content: &New { line: ask.word("line"), form } }
        .answer(request, status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        Fields {
            title: "A".to_owned(),
            from_day: "2026-03-05".to_owned(),
            from_time: "09:30".to_owned(),
            to_day: "2026-03-05".to_owned(),
            to_time: "10:00".to_owned(),
            repeat: "weekly".to_owned(),
            ..Fields::default()
        }
    }

    #[test]
    fn a_line_fills_the_form() {
        let (clock, now) = (Clockwork::named("Europe/Vienna").unwrap(), "2026-03-04T08:00:00Z".parse().unwrap());
        let said = fields().with(&quick("Lunch with Ana tomorrow 12:30 at Rossi", &clock, now).unwrap());
        let wanted = said.wanted().unwrap();
        assert_eq!((wanted.title.as_str(), wanted.location.as_str()), ("Lunch with Ana", "Rossi"));
        assert_eq!(wanted.start.to_string(), "2026-03-05T12:30:00");
        assert_eq!(wanted.end.to_string(), "2026-03-05T13:30:00");
        let whole = fields().with(&quick("Holiday tomorrow", &clock, now).unwrap()).wanted().unwrap();
        assert!(whole.all_day && whole.end.to_string() == "2026-03-06T00:00:00");
    }

    #[test]
    fn fields_mean_what_they_say_and_the_wrong_one_is_named() {
        let wanted = fields().wanted().unwrap();
        assert_eq!(
            (wanted.start.to_string(), wanted.rule.as_deref()),
            ("2026-03-05T09:30:00".into(), Some("FREQ=WEEKLY"))
        );
        let whole = Fields { all_day: true, from_time: String::new(), ..fields() }.wanted().unwrap();
        assert_eq!(whole.end.to_string(), "2026-03-06T00:00:00");
        let wrong = [
            (Fields { title: String::new(), ..fields() }, "Title"),
            (Fields { from_day: "5 March".to_owned(), ..fields() }, "Start"),
            (Fields { to_time: "soon".to_owned(), ..fields() }, "End, at"),
            (Fields { to_day: "2026-03-04".to_owned(), ..fields() }, "End"),
        ];
        for (fields, field) in wrong {
            assert!(fields.wanted().unwrap_err().starts_with(field), "{field}");
        }
    }
}
