//! The queue: work that waits, runs or was given up, of the person's own accounts.

use std::collections::BTreeMap;

use askama::Template;
use http::StatusCode;

use super::page::{Answer, Page, done, shown};
use super::request::{Request, Trouble};
use super::{Desk, time};
use crate::ical::Zone;
use crate::id::UserId;
use crate::jobs::{Job, JobId, Queue, State};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>Queue</h1>
<p class="hint">Each change that has to go to a provider, and each look at one, is a job. What fails is tried again, later and later;
what keeps failing is given up and stands here until you retry or drop it. Nothing is lost meanwhile.</p>
{% for (title, jobs, dead) in groups %}
<section><h2>{{ title }} ({{ jobs.len() }})</h2>
{% if jobs.is_empty() %}<p>None.</p>{% else %}
<ul class="list">{% for job in jobs %}<li><div><strong>{{ job.what }}</strong> <span class="tag{% if *dead %} bad{% endif %}">{{ job.state }}</span><br>
<span class="hint">{{ job.account }}; {{ job.when }}{% if job.attempts > 0 %}; failed {% if job.attempts == 1 %}once{% else %}{{ job.attempts }} times{% endif %}{% endif %}</span>
{% if !job.reason.is_empty() %}<br>{{ job.reason }}{% endif %}</div>
<form method="post" action="/queue"><input type="hidden" name="csrf" value="{{ csrf }}"><input type="hidden" name="id" value="{{ job.id }}">
{% if *dead %}<button name="do" value="retry">Retry</button><button class="danger" name="do" value="drop">Drop</button>{% endif %}</form></li>
{% endfor %}</ul>{% endif %}</section>
{% endfor %}
"#
)]
struct List {
    groups: Vec<(&'static str, Vec<Row>, bool)>,
    csrf: String,
}

struct Row {
    id: u64,
    what: String,
    state: &'static str,
    account: String,
    when: String,
    attempts: u32,
    reason: String,
}

const MOST: usize = 100;

/// The page.
pub(super) async fn get(desk: &Desk, request: &Request<'_>) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let labels = labels(desk, user).await?;
    let rows = |jobs: Vec<Job>| -> Vec<Row> {
        let own = jobs.into_iter().filter_map(|job| Some(row(labels.get(&job.lane)?, &job, &zone)));
        own.take(MOST).collect()
    };
    let dead = rows(desk.queue.dead().await?);
    let waiting = rows(desk.queue.list().await?);
    let groups = vec![("Given up", dead, true), ("Waiting and running", waiting, false)];
    let content = List { groups, csrf: request.csrf() };
    Page { title: "Queue", here: "/queue", content: &content }.answer(request, StatusCode::OK)
}

/// The person's accounts by the lanes of their jobs.
async fn labels(desk: &Desk, user: &UserId) -> Result<BTreeMap<String, String>, Trouble> {
    let accounts = desk.accounts.list(user).await?;
    Ok(accounts.into_iter().map(|one| (one.id.to_string(), shown(&one.label))).collect())
}

fn row(account: &str, job: &Job, zone: &Zone) -> Row {
    let (state, when, reason) = match &job.standing.state {
        State::Ready { at } => ("planned", format!("due {}", time::moment(*at, zone)), job.last_error.clone()),
        State::Leased { .. } => ("running", "now".to_owned(), job.last_error.clone()),
        State::Waiting { on_person } => ("waiting", "waits for you".to_owned(), Some(on_person.clone())),
        State::Dead { why } => ("given up", format!("since {}", time::moment(job.created, zone)), Some(why.clone())),
    };
    let what = match job.kind.as_str() {
        "push" => "Send changes",
        "pull" => "Read a calendar",
        "discover" => "Look for calendars",
        other => other,
    };
    Row {
        id: job.id.0,
        what: what.to_owned(),
        state,
        account: account.to_owned(),
        when,
        attempts: job.standing.attempts,
        reason: shown(&reason.unwrap_or_default()),
    }
}

/// Retries or drops a job that was given up.
pub(super) async fn post(desk: &Desk, request: &Request<'_>) -> Answer {
    let (user, form) = (request.user()?, request.form());
    let id = JobId(form.get("id").parse().map_err(|_| Trouble::NotFound)?);
    let labels = labels(desk, user).await?;
    let dead = desk.queue.dead().await?;
    if !dead.iter().any(|job| job.id == id && labels.contains_key(&job.lane)) {
        return Err(Trouble::NotFound);
    }
    match form.get("do") {
        "retry" => {
            desk.queue.retry(id).await?;
            done("/queue", "The job runs as soon as a worker is free.")
        }
        "drop" => {
            Queue::drop(&desk.queue, id).await?;
            done("/queue", "The job is dropped.")
        }
        _ => Err(Trouble::NotFound),
    }
}
