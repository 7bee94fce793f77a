//! Feeds: made, changed and revoked by their owner.

use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Api, Problem, Request, empty, json as answer};
use crate::subscription::{Feed, FeedError, FeedId, Rules};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewFeed {
    name: String,
    #[serde(default)]
    rules: Rules,
    #[serde(default)]
    expires: Option<Timestamp>,
}

impl Api {
    pub(super) async fn feeds(&self, request: &Request<'_>) -> Answer {
        let feeds = self.parts.subscriptions.list(&request.who.user).await.map_err(of_feed)?;
        Ok(answer(StatusCode::OK, &feeds.iter().map(record).collect::<Vec<_>>()))
    }

    /// The address is in this answer and never again.
    pub(super) async fn add_feed(&self, request: &Request<'_>) -> Answer {
        let new: NewFeed = request.read()?;
        self.check(request, &new.rules).await?;
        let made = self.parts.subscriptions.add(&request.who.user, &new.name, new.rules, new.expires).await;
        let (feed, token) = made.map_err(of_feed)?;
        let token = token.expose_str().unwrap_or_default();
        let url = format!("{}/feeds/{token}.ics", self.settings.public_url);
        let webcal = url.split_once("://").map_or_else(|| url.clone(), |(_, rest)| format!("webcal://{rest}"));
        let mut document = record(&feed);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("url".to_owned(), json!(url));
            fields.insert("webcal".to_owned(), json!(webcal));
        }
        Ok(answer(StatusCode::CREATED, &document))
    }

    pub(super) async fn change_feed(&self, request: &Request<'_>, id: &str) -> Answer {
        let new: NewFeed = request.read()?;
        self.check(request, &new.rules).await?;
        let id = FeedId(id.to_owned());
        let subscriptions = &self.parts.subscriptions;
        let changed = subscriptions.change(&request.who.user, &id, &new.name, new.rules, new.expires).await;
        Ok(answer(StatusCode::OK, &record(&changed.map_err(of_feed)?)))
    }

    pub(super) async fn revoke_feed(&self, request: &Request<'_>, id: &str) -> Answer {
        self.parts.subscriptions.revoke(&request.who.user, &FeedId(id.to_owned())).await.map_err(of_feed)?;
        Ok(empty(StatusCode::NO_CONTENT))
    }

    async fn check(&self, request: &Request<'_>, rules: &Rules) -> Result<(), Problem> {
        for source in &rules.sources {
            self.own_source(request, source.as_str()).await?;
        }
        Ok(())
    }
}

fn record(feed: &Feed) -> Value {
    json!({
        "id": feed.id, "name": feed.name, "rules": feed.rules, "created": feed.created, "expires": feed.expires,
        "last_used": feed.last_used,
    })
}

fn of_feed(error: FeedError) -> Problem {
    match error {
        FeedError::Unknown(_) => Problem::not_found("There is no such feed."),
        FeedError::BadName | FeedError::TooMany => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()),
        FeedError::Store(error) => Problem::internal(error),
    }
}
