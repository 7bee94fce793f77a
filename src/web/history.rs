//! History and trash: the versions of an event, what was deleted, and how to bring either back.

use askama::Template;
use http::StatusCode;

use super::calendar::event_title as title_of;
use super::page::{Answer, Page, done, shown};
use super::request::{Request, Trouble};
use super::{Desk, audit, time};
use crate::calendar::Author;
use crate::id::{EventId, UserId};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>History and trash</h1>
<section><h2>Deleted events</h2>
<p class="hint">They can be brought back for 30 days.</p>
{% if trash.is_empty() %}<p>None is deleted.</p>{% else %}
<ul class="list">{% for one in trash %}<li><div><a href="/history/event/{{ one.event }}"><bdi>{{ one.title }}</bdi></a><br><span class="hint">deleted {{ one.at }}</span></div>
<form method="post" action="/history/event/{{ one.event }}"><input type="hidden" name="csrf" value="{{ csrf }}"><button name="revision" value="{{ one.revision }}">Bring back</button></form></li>
{% endfor %}</ul>{% endif %}</section>
<section><h2>Changed lately</h2>
{% if lately.is_empty() %}<p>Nothing yet.</p>{% else %}<ul class="list">{% for one in lately %}<li><div><a href="/history/event/{{ one.event }}"><bdi>{{ one.title }}</bdi></a><br><span class="hint">{{ one.at }}</span></div></li>
{% endfor %}</ul>{% endif %}</section>
"#
)]
struct List {
    trash: Vec<Row>,
    lately: Vec<Row>,
    csrf: String,
}

struct Row {
    event: String,
    title: String,
    at: String,
    revision: u64,
}

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<p><a href="/history">History</a></p>
<h1><bdi>{{ title }}</bdi></h1>
{% if deleted %}<p class="note">This event is deleted. Any version brings it back.</p>{% endif %}
<ul class="list">{% for one in revisions %}<li><div><strong>Version {{ one.number }}</strong>{% if one.served %} <span class="tag good">this is what is served</span>{% endif %}<br>
<span class="hint">{{ one.at }}, by {{ one.author }}</span>
{% for line in one.held %}<br><span class="hint">{{ line }}</span>{% endfor %}
<details><summary>What it says</summary><pre>{{ one.text }}</pre></details></div>
{% if !one.served || deleted %}<form method="post"><input type="hidden" name="csrf" value="{{ csrf }}"><button name="revision" value="{{ one.number }}">Bring this version back</button></form>{% endif %}</li>
{% endfor %}</ul>
"#
)]
struct Versions {
    title: String,
    deleted: bool,
    revisions: Vec<Version>,
    csrf: String,
}

struct Version {
    number: u64,
    served: bool,
    at: String,
    author: String,
    text: String,
    held: Vec<String>,
}

/// Of one event, the latest; of each, so much of its text: a page stays small.
const MOST: usize = 20;
const LONGEST: usize = 3_000;
const ROWS: usize = 100;

/// The pages.
pub(super) async fn get(desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
    match path {
        [] => list(desk, request).await,
        ["event", id] => versions(desk, request, id).await,
        _ => Err(Trouble::NotFound),
    }
}

/// What an event is called, or was.
pub(super) async fn event_title(desk: &Desk, user: &UserId, event: EventId) -> Result<String, Trouble> {
    let object = desk.calendars.current(user, event).await.map_err(Trouble::later)?;
    let title = object.as_ref().and_then(|object| object.members().next()).map(title_of);
    Ok(title.unwrap_or_else(|| "(forgotten)".to_owned()))
}

async fn list(desk: &Desk, request: &Request<'_>) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let mut trash = Vec::new();
    for (event, row) in desk.calendars.trash(user).await.map_err(Trouble::later)?.into_iter().take(ROWS) {
        let title = event_title(desk, user, event).await?;
        trash.push(Row {
            event: event.to_string(),
            title,
            at: time::moment(row.modified, &zone),
            revision: row.revision,
        });
    }
    let (mut lately, mut seen) = (Vec::new(), std::collections::HashSet::new());
    for (_, line) in desk.calendars.audit(user, 300).await.map_err(Trouble::later)? {
        if lately.len() < 50 && seen.insert(line.event) {
            let title = event_title(desk, user, line.event).await?;
            lately.push(Row {
                event: line.event.to_string(),
                title,
                at: time::moment(line.at, &zone),
                revision: line.revision,
            });
        }
    }
    let content = List { trash, lately, csrf: request.csrf() };
    Page { title: "History and trash", here: "/history", content: &content }.answer(request, StatusCode::OK)
}

fn id(text: &str) -> Result<EventId, Trouble> {
    u64::from_str_radix(text, 16).map(EventId).map_err(|_| Trouble::NotFound)
}

async fn versions(desk: &Desk, request: &Request<'_>, event: &str) -> Answer {
    let (user, zone, event) = (request.user()?, time::zone(request), id(event)?);
    let row = desk.calendars.event(user, event).await.map_err(Trouble::later)?.ok_or(Trouble::NotFound)?;
    let names = audit::names(desk, user).await?;
    let held = desk.sync.held_back(user, event).await?;
    let mut revisions = Vec::new();
    let all = desk.calendars.revisions(user, event).await.map_err(Trouble::later)?;
    for one in all.into_iter().rev().take(MOST) {
        let octets = desk.calendars.octets(user, event, one.revision).await.map_err(Trouble::later)?;
        let text = octets.map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
        let of_it = held.iter().filter(|held| held.revision == one.revision);
        let told = |held: &crate::sync::HeldBack| {
            let calendar = names.get(held.source.as_str()).map_or(held.source.as_str(), String::as_str);
            shown(&format!("{calendar} could not take {}; it is kept here", held.properties.join(", ")))
        };
        revisions.push(Version {
            number: one.revision,
            served: one.served,
            at: time::moment(one.at, &zone),
            author: audit::author(&one.author, &names),
            text: shown(&text).chars().take(LONGEST).collect(),
            held: of_it.map(told).collect(),
        });
    }
    let title = event_title(desk, user, event).await?;
    let content = Versions { title, deleted: !row.is_alive(), revisions, csrf: request.csrf() };
    Page { title: "History", here: "/history", content: &content }.answer(request, StatusCode::OK)
}

/// Brings a version back.
pub(super) async fn post(desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
    let ["event", event] = path else { return Err(Trouble::NotFound) };
    let (user, event) = (request.user()?, id(event)?);
    let revision: u64 = request.form().get("revision").parse().map_err(|_| Trouble::NotFound)?;
    let author = Author::Person(user.clone());
    let pending = desk.calendars.restore(user, event, revision, &author).await?;
    desk.settle(&pending).await?;
    done(&format!("/history/event/{event}"), "It is back, and goes to its provider as any other change.")
}
