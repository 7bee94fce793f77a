//! Accounts and the calendars inside them.

use serde_json::{Value, json};

use super::{Answer, Failure, SourceChange, existing, failed};
use crate::account::{Account, Invitations, NewCalDav, NewICloud, ProviderKind};
use crate::app::Gateway;
use crate::calendar::{Collection, CollectionChange, CollectionKind, Mirror, Privacy};
use crate::id::{AccountId, UserId};
use crate::sync::AccountStatus;
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
    connected(gateway, &gateway.accounts.add_caldav(&user, new).await?).await
}

pub(super) async fn add_icloud(gateway: &Gateway, user: &str, new: NewICloud) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    connected(gateway, &gateway.accounts.add_icloud(&user, new).await?).await
}

pub(super) async fn add_feed(
    gateway: &Gateway,
    user: &str,
    address: &Secret,
    label: Option<&str>,
) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let address = address.expose_str().unwrap_or_default();
    connected(gateway, &gateway.accounts.add_feed(&user, address, label).await?).await
}

/// Has an account worked for that was just connected, and says so.
pub(super) async fn connected(gateway: &Gateway, account: &Account) -> Result<Answer, Failure> {
    gateway.sync.attend(&account.id).await?;
    let sources = gateway.accounts.sources_of(account).await?.len();
    let text = format!("{} is connected as {}, with {sources} calendars", account.label, account.id);
    let mut document = record(gateway, account).await?;
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

pub(super) async fn set(gateway: &Gateway, user: &str, id: &str, invitations: Invitations) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = own(gateway, &user, id).await?;
    let account = gateway.accounts.set_invitations(&account.id, invitations).await?;
    Ok(Answer::saying(record(gateway, &account).await?, format!("{} is changed", account.label)))
}

pub(super) async fn remove(gateway: &Gateway, user: &str, id: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = own(gateway, &user, id).await?;
    gateway.sync.remove(&account.id).await?;
    let text = format!("{} is removed; its events stay at the provider", account.label);
    Ok(Answer::saying(json!({ "id": account.id }), text))
}

pub(super) async fn remove_all(gateway: &Gateway, user: &UserId) -> Result<(), Failure> {
    for account in gateway.accounts.list(user).await? {
        gateway.sync.remove(&account.id).await?;
    }
    Ok(())
}

pub(super) async fn pause(gateway: &Gateway, user: &str, id: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = own(gateway, &user, id).await?;
    gateway.sync.pause(&account.id).await?;
    Ok(Answer::saying(record(gateway, &account).await?, format!("{} is paused", account.label)))
}

pub(super) async fn resume(gateway: &Gateway, user: &str, id: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = own(gateway, &user, id).await?;
    gateway.sync.resume(&account.id).await?;
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
    if let (Some(Mirror::TwoWay), Some(at)) = (change.mirror, one.source())
        && gateway.accounts.source(&at.source).await?.read_only
    {
        return failed(format!("{id} can only be read: its provider takes no changes"));
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
        let source = gateway.accounts.source(&at.source).await?;
        gateway.sync.mirror_again(&source).await?;
    }
    if let (true, Some(at)) = (change.confirm_deletions, one.source())
        && !gateway.sync.confirm_deletions(&at.source).await?
    {
        return failed(format!("no deletions are held for {id}"));
    }
    let default = gateway.calendars.default_collection(&user).await?.id == one.id;
    let count = gateway.calendars.view(&one.id).await?.len();
    Ok(Answer::saying(collection_record(&one, default, count), format!("{} is changed", one.display_name)))
}

/// How an account fares, as `status` says it.
pub(super) fn status_record(one: &AccountStatus) -> Value {
    json!({
        "id": one.id, "label": one.label, "provider": one.provider, "state": one.state.as_str(), "reason": one.reason,
        "last_success": one.last_success, "next_run": one.next_run, "queue": one.queue, "error_rate": one.error_rate,
        "latency_ms": one.latency.map(|latency| u64::try_from(latency.as_millis()).unwrap_or(u64::MAX)), "act": one.act,
        "webhook_expires": one.webhook_expires,
    })
}

/// The same with what does not change.
async fn record(gateway: &Gateway, account: &Account) -> Result<Value, Failure> {
    let status = gateway.sync.status(Some(&account.user)).await?;
    let one = status.accounts.iter().find(|one| one.id == account.id);
    let mut record = one.map_or_else(|| json!({ "id": account.id, "label": account.label }), status_record);
    if let Some(fields) = record.as_object_mut() {
        match &account.provider {
            ProviderKind::CalDav { given, .. } => drop(fields.insert("url".to_owned(), json!(given))),
            // The address of a feed is a secret.
            ProviderKind::Ics { host, .. } => drop(fields.insert("host".to_owned(), json!(host))),
            _ => {}
        }
        fields.insert("username".to_owned(), json!(account.provider.username()));
        fields.insert("invitations".to_owned(), json!(account.invitations));
        fields.insert("created".to_owned(), json!(account.created));
    }
    Ok(record)
}

pub(super) async fn own(gateway: &Gateway, user: &UserId, id: &str) -> Result<Account, Failure> {
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
