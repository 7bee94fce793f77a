//! Accounts and the calendars inside them.

use serde_json::{Value, json};

use super::{Answer, Failure, SourceChange, existing, failed};
use crate::account::{Account, AccountState, NewCalDav};
use crate::app::Gateway;
use crate::calendar::{Collection, CollectionChange, CollectionKind, Mirror, Privacy};
use crate::id::{AccountId, UserId};
use crate::jobs::{Breaker, Hold, LaneHealth};
use crate::vault::Secret;

/// What a CalDAV account is connected with.
pub(super) struct New {
    pub(super) url: String,
    pub(super) username: String,
    pub(super) password: Secret,
    pub(super) label: Option<String>,
}

pub(super) async fn add(gateway: &Gateway, user: &str, new: New) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let new = NewCalDav { label: new.label, address: new.url, username: new.username, password: new.password };
    let account = gateway.accounts.add_caldav(&user, new).await?;
    gateway.account_connected(&account).await?;
    let sources = gateway.accounts.sources_of(&account).await?.len();
    let text = format!("{} is connected as {}, with {sources} calendars", account.label, account.id);
    let mut document = record(gateway, &account).await?;
    if let Some(fields) = document.as_object_mut() {
        fields.insert("sources".to_owned(), json!(sources));
    }
    Ok(Answer::saying(document, text))
}

pub(super) async fn list(gateway: &Gateway, user: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let mut records = Vec::new();
    for account in gateway.accounts.list(&user).await? {
        records.push(record(gateway, &account).await?);
    }
    Ok(Answer::list(records))
}

pub(super) async fn remove(gateway: &Gateway, user: &str, id: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = own(gateway, &user, id).await?;
    forget(gateway, &account).await?;
    let text = format!("{} is removed; its events stay at the provider", account.label);
    Ok(Answer::saying(json!({ "id": account.id }), text))
}

pub(super) async fn remove_all(gateway: &Gateway, user: &UserId) -> Result<(), Failure> {
    for account in gateway.accounts.list(user).await? {
        forget(gateway, &account).await?;
    }
    Ok(())
}

pub(super) async fn pause(gateway: &Gateway, user: &str, id: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = own(gateway, &user, id).await?;
    let account = gateway.accounts.pause(&account.id).await?;
    gateway.queue.pause_lane(account.id.as_str()).await?;
    Ok(Answer::saying(record(gateway, &account).await?, format!("{} is paused", account.label)))
}

pub(super) async fn resume(gateway: &Gateway, user: &str, id: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = own(gateway, &user, id).await?;
    let account = gateway.accounts.resume(&account.id).await?;
    gateway.queue.resume_lane(account.id.as_str()).await?;
    gateway.account_connected(&account).await?;
    Ok(Answer::saying(record(gateway, &account).await?, format!("{} is worked for again", account.label)))
}

pub(super) async fn sources(gateway: &Gateway, user: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let default = gateway.calendars.default_collection(&user).await?.id;
    let known = gateway.accounts.sources(&user).await?;
    let mut records = Vec::new();
    for one in gateway.calendars.collections(&user).await? {
        if matches!(one.kind, CollectionKind::Unified) {
            continue;
        }
        let count = gateway.calendars.view(&one.id).await?.len();
        let source = one.source().and_then(|at| known.iter().find(|source| source.id == at.source));
        let mut record = collection_record(&one, one.id == default, count);
        if let Some(fields) = record.as_object_mut() {
            fields.insert("missing".to_owned(), json!(source.is_some_and(|source| source.missing)));
            fields.insert("read_only".to_owned(), json!(source.is_some_and(|source| source.read_only)));
        }
        records.push(record);
    }
    Ok(Answer::list(records))
}

pub(super) async fn source_set(
    gateway: &Gateway,
    user: &str,
    id: &str,
    change: SourceChange,
) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let one = super::events::collection(gateway, &user, id).await?;
    if matches!(one.kind, CollectionKind::Unified) {
        return failed("the unified calendar has no source; set one of `lineartime source list`");
    }
    if let Some(color) = &change.color {
        check_color(color)?;
    }
    if change.mirror.is_some() && one.source().is_none() {
        return failed(format!("{id} is a local calendar: nothing is mirrored"));
    }
    let resumed = change.mirror.is_some_and(|mirror| mirror != Mirror::Off && one.mirror == Mirror::Off);
    let new = CollectionChange {
        display_name: change.name,
        color: change.color.map(Some),
        mirror: change.mirror,
        privacy: change.privacy,
        ..CollectionChange::default()
    };
    let one = gateway.calendars.update(&one.id, new).await?;
    if change.default {
        gateway.calendars.set_default_source(&user, one.source().map(|at| &at.source)).await?;
    }
    if let (true, Some(at)) = (resumed, one.source()) {
        let account = gateway.accounts.account(&at.account).await?;
        gateway.account_connected(&account).await?;
    }
    let default = gateway.calendars.default_collection(&user).await?.id == one.id;
    let count = gateway.calendars.view(&one.id).await?.len();
    Ok(Answer::saying(collection_record(&one, default, count), format!("{} is changed", one.display_name)))
}

/// How an account fares, as `status` and `account list` say it.
pub(super) async fn record(gateway: &Gateway, account: &Account) -> Result<Value, Failure> {
    let health = gateway.queue.health(account.id.as_str()).await?;
    let (state, reason) = state(account, &health);
    Ok(json!({
        "id": account.id, "user": account.user, "label": account.label, "provider": account.provider.name(),
        "state": state, "reason": reason, "created": account.created, "last_success": health.last_success,
        "next_run": health.next_run, "queue": health.queued, "dead": health.dead, "error_rate": health.error_rate,
        "webhook_expires": Value::Null,
    }))
}

/// One of the five words, and why it is not `healthy`.
fn state(account: &Account, health: &LaneHealth) -> (&'static str, Option<String>) {
    match (&account.state, &health.hold) {
        (AccountState::Paused, _) | (_, Some(Hold::Paused)) => ("paused", None),
        (AccountState::NeedsSignIn { why }, _) | (_, Some(Hold::NeedsSignIn { why })) => {
            ("needs_sign_in", Some(why.clone()))
        }
        (AccountState::Active, None) => match health.breaker {
            Breaker::Open { .. } | Breaker::HalfOpen { .. } => ("down", health.last_error.clone()),
            Breaker::Closed { .. } if health.last_error.is_some() => ("degraded", health.last_error.clone()),
            Breaker::Closed { .. } if health.dead > 0 => {
                ("degraded", Some("jobs were given up; see `lineartime job list --dead`".to_owned()))
            }
            Breaker::Closed { .. } => ("healthy", None),
        },
    }
}

/// Paused first, so that nothing starts on what is taken apart; the jobs go last, for a running one to find itself
/// lost.
async fn forget(gateway: &Gateway, account: &Account) -> Result<(), Failure> {
    gateway.queue.pause_lane(account.id.as_str()).await?;
    gateway.accounts.remove(&account.id).await?;
    gateway.queue.forget_lane(account.id.as_str()).await?;
    Ok(())
}

async fn own(gateway: &Gateway, user: &UserId, id: &str) -> Result<Account, Failure> {
    let none = || Failure(format!("{user} has no account {id}; `lineartime account list {user}` lists them"));
    let id: AccountId = id.parse().map_err(|_| none())?;
    let mine = gateway.accounts.list(user).await?;
    mine.into_iter().find(|account| account.id == id).ok_or_else(none)
}

fn collection_record(one: &Collection, default: bool, count: usize) -> Value {
    let mirror = match one.mirror {
        Mirror::TwoWay => "two-way",
        Mirror::ReadOnly => "read-only",
        Mirror::Off => "off",
    };
    let privacy = match one.privacy {
        Privacy::Full => "full",
        Privacy::Busy => "busy",
    };
    json!({
        "id": one.id.name, "name": one.display_name, "account": one.source().map(|at| &at.account), "mirror": mirror,
        "default": default, "color": one.color, "privacy": privacy, "unified": one.unify, "count": count,
        "created": one.created,
    })
}

fn check_color(color: &str) -> Result<(), Failure> {
    let digits = color.strip_prefix('#').unwrap_or_default();
    if digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(());
    }
    failed(format!("{color} is no colour such as #3366CC"))
}
