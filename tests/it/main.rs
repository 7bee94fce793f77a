//! One binary for all integration tests: one link instead of many.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of this is tests, but clippy takes only the test functions for such, not what they call"
)]
#![allow(
    clippy::case_sensitive_file_extension_comparisons,
    clippy::disallowed_methods,
    clippy::format_push_string,
    clippy::needless_for_each,
    clippy::print_stdout,
    clippy::similar_names,
    clippy::struct_excessive_bools,
    clippy::too_many_lines,
    clippy::unused_self,
    reason = "tests tell stories: long, with real time, an environment and output of their own"
)]

mod api;
mod architecture;
mod attacks;
mod caldav;
mod cli;
mod corpus;
mod crash;
mod edge;
mod feeds;
mod identity;
mod isolation;
mod longevity;
mod pages;
mod promises;
mod scale;
mod simulation;
mod store;
mod store_damage;
mod sync;
mod webhooks;
mod world;
