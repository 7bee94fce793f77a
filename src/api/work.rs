//! How things fare, and the queue of what is to be done for the providers.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::connections::account_record;
use super::{Answer, Api, Problem, Request, empty, json as answer};
use crate::id::AccountId;
use crate::jobs::{Job, JobError, JobId, Priority, Queue, State};

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Extent {
    account: Option<String>,
    full: bool,
}

impl Api {
    pub(super) async fn status(&self, request: &Request<'_>) -> Answer {
        Ok(answer(StatusCode::OK, &self.standing(request).await?))
    }

    pub(super) async fn standing(&self, request: &Request<'_>) -> Result<Value, Problem> {
        let status = self.parts.sync.status(Some(&request.who.user)).await.map_err(Problem::internal)?;
        let accounts: Vec<Value> = status.accounts.iter().map(account_record).collect();
        Ok(json!({ "accounts": accounts, "queue": status.queue, "dead": status.dead }))
    }

    pub(super) async fn sync_now(&self, request: &Request<'_>) -> Answer {
        let extent: Extent = if request.body.is_empty() { Extent::default() } else { request.read()? };
        let account = match extent.account {
            None => None,
            Some(id) => Some(self.own_account(request, &id).await?),
        };
        let user = &request.who.user;
        self.parts.sync.sync_now(user, account.as_ref(), extent.full).await.map_err(Problem::internal)?;
        Ok(answer(StatusCode::ACCEPTED, &json!({ "queued": true })))
    }

    /// The jobs for the person's accounts; `?dead=true`: those that were given up.
    pub(super) async fn jobs(&self, request: &Request<'_>) -> Answer {
        let own = self.lanes(request).await?;
        let dead = request.asked("dead").is_some_and(|dead| dead != "false");
        let queue = &self.parts.queue;
        let jobs = if dead { queue.dead().await } else { queue.list().await };
        let jobs = jobs.map_err(Problem::internal)?;
        let records: Vec<Value> = jobs.iter().filter(|job| own.contains(&job.lane)).map(record).collect();
        Ok(answer(StatusCode::OK, &records))
    }

    pub(super) async fn retry_job(&self, request: &Request<'_>, id: &str) -> Answer {
        let id = self.own_job(request, id).await?;
        self.parts.queue.retry(id).await.map_err(of_job)?;
        Ok(answer(StatusCode::ACCEPTED, &json!({ "id": id.to_string() })))
    }

    pub(super) async fn drop_job(&self, request: &Request<'_>, id: &str) -> Answer {
        let id = self.own_job(request, id).await?;
        Queue::drop(&self.parts.queue, id).await.map_err(of_job)?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    async fn own_account(&self, request: &Request<'_>, id: &str) -> Result<AccountId, Problem> {
        let own = self.parts.accounts.list(&request.who.user).await.map_err(Problem::internal)?;
        let found = own.into_iter().map(|account| account.id).find(|account| account.as_str() == id);
        found.ok_or_else(|| Problem::not_found("There is no such account."))
    }

    async fn lanes(&self, request: &Request<'_>) -> Result<Vec<String>, Problem> {
        let own = self.parts.accounts.list(&request.who.user).await.map_err(Problem::internal)?;
        Ok(own.iter().map(|account| account.id.to_string()).collect())
    }

    async fn own_job(&self, request: &Request<'_>, id: &str) -> Result<JobId, Problem> {
        let none = || Problem::not_found("There is no such job.");
        let id = JobId(id.parse().map_err(|_| none())?);
        let own = self.lanes(request).await?;
        let mut jobs = self.parts.queue.list().await.map_err(Problem::internal)?;
        jobs.extend(self.parts.queue.dead().await.map_err(Problem::internal)?);
        let found = jobs.iter().any(|job| job.id == id && own.contains(&job.lane));
        if found { Ok(id) } else { Err(none()) }
    }
}

fn record(job: &Job) -> Value {
    let (state, due, reason) = match &job.standing.state {
        State::Ready { at } => ("ready", Some(*at), job.last_error.clone()),
        State::Leased { until, .. } => ("running", Some(*until), job.last_error.clone()),
        State::Waiting { on_person } => ("waiting", None, Some(on_person.clone())),
        State::Dead { why } => ("dead", None, Some(why.clone())),
    };
    let priority = match job.priority {
        Priority::High => "high",
        Priority::Medium => "medium",
        Priority::Low => "low",
    };
    json!({
        "id": job.id.to_string(), "kind": job.kind, "account": job.lane, "priority": priority, "state": state,
        "due": due, "attempts": job.standing.attempts, "reason": reason, "created": job.created,
    })
}

fn of_job(error: JobError) -> Problem {
    match error {
        JobError::Store(error) => Problem::internal(error),
        other => Problem::new(StatusCode::CONFLICT, other.to_string()),
    }
}
