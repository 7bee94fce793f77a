//! The audit log: who did what to which event, and by which rule.

use std::collections::BTreeMap;

use askama::Template;
use http::StatusCode;

use super::page::{Answer, Page, shown};
use super::request::{Request, Trouble};
use super::{Desk, calendar, time};
use crate::calendar::{Author, Deed};
use crate::id::UserId;

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>Audit</h1>
<p class="hint">Every change of your calendars, the latest first.</p>
<div class="scroll" data-live="60" data-stream="/api/v1/stream"><table class="stack">
<thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">Did</th><th scope="col">Event</th><th scope="col">In</th><th scope="col">Why</th></tr></thead>
<tbody>{% for line in lines %}<tr><td class="when" data-label="When">{{ line.at }}</td><td data-label="Who">{{ line.who }}</td><td data-label="Did">{{ line.deed }}</td><td data-label="Event"><a href="/history/event/{{ line.event }}"><bdi>{{ line.title }}</bdi></a></td><td data-label="In">{{ line.calendars }}</td><td data-label="Why">{{ line.rule }}</td></tr>
{% endfor %}</tbody></table></div>
{% if lines.is_empty() %}<p>Nothing has happened yet.</p>{% endif %}
"#
)]
struct Log {
    lines: Vec<Line>,
}

struct Line {
    at: String,
    who: String,
    deed: &'static str,
    event: String,
    title: String,
    calendars: String,
    rule: String,
}

const MOST: usize = 150;

/// The page.
#[expect(clippy::similar_names, reason = "the words of the field")]
pub(super) async fn get(desk: &Desk, request: &Request<'_>) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let names = names(desk, user).await?;
    let mut lines = Vec::new();
    for (_, line) in desk.calendars.audit(user, MOST).await.map_err(Trouble::later)? {
        let title = super::history::event_title(desk, user, line.event).await?;
        let named = |name: &crate::id::CollectionName| names.get(name.as_str()).cloned().unwrap_or_default();
        let calendars: Vec<String> = line.collections.iter().map(named).filter(|name| !name.is_empty()).collect();
        lines.push(Line {
            at: time::moment(line.at, &zone),
            who: author(&line.author, &names),
            deed: deed(line.deed),
            event: line.event.to_string(),
            title,
            calendars: calendars.join(", "),
            rule: shown(&line.rule.unwrap_or_default()),
        });
    }
    Page { title: "Audit", here: "/audit", content: &Log { lines } }.answer(request, StatusCode::OK)
}

/// What the person's calendars are called, by their ids.
pub(super) async fn names(desk: &Desk, user: &UserId) -> Result<BTreeMap<String, String>, Trouble> {
    Ok(calendar::calendars(desk, user).await?.into_iter().map(|one| (one.name.to_string(), one.title)).collect())
}

/// An author in words.
pub(super) fn author(author: &Author, names: &BTreeMap<String, String>) -> String {
    match author {
        Author::Client { user, device: None } => format!("{user}, by a program"),
        Author::Client { user, device: Some(device) } => shown(&format!("{user}, by a device ({device})")),
        Author::Provider(source) => {
            let calendar = names.get(source.as_str()).map_or(source.as_str(), String::as_str);
            format!("the provider of {calendar}")
        }
        Author::Person(user) => format!("{user}, on these pages"),
        Author::Import => "an import".to_owned(),
        Author::Gateway => "this server".to_owned(),
    }
}

fn deed(deed: Deed) -> &'static str {
    match deed {
        Deed::Created => "created",
        Deed::Edited => "edited",
        Deed::Deleted => "deleted",
        Deed::Restored => "restored",
        Deed::Moved => "moved",
        Deed::Kept => "kept as it was",
    }
}
