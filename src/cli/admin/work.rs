//! The queue, syncing, and how everything fares.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::accounts::{own, status_record};
use super::{Answer, Failure, Listener, Progress, existing, failed};
use crate::app::Gateway;
use crate::jobs::{Job, JobId, Queue, State};
use crate::sync::{self, Status};

/// What is to be synced.
pub(super) struct Extent {
    pub(super) account: Option<String>,
    pub(super) full: bool,
    pub(super) wait: bool,
}

pub(super) async fn jobs(gateway: &Gateway, dead: bool) -> Result<Answer, Failure> {
    let jobs = if dead { gateway.queue.dead().await? } else { gateway.queue.list().await? };
    Ok(Answer::list(jobs.iter().map(record)))
}

pub(super) async fn retry(gateway: &Gateway, id: u64) -> Result<Answer, Failure> {
    gateway.queue.retry(JobId(id)).await?;
    Ok(Answer::saying(json!({ "id": id.to_string() }), format!("job {id} runs as soon as a worker is free")))
}

pub(super) async fn retry_all_dead(gateway: &Gateway) -> Result<Answer, Failure> {
    let dead = gateway.queue.dead().await?;
    for job in &dead {
        gateway.queue.retry(job.id).await?;
    }
    let ids: Vec<String> = dead.iter().map(|job| job.id.to_string()).collect();
    Ok(Answer::saying(json!({ "ids": ids }), format!("{} jobs run as soon as workers are free", dead.len())))
}

pub(super) async fn drop(gateway: &Gateway, id: u64) -> Result<Answer, Failure> {
    Queue::drop(&gateway.queue, JobId(id)).await?;
    Ok(Answer::saying(json!({ "id": id.to_string() }), format!("job {id} is dropped")))
}

fn record(job: &Job) -> Value {
    let (state, due, reason) = match &job.standing.state {
        State::Ready { at } => ("ready", Some(*at), job.last_error.clone()),
        State::Leased { until, .. } => ("running", Some(*until), job.last_error.clone()),
        State::Waiting { on_person } => ("waiting", None, Some(on_person.clone())),
        State::Dead { why } => ("dead", None, Some(why.clone())),
    };
    json!({
        "id": job.id.to_string(), "kind": job.kind, "account": job.lane, "key": job.key, "priority": priority(job),
        "state": state, "due": due, "attempts": job.standing.attempts, "reason": reason, "created": job.created,
    })
}

fn priority(job: &Job) -> &'static str {
    match job.priority {
        crate::jobs::Priority::High => "high",
        crate::jobs::Priority::Medium => "medium",
        crate::jobs::Priority::Low => "low",
    }
}

pub(super) async fn status(gateway: &Gateway, user: Option<&str>) -> Result<Answer, Failure> {
    let user = match user {
        Some(user) => Some(existing(gateway, user).await?),
        None => None,
    };
    let status = gateway.sync.status(user.as_ref()).await?;
    let records: Vec<Value> = status.accounts.iter().map(status_record).collect();
    let text = summary(&status);
    Ok(Answer::saying(json!({ "accounts": records, "queue": status.queue, "dead": status.dead }), text))
}

fn summary(status: &Status) -> String {
    let mut lines = Vec::new();
    for one in &status.accounts {
        let reason = one.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let time = |at: Option<Timestamp>| at.map_or("-".to_owned(), |at| at.to_string());
        let (last, next) = (time(one.last_success), time(one.next_run));
        let (label, provider, id, state) = (&one.label, one.provider, &one.id, one.state.as_str());
        lines.push(format!("{label} ({provider}, {id}) is {state}{reason}; last success {last}, next run {next}"));
    }
    lines.push(format!("{} changes wait to go to providers, {} jobs were given up", status.queue, status.dead));
    lines.join("\n")
}

pub(super) async fn sync(
    gateway: &Gateway,
    user: &str,
    extent: &Extent,
    progress: &Listener,
) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = match &extent.account {
        Some(id) => Some(own(gateway, &user, id).await?.id),
        None => None,
    };
    if extent.full {
        gateway.sync.discover_now(&user, account.as_ref()).await?;
    }
    if !extent.wait {
        gateway.sync.sync_now(&user, account.as_ref(), extent.full).await?;
        return Ok(Answer::saying(json!({ "user": user, "queued": true }), "a sync is queued"));
    }
    let tell = |told: &sync::Progress| progress(shown(told));
    let known = gateway.accounts.sources(&user).await?.len();
    let mut settled = gateway.sync.settle(&user, account.as_ref(), extent.full, &tell).await?;
    // Calendars that were found on the way are waited for, too.
    if extent.full && gateway.accounts.sources(&user).await?.len() != known {
        settled = gateway.sync.settle(&user, account.as_ref(), false, &tell).await?;
    }
    if let Some(first) = settled.troubles.first() {
        let more = settled.troubles.len() - 1;
        let more = if more > 0 { format!(" (and {more} more; see `lineartime status {user}`)") } else { String::new() };
        return failed(format!("{}, {}: {}{more}", first.account, first.source, first.why));
    }
    let done = &settled.progress;
    let document = json!({
        "user": user, "sources": done.sources, "objects": done.objects, "pending": done.pending,
    });
    Ok(Answer::saying(document, format!("{} calendars are in step", done.sources)))
}

fn shown(told: &sync::Progress) -> Progress {
    let message = match told.pending {
        0 => format!("syncing, {} objects", told.objects),
        pending => format!("syncing, {} objects, {pending} changes to send", told.objects),
    };
    Progress { message, done: told.sources_done as u64, total: told.sources as u64 }
}
