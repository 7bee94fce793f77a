//! `LinearTime` Gateway: one calendar in front of all accounts.
//!
//! In front, any CalDAV client; behind, a person's calendar accounts; in between, ONE calendar collection (RFC 4791)
//! that mirrors them all, both ways.
//!
//! # Four ideas
//!
//! 1. *The store is the truth, the rest is derived.* A change is one atomic, durable commit: the revision, its name, its
//!    line in the change log and the intent to tell the provider stand or fall together ([`calendar`]). Views are
//!    made from the change log and can be thrown away.
//! 2. *Acknowledged means safe.* An answer is sent after the commit is on disk. What must go upstream is durable by then,
//!    and every push can be repeated.
//! 3. *Three versions, then decide.* For each event and source the [`sync`] floor remembers what both sides last agreed
//!    on. Changes on both sides are merged property by property; what loses stays in the history.
//! 4. *Time, network, randomness and disk come in through the door*: [`clock::Clock`], [`transport::Transport`],
//!    [`entropy::Entropy`], [`store::Store`]. So the engine with its providers runs under simulated time with a seed.
//!
//! # The floors
//!
//! A module uses those below it, as the table in `tests/it/architecture.rs` says; a test holds it to that.
//!
//! | floor | module | its one job |
//! | --- | --- | --- |
//! | 8 | [`app`] [`cli`] [`config`] | wiring, commands, settings |
//! | 7 | [`server`] | listen, limit, sign in, route, stop |
//! | 6 | [`api`] [`caldav`] [`feed`] [`oauth`] [`web`] [`webhook`] | one outside language each |
//! | 5 | [`sync`] | decide and do: read and write sources |
//! | 4 | [`account`] | connected logins and their calendars |
//! | 4 | [`agenda`] | what is when, for people: occurrences, busy times, edits of one or all |
//! | 4 | [`subscription`] | feeds: what each shows, and whose secret opens it |
//! | 4 | [`push`] | tell clients that a calendar has changed |
//! | 3 | [`calendar`] | the domain: write path, change log, views, history |
//! | 3 | [`provider`] | translate one remote calendar service |
//! | 2 | [`dav`] | WebDAV and CalDAV, octets to types, both directions |
//! | 2 | [`jobs`] | leased queue, retries, breaker, dead letters |
//! | 2 | [`identity`] | who is this |
//! | 1½ | [`id`] | what records are called |
//! | 1 | [`ical`] [`store`] [`vault`] [`transport`] | RFC 5545; rows on disk; secrets; requests outwards |
//! | 0 | [`clock`] [`entropy`] [`failpoint`] [`telemetry`] | time, chance, crashes on order, logs |
//!
//! `dav` speaks, `caldav` answers: the first turns octets into types and back, for our server and for our client
//! of other servers alike; the second knows the calendars.
//!
//! # Where to start reading
//!
//! A PUT from a phone: `caldav/put.rs`, then `calendar/write.rs` and `calendar/draft.rs`, then `sync/push.rs`.
//! A change at a provider: `sync/pull.rs`, `sync/reconcile.rs`, `sync/decide.rs`, then `calendar/apply.rs`.

pub mod account;
pub mod agenda;
pub mod api;
pub mod app;
pub mod caldav;
pub mod calendar;
pub mod cli;
pub mod clock;
pub mod config;
pub mod dav;
pub mod entropy;
pub mod failpoint;
pub mod feed;
pub mod ical;
pub mod id;
pub mod identity;
pub mod jobs;
pub mod oauth;
pub mod provider;
pub mod push;
pub mod server;
pub mod store;
pub mod subscription;
pub mod sync;
pub mod telemetry;
pub mod transport;
pub mod vault;
pub mod web;
pub mod webhook;
