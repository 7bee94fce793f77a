//! Who is signed in on the pages: a random token in a cookie, of which only the hash is kept.
//!
//! A session ends by itself (idle for a week, or a month after it began), by hand (one, or all others), and with the
//! password it was begun with: the row holds the generation of that password. A removed user's sessions end likewise.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::user::{USERS, UserError, Users, commit};
use super::{Via, Who};
use crate::entropy;
use crate::id::UserId;
use crate::store::{Batch, CommitError, Record, StoreError, Table, tables};
use crate::vault::Secret;

/// The public part of a session: the start of its token's hash, from which the token can't be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(pub String);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a session; not the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its public part.
    pub id: SessionId,
    /// The browser, as it named itself.
    pub agent: String,
    /// When the person signed in.
    pub created: Timestamp,
    /// When it was last used, to the hour.
    pub last_used: Timestamp,
}

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    user: UserId,
    agent: String,
    created: Timestamp,
    last_used: Timestamp,
    generation: u64,
}

impl Record for Row {
    const FORMAT: u8 = 1;
}

impl Row {
    fn has_ended(&self, now: Timestamp) -> bool {
        now.duration_since(self.last_used) >= IDLE || now.duration_since(self.created) >= LONGEST
    }
}

const SESSIONS: Table<String, Row> = Table::new(tables::SESSION);
const IDLE: SignedDuration = SignedDuration::from_hours(7 * 24);
/// From the sign-in to the end, however much it is used.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);
const MAX_AGENT: usize = 200;
const ID_LENGTH: usize = 16;

impl Users {
    /// Begins a session of a user who has just proved who they are. The token is not kept.
    pub async fn session_begin(&self, user: &UserId, agent: &str) -> Result<Secret, UserError> {
        let owner = self.require(user).await?;
        let token = Secret::from(entropy::token(&*self.entropy, 20));
        let agent: String = agent.chars().filter(|c| !c.is_control()).take(MAX_AGENT).collect();
        let now = self.clock.now();
        let generation = owner.generation;
        let row = Row { user: user.clone(), agent, created: now, last_used: now, generation };
        let mut batch = Batch::new();
        USERS.expect(&mut batch, user, &owner);
        SESSIONS.put(&mut batch, &key(&token), &row);
        commit(&*self.store, batch, || UserError::Busy).await?;
        Ok(token)
    }

    /// Whose session this is, if it holds.
    #[expect(clippy::match_same_arms, reason = "each arm stands for a case of its own")]
    pub async fn session(&self, token: &Secret) -> Result<Option<Who>, StoreError> {
        let key = key(token);
        let Some(row) = SESSIONS.get(&*self.store, &key).await? else { return Ok(None) };
        let now = self.clock.now();
        let Some(owner) = USERS.get(&*self.store, &row.user).await? else { return Ok(None) };
        if row.has_ended(now) || owner.generation != row.generation {
            return Ok(None);
        }
        let who = Who { user: row.user.clone(), admin: owner.admin, via: Via::Session(id_of(&key)) };
        if now.duration_since(row.last_used) >= SignedDuration::from_hours(1) {
            let mut batch = Batch::new();
            SESSIONS.expect(&mut batch, &key, &row);
            SESSIONS.put(&mut batch, &key, &Row { last_used: now, ..row });
            match self.store.commit(batch).await {
                Ok(_) => {}
                // Ended a moment ago, or another request noted it first: the row decides.
                Err(CommitError::Stale(_)) if SESSIONS.get(&*self.store, &key).await?.is_none() => return Ok(None),
                Err(CommitError::Stale(_)) => {}
                // A full disk must not sign anybody out.
                Err(CommitError::Store(error)) if error.is_full() => {}
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        Ok(Some(who))
    }

    /// The sessions of a user that hold, the latest used first.
    pub async fn sessions(&self, user: &UserId) -> Result<Vec<Session>, UserError> {
        let generation = self.require(user).await?.generation;
        let now = self.clock.now();
        let rows = SESSIONS.scan(&*self.store, SESSIONS.all(), usize::MAX).await?;
        let own = rows.into_iter().filter(|(_, row)| row.user == *user && row.generation == generation);
        let mut list: Vec<Session> = own
            .filter(|(_, row)| !row.has_ended(now))
            .map(|(key, row)| Session {
                id: id_of(&key),
                agent: row.agent,
                created: row.created,
                last_used: row.last_used,
            })
            .collect();
        list.sort_by_key(|one| std::cmp::Reverse(one.last_used));
        Ok(list)
    }

    /// Ends the user's sessions that `unwanted` says yes to. Says how many.
    pub async fn end_sessions(
        &self,
        user: &UserId,
        unwanted: impl Fn(&SessionId) -> bool + Send,
    ) -> Result<usize, UserError> {
        let mut batch = Batch::new();
        let mut ended = 0;
        for (key, row) in SESSIONS.scan(&*self.store, SESSIONS.all(), usize::MAX).await? {
            if row.user == *user && unwanted(&id_of(&key)) {
                SESSIONS.delete(&mut batch, &key);
                ended += 1;
            }
        }
        if ended > 0 {
            commit(&*self.store, batch, || UserError::Busy).await?;
        }
        Ok(ended)
    }

    /// Takes away sessions that have ended. Says how many.
    pub async fn forget_ended_sessions(&self) -> Result<u64, UserError> {
        let (now, mut batch, mut forgotten) = (self.clock.now(), Batch::new(), 0);
        for (key, row) in SESSIONS.scan(&*self.store, SESSIONS.all(), usize::MAX).await? {
            let generation = USERS.get(&*self.store, &row.user).await?.map(|owner| owner.generation);
            if row.has_ended(now) || generation != Some(row.generation) {
                SESSIONS.delete(&mut batch, &key);
                forgotten += 1;
            }
        }
        if forgotten > 0 {
            commit(&*self.store, batch, || UserError::Busy).await?;
        }
        Ok(forgotten)
    }
}

fn key(token: &Secret) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(token.expose()))
}

fn id_of(key: &str) -> SessionId {
    SessionId(key.chars().take(ID_LENGTH).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::clock::ManualClock;
    use crate::entropy::SeededEntropy;
    use crate::identity::Config;
    use crate::store::MemoryStore;

    const DAY: Duration = Duration::from_hours(24);

    async fn bench() -> (Users, ManualClock, UserId) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let entropy = Arc::new(SeededEntropy::new(7));
        let users = Users::new(Arc::new(MemoryStore::new()), Arc::new(clock.clone()), entropy, Config::default());
        let ana = UserId::parse("ana").unwrap();
        users.add(&ana, &Secret::from("first password".to_owned()), true).await.unwrap();
        (users, clock, ana)
    }

    #[tokio::test]
    async fn a_session_holds_while_it_is_used_and_a_month_at_most() {
        let (users, clock, ana) = bench().await;
        let token = users.session_begin(&ana, "Firefox\n").await.unwrap();
        assert!(users.session(&Secret::from("x".to_owned())).await.unwrap().is_none());
        for _ in 0..4 {
            clock.advance(6 * DAY);
            assert_eq!(users.session(&token).await.unwrap().unwrap().user, ana);
        }
        assert_eq!(users.sessions(&ana).await.unwrap()[0].agent, "Firefox");
        clock.advance(6 * DAY);
        assert!(users.session(&token).await.unwrap().is_none(), "a month is over");
        let idle = users.session_begin(&ana, "").await.unwrap();
        clock.advance(7 * DAY);
        assert!(users.session(&idle).await.unwrap().is_none(), "not used for a week");
        assert_eq!(users.forget_ended_sessions().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn sessions_end_by_hand_with_the_password_and_with_the_user() {
        let (users, _, ana) = bench().await;
        let first = users.session_begin(&ana, "one").await.unwrap();
        let second = users.session_begin(&ana, "two").await.unwrap();
        let Via::Session(own) = users.session(&first).await.unwrap().unwrap().via else { panic!() };
        assert_eq!(users.end_sessions(&ana, |id| *id != own).await.unwrap(), 1);
        assert!(users.session(&second).await.unwrap().is_none());
        assert!(users.session(&first).await.unwrap().is_some());
        users.passwd(&ana, &Secret::from("second password".to_owned())).await.unwrap();
        assert!(users.session(&first).await.unwrap().is_none());
        let last = users.session_begin(&ana, "three").await.unwrap();
        users.remove(&ana).await.unwrap();
        users.add(&ana, &Secret::from("first password".to_owned()), true).await.unwrap();
        assert!(users.session(&last).await.unwrap().is_none(), "another person may have this name now");
    }
}
