//! One binary for all integration tests: one link instead of many.

mod architecture;
mod caldav;
mod cli;
mod crash;
mod identity;
mod simulation;
mod store;
mod sync;
