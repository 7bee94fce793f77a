//! The wiring: a configuration becomes running parts, and stops again. The one place that knows everyone.

mod alerts;
mod desk;
mod edge;
pub(crate) mod housekeeping;
pub(crate) mod keys;
mod process;
mod serve;
mod services;
pub(crate) mod socket;
mod version;
mod vitals;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::account::{Accounts, Means};
use crate::calendar::{self, Calendars, Criterion, Route};
use crate::cli::admin::{Failure, finding};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Engine, Strategy};
use crate::entropy::{Entropy, OsEntropy};
use crate::ical;
use crate::identity::{self, Users};
use crate::jobs::{Policy, Queue};
use crate::push::{self, Pushes};
use crate::store::{self, EngineKind, OpenError, Store};
use crate::subscription::Subscriptions;
use crate::sync;
use crate::transport::{HttpTransport, Transport};

pub(crate) use keys::KEY_FILE;
pub(crate) use serve::serve;

/// All parts, connected, over one open store.
#[derive(Debug)]
pub(crate) struct Gateway {
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) users: Arc<Users>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) calendars: Arc<Calendars>,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) subscriptions: Arc<Subscriptions>,
    pub(crate) sync: Arc<sync::Engine>,
    pub(crate) transport: Arc<dyn Transport>,
    /// Ends what would go on for as long as somebody listens.
    pub(crate) stopping: CancellationToken,
    pub(crate) pushes: Arc<Pushes>,
    rotating: tokio::sync::Mutex<()>,
}

impl Gateway {
    /// Opens the store, and makes folder and key if this is the first start.
    pub(crate) async fn open(config: Config) -> Result<Self, Failure> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let entropy: Arc<dyn Entropy> = Arc::new(OsEntropy);
        let store = open_store(&config, &clock, &entropy).await?;
        match Self::over(config, clock, entropy, Arc::clone(&store)).await {
            Ok(gateway) => Ok(gateway),
            Err(failure) => {
                // What failed is what the person must hear; the files are consistent either way.
                drop(store.close().await);
                Err(failure)
            }
        }
    }

    async fn over(
        config: Config,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        store: Arc<dyn Store>,
    ) -> Result<Self, Failure> {
        version::settle(&config, &*store, &*clock).await?;
        let keys = Arc::new(keys::open(&config, &*store, &*entropy).await?);
        let users = Users::new(store.clone(), clock.clone(), entropy.clone(), identity_config(&config));
        let queue = Queue::new(store.clone(), clock.clone(), entropy.clone(), policy(&config));
        let queue = Arc::new(queue);
        let calendars = Calendars::new(store.clone(), queue.clone(), clock.clone(), entropy.clone(), limits(&config));
        let calendars = Arc::new(calendars.with_routes(routes(&config)?));
        let transport =
            HttpTransport::with(config.providers.allow_private_addresses.clone(), &services::outfit(&config)?);
        let transport = transport.map_err(Failure)?;
        let transport: Arc<dyn Transport> = Arc::new(transport);
        let services = services::services(&config, &transport)?;
        let means = Means { transport: transport.clone(), clock: clock.clone(), entropy: entropy.clone() };
        let accounts = Accounts::new(store.clone(), keys.clone(), calendars.clone(), means).with_services(services);
        let accounts = Arc::new(accounts);
        let means = push::Parts {
            store: store.clone(),
            calendars: calendars.clone(),
            transport: transport.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let pushes = Pushes::open(means, keys.clone(), config.server.public_url.to_string()).await?;
        let pushes = Arc::new(pushes);
        keys::settle(&config, &keys, (&*accounts, &*pushes), &*store, &*entropy).await?;
        let subscriptions = Arc::new(Subscriptions::new(store.clone(), clock.clone(), entropy.clone()));
        let parts = sync::Parts {
            store: store.clone(),
            calendars: calendars.clone(),
            accounts: accounts.clone(),
            providers: Arc::new(sync::Budgets::new(accounts.clone(), clock.clone())),
            queue: queue.clone(),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let sync = Arc::new(sync::Engine::new(parts, sync_config(&config)));
        Ok(Self {
            config,
            clock,
            entropy,
            store,
            users: Arc::new(users),
            queue,
            calendars,
            accounts,
            subscriptions,
            sync,
            transport,
            stopping: CancellationToken::new(),
            pushes,
            rotating: tokio::sync::Mutex::default(),
        })
    }

    /// Flushes and lets the store go.
    pub(crate) async fn close(&self) -> Result<(), Failure> {
        Ok(self.store.close().await?)
    }
}

/// Opens the store alone.
pub(crate) async fn open_store(
    config: &Config,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Arc<dyn Store>, Failure> {
    let path = config.storage.path.clone();
    make_private_folder(&path).map_err(|error| {
        let (path, reason) = (path.clone(), error.to_string());
        Failure::from(OpenError::Unwritable { path, reason })
    })?;
    let (settings, keeps) = (store_settings(config), !matches!(config.storage.engine, Engine::Memory));
    let (clock, entropy) = (clock.clone(), entropy.clone());
    let opened = tokio::task::spawn_blocking(move || {
        if keeps && store::reserve::give_back(&settings.path) {
            tracing::error!("the disk is full; the server starts with what it kept in reserve, and refuses writes");
        }
        let store = store::open(&settings, &*clock, &*entropy)?;
        if keeps && let Err(error) = store::reserve::take(&settings.path) {
            tracing::warn!(%error, "no room could be reserved for a start on a full disk");
        }
        Ok::<_, OpenError>(store)
    });
    Ok(opened.await.map_err(|_| Failure("the store could not be opened: its engine gave up".to_owned()))??)
}

/// Which store, and where.
pub(crate) fn store_settings(config: &Config) -> store::Config {
    store::Config::new(engine(config), config.storage.path.clone())
}

/// Makes a folder that only its owner can look into, with the folders above it. One that is there stays as it is.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// What can be said of a configuration without opening anything.
pub(crate) fn notes(config: &Config) -> Vec<Value> {
    let mut notes = Vec::new();
    let public = &config.server.public_url;
    let local = public.host_str().is_some_and(|host| matches!(host, "127.0.0.1" | "localhost" | "[::1]"));
    let tls = config.server.tls_cert.is_some();
    if public.scheme() == "http" && !local {
        let what = format!("server.public_url is {public}: passwords would cross the network in the clear");
        notes.push(finding(
            "public_url",
            "warning",
            &what,
            "put a TLS proxy in front, or set server.tls_cert and tls_key",
        ));
    } else if public.scheme() == "https" && !tls && config.server.trusted_proxies.is_empty() {
        let what = "server.public_url is https, and neither TLS nor a trusted proxy is configured";
        notes.push(finding(
            "public_url",
            "warning",
            what,
            "set server.trusted_proxies to your proxy's address, or server.tls_cert and tls_key",
        ));
    } else {
        notes.push(finding("public_url", "ok", &format!("the server is reached as {public}"), ""));
    }
    if matches!(config.storage.engine, Engine::Memory) {
        notes.push(finding(
            "storage",
            "warning",
            "storage.engine is memory: nothing is kept",
            "set it to sled or redb",
        ));
    }
    if config.storage.url.is_some() {
        let what = "storage.url is set, and no engine of this version uses it";
        notes.push(finding("storage", "warning", what, "leave it out"));
    }
    for key in without_effect(config) {
        notes.push(finding(key, "warning", &format!("{key} has no effect in this version"), "leave it out"));
    }
    notes
}

/// Keys that are set and read by nothing yet. Whoever makes one work takes its line away.
fn without_effect(config: &Config) -> impl Iterator<Item = &'static str> {
    let usual = Config::default();
    let (limits, usual_limits) = (&config.limits, &usual.limits);
    let set = [("limits.max_request_instances", limits.max_request_instances != usual_limits.max_request_instances)];
    set.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key)
}

fn engine(config: &Config) -> EngineKind {
    match config.storage.engine {
        Engine::Sled => EngineKind::Sled,
        Engine::Redb => EngineKind::Redb,
        Engine::Memory => EngineKind::Memory,
    }
}

fn identity_config(config: &Config) -> identity::Config {
    identity::Config {
        failures_per_minute: config.security.login_attempts_per_minute,
        failures_per_minute_per_address: config.security.login_attempts_per_minute_per_address,
        ..identity::Config::default()
    }
}

fn policy(config: &Config) -> Policy {
    Policy {
        max_retries: config.sync.max_retries,
        backoff_base: config.sync.backoff_base,
        backoff_max: config.sync.backoff_max,
        ..Policy::default()
    }
}

fn sync_config(config: &Config) -> sync::Config {
    let guard = &config.sync.mass_delete_guard;
    sync::Config {
        poll_interval: config.sync.poll_interval,
        mass_delete_guard: sync::MassDelete { count: guard.count, fraction: guard.fraction },
        strategy: match config.conflict.strategy {
            Strategy::LastWriteWins => sync::Strategy::LastWriteWins,
            Strategy::ProviderPriority => sync::Strategy::ProviderPriority(config.conflict.priority.clone()),
            Strategy::Manual => sync::Strategy::Manual,
        },
        workers: config.sync.workers,
        hooks: hooks(config),
        ..sync::Config::default()
    }
}

fn routes(config: &Config) -> Result<Vec<Route>, Failure> {
    let rule = |rule: &crate::config::RoutingRule| match (&rule.category, &rule.attendee_domain) {
        (Some(category), None) => Ok(Route { when: Criterion::Category(category.clone()), to: rule.to.clone() }),
        (None, Some(domain)) => Ok(Route { when: Criterion::AttendeeDomain(domain.clone()), to: rule.to.clone() }),
        _ => Err(Failure("each of routing.rules has either a category or an attendee_domain".to_owned())),
    };
    config.routing.rules.iter().map(rule).collect()
}

/// Providers call only what they reach over https, unless the administrator says that they do.
fn hooks(config: &Config) -> Option<sync::Hooks> {
    let public_url = &config.server.public_url;
    let is_enabled = config.webhooks.enabled.unwrap_or(public_url.scheme() == "https");
    let renew_before = config.webhooks.renew_before;
    is_enabled.then(|| sync::Hooks { public_url: public_url.to_string(), renew_before })
}

fn limits(config: &Config) -> calendar::Limits {
    let object = ical::Limits::default();
    calendar::Limits {
        object: ical::Limits {
            size: config.limits.max_resource_size,
            attendees: config.limits.max_attendees,
            instances: config.limits.max_instances,
            ..object
        },
        objects: config.limits.max_resources,
        collections: config.limits.max_collections,
        property_size: config.limits.max_dead_property_size,
        properties: config.limits.max_dead_properties,
        ..calendar::Limits::default()
    }
}

/// Where the server listens for commands.
pub(crate) fn socket_path(config: &Config) -> PathBuf {
    config.storage.path.join("admin.sock")
}
