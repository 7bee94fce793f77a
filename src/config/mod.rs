//! The configuration: a TOML file, overridden by the environment, into values that cannot be wrong.
//!
//! Every key has a default, so an empty file is a valid one. A key nobody knows and a value of the wrong kind are
//! errors that name the key, the file and the line. This is the only module that reads the environment.

mod load;
mod sections;
mod units;

pub use load::{ConfigError, Loaded};
pub use sections::{
    Alerts, Config, Conflict, Engine, Google, ICloud, Limits, Log, LogFormat, MassDeleteGuard, Microsoft, Oidc,
    Providers, Routing, RoutingRule, Security, Server, Storage, Strategy, Sync, UpstreamTls, Webhooks,
};
