//! Conflicts: both sides beside what they had agreed on, property by property, and the person's word on it.

use askama::Template;
use http::StatusCode;

use super::page::{Answer, Page, done, shown};
use super::request::{Request, Trouble};
use super::{Desk, audit, history, time};
use crate::calendar::{Conflict, ConflictId, ConflictKind, Decision, Keep};
use crate::ical::{DateOrTime, Object, Property};
use crate::id::UserId;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>Conflicts</h1>
<p class="hint">Where the same thing was changed in two places. What loses is never thrown away: it stays in the history.</p>
{% for (title, rows) in groups %}<section><h2>{{ title }} ({{ rows.len() }})</h2>
{% if rows.is_empty() %}<p>None.</p>{% else %}<ul class="list">
{% for one in rows %}<li><div><a href="/conflicts/{{ one.id }}"><bdi>{{ one.title }}</bdi></a> <span class="tag">{{ one.kind }}</span><br><span class="hint">{{ one.at }}, {{ one.calendar }}: {{ one.state }}</span></div>
<a class="button" href="/conflicts/{{ one.id }}">Look</a></li>{% endfor %}</ul>{% endif %}</section>
{% endfor %}
"#
)]
struct List {
    groups: Vec<(&'static str, Vec<Row>)>,
}

struct Row {
    id: String,
    title: String,
    kind: &'static str,
    at: String,
    calendar: String,
    state: String,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<p><a href="/conflicts">Conflicts</a></p>
<h1><bdi>{{ title }}</bdi></h1>
<p>{{ what }} <span class="tag">{{ state }}</span></p>
<div class="scroll"><table class="stack">
<thead><tr><th scope="col">Property</th><th scope="col">Agreed before</th><th scope="col">Here</th><th scope="col">{{ calendar }}</th></tr></thead>
<tbody>{% for line in lines %}<tr><th scope="row">{{ line.name }}</th><td data-label="Agreed before"><bdi>{{ line.base }}</bdi></td><td data-label="Here"{% if line.ours_differs %} class="differs"{% endif %}><bdi>{{ line.ours }}</bdi></td><td data-label="{{ calendar }}"{% if line.theirs_differs %} class="differs"{% endif %}><bdi>{{ line.theirs }}</bdi></td></tr>
{% endfor %}</tbody></table></div>
<form method="post" class="card row"><input type="hidden" name="csrf" value="{{ csrf }}">
<button name="keep" value="local"{% if open %} class="main"{% endif %}>Keep what is here</button>
<button name="keep" value="remote">Keep what is there</button>
{% if both %}<button name="keep" value="both">Keep both, as two events</button>{% endif %}</form>
<p class="hint">{% if open %}Until you choose, what is here is shown on your devices and nothing is sent there.{% else %}You can decide otherwise at any time: choose again.{% endif %}
The other version stays in <a href="/history/event/{{ event }}">its history</a>.</p>
"#
)]
struct Sides {
    title: String,
    what: &'static str,
    state: String,
    calendar: String,
    lines: Vec<Line>,
    open: bool,
    both: bool,
    event: String,
    csrf: String,
}

struct Line {
    name: String,
    base: String,
    ours: String,
    theirs: String,
    ours_differs: bool,
    theirs_differs: bool,
}

/// The pages.
pub(super) async fn get(desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
    match path {
        [] => list(desk, request).await,
        [id] => sides(desk, request, id).await,
        _ => Err(Trouble::NotFound),
    }
}

const MOST: usize = 100;

async fn list(desk: &Desk, request: &Request<'_>) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let names = audit::names(desk, user).await?;
    let (mut open, mut decided) = (Vec::new(), Vec::new());
    for (id, one) in desk.calendars.conflicts(user).await.map_err(Trouble::later)?.into_iter().take(MOST) {
        let rows = if one.is_open() { &mut open } else { &mut decided };
        rows.push(Row {
            id: id.to_string(),
            title: history::event_title(desk, user, one.event).await?,
            kind: kind(one.kind).0,
            at: time::moment(one.at, &zone),
            calendar: names.get(one.source.as_str()).cloned().unwrap_or_default(),
            state: state(&one),
        });
    }
    let content = List { groups: vec![("For you to decide", open), ("Decided", decided)] };
    Page { title: "Conflicts", here: "/conflicts", content: &content }.answer(request, StatusCode::OK)
}

fn kind(kind: ConflictKind) -> (&'static str, &'static str) {
    match kind {
        ConflictKind::Edit => ("changed twice", "Both sides changed the same thing."),
        ConflictKind::EditDelete => ("changed and deleted", "One side changed what the other deleted."),
        ConflictKind::Twin => ("twins", "The same event came up on both sides, with different content."),
        ConflictKind::Refused => ("refused", "The provider does not take the version of this side."),
    }
}

fn state(one: &Conflict) -> String {
    match one.decision {
        Decision::Open => "not decided yet".to_owned(),
        Decision::Ours | Decision::Theirs | Decision::Other => shown(&one.rule),
    }
}

async fn sides(desk: &Desk, request: &Request<'_>, id: &str) -> Answer {
    let user = request.user()?;
    let number: ConflictId = id.parse().map_err(|_| Trouble::NotFound)?;
    let one = desk.calendars.conflict(user, number).await.map_err(Trouble::later)?.ok_or(Trouble::NotFound)?;
    let base = version(desk, user, &one, one.base).await?;
    let ours = version(desk, user, &one, one.ours).await?;
    let theirs = version(desk, user, &one, one.theirs).await?;
    let names = audit::names(desk, user).await?;
    let content = Sides {
        title: history::event_title(desk, user, one.event).await?,
        what: kind(one.kind).1,
        state: state(&one),
        calendar: names.get(one.source.as_str()).cloned().unwrap_or_else(|| "There".to_owned()),
        lines: lines(base.as_ref(), ours.as_ref(), theirs.as_ref()),
        open: one.is_open(),
        both: ours.is_some() && theirs.is_some() && one.kind != ConflictKind::Refused,
        event: one.event.to_string(),
        csrf: request.csrf(),
    };
    Page { title: "Conflict", here: "/conflicts", content: &content }.answer(request, StatusCode::OK)
}

async fn version(desk: &Desk, user: &UserId, one: &Conflict, number: Option<u64>) -> Result<Option<Object>, Trouble> {
    match number {
        Some(number) => desk.calendars.revision(user, one.event, number).await.map_err(Trouble::later),
        None => Ok(None),
    }
}

/// Property by property, those that differ first. A side without the event says so in every line.
fn lines(base: Option<&Object>, ours: Option<&Object>, theirs: Option<&Object>) -> Vec<Line> {
    let mut names: Vec<String> = Vec::new();
    let all = [base, ours, theirs];
    for member in all.iter().flatten().filter_map(|object| object.members().next()) {
        for property in member.properties() {
            let name = property.name().to_ascii_uppercase();
            if !BOOKKEEPING.contains(&name.as_str()) && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let value = |object: Option<&Object>, name: &str| match object.and_then(|object| object.members().next()) {
        None => "(deleted)".to_owned(),
        Some(member) => {
            let texts: Vec<String> = member.all(name).map(readable).collect();
            texts.join("\n").chars().take(2_000).collect()
        }
    };
    let mut lines: Vec<Line> = names
        .iter()
        .map(|name| {
            let (base_value, ours, theirs) = (value(base, name), value(ours, name), value(theirs, name));
            let differs = |side: &String| (base.is_some() && *side != base_value) || ours != theirs;
            let (ours_differs, theirs_differs) = (differs(&ours), differs(&theirs));
            let base = if base.is_some() { base_value } else { "–".to_owned() };
            Line { name: in_words(name), base, ours, theirs, ours_differs, theirs_differs }
        })
        .collect();
    lines.sort_by_key(|line| !(line.ours_differs || line.theirs_differs));
    lines
}

/// A property's text. A time as people write it, with the zone that it is in: two zones are a difference.
fn readable(line: &Property) -> String {
    let is_time = ["DTSTART", "DTEND", "DUE"].iter().any(|name| line.name().eq_ignore_ascii_case(name));
    match DateOrTime::parse(line) {
        Ok(DateOrTime::Date(day)) if is_time => day.strftime("%a %-d %b %Y").to_string(),
        Ok(at) if is_time => {
            let local = at.civil();
            let form = if local.second() == 0 { "%a %-d %b %Y %H:%M" } else { "%a %-d %b %Y %H:%M:%S" };
            let zone = if matches!(at, DateOrTime::Utc(_)) { "UTC" } else { at.tzid().unwrap_or_default() };
            shown(format!("{} {zone}", local.strftime(form)).trim_end())
        }
        _ => shown(&line.text()),
    }
}

/// Properties that change by themselves.
const BOOKKEEPING: &[&str] = &["DTSTAMP", "LAST-MODIFIED", "CREATED", "SEQUENCE", "UID"];

fn in_words(name: &str) -> String {
    match name {
        "SUMMARY" => "Title".to_owned(),
        "DTSTART" => "Start".to_owned(),
        "DTEND" => "End".to_owned(),
        "LOCATION" => "Where".to_owned(),
        "DESCRIPTION" => "Notes".to_owned(),
        "RRULE" => "Repeats".to_owned(),
        "ATTENDEE" => "Guests".to_owned(),
        name => shown(name),
    }
}

/// The person's word.
pub(super) async fn post(desk: &Desk, request: &Request<'_>, id: &str) -> Answer {
    let user = request.user()?;
    let number: ConflictId = id.parse().map_err(|_| Trouble::NotFound)?;
    let (keep, words) = match request.form().get("keep") {
        "local" => (Keep::Local, "What is here is kept and goes there."),
        "remote" => (Keep::Remote, "What is there is kept here too."),
        "both" => (Keep::Both, "Both are kept, as two events."),
        _ => return Err(Trouble::NotFound),
    };
    let pending = desk.sync.resolve(user, number, keep).await?;
    desk.settle(&pending).await?;
    done(&format!("/conflicts/{id}"), words)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn what_differs_comes_first_and_markup_stays_text() {
        let object = |title: &str, place: &str| {
            let text = format!(
                "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
                 LOCATION:{place}\r\nSUMMARY:{title}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
            );
            Object::parse(Bytes::from(text)).unwrap()
        };
        let (base, ours, theirs) = (object("A", "R"), object("<b>", "R"), object("C", "R"));
        let found = lines(Some(&base), Some(&ours), Some(&theirs));
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].ours.as_str(), found[0].theirs.as_str()), ("Title", "<b>", "C"));
        assert!(found[0].ours_differs && !found[1].ours_differs && !found[1].theirs_differs);
        assert_eq!(lines(Some(&base), None, Some(&theirs))[0].ours, "(deleted)");
    }

    #[test]
    fn times_are_told_as_people_write_them() {
        let start = |line: &str| {
            let text = format!(
                "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\n\
                 {line}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
            );
            let object = Object::parse(Bytes::from(text)).unwrap();
            lines(None, Some(&object), Some(&object))[0].ours.clone()
        };
        assert_eq!(start("DTSTART:20261215T100000Z"), "Tue 15 Dec 2026 10:00 UTC");
        assert_eq!(start("DTSTART;TZID=Europe/Vienna:20261215T100005"), "Tue 15 Dec 2026 10:00:05 Europe/Vienna");
        assert_eq!(start("DTSTART;VALUE=DATE:20261215"), "Tue 15 Dec 2026");
        assert_eq!(start("DTSTART:soon"), "soon");
    }
}
