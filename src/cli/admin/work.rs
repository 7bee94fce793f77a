//! The queue, syncing, and how everything fares.

use serde_json::{Value, json};

use super::{Answer, Failure, Listener, existing, failed};
use crate::app::Gateway;
use crate::jobs::{Job, JobId, Queue, State};

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
    let accounts = match user {
        Some(user) => gateway.accounts.list(&existing(gateway, user).await?).await?,
        None => gateway.accounts.all().await?,
    };
    let (mut records, mut queue, mut dead) = (Vec::new(), 0, 0);
    for account in &accounts {
        let record = super::accounts::record(gateway, account).await?;
        let number = |name| record.get(name).and_then(Value::as_u64).unwrap_or_default();
        queue += number("queue");
        dead += number("dead");
        records.push(record);
    }
    let text = summary(&records, queue, dead);
    Ok(Answer::saying(json!({ "accounts": records, "queue": queue, "dead": dead }), text))
}

fn summary(accounts: &[Value], queue: u64, dead: u64) -> String {
    let mut text = String::new();
    for account in accounts {
        let word = |name| account.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let reason = account.get("reason").and_then(Value::as_str).map(|why| format!(": {why}")).unwrap_or_default();
        text += &format!(
            "{} ({}, {}) is {}{reason}; last success {}, next run {}\n",
            word("label"),
            word("provider"),
            word("id"),
            word("state"),
            word("last_success"),
            word("next_run"),
        );
    }
    text + &format!("{queue} jobs in the queue, {dead} given up")
}

pub(super) async fn sync(
    gateway: &Gateway,
    user: &str,
    extent: &Extent,
    progress: &Listener,
) -> Result<Answer, Failure> {
    let _user = existing(gateway, user).await?;
    let _later = (&extent.account, extent.full, extent.wait, progress, gateway);
    failed("syncing is not part of this build yet")
}
