//! What the pages of signed-in people are given: the parts, and how this server is set up.

use std::sync::Arc;

use super::Gateway;
use crate::cli::admin::{self, Failure, Request};
use crate::id::UserId;
use crate::web::{Desk, House, Settings};

/// The desk over all parts.
pub(super) fn desk(gateway: &Arc<Gateway>) -> Desk {
    let config = &gateway.config;
    Desk {
        calendars: gateway.calendars.clone(),
        accounts: gateway.accounts.clone(),
        sync: gateway.sync.clone(),
        queue: gateway.queue.clone(),
        subscriptions: gateway.subscriptions.clone(),
        clock: gateway.clock.clone(),
        entropy: gateway.entropy.clone(),
        house: Arc::new(Whole(gateway.clone())),
        settings: Settings {
            public_url: config.server.public_url.as_str().trim_end_matches('/').to_owned(),
            google: config.providers.google.client_id.is_some(),
            microsoft: config.providers.microsoft.client_id.is_some(),
            write_through: config.sync.write_through,
            limits: limits(gateway),
        },
    }
}

/// The limits that people may run into, as the configuration names them.
fn limits(gateway: &Gateway) -> Vec<(&'static str, String)> {
    let (limits, security) = (&gateway.config.limits, &gateway.config.security);
    vec![
        ("limits.max_resource_size", format!("{} bytes in one event", limits.max_resource_size)),
        ("limits.max_attendees", format!("{} guests in one event", limits.max_attendees)),
        ("limits.max_resources", format!("{} events in one calendar", limits.max_resources)),
        ("limits.max_collections", format!("{} calendars of one person", limits.max_collections)),
        ("limits.max_request_body", format!("{} bytes in one request", limits.max_request_body)),
        ("limits.max_query_results", format!("{} events in one answer", limits.max_query_results)),
        (
            "security.login_attempts_per_minute",
            format!("{} wrong passwords a minute", security.login_attempts_per_minute),
        ),
        ("sync.poll_interval", format!("every {} s", gateway.config.sync.poll_interval.as_secs())),
    ]
}

/// The whole program.
#[derive(Debug)]
struct Whole(Arc<Gateway>);

#[async_trait::async_trait]
impl House for Whole {
    async fn remove_user(&self, user: &UserId) -> Result<(), String> {
        let request = Request::UserRemove { name: user.to_string() };
        match admin::execute(&self.0, request, &|_| {}).await {
            Ok(_) => Ok(()),
            Err(Failure(why)) => Err(why),
        }
    }

    fn notes(&self) -> Vec<(String, String, String)> {
        let word = |note: &serde_json::Value, name: &str| {
            note.get(name).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        let told = super::notes(&self.0.config);
        told.iter().map(|note| (word(note, "state"), word(note, "finding"), word(note, "advice"))).collect()
    }
}
