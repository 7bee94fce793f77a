//! `LinearTime` Gateway: one calendar in front of all accounts.

pub mod account;
pub mod app;
pub mod caldav;
pub mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dav;
pub mod entropy;
pub mod ical;
pub mod id;
pub mod identity;
pub mod jobs;
pub mod provider;
pub mod server;
pub mod store;
pub mod sync;
pub mod telemetry;
pub mod transport;
pub mod vault;
pub mod web;
