//! How each account fares, in words that every surface shows alike.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::attempts::Kind;
use super::record::{self, HELD};
use super::{Engine, SyncError};
use crate::account::{Account, AccountState};
use crate::id::{AccountId, SourceId, UserId};
use crate::jobs::{Breaker, LaneHealth};

/// The health of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// The last contact went well.
    Healthy,
    /// The last contact failed, or something needs a look; most of it works.
    Degraded,
    /// Several contacts in a row failed.
    Down,
    /// The provider refuses the credentials.
    NeedsSignIn,
    /// A person stopped it.
    Paused,
}

impl Health {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::NeedsSignIn => "needs_sign_in",
            Self::Paused => "paused",
        }
    }
}

/// How one account fares.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountStatus {
    /// Which.
    pub id: AccountId,
    /// Whose.
    pub user: UserId,
    /// Its name for people.
    pub label: String,
    /// The kind of provider.
    pub provider: &'static str,
    /// In a word.
    pub state: Health,
    /// Why it is not healthy.
    pub reason: Option<String>,
    /// When a contact last went well.
    pub last_success: Option<Timestamp>,
    /// When the next contact is due.
    pub next_run: Option<Timestamp>,
    /// Changes that wait to go there.
    pub queue: usize,
    /// The part of the last contacts that failed, 0 to 1.
    pub error_rate: f64,
    /// How long a contact took lately, since the start of this process.
    pub latency: Option<Duration>,
    /// What a person must do, if anything can go on only then.
    pub act: Option<String>,
    /// When the first of its notification channels ends; it is renewed before.
    pub webhook_expires: Option<Timestamp>,
}

/// How everything fares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The accounts asked for.
    pub accounts: Vec<AccountStatus>,
    /// Changes that wait to go to any of them.
    pub queue: usize,
    /// Jobs that were given up.
    pub dead: usize,
}

/// Failures in a row from which an account is down.
const DOWN_AFTER: u32 = 3;

impl Engine {
    /// The accounts of one user, or all.
    pub async fn status(&self, user: Option<&UserId>) -> Result<Status, SyncError> {
        let accounts = match user {
            Some(user) => self.accounts.list(user).await?,
            None => self.accounts.all().await?,
        };
        let mut status = Status::default();
        for account in accounts {
            let lane = self.queue.health(account.id.as_str()).await?;
            status.dead += lane.dead;
            let one = self.account_status(account, lane).await?;
            status.queue += one.queue;
            status.accounts.push(one);
        }
        Ok(status)
    }

    async fn account_status(&self, account: Account, lane: LaneHealth) -> Result<AccountStatus, SyncError> {
        let (mut queue, mut remarks, mut held) = (0, Vec::new(), Vec::new());
        for source in self.accounts.sources_of(&account).await? {
            queue += self.calendars.intents(&source.id).await?.len();
            if source.missing {
                remarks.push(format!("the calendar {:?} is no longer there", source.name));
            } else if let Some(trouble) = self.attempts.of(&source.id, Kind::Pull).trouble {
                // What one calendar can't have is no failure of its account, and would be told nowhere else.
                remarks.push(format!("the calendar {:?} can't be read: {trouble}", source.name));
            }
            held.extend(self.held_words(&source.id, &source.name).await?);
            remarks.extend(self.quarantine_words(&source.id, &source.name).await?);
        }
        let act = match &account.state {
            AccountState::NeedsSignIn { why } => Some(format!("sign in again: {why}")),
            _ => (!held.is_empty()).then(|| held.join("; ")),
        };
        held.extend(remarks);
        let (state, reason) = judge(&account.state, &lane, &held);
        let webhook_expires = self.webhook_expires(&account.id).await?;
        Ok(AccountStatus {
            webhook_expires,
            provider: account.provider.name(),
            latency: self.attempts.latency(&account.id),
            id: account.id,
            user: account.user,
            label: account.label,
            state,
            reason,
            last_success: lane.last_success,
            next_run: lane.next_run,
            queue,
            error_rate: lane.error_rate,
            act,
        })
    }

    async fn held_words(&self, source: &SourceId, name: &str) -> Result<Option<String>, SyncError> {
        let held = HELD.get(&*self.store, source).await?.filter(|held| !held.confirmed);
        Ok(held.map(|held| {
            format!(
                "{} of {} events of {name:?} are gone there; the deletions are held until `source set {source} --confirm-deletions`",
                held.gone.len(), held.known
            )
        }))
    }

    async fn quarantine_words(&self, source: &SourceId, name: &str) -> Result<Option<String>, SyncError> {
        let quarantined = record::quarantined(&*self.store, source).await?;
        let count = quarantined.len();
        Ok(quarantined
            .first()
            .map(|(_, first)| format!("{count} of the items in {name:?} can't be taken in; the first: {}", first.why)))
    }
}

/// The word for an account, and the reason if it is not the good one.
fn judge(account: &AccountState, lane: &LaneHealth, remarks: &[String]) -> (Health, Option<String>) {
    let remark = || (!remarks.is_empty()).then(|| remarks.join("; "));
    match account {
        AccountState::Paused => (Health::Paused, Some("paused by hand".to_owned())),
        AccountState::NeedsSignIn { why } => (Health::NeedsSignIn, Some(why.clone())),
        AccountState::Active => {
            let is_open = matches!(lane.breaker, Breaker::Open { .. });
            if lane.consecutive_failures >= DOWN_AFTER || is_open {
                (Health::Down, lane.last_error.clone().or_else(remark))
            } else if lane.consecutive_failures > 0 || lane.dead > 0 {
                (
                    Health::Degraded,
                    lane.last_error.clone().or_else(remark).or_else(|| Some("a job was given up".to_owned())),
                )
            } else if let Some(remark) = remark() {
                (Health::Degraded, Some(remark))
            } else {
                (Health::Healthy, None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lane(failures: u32) -> LaneHealth {
        LaneHealth {
            consecutive_failures: failures,
            last_error: (failures > 0).then(|| "no answer".to_owned()),
            last_success: None,
            next_run: None,
            breaker: Breaker::default(),
            hold: None,
            queued: 0,
            dead: 0,
            error_rate: 0.0,
        }
    }

    #[test]
    fn one_word_for_each_state_and_never_a_bad_one_without_its_reason() {
        let sign_in = AccountState::NeedsSignIn { why: "wrong password".to_owned() };
        let held = ["held".to_owned()];
        let table: [(&AccountState, u32, &[String], Health); 7] = [
            (&AccountState::Active, 0, &[], Health::Healthy),
            (&AccountState::Active, 1, &[], Health::Degraded),
            (&AccountState::Active, 3, &[], Health::Down),
            (&AccountState::Active, 0, &held, Health::Degraded),
            (&AccountState::Paused, 9, &[], Health::Paused),
            (&sign_in, 0, &[], Health::NeedsSignIn),
            (&sign_in, 9, &held, Health::NeedsSignIn),
        ];
        for (account, failures, remarks, wanted) in table {
            let (state, reason) = judge(account, &lane(failures), remarks);
            assert_eq!(state, wanted);
            assert_eq!(reason.is_some(), state != Health::Healthy, "{state:?}");
        }
    }
}
