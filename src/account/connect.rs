//! Connecting, changing and removing accounts.
//!
//! Nothing is stored before the provider was found and has answered. The account and its sources are one commit; the
//! collections of the sources follow, and are made up for by the next refresh should the process end in between.

use std::sync::Arc;

use super::record::{
    ACCOUNT_OWNERS, ACCOUNTS, AccountRow, LABEL, LABELS, Labelled, OWNER, Owner, RECORD, delete_source, put_new_source,
};
use super::{Account, AccountError, AccountState, Accounts, Invitations, ProviderKind, Source};
use crate::id::{AccountId, SourceId, UserId};
use crate::provider::caldav::CalDav;
use crate::provider::{Provider, RemoteCalendar};
use crate::store::Batch;
use crate::vault::{Sealed, Secret};

/// What a person gives to connect a CalDAV account.
#[derive(Clone, Debug)]
pub struct NewCalDav {
    /// The name for people; without one, what was given as address.
    pub label: Option<String>,
    /// An e-mail address, a host name, or any URL of the server.
    pub address: String,
    /// The login name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

impl Accounts {
    /// Connects a CalDAV account: finds its calendars, seals the password, makes a source of each calendar. One that waits for
    /// a new sign-in takes the password instead: what is queued for it must not go by connecting it anew.
    pub async fn add_caldav(&self, user: &UserId, new: NewCalDav) -> Result<Account, AccountError> {
        let mine = self.list(user).await?;
        free_label(&signed_in(&mine), new.label.as_deref(), &new.address)?;
        let login = super::registry::login(&new.username, &new.password)?;
        let (provider, calendars) = CalDav::discover(&new.address, login, &self.means).await?;
        let kind = ProviderKind::CalDav {
            given: new.address.trim().to_owned(),
            username: new.username.clone(),
            homes: provider.homes(),
        };
        if let Some(twin) = mine.iter().find(|other| same_login(&other.provider, &kind)) {
            return self.take_password(twin, &new.password, Arc::new(provider)).await;
        }
        let account = self.new_account(user, free_label(&mine, new.label.as_deref(), &new.address)?, kind);
        self.store_and_attach(account, &new.password, &calendars, Arc::new(provider)).await
    }

    /// Gives an account that waits for a new sign-in the password with which its provider has answered. Any other is connected
    /// already.
    pub(super) async fn take_password(
        &self,
        account: &Account,
        password: &Secret,
        provider: Arc<dyn Provider>,
    ) -> Result<Account, AccountError> {
        if !waits_for_sign_in(account) {
            return Err(AccountError::AlreadyConnected(account.label.clone()));
        }
        self.take_secret(&account.id, &self.rows.seal(account, password), provider).await
    }

    pub(super) fn new_account(&self, user: &UserId, label: String, provider: ProviderKind) -> Account {
        Account {
            id: AccountId::random(self.means.entropy.as_ref()),
            user: user.clone(),
            label,
            provider,
            state: AccountState::Active,
            created: self.means.clock.now(),
            invitations: Invitations::default(),
        }
    }

    /// Stores an account whose provider has answered, with a source of each calendar.
    pub(super) async fn store_and_attach(
        &self,
        account: Account,
        secret: &Secret,
        calendars: &[RemoteCalendar],
        provider: Arc<dyn Provider>,
    ) -> Result<Account, AccountError> {
        let sources = self.store_new(&account, secret, calendars).await?;
        self.connected().insert(account.id.clone(), provider);
        for (source, calendar) in sources.iter().zip(calendars) {
            self.attach(source, calendar).await?;
        }
        tracing::info!(account.id = %account.id, sources = sources.len(), "account connected");
        Ok(account)
    }

    /// The accounts of a person, oldest first.
    pub async fn list(&self, user: &UserId) -> Result<Vec<Account>, AccountError> {
        let range = ACCOUNTS.range(&(RECORD, user.clone()));
        let rows = ACCOUNTS.scan(&*self.rows.store, range, usize::MAX).await?;
        let mut accounts: Vec<Account> = rows.into_iter().map(|(_, row)| row.account).collect();
        accounts.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
        Ok(accounts)
    }

    /// The accounts of everybody.
    pub async fn all(&self) -> Result<Vec<Account>, AccountError> {
        let rows = ACCOUNTS.scan(&*self.rows.store, ACCOUNTS.range(&RECORD), usize::MAX).await?;
        Ok(rows.into_iter().map(|(_, row)| row.account).collect())
    }

    /// One account.
    pub async fn account(&self, id: &AccountId) -> Result<Account, AccountError> {
        Ok(self.rows.row(id).await?.account)
    }

    /// Its provider, signed in with the stored secret. Built once, until the account changes.
    pub async fn provider(&self, id: &AccountId) -> Result<Arc<dyn Provider>, AccountError> {
        if let Some(known) = self.connected().get(id) {
            return Ok(known.clone());
        }
        let row = self.rows.row(id).await?;
        let provider = self.build(&row)?;
        // Whoever was faster wins, so that an account has one budget of requests.
        Ok(self.connected().entry(id.clone()).or_insert(provider).clone())
    }

    /// Stops the work for an account.
    pub async fn pause(&self, id: &AccountId) -> Result<Account, AccountError> {
        self.set_state(id, AccountState::Paused).await
    }

    /// Takes the work for an account up again.
    pub async fn resume(&self, id: &AccountId) -> Result<Account, AccountError> {
        self.set_state(id, AccountState::Active).await
    }

    /// Notes that the provider refuses the credentials. An account that a person has paused stays so.
    pub async fn needs_sign_in(&self, id: &AccountId, why: &str) -> Result<Account, AccountError> {
        let state = AccountState::NeedsSignIn { why: why.to_owned() };
        self.rows
            .change(id, |row| {
                if row.account.state != AccountState::Paused {
                    row.account.state = state.clone();
                }
            })
            .await
    }

    /// Takes a new password, once the provider has accepted it, and the work up again.
    pub async fn sign_in(&self, id: &AccountId, password: &Secret) -> Result<Account, AccountError> {
        let row = self.rows.row(id).await?;
        let sealed = self.rows.seal(&row.account, password);
        let mut tried = row.clone();
        tried.secret = sealed.clone();
        if !matches!(row.account.provider, ProviderKind::CalDav { .. } | ProviderKind::ICloud { .. }) {
            return Err(AccountError::OtherSignIn("its provider's own page"));
        }
        let provider = self.build(&tried)?;
        provider.calendars().await?;
        self.take_secret(id, &sealed, provider).await
    }

    /// Takes a secret that was tried, and the work up again.
    pub(super) async fn take_secret(
        &self,
        id: &AccountId,
        sealed: &Sealed,
        provider: Arc<dyn Provider>,
    ) -> Result<Account, AccountError> {
        let account = self
            .rows
            .change(id, |row| {
                row.secret = sealed.clone();
                row.account.state = AccountState::Active;
            })
            .await?;
        self.connected().insert(id.clone(), provider);
        Ok(account)
    }

    /// When attendees may be told of changes to this account's events.
    pub async fn set_invitations(&self, id: &AccountId, invitations: Invitations) -> Result<Account, AccountError> {
        self.rows.change(id, |row| row.account.invitations = invitations).await
    }

    /// Forgets an account with its sources and their collections. Its events stay at the provider; tokens are revoked
    /// there.
    pub async fn remove(&self, id: &AccountId) -> Result<(), AccountError> {
        // Paused first, so that no work starts on what is being taken apart.
        let account = self.pause(id).await?;
        let sources = self.sources_of(&account).await?;
        for source in &sources {
            self.calendars.detach(&account.user, &source.id).await?;
        }
        let mut batch = Batch::new();
        for source in &sources {
            delete_source(&mut batch, source);
        }
        ACCOUNTS.delete(&mut batch, &AccountRow::key(&account));
        ACCOUNT_OWNERS.delete(&mut batch, &(OWNER, account.id.clone()));
        LABELS.delete(&mut batch, &(LABEL, account.user.clone(), account.label.clone()));
        self.leave_into(&mut batch, &self.rows.row(id).await?);
        self.rows.store.commit(batch).await?;
        self.connected().remove(id);
        if let Err(error) = self.give_back().await {
            tracing::warn!(account.id = %id, %error, "its tokens are given back later");
        }
        Ok(())
    }

    async fn set_state(&self, id: &AccountId, state: AccountState) -> Result<Account, AccountError> {
        let account = self.rows.change(id, |row| row.account.state = state.clone()).await?;
        self.connected().remove(id);
        Ok(account)
    }

    async fn store_new(
        &self,
        account: &Account,
        secret: &Secret,
        calendars: &[RemoteCalendar],
    ) -> Result<Vec<Source>, AccountError> {
        let row = AccountRow { account: account.clone(), secret: self.rows.seal(account, secret) };
        let label = (LABEL, account.user.clone(), account.label.clone());
        let sources: Vec<Source> = calendars.iter().map(|calendar| self.new_source(account, calendar)).collect();
        let mut batch = Batch::new();
        LABELS.expect_absent(&mut batch, &label);
        LABELS.put(&mut batch, &label, &Labelled(account.id.clone()));
        ACCOUNTS.expect_absent(&mut batch, &AccountRow::key(account));
        ACCOUNTS.put(&mut batch, &AccountRow::key(account), &row);
        ACCOUNT_OWNERS.put(&mut batch, &(OWNER, account.id.clone()), &Owner(account.user.clone()));
        for source in &sources {
            put_new_source(&mut batch, source);
        }
        match self.rows.store.commit(batch).await.map_err(AccountError::from) {
            Ok(_) => Ok(sources),
            // The id is random: what was taken meanwhile is the label.
            Err(AccountError::Stale) => Err(AccountError::LabelTaken(account.label.clone())),
            Err(error) => Err(error),
        }
    }

    pub(super) fn new_source(&self, account: &Account, calendar: &RemoteCalendar) -> Source {
        let id = SourceId::random(self.means.entropy.as_ref());
        Source {
            collection: id.collection(),
            id,
            account: account.id.clone(),
            user: account.user.clone(),
            remote: calendar.id.clone(),
            name: calendar.name.clone(),
            color: calendar.color.clone(),
            read_only: calendar.read_only,
            missing: false,
            absences: 0,
            details: calendar.details.clone(),
        }
    }
}

/// Whether a person has to sign in to it again.
pub(super) fn waits_for_sign_in(account: &Account) -> bool {
    matches!(account.state, AccountState::NeedsSignIn { .. })
}

/// The accounts whose labels are taken whatever comes: who signs in again may name the account as it is named.
pub(super) fn signed_in(mine: &[Account]) -> Vec<Account> {
    mine.iter().filter(|account| !waits_for_sign_in(account)).cloned().collect()
}

/// The label wished for, which must be free, or one made of the address.
pub(super) fn free_label(mine: &[Account], wished: Option<&str>, address: &str) -> Result<String, AccountError> {
    let is_taken = |label: &str| mine.iter().any(|account| account.label == label);
    if let Some(label) = wished {
        let label = label.trim();
        if label.is_empty() || label.chars().count() > 100 || label.chars().any(char::is_control) {
            return Err(AccountError::BadLabel);
        }
        return if is_taken(label) { Err(AccountError::LabelTaken(label.to_owned())) } else { Ok(label.to_owned()) };
    }
    let address = address.trim();
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    let base: String = host.split(['/', '?', '#']).next().unwrap_or(host).chars().take(90).collect();
    let mut labels = (1..).map(|n| if n == 1 { base.clone() } else { format!("{base} {n}") });
    labels.find(|label| !is_taken(label)).ok_or(AccountError::BadLabel)
}

/// Whether two accounts are one login.
pub(super) fn same_login(a: &ProviderKind, b: &ProviderKind) -> bool {
    use ProviderKind::{CalDav, Google, ICloud, Ics, Microsoft};
    match (a, b) {
        (CalDav { username: a, homes: at, .. }, CalDav { username: b, homes, .. }) => {
            a == b && at.iter().any(|home| homes.contains(home))
        }
        (Google { email: a }, Google { email: b })
        | (Microsoft { email: a, .. }, Microsoft { email: b, .. })
        | (ICloud { username: a, .. }, ICloud { username: b, .. }) => a.eq_ignore_ascii_case(b),
        (Ics { digest: a, .. }, Ics { digest: b, .. }) => a == b,
        _ => false,
    }
}
