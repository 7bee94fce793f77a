//! Feeds: addresses for those who only read.

use serde_json::{Value, json};

use super::events::collection;
use super::{Answer, Failure, NewFeed, existing};
use crate::app::Gateway;
use crate::subscription::{Feed, FeedId, Kind};

pub(super) async fn add(gateway: &Gateway, user: &str, mut new: NewFeed) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    for source in &new.sources {
        let chosen = collection(gateway, &user, source).await?.id.name;
        // All of the unified calendar is what a feed shows without a choice.
        if !chosen.is_unified() {
            new.rules.sources.push(chosen);
        }
    }
    let (feed, token) = gateway.subscriptions.add(&user, &new.name, new.rules, new.expires).await?;
    let public = gateway.config.server.public_url.as_str().trim_end_matches('/');
    let address = |ending: &str| format!("{public}/feeds/{}.{ending}", token.expose_str().unwrap_or_default());
    let url = address("ics");
    let webcal = url.split_once("://").map_or_else(|| url.clone(), |(_, rest)| format!("webcal://{rest}"));
    let mut document = record(&feed);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("url".to_owned(), json!(url));
        fields.insert("webcal".to_owned(), json!(webcal));
        fields.insert("json".to_owned(), json!(address("json")));
    }
    let note = "this address is shown only now, and whoever has it can read the feed";
    Ok(Answer::saying(document, format!("{url}\n{webcal}")).note(note))
}

pub(super) async fn list(gateway: &Gateway, user: &str) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    Ok(Answer::list(gateway.subscriptions.list(&user).await?.iter().map(record)))
}

pub(super) async fn revoke(gateway: &Gateway, user: &str, id: String) -> Result<Answer, Failure> {
    let user = existing(gateway, user).await?;
    let id = FeedId(id);
    gateway.subscriptions.revoke(&user, &id).await?;
    Ok(Answer::saying(json!({ "id": id }), format!("{id} is revoked; its address works no more")))
}

/// A feed without its secret.
fn record(feed: &Feed) -> Value {
    let rules = &feed.rules;
    let kind = match rules.kind {
        Kind::Events => "events",
        Kind::FreeBusy => "freebusy",
    };
    json!({
        "id": feed.id, "name": feed.name, "kind": kind, "sources": rules.sources, "detail": rules.detail,
        "show": rules.show, "hide": rules.hide, "private": rules.private, "past": rules.past, "future": rules.future,
        "all_day": rules.all_day, "declined": rules.declined, "categories": rules.categories,
        "pattern": rules.pattern, "alarms": rules.alarms, "created": feed.created, "expires": feed.expires,
        "last_used": feed.last_used,
    })
}
