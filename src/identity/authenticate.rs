//! Name and password to a user, cheaply for who was right a moment ago and slowly for who guesses.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use quick_cache::sync::Cache;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::app_password::{self, AppPasswordId};
use super::throttle::network;
use super::user::{Row, USERS, Users};
use super::{Scope, SessionId};
use crate::entropy::Entropy;
use crate::id::UserId;
use crate::store::StoreError;
use crate::vault::Secret;

/// Somebody who proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Their name.
    pub user: UserId,
    /// Whether they may manage others. A limited app password is not for that.
    pub admin: bool,
    /// By what they came in.
    pub via: Via,
}

/// By what somebody came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Via {
    /// Their own password.
    Password,
    /// A device's password, and what it is good for.
    AppPassword(AppPasswordId, Scope),
    /// A browser that somebody signed in with.
    Session(SessionId),
}

impl Who {
    /// What they may do: everything, unless they came with an app password that is limited.
    pub fn scope(&self) -> &Scope {
        match &self.via {
            Via::AppPassword(_, scope) => scope,
            _ => &Scope::ALL,
        }
    }
}

/// Why nobody came in.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// The name or the password is wrong; which one is not said.
    #[error("wrong user name or password")]
    Wrong,
    /// Too many failures.
    #[error("too many failed logins; wait {} seconds", retry_after.as_secs().max(1))]
    Throttled {
        /// When to come back.
        retry_after: Duration,
    },
    /// Too much is going on; the same may be right in a moment.
    #[error("too many logins at once")]
    Busy,
    /// The store failed.
    #[error("the users can't be reached in the store")]
    Store(#[from] StoreError),
}

/// The passwords that were verified lately, under a hash whose key lives in this process alone. The hash covers
/// the stored password's hash and generation, so a changed password is not found, and the address, so that whoever guesses
/// elsewhere is not told by it.
pub(super) struct Remembered {
    key: Zeroizing<[u8; 32]>,
    until: Cache<[u8; 32], Duration>,
}

const REMEMBERED: usize = 10_000;

impl Remembered {
    pub(super) fn new(entropy: &dyn Entropy) -> Self {
        let mut key = Zeroizing::new([0; 32]);
        entropy.fill(&mut *key);
        Self { key, until: Cache::new(REMEMBERED) }
    }

    fn mark(&self, user: &UserId, row: Option<&Row>, password: &Secret, peer: IpAddr) -> [u8; 32] {
        // HMAC takes keys of any length; this one is never refused.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&*self.key) else { return [0; 32] };
        let (hash, generation) = row.map_or(("", 0), |row| (row.hash.as_str(), row.generation));
        let from = network(peer).to_string();
        let secret = [user.as_str().as_bytes(), password.expose(), hash.as_bytes()];
        for part in secret.into_iter().chain([generation.to_be_bytes().as_slice(), from.as_bytes()]) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

impl Users {
    /// Who this is. `peer` is the address that the request came from.
    pub async fn authenticate(&self, user: &str, password: &Secret, peer: IpAddr) -> Result<Who, AuthError> {
        let name = UserId::parse(user).ok();
        let row = match &name {
            Some(name) => USERS.get(&*self.store, name).await?,
            None => None,
        };
        if let (Some(name), Some(row)) = (&name, &row)
            && let Some((id, scope)) = self.app_password_of(name, password).await?
        {
            let admin = row.admin && scope.is_all();
            return Ok(Who { user: name.clone(), admin, via: Via::AppPassword(id, scope) });
        }
        // Whoever never was a user is counted under one spelling too, however they write it.
        let counted = name.as_ref().map_or("", UserId::as_str).to_owned();
        let right = if app_password::id_of(password).is_some() {
            // It has our form and is none of ours: nothing that a slow hash could tell, whether the user is known
            // or not.
            self.admit(&counted, peer)?;
            false
        } else {
            self.has_password(name.as_ref(), row.as_ref(), password, peer).await?
        };
        match (name, row) {
            (Some(user), Some(row)) if right => Ok(Who { user, admin: row.admin, via: Via::Password }),
            _ => {
                self.throttle.failed(&counted, peer);
                Err(AuthError::Wrong)
            }
        }
    }

    /// One slow hash for a password that many requests bring at the same time; none for one that is remembered.
    async fn has_password(
        &self,
        name: Option<&UserId>,
        row: Option<&Row>,
        password: &Secret,
        peer: IpAddr,
    ) -> Result<bool, AuthError> {
        let Some(name) = name else {
            self.admit("", peer)?;
            let right = self.hasher.verify(password, None, peer).await.map_err(|_| AuthError::Busy)?;
            self.admit("", peer)?;
            return Ok(right);
        };
        let mark = self.remembered.mark(name, row, password, peer);
        let now = self.clock.monotonic();
        // The time runs from when it was verified, however often it is used.
        self.remembered.until.remove_if(&mark, |until| *until <= now);
        let Err(place) = self.remembered.until.get_value_or_guard_async(&mark).await else { return Ok(true) };
        self.admit(name.as_str(), peer)?;
        let hash = row.map(|row| row.hash.as_str());
        let right = self.hasher.verify(password, hash, peer).await.map_err(|_| AuthError::Busy)?;
        // Many guesses at once tell no more than as many one after the other.
        self.admit(name.as_str(), peer)?;
        if right {
            // It can be refused only when the cache was cleared meanwhile; then the next request verifies again.
            let _refused = place.insert(self.clock.monotonic() + self.config.remember).is_err();
        }
        Ok(right)
    }

    fn admit(&self, user: &str, peer: IpAddr) -> Result<(), AuthError> {
        match self.throttle.held_up(user, peer) {
            Some(retry_after) => Err(AuthError::Throttled { retry_after }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;
    use crate::entropy::SeededEntropy;
    use crate::identity::{Config, RedeemError, UserError};
    use crate::store::MemoryStore;

    struct Bench {
        users: Users,
        clock: ManualClock,
        ana: UserId,
    }

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn secret(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    async fn bench() -> Bench {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        let entropy = Arc::new(SeededEntropy::new(3));
        let users = Users::new(Arc::new(MemoryStore::new()), Arc::new(clock.clone()), entropy, Config::default());
        let ana = UserId::parse("ana").unwrap();
        users.add(&ana, &secret("first password"), true).await.unwrap();
        Bench { users, clock, ana }
    }

    impl Bench {
        async fn login(&self, user: &str, password: &str) -> Result<Who, AuthError> {
            self.users.authenticate(user, &secret(password), HOME).await
        }
    }

    #[tokio::test]
    async fn the_right_password_comes_in_and_a_changed_one_ends_at_once() {
        let bench = bench().await;
        let who = bench.login("Ana", "first password").await.unwrap();
        assert_eq!(who, Who { user: bench.ana.clone(), admin: true, via: Via::Password });
        assert!(matches!(bench.login("ana", "second").await, Err(AuthError::Wrong)));
        assert!(matches!(bench.login("ben", "first password").await, Err(AuthError::Wrong)));
        assert!(matches!(bench.login("a/b", "first password").await, Err(AuthError::Wrong)));
        bench.users.passwd(&bench.ana, &secret("second")).await.unwrap();
        assert!(matches!(bench.login("ana", "first password").await, Err(AuthError::Wrong)));
        assert!(bench.login("ana", "second").await.is_ok());
        bench.users.remove(&bench.ana).await.unwrap();
        assert!(matches!(bench.login("ana", "second").await, Err(AuthError::Wrong)));
    }

    #[tokio::test]
    async fn a_remembered_password_comes_in_although_its_address_is_held_up_and_is_forgotten_in_time() {
        let bench = bench().await;
        bench.login("ana", "first password").await.unwrap();
        for _ in 0..5 {
            assert!(matches!(bench.login("ana", "wrong").await, Err(AuthError::Wrong)));
        }
        assert!(matches!(bench.login("ana", "wrong").await, Err(AuthError::Throttled { .. })));
        assert!(bench.login("ana", "first password").await.is_ok());
        bench.clock.advance(Duration::from_secs(601));
        for _ in 0..5 {
            assert!(matches!(bench.login("ana", "wrong").await, Err(AuthError::Wrong)));
        }
        let held_up = bench.login("ana", "first password").await;
        assert!(matches!(held_up, Err(AuthError::Throttled { retry_after }) if retry_after.as_secs() == 12));
        let password = secret("first password");
        let elsewhere = bench.users.authenticate("ana", &password, "192.0.2.9".parse().unwrap()).await;
        assert!(elsewhere.is_ok(), "failing under a name locks nobody else out");
    }

    #[tokio::test]
    async fn a_remembered_password_tells_nothing_to_who_guesses_elsewhere() {
        let bench = bench().await;
        bench.login("ana", "first password").await.unwrap();
        let stranger: IpAddr = "198.51.100.7".parse().unwrap();
        for number in 0..5 {
            let guess = secret(&format!("guess {number}"));
            assert!(matches!(bench.users.authenticate("ana", &guess, stranger).await, Err(AuthError::Wrong)));
        }
        let right = bench.users.authenticate("ana", &secret("first password"), stranger).await;
        assert!(matches!(right, Err(AuthError::Throttled { .. })), "{right:?}");
    }

    #[tokio::test]
    async fn many_guesses_at_once_tell_no_more_than_one_after_the_other() {
        let bench = bench().await;
        let guesses = (0..20).map(|number| {
            let users = &bench.users;
            async move { users.authenticate("ana", &secret(&format!("guess {number}")), HOME).await }
        });
        let told = futures_util::future::join_all(guesses).await;
        let told = told.iter().filter(|one| matches!(one, Err(AuthError::Wrong))).count();
        assert!(told <= 5 + Config::default().hashes_at_once, "{told}");
    }

    #[tokio::test]
    async fn requests_at_the_same_time_share_one_hash() {
        let bench = bench().await;
        let tight = Config { hashes_at_once: 1, hashes_waiting: 1, ..Config::default() };
        let users =
            Users::new(bench.users.store.clone(), bench.users.clock.clone(), bench.users.entropy.clone(), tight);
        let password = secret("first password");
        let all = (0..20).map(|_| users.authenticate("ana", &password, HOME));
        for one in futures_util::future::join_all(all).await {
            assert!(one.is_ok(), "a second hash would have been told that it is busy");
        }
    }

    #[tokio::test]
    async fn app_passwords_are_listed_used_and_revoked() {
        let bench = bench().await;
        let (id, password) = bench.users.app_password_add(&bench.ana, "phone").await.unwrap();
        let text = password.expose_str().unwrap().to_owned();
        let who = bench.login("ana", &text).await.unwrap();
        assert_eq!(who.via, Via::AppPassword(id.clone(), Scope::ALL));
        let listed = bench.users.app_password_list(&bench.ana).await.unwrap();
        assert_eq!((listed[0].label.as_str(), listed[0].last_used), ("phone", Some(Timestamp::UNIX_EPOCH)));
        bench.clock.advance(Duration::from_secs(3599));
        bench.login("ana", &text).await.unwrap();
        assert_eq!(bench.users.app_password_list(&bench.ana).await.unwrap(), listed, "noted once an hour");
        let ben = UserId::parse("ben").unwrap();
        bench.users.add(&ben, &secret("bens own"), false).await.unwrap();
        assert!(matches!(bench.login("ben", &text).await, Err(AuthError::Wrong)), "it is ana's alone");
        bench.users.app_password_revoke(&bench.ana, &id).await.unwrap();
        assert!(matches!(bench.login("ana", &text).await, Err(AuthError::Wrong)));
        let again = bench.users.app_password_revoke(&bench.ana, &id).await;
        assert!(matches!(again, Err(UserError::NoAppPassword(_))));
        for bad in ["", "a\nb", &"x".repeat(101)] {
            assert!(matches!(bench.users.app_password_add(&bench.ana, bad).await, Err(UserError::BadLabel)));
        }
    }

    #[tokio::test]
    async fn a_limited_app_password_says_so_and_manages_nobody() {
        let bench = bench().await;
        let scope = Scope { read_only: true, collection: Some("unified".parse().unwrap()) };
        let made = bench.users.app_password_add_within(&bench.ana, "wall", scope.clone()).await;
        let (id, password) = made.unwrap();
        let who = bench.login("ana", password.expose_str().unwrap()).await.unwrap();
        assert_eq!(who, Who { user: bench.ana.clone(), admin: false, via: Via::AppPassword(id, scope.clone()) });
        assert_eq!(bench.users.app_password_list(&bench.ana).await.unwrap()[0].scope, scope);
    }

    #[tokio::test]
    async fn a_removed_user_leaves_no_app_password_behind() {
        let bench = bench().await;
        let (_, password) = bench.users.app_password_add(&bench.ana, "phone").await.unwrap();
        bench.users.remove(&bench.ana).await.unwrap();
        bench.users.add(&bench.ana, &secret("another"), false).await.unwrap();
        let back = bench.users.authenticate("ana", &password, HOME).await;
        assert!(matches!(back, Err(AuthError::Wrong)));
    }

    #[tokio::test]
    async fn a_setup_link_makes_one_administrator_within_a_day() {
        let bench = bench().await;
        let (ben, cid) = (UserId::parse("ben").unwrap(), UserId::parse("cid").unwrap());
        let old = bench.users.setup_link().await.unwrap();
        let link = bench.users.setup_link().await.unwrap();
        let redeem = |link: &super::super::SetupLink, user: &UserId| {
            let (token, user) = (link.token.clone(), user.clone());
            let users = &bench.users;
            async move { users.redeem(&token, &user, &secret("a password")).await }
        };
        assert!(matches!(redeem(&old, &ben).await, Err(RedeemError::NotValid)));
        assert!(matches!(redeem(&link, &bench.ana).await, Err(RedeemError::User(UserError::Exists(_)))));
        redeem(&link, &ben).await.unwrap();
        assert!(bench.users.user(&ben).await.unwrap().unwrap().admin);
        assert!(matches!(redeem(&link, &cid).await, Err(RedeemError::NotValid)));
        let late = bench.users.setup_link().await.unwrap();
        bench.clock.advance(Duration::from_hours(24));
        assert!(matches!(redeem(&late, &cid).await, Err(RedeemError::NotValid)));
    }

    #[tokio::test]
    async fn passwords_that_no_client_can_send_are_refused() {
        let bench = bench().await;
        for bad in ["", "a\nb", &"x".repeat(257)] {
            assert!(matches!(bench.users.passwd(&bench.ana, &secret(bad)).await, Err(UserError::BadPassword)));
        }
        let again = bench.users.add(&bench.ana, &secret("x"), false).await;
        assert!(matches!(again, Err(UserError::Exists(_))));
    }
}
