//! What the process says about itself: one subscriber for the whole program.
//!
//! Messages go to stderr, so that stdout stays free for what a command prints. Nothing here, and nothing that
//! logs, ever writes bodies, addresses, passwords or tokens.

use std::io;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One readable line an event.
    #[default]
    Text,
    /// One JSON object an event.
    Json,
}

/// Why logging could not begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is no level and no filter of `tracing`.
    #[error("\"{0}\" is no log level; use error, warn, info, debug, trace, or a filter as lineartime::sync=debug")]
    Level(String),
    /// Somebody installed a subscriber before.
    #[error("logging was set up twice")]
    Twice(#[from] TryInitError),
}

/// Whether `level` is understood.
pub fn check_level(level: &str) -> Result<(), TelemetryError> {
    filter(level).map(drop)
}

/// Installs the subscriber of the process. Call it once, before anything logs.
pub fn init(format: Format, level: &str) -> Result<(), TelemetryError> {
    let registry = tracing_subscriber::registry().with(filter(level)?);
    match format {
        Format::Text => {
            let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false).with_target(false);
            registry.with(lines).try_init()?;
        }
        Format::Json => {
            let lines = tracing_subscriber::fmt::layer().json().flatten_event(true).with_writer(io::stderr);
            registry.with(lines).try_init()?;
        }
    }
    Ok(())
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    // A bare word that is no level would be taken for the name of a target, and silence everything else.
    let is_word = level.chars().all(|c| c.is_ascii_alphanumeric());
    if level.is_empty() || is_word && level.parse::<tracing::level_filters::LevelFilter>().is_err() {
        return Err(TelemetryError::Level(level.to_owned()));
    }
    EnvFilter::try_new(level).map_err(|_| TelemetryError::Level(level.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_told_from_nonsense() {
        for fine in ["info", "off", "warn,lineartime::sync=debug", "TRACE"] {
            assert!(check_level(fine).is_ok(), "{fine}");
        }
        for bad in ["", "loud", "lineartime=loud"] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }
}
