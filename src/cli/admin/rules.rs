//! What a person decides about events and accounts: strategies, routes, the trash, parting what was unified.

use serde_json::{Value, json};

use super::accounts::own;
use super::{Answer, Choice, Failure, existing, failed};
use crate::app::Gateway;
use crate::calendar::{Author, Criterion, Route};
use crate::id::SourceId;
use crate::sync::Strategy;

/// Says whose change stands, or chooses.
pub(super) async fn strategy(
    gateway: &Gateway,
    user: &str,
    account: Option<&str>,
    choice: Choice,
) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let account = match account {
        Some(id) => Some(own(gateway, &user, id).await?.id),
        None => None,
    };
    let chosen = match choice {
        Choice::Tell => None,
        Choice::Inherit => Some(None),
        Choice::Take(Strategy::ProviderPriority(labels)) if labels.is_empty() => {
            return failed("provider-priority needs account labels: --priority LABEL, the strongest first");
        }
        Choice::Take(strategy) => Some(Some(strategy)),
    };
    if let Some(chosen) = chosen {
        gateway.sync.choose_strategy(&user, account.as_ref(), chosen).await?;
    }
    let (strategy, by) = gateway.sync.strategy(&user, account.as_ref()).await?;
    let (word, priority): (_, &[String]) = match &strategy {
        Strategy::LastWriteWins => ("last-write-wins", &[]),
        Strategy::ProviderPriority(labels) => ("provider-priority", labels),
        Strategy::Manual => ("manual", &[]),
    };
    let document =
        json!({ "user": user, "account": account, "strategy": word, "priority": priority, "chosen_by": by.as_str() });
    Ok(Answer::saying(document, format!("{word}, by the {}", by.as_str())))
}

pub(super) async fn trash(gateway: &Gateway, user: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let mut records = Vec::new();
    for (event, row) in gateway.calendars.trash(&user).await? {
        let current = gateway.calendars.current(&user, event).await?;
        let summary = current.as_ref().and_then(|object| Some(object.master()?.property("SUMMARY")?.text()));
        let sources: Vec<_> = row.former.iter().map(|member| &member.collection).collect();
        records.push(json!({
            "id": event, "uid": row.uid, "summary": summary, "deleted": row.modified, "revision": row.revision,
            "calendars": sources,
        }));
    }
    Ok(Answer::list(records))
}

/// Brings a deleted event back as it was last.
pub(super) async fn trash_restore(gateway: &Gateway, user: &str, uid: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let trash = gateway.calendars.trash(&user).await?;
    let Some((event, row)) = trash.into_iter().find(|(_, row)| row.uid == uid) else {
        return failed(format!("no deleted event has the UID {uid}; `lineartime trash list {user}` lists them"));
    };
    gateway.calendars.restore(&user, event, row.revision, &Author::Person(user.clone())).await?;
    Ok(Answer::saying(json!({ "id": event, "uid": uid, "revision": row.revision }), format!("{uid} is back")))
}

pub(super) async fn unmerge(gateway: &Gateway, user: &str, uid: &str, source: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let Ok(source) = source.parse::<SourceId>() else {
        return failed(format!("{source} is no source; `lineartime source list {user}` lists them"));
    };
    let event = gateway.sync.unmerge(&user, uid, &source).await?;
    let row = gateway.calendars.event(&user, event).await?;
    let document = json!({ "id": event, "uid": row.map(|row| row.uid), "source": source });
    Ok(Answer::saying(document, "the copy is an event of its own now"))
}

pub(super) async fn routes(gateway: &Gateway, user: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let routes = gateway.calendars.routes(&user).await?;
    Ok(Answer::list(routes.iter().enumerate().map(|(index, route)| record(index + 1, route))))
}

pub(super) async fn route_add(gateway: &Gateway, user: &str, route: Route) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let known = gateway.calendars.collections(&user).await?;
    if !known.iter().any(|one| one.id.name.as_str() == route.to || one.display_name == route.to) {
        return failed(format!("{user} has no calendar {}; `lineartime source list {user}` lists them", route.to));
    }
    let mut routes = gateway.calendars.routes(&user).await?;
    routes.push(route.clone());
    let document = record(routes.len(), &route);
    gateway.calendars.set_routes(&user, routes).await?;
    Ok(Answer::saying(document, "the rule is added after the others"))
}

pub(super) async fn route_remove(gateway: &Gateway, user: &str, id: usize) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let mut routes = gateway.calendars.routes(&user).await?;
    if id == 0 || id > routes.len() {
        return failed(format!("{user} has no rule {id}; `lineartime route list {user}` lists them"));
    }
    routes.remove(id - 1);
    gateway.calendars.set_routes(&user, routes).await?;
    Ok(Answer::saying(json!({ "id": id }), "the rule is taken away"))
}

fn record(id: usize, route: &Route) -> Value {
    let (when, value) = match &route.when {
        Criterion::Category(name) => ("category", name),
        Criterion::AttendeeDomain(domain) => ("attendee_domain", domain),
    };
    json!({ "id": id, "when": when, "value": value, "to": route.to })
}
