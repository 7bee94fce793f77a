//! One binary for all integration tests: one link instead of many.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of this is tests, but clippy takes only the test functions for such, not what they call"
)]

mod architecture;
mod caldav;
mod cli;
mod crash;
mod edge;
mod identity;
mod simulation;
mod store;
mod store_damage;
mod sync;
mod world;
