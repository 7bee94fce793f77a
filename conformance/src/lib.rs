//! What speaks to the gateway from outside: seeds, load, figures, the demo. Nothing here knows a product module.

pub mod client;
pub mod demo;
pub mod microsoft;
pub mod peer;
pub mod seed;
pub mod server;
pub mod workload;
