//! The server's edge over the parts: the router, its settings, and what it asks the parts behind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

use super::{Gateway, desk, services};
use crate::api::{self, Api};
use crate::caldav;
use crate::calendar::Pending;
use crate::calendar::plain::Plain;
use crate::cli::admin::Failure;
use crate::clock::Clock;
use crate::config::Config;
use crate::feed::Feeds;
use crate::oauth;
use crate::server::{self, Figures, Network, Parties, Readiness, Router, Server, TlsFiles};
use crate::store::Store;
use crate::sync;
use crate::web;
use crate::webhook;

/// Takes the port; nothing is answered yet.
pub(super) async fn bind(gateway: &Arc<Gateway>) -> Result<Server, Failure> {
    let settings = server_config(&gateway.config)?;
    let (clock, entropy) = (gateway.clock.clone(), gateway.entropy.clone());
    let caldav = caldav::Service::new(
        gateway.calendars.clone(),
        Arc::new(Providers(gateway.sync.clone())),
        clock.clone(),
        caldav_settings(&gateway.config),
    );
    let caldav = caldav.with_users(gateway.users.clone()).with_push(gateway.pushes.clone());
    let caldav = if gateway.config.dav.plain_collections {
        caldav.with_plain(Arc::new(Plain::new(gateway.store.clone(), clock.clone())))
    } else {
        caldav
    };
    let oidc = services::oidc(&gateway.config, &gateway.users, &gateway.transport)?;
    let parties = Parties {
        caldav,
        api: api(gateway),
        feeds: Feeds::new(gateway.calendars.clone(), gateway.subscriptions.clone(), clock.clone())
            .with_accounts(gateway.accounts.clone()),
        web: web::Pages::new(gateway.users.clone(), entropy.clone()).with_desk(desk::desk(gateway)).with_oidc(oidc),
        oauth: Some(oauth::Service::new(
            gateway.accounts.clone(),
            gateway.sync.clone(),
            entropy.clone(),
            gateway.config.server.public_url.clone(),
        )),
        webhook: Some(webhook::Service::new(gateway.sync.clone())),
        users: gateway.users.clone(),
        readiness: Arc::new(StoreAnswers(gateway.store.clone())),
        metrics: Some(Figures(figures(&clock)?)),
    };
    let router = Router::new(parties, settings.clone(), clock.clone(), entropy);
    let bound = Server::bind(Arc::new(router), settings, clock).await;
    bound.map_err(|error| {
        let failure = Failure::from(error);
        let named = failure.0.contains("server.listen") || failure.0.contains("server.tls");
        if named { failure } else { Failure(format!("{}; see server.listen", failure.0)) }
    })
}

fn api(gateway: &Gateway) -> Api {
    let parts = api::Parts {
        calendars: gateway.calendars.clone(),
        accounts: gateway.accounts.clone(),
        sync: gateway.sync.clone(),
        queue: gateway.queue.clone(),
        users: gateway.users.clone(),
        subscriptions: gateway.subscriptions.clone(),
        clock: gateway.clock.clone(),
        entropy: gateway.entropy.clone(),
    };
    let settings = api::Settings {
        write_through: gateway.config.sync.write_through,
        public_url: gateway.config.server.public_url.as_str().trim_end_matches('/').to_owned(),
        origins: gateway.config.server.api_origins.clone(),
    };
    Api::new(parts, settings, gateway.stopping.clone())
}

fn server_config(config: &Config) -> Result<server::Config, Failure> {
    let (server, limits) = (&config.server, &config.limits);
    let proxies: Result<Vec<Network>, _> = server.trusted_proxies.iter().map(|text| text.parse()).collect();
    Ok(server::Config {
        listen: server.listen,
        tls: tls_files(server.tls_cert.clone(), server.tls_key.clone()),
        trusted_proxies: proxies?,
        allow_plain_passwords: server.allow_plain_passwords,
        max_connections: server.max_connections,
        max_connections_per_address: server.max_connections_per_address,
        max_requests: server.max_requests,
        header_timeout: server.header_timeout,
        keep_alive: server.keep_alive,
        body_idle_timeout: server.body_idle_timeout,
        request_timeout: server.request_timeout,
        shutdown_grace: server.shutdown_grace,
        max_request_body: limits.max_request_body,
        max_xml_body: limits.max_xml_body,
        max_form_body: limits.max_form_body,
        max_header_bytes: limits.max_header_size,
        max_headers: limits.max_headers,
        max_uri: limits.max_uri,
    })
}

fn tls_files(cert: Option<PathBuf>, key: Option<PathBuf>) -> Option<TlsFiles> {
    Some(TlsFiles { cert: cert?, key: key? })
}

fn caldav_settings(config: &Config) -> caldav::Settings {
    caldav::Settings {
        write_through: config.sync.write_through,
        mail_domain: config.server.public_url.host_str().unwrap_or("localhost").to_owned(),
        public_url: config.server.public_url.to_string(),
        max_multiget: config.limits.max_multiget,
        max_query: config.limits.max_query_results,
        ..caldav::Settings::default()
    }
}

/// The figures of this process. They are kept from here on.
fn figures(clock: &Arc<dyn Clock>) -> Result<PrometheusHandle, Failure> {
    let figures = PrometheusBuilder::new().install_recorder()?;
    let (handle, clock) = (figures.clone(), Arc::clone(clock));
    // Durations pile up until somebody reads them; where nobody does, this keeps them small. It ends with the process.
    tokio::spawn(async move {
        loop {
            clock.sleep(UPKEEP).await;
            handle.run_upkeep();
        }
    });
    Ok(figures)
}

const UPKEEP: Duration = Duration::from_secs(5);

/// The providers' word on a write, from the engine that pushes it.
#[derive(Debug)]
struct Providers(Arc<sync::Engine>);

#[async_trait::async_trait]
impl caldav::Verdicts for Providers {
    async fn verdict(&self, pending: &[Pending], wait: Duration) -> caldav::Verdict {
        match self.0.verdict(pending, wait).await {
            Some(sync::Verdict::Refused(why)) => caldav::Verdict::Refused(why),
            Some(sync::Verdict::Accepted) | None => caldav::Verdict::Fine,
        }
    }
}

/// Ready as long as the store can be read.
#[derive(Debug)]
struct StoreAnswers(Arc<dyn Store>);

#[async_trait::async_trait]
impl Readiness for StoreAnswers {
    async fn check(&self) -> Result<(), String> {
        let row = super::keys::CANARY.key(&"canary".to_owned());
        match self.0.get(&row).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
