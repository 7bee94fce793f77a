//! The keys, with their types and defaults. `config.toml` says of each what it is for.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::units;
use crate::transport::PrivateAddresses;
use crate::vault::Secret;

/// Everything that can be configured. Its default is what an empty file means.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub storage: Storage,
    pub security: Security,
    pub limits: Limits,
    pub dav: Dav,
    pub sync: Sync,
    pub conflict: Conflict,
    pub providers: Providers,
    pub webhooks: Webhooks,
    pub oidc: Oidc,
    pub log: Log,
    pub alerts: Alerts,
    pub routing: Routing,
}

/// Where and how the gateway listens.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// Address and port to listen on. 0.0.0.0:8008 listens on every address.
    pub listen: SocketAddr,
    /// How people and providers reach this server: feeds, sign-in redirects and webhooks are built from it.
    #[serde(deserialize_with = "units::web_address")]
    pub public_url: Url,
    /// Certificate chain (PEM). With `tls_key` set too, TLS is served, and the files are read again when they change.
    pub tls_cert: Option<PathBuf>,
    /// Private key (PEM) of `tls_cert`.
    pub tls_key: Option<PathBuf>,
    /// Addresses and networks of reverse proxies whose X-Forwarded-* is believed, as `["127.0.0.1", "10.0.0.0/8"]`.
    pub trusted_proxies: Vec<String>,
    /// Take passwords over plain HTTP from other machines. Only for networks that encrypt below, as a VPN does.
    pub allow_plain_passwords: bool,
    /// Other sites whose scripts may use the JSON API, as browsers name them. They bring a password; cookies never go along.
    pub api_origins: Vec<String>,
    /// Connections at once.
    pub max_connections: usize,
    /// Connections at once from one address (IPv6: one /64); trusted proxies are not counted.
    pub max_connections_per_address: usize,
    /// Requests worked on at once; further ones are told to come again.
    pub max_requests: usize,
    /// How long a TLS handshake, and then the header of a request, may take.
    #[serde(deserialize_with = "units::duration")]
    pub header_timeout: Duration,
    /// How long a connection may be silent between requests.
    #[serde(deserialize_with = "units::duration")]
    pub keep_alive: Duration,
    /// How long the next piece of a body may take.
    #[serde(deserialize_with = "units::duration")]
    pub body_idle_timeout: Duration,
    /// How long a request may take until its answer begins.
    #[serde(deserialize_with = "units::duration")]
    pub request_timeout: Duration,
    /// How long open requests have to finish when the server stops.
    #[serde(deserialize_with = "units::duration")]
    pub shutdown_grace: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8008)),
            public_url: local_url(),
            tls_cert: None,
            tls_key: None,
            trusted_proxies: Vec::new(),
            allow_plain_passwords: false,
            api_origins: Vec::new(),
            max_connections: 1024,
            max_connections_per_address: 64,
            max_requests: 512,
            header_timeout: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            body_idle_timeout: Duration::from_secs(15),
            request_timeout: Duration::from_mins(1),
            shutdown_grace: Duration::from_secs(8),
        }
    }
}

/// Where data are kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// sled, redb, or memory (nothing is kept; for trying out).
    pub engine: Engine,
    /// The data folder: the store, the master key, the admin socket. Made on first start, for its owner alone.
    pub path: PathBuf,
    /// Address of a database server, for engines that have one. None has in this version.
    #[serde(deserialize_with = "units::secret")]
    pub url: Option<Secret>,
    /// A file that holds url.
    pub url_file: Option<PathBuf>,
}

impl Default for Storage {
    fn default() -> Self {
        Self { engine: Engine::Sled, path: PathBuf::from("data"), url: None, url_file: None }
    }
}

/// Keys and guessing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Security {
    /// The key that seals stored passwords and tokens: 32 octets as hex or base64. Unset, <storage.path>/master.key is made on first start.
    #[serde(deserialize_with = "units::secret")]
    pub master_key: Option<Secret>,
    /// A file that holds `master_key`.
    pub master_key_file: Option<PathBuf>,
    /// Failed logins a minute under one name from one address; then 429.
    pub login_attempts_per_minute: u32,
    /// Failed logins a minute from one address under any name; then 429.
    pub login_attempts_per_minute_per_address: u32,
}

impl Default for Security {
    fn default() -> Self {
        Self {
            master_key: None,
            master_key_file: None,
            login_attempts_per_minute: 5,
            login_attempts_per_minute_per_address: 20,
        }
    }
}

/// What one request, one object and one collection may hold. CalDAV advertises the first three.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Octets of one calendar object.
    #[serde(deserialize_with = "units::size")]
    pub max_resource_size: usize,
    /// Instances of one recurring event.
    pub max_instances: usize,
    /// Attendees of one event.
    pub max_attendees: usize,
    /// Octets of a request body.
    #[serde(deserialize_with = "units::size")]
    pub max_request_body: usize,
    /// Octets of an XML request body.
    #[serde(deserialize_with = "units::size")]
    pub max_xml_body: usize,
    /// Octets of a form.
    #[serde(deserialize_with = "units::size")]
    pub max_form_body: usize,
    /// Octets of all header fields of a request.
    #[serde(deserialize_with = "units::size")]
    pub max_header_size: usize,
    /// Header fields of a request.
    pub max_headers: usize,
    /// Octets of a request target.
    #[serde(deserialize_with = "units::size")]
    pub max_uri: usize,
    /// Instances that one request may expand.
    pub max_request_instances: usize,
    /// Objects that one multiget may name.
    pub max_multiget: usize,
    /// Objects that one query may answer with their data.
    pub max_query_results: usize,
    /// Objects in one collection.
    pub max_resources: usize,
    /// Collections of one user.
    pub max_collections: usize,
    /// Octets of one property that a client stores.
    #[serde(deserialize_with = "units::size")]
    pub max_dead_property_size: usize,
    /// Properties that clients may store on one collection or object.
    pub max_dead_properties: usize,
    /// How long deletions are remembered; a client away for longer reads everything again.
    #[serde(deserialize_with = "units::duration")]
    pub sync_token_age: Duration,
    /// Octets of one answer of a provider.
    #[serde(deserialize_with = "units::size")]
    pub max_upstream_body: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_resource_size: 1 << 20,
            max_instances: 3000,
            max_attendees: 300,
            max_request_body: 4 << 20,
            max_xml_body: 1 << 20,
            max_form_body: 64 << 10,
            max_header_size: 16 << 10,
            max_headers: 64,
            max_uri: 8 << 10,
            max_request_instances: 20_000,
            max_multiget: 1000,
            max_query_results: 5000,
            max_resources: 50_000,
            max_collections: 100,
            max_dead_property_size: 4 << 10,
            max_dead_properties: 50,
            sync_token_age: Duration::from_hours(180 * 24),
            max_upstream_body: 32 << 20,
        }
    }
}

/// What is served beside calendars.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Dav {
    /// A small plain WebDAV folder for each user at /dav/files/USER/, for clients and test suites that need one.
    pub plain_collections: bool,
}

/// How accounts are kept in step.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sync {
    /// How often an account is asked for changes.
    #[serde(deserialize_with = "units::duration")]
    pub poll_interval: Duration,
    /// How long a PUT or DELETE waits for the provider's verdict before it is answered; the change is safe either way.
    #[serde(deserialize_with = "units::duration")]
    pub write_through: Duration,
    /// After so many failures a job goes to the dead letters. An account that is merely out of reach is tried for ever.
    pub max_retries: u32,
    /// The pause after the first failure; it doubles with each further one.
    #[serde(deserialize_with = "units::duration")]
    pub backoff_base: Duration,
    /// The longest pause.
    #[serde(deserialize_with = "units::duration")]
    pub backoff_max: Duration,
    /// Accounts worked on at the same time.
    pub workers: usize,
    /// Deletions beyond the larger of the two in one round are held until a second listing agrees and a person confirms.
    pub mass_delete_guard: MassDeleteGuard,
}

impl Default for Sync {
    fn default() -> Self {
        Self {
            poll_interval: Duration::from_mins(15),
            write_through: Duration::from_secs(2),
            max_retries: 8,
            backoff_base: Duration::from_secs(2),
            backoff_max: Duration::from_hours(1),
            workers: 8,
            mass_delete_guard: MassDeleteGuard::default(),
        }
    }
}

/// What happens when both sides changed the same thing.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Conflict {
    /// last-write-wins, provider-priority or manual. The loser is kept in the history.
    pub strategy: Strategy,
    /// Account labels, strongest first, for provider-priority.
    pub priority: Vec<String>,
}

impl Default for Conflict {
    fn default() -> Self {
        Self { strategy: Strategy::LastWriteWins, priority: Vec::new() }
    }
}

/// The services behind accounts.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Providers {
    /// Whether upstream servers may be at loopback, link-local or private addresses: false, true, or a list as `["nas.home.arpa", "192.168.1.0/24"]`.
    #[serde(deserialize_with = "units::private_addresses")]
    pub allow_private_addresses: PrivateAddresses,
    /// See there.
    pub google: Google,
    /// See there.
    pub microsoft: Microsoft,
    /// See there.
    pub icloud: ICloud,
    /// See there.
    pub tls: UpstreamTls,
}

impl Default for Providers {
    fn default() -> Self {
        Self {
            allow_private_addresses: PrivateAddresses::Refuse,
            google: Google::default(),
            microsoft: Microsoft::default(),
            icloud: ICloud::default(),
            tls: UpstreamTls::default(),
        }
    }
}

/// Google, by OAuth. An address that is set here is trusted, into the own network and over http too.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Google {
    /// The client that you registered with Google.
    pub client_id: Option<String>,
    /// Its secret.
    #[serde(deserialize_with = "units::secret")]
    pub client_secret: Option<Secret>,
    /// A file that holds `client_secret`.
    pub client_secret_file: Option<PathBuf>,
    /// Unset: Google's own.
    #[serde(deserialize_with = "units::some_web_address")]
    pub auth_url: Option<Url>,
    /// Unset: Google's own.
    #[serde(deserialize_with = "units::some_web_address")]
    pub token_url: Option<Url>,
    /// Unset: Google's own.
    #[serde(deserialize_with = "units::some_web_address")]
    pub revoke_url: Option<Url>,
    /// Unset: Google's own.
    #[serde(deserialize_with = "units::some_web_address")]
    pub api_url: Option<Url>,
}

/// Microsoft, by OAuth. An address that is set here is trusted, into the own network and over http too.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Microsoft {
    /// The application that you registered with Microsoft.
    pub client_id: Option<String>,
    /// Its secret.
    #[serde(deserialize_with = "units::secret")]
    pub client_secret: Option<Secret>,
    /// A file that holds `client_secret`.
    pub client_secret_file: Option<PathBuf>,
    /// Who may sign in: common, organizations, consumers, or a tenant id.
    pub tenant: String,
    /// Unset: Microsoft's own. Set it for a national cloud.
    #[serde(deserialize_with = "units::some_web_address")]
    pub authority_url: Option<Url>,
    /// Unset: Microsoft's own. Set it for a national cloud.
    #[serde(deserialize_with = "units::some_web_address")]
    pub api_url: Option<Url>,
}

impl Default for Microsoft {
    fn default() -> Self {
        Self {
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            tenant: "common".to_owned(),
            authority_url: None,
            api_url: None,
        }
    }
}

/// iCloud, by an app-specific password.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ICloud {
    /// Unset: iCloud's own.
    #[serde(deserialize_with = "units::some_web_address")]
    pub url: Option<Url>,
}

/// What the servers of a company may need to be reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// Certificates (PEM) of authorities that are trusted beside the usual ones.
    pub ca_file: Option<PathBuf>,
    /// Our certificate chain (PEM), for servers that ask for one.
    pub client_cert: Option<PathBuf>,
    /// Private key (PEM) of `client_cert`.
    pub client_key: Option<PathBuf>,
    /// The hosts that get to see `client_cert`, as `["dav.example.com"]`.
    pub client_cert_hosts: Vec<String>,
    /// Speak HTTP/1.1 only: some servers stumble over HTTP/2.
    pub http1_only: bool,
}

/// Notifications from providers. Without them accounts are polled.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Webhooks {
    /// Unset: true when `server.public_url` is https.
    pub enabled: Option<bool>,
    /// How long before its end a registration is renewed.
    #[serde(deserialize_with = "units::duration")]
    pub renew_before: Duration,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self { enabled: None, renew_before: Duration::from_hours(24) }
    }
}

/// Signing in at a company's own service (`OpenID` Connect).
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oidc {
    /// The service, letter by letter as it names itself.
    pub issuer: Option<String>,
    /// The client that you registered there.
    pub client_id: Option<String>,
    /// Its secret.
    #[serde(deserialize_with = "units::secret")]
    pub client_secret: Option<Secret>,
    /// A file that holds `client_secret`.
    pub client_secret_file: Option<PathBuf>,
    /// What people call the service; on the button.
    pub name: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that holds the user name.
    pub user_claim: String,
    /// The claim that holds the groups.
    pub groups_claim: String,
    /// Members of any of these come in; everybody when there are none.
    pub allowed_groups: Vec<String>,
    /// Members of any of these are administrators.
    pub admin_groups: Vec<String>,
    /// One more of `admin_groups`.
    pub admin_group: Option<String>,
    /// Whether somebody who signs in for the first time becomes a user.
    pub create_users: bool,
}

impl Default for Oidc {
    fn default() -> Self {
        Self {
            issuer: None,
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            name: "your company".to_owned(),
            scopes: vec!["profile".to_owned()],
            user_claim: "preferred_username".to_owned(),
            groups_claim: "groups".to_owned(),
            allowed_groups: Vec::new(),
            admin_groups: Vec::new(),
            admin_group: None,
            create_users: true,
        }
    }
}

/// What is written to stderr.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// text or json.
    pub format: LogFormat,
    /// error, warn, info, debug, trace; or a filter as `warn,lineartime::sync=debug`.
    pub level: String,
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// Who is told how accounts fare, and when a person must act.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Where alerts are posted. The address is treated as a secret.
    #[serde(deserialize_with = "units::secret")]
    pub webhook_url: Option<Secret>,
    /// A file that holds `webhook_url`.
    pub webhook_url_file: Option<PathBuf>,
    /// Whether the unified calendar shows an all-day entry when its owner must act. It reaches no provider and no feed.
    pub notices: bool,
}

impl Default for Alerts {
    fn default() -> Self {
        Self { webhook_url: None, webhook_url_file: None, notices: true }
    }
}

/// Where new events of the unified calendar go, before the default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Routing {
    /// The first that fits counts; a user's own rules come before these.
    pub rules: Vec<RoutingRule>,
}

/// One rule: a category or a domain, and where to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoutingRule {
    /// Events of this category.
    pub category: Option<String>,
    /// Events with somebody of this domain.
    pub attendee_domain: Option<String>,
    /// The calendar, by id or name.
    pub to: String,
}

/// How many deletions of one source in one round are believed at once.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MassDeleteGuard {
    /// This many are.
    pub count: usize,
    /// So is this share of what the source holds.
    pub fraction: f64,
}

impl Default for MassDeleteGuard {
    fn default() -> Self {
        Self { count: 10, fraction: 0.2 }
    }
}

/// Which engine keeps the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// The default.
    Sled,
    /// The other one.
    Redb,
    /// Nothing is kept.
    Memory,
}

/// Who wins when both sides changed the same property.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Who wrote last.
    LastWriteWins,
    /// The account that `priority` names first.
    ProviderPriority,
    /// A person says.
    Manual,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// Lines for machines.
    Json,
}

#[expect(clippy::expect_used, reason = "a constant, which every test of the defaults reads")]
fn local_url() -> Url {
    Url::parse("http://127.0.0.1:8008").expect("a URL")
}
