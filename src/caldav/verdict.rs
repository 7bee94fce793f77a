//! The wait for a provider's word on a write (flow (a) of the architecture).
//!
//! The write is durable before anybody waits; a verdict that does not come in time changes nothing about that.

use std::fmt::Debug;
use std::time::Duration;

use crate::calendar::Pending;

use super::{Failure, Service};

/// What the providers say to a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They have it, or will: nothing stands against it so far.
    Fine,
    /// One refused for good, with this reason, and the write has been taken back.
    Refused(String),
}

/// Where verdicts come from.
#[async_trait::async_trait]
pub trait Verdicts: Debug + Send + Sync {
    /// Waits at most so long for the verdict on all of these.
    async fn verdict(&self, pending: &[Pending], wait: Duration) -> Verdict;
}

/// For a gateway without providers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoVerdicts;

#[async_trait::async_trait]
impl Verdicts for NoVerdicts {
    async fn verdict(&self, _pending: &[Pending], _wait: Duration) -> Verdict {
        Verdict::Fine
    }
}

impl Service {
    /// Waits for the providers if there is anything to wait for.
    pub(super) async fn settle(&self, pending: &[Pending]) -> Result<(), Failure> {
        let wait = self.settings.write_through;
        if pending.is_empty() || wait.is_zero() {
            return Ok(());
        }
        match self.verdicts.verdict(pending, wait).await {
            Verdict::Fine => Ok(()),
            Verdict::Refused(reason) => Err(Failure::Rejected(reason)),
        }
    }
}
