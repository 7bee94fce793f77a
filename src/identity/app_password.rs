//! Passwords for one device each: made by us, shown once, revoked one by one.
//!
//! `lt-<id>-<secret>`: the id finds the row, the secret has 128 random bits, so nothing slow is needed.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Scope;
use super::user::{USERS, UserError, Users, commit};
use crate::entropy;
use crate::id::UserId;
use crate::store::{Batch, CommitError, Record, StoreError, Table, tables};
use crate::vault::Secret;

/// The public part of an app password.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AppPasswordId(pub String);

impl fmt::Display for AppPasswordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of an app password; not the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppPassword {
    /// Its public part.
    pub id: AppPasswordId,
    /// What the person calls the device.
    pub label: String,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used, to the hour.
    pub last_used: Option<Timestamp>,
    /// What it is good for.
    pub scope: Scope,
}

#[derive(Clone, Serialize, Deserialize)]
struct Row {
    label: String,
    hash: [u8; 32],
    created: Timestamp,
    last_used: Option<Timestamp>,
    scope: Scope,
}

/// Before there were scopes.
#[derive(Deserialize)]
struct Row1 {
    label: String,
    hash: [u8; 32],
    created: Timestamp,
    last_used: Option<Timestamp>,
}

impl Record for Row {
    const FORMAT: u8 = 2;

    fn upgrade(format: u8, body: &[u8]) -> Option<Self> {
        if format != 1 {
            return None;
        }
        let Row1 { label, hash, created, last_used } = postcard::from_bytes(body).ok()?;
        Some(Self { label, hash, created, last_used, scope: Scope::ALL })
    }
}

const APP_PASSWORDS: Table<(UserId, String), Row> = Table::new(tables::APP_PASSWORD);
const PREFIX: &str = "lt-";
const MANY: usize = 1000;
const MAX_LABEL: usize = 100;

impl Users {
    /// Makes an app password that is good for everything. The secret is not kept; this is the only time that it can be
    /// seen.
    pub async fn app_password_add(&self, user: &UserId, label: &str) -> Result<(AppPasswordId, Secret), UserError> {
        self.app_password_add_within(user, label, Scope::ALL).await
    }

    /// Makes an app password that is good for `scope`.
    pub async fn app_password_add_within(
        &self,
        user: &UserId,
        label: &str,
        scope: Scope,
    ) -> Result<(AppPasswordId, Secret), UserError> {
        let label = label.trim();
        if label.is_empty() || label.len() > MAX_LABEL || label.chars().any(char::is_control) {
            return Err(UserError::BadLabel);
        }
        let id = entropy::token(&*self.entropy, 5);
        let secret = Secret::from(format!("{PREFIX}{id}-{}", entropy::token(&*self.entropy, 16)));
        let row =
            Row { label: label.to_owned(), hash: hash(&secret), created: self.clock.now(), last_used: None, scope };
        let mut batch = Batch::new();
        let key = (user.clone(), id.clone());
        USERS.expect_present(&mut batch, user);
        APP_PASSWORDS.expect_absent(&mut batch, &key);
        APP_PASSWORDS.put(&mut batch, &key, &row);
        commit(&*self.store, batch, || UserError::Unknown(user.clone())).await?;
        Ok((AppPasswordId(id), secret))
    }

    /// The user's app passwords, oldest first.
    pub async fn app_password_list(&self, user: &UserId) -> Result<Vec<AppPassword>, UserError> {
        self.require(user).await?;
        let rows = APP_PASSWORDS.scan(&*self.store, APP_PASSWORDS.range(user), MANY).await?;
        let mut list: Vec<AppPassword> = rows
            .into_iter()
            .map(|((_, id), row)| AppPassword {
                id: AppPasswordId(id),
                label: row.label,
                created: row.created,
                last_used: row.last_used,
                scope: row.scope,
            })
            .collect();
        list.sort_by_key(|one| one.created);
        Ok(list)
    }

    /// Takes an app password away, at once.
    pub async fn app_password_revoke(&self, user: &UserId, id: &AppPasswordId) -> Result<(), UserError> {
        let key = (user.clone(), id.0.clone());
        let mut batch = Batch::new();
        APP_PASSWORDS.expect_present(&mut batch, &key);
        APP_PASSWORDS.delete(&mut batch, &key);
        commit(&*self.store, batch, || UserError::NoAppPassword(id.clone())).await
    }

    /// The app password's id and what it is good for, if `password` is one of the user's.
    pub(super) async fn app_password_of(
        &self,
        user: &UserId,
        password: &Secret,
    ) -> Result<Option<(AppPasswordId, Scope)>, StoreError> {
        let Some(id) = id_of(password) else { return Ok(None) };
        let key = (user.clone(), id.to_owned());
        let Some(row) = APP_PASSWORDS.get(&*self.store, &key).await? else { return Ok(None) };
        if !bool::from(row.hash.ct_eq(&hash(password))) {
            return Ok(None);
        }
        let (now, scope) = (self.clock.now(), row.scope.clone());
        let noted = row.last_used.is_some_and(|at| now.duration_since(at) < SignedDuration::from_hours(1));
        if !noted {
            let mut batch = Batch::new();
            APP_PASSWORDS.expect(&mut batch, &key, &row);
            APP_PASSWORDS.put(&mut batch, &key, &Row { last_used: Some(now), ..row });
            match self.store.commit(batch).await {
                Ok(_) => {}
                // Revoked a moment ago, or another request noted it first: the row decides.
                Err(CommitError::Stale(_)) => {
                    let still = APP_PASSWORDS.get(&*self.store, &key).await?.is_some();
                    return Ok(still.then_some((AppPasswordId(key.1), scope)));
                }
                // A full disk must not keep anybody out.
                Err(CommitError::Store(error)) if error.is_full() => {}
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
        Ok(Some((AppPasswordId(key.1), scope)))
    }

    pub(super) async fn delete_app_passwords(&self, user: &UserId, batch: &mut Batch) -> Result<(), StoreError> {
        for (key, _) in APP_PASSWORDS.scan(&*self.store, APP_PASSWORDS.range(user), usize::MAX).await? {
            APP_PASSWORDS.delete(batch, &key);
        }
        Ok(())
    }
}

/// The id in what looks like an app password.
pub(super) fn id_of(password: &Secret) -> Option<&str> {
    let (id, secret) = password.expose_str()?.strip_prefix(PREFIX)?.split_once('-')?;
    (id.len() == 8 && secret.len() == 26).then_some(id)
}

fn hash(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.expose()).into()
}
