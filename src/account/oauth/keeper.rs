//! The tokens of one account, kept fresh.
//!
//! One lock for asking, refreshing and storing: whoever comes while a refresh is under way waits for it and takes
//! what it brought (fault catalogue 74). Time is measured on the monotonic clock, so that a wall clock that is wrong by
//! hours leads to no storm of refreshes (85).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use oauth2::basic::BasicTokenResponse;
use oauth2::{RefreshToken, TokenResponse as _};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use super::super::record::Rows;
use super::super::{Account, Means};
use super::fault::fault;
use super::{App, TokenSet, granted};
use crate::clock::Clock;
use crate::failpoint;
use crate::id::AccountId;
use crate::provider::{Fault, Tokens};
use crate::vault::Secret;

/// Keeps the tokens of an account fresh.
pub(in crate::account) struct TokenKeeper {
    app: App,
    clock: Arc<dyn Clock>,
    home: Option<(Arc<Rows>, AccountId)>,
    state: Mutex<State>,
}

struct State {
    set: TokenSet,
    access: Option<Access>,
    /// What the service gave last and the store has not taken yet. The service may have forgotten the old token by then, so
    /// this is kept until it is stored, and is used no sooner.
    unsaved: Option<(TokenSet, Access)>,
}

impl State {
    fn new(set: TokenSet, access: Option<Access>) -> Self {
        Self { set, access, unsaved: None }
    }

    /// The access token, if it is good for a while.
    fn good(&self, now: Duration) -> Option<Secret> {
        self.access.as_ref().filter(|access| now < access.good_until).map(|access| access.token.clone())
    }
}

struct Access {
    token: Secret,
    good_until: Duration,
}

impl fmt::Debug for TokenKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKeeper({})", self.app.service.name())
    }
}

impl TokenKeeper {
    /// The tokens of an account; new ones go into its row.
    pub(in crate::account) fn of_account(
        app: App,
        set: TokenSet,
        rows: &Arc<Rows>,
        account: &Account,
        means: &Means,
    ) -> Self {
        let home = Some((rows.clone(), account.id.clone()));
        Self { app, clock: means.clock.clone(), home, state: Mutex::new(State::new(set, None)) }
    }

    /// Tokens of an account that is not stored yet, perhaps with the reply that they came in.
    pub(super) fn of_nobody(app: App, set: TokenSet, reply: Option<&BasicTokenResponse>, means: &Means) -> Self {
        let access = reply.map(|reply| access(reply, &*means.clock));
        Self { app, clock: means.clock.clone(), home: None, state: Mutex::new(State::new(set, access)) }
    }

    /// The tokens as they are now.
    pub(super) async fn set(&self) -> TokenSet {
        self.state.lock().await.set.clone()
    }

    /// The tokens as the account's row has them.
    async fn stored(&self) -> Option<TokenSet> {
        let (rows, id) = self.home.as_ref()?;
        let row = rows.row(id).await.ok()?;
        rows.unseal(&row).and_then(|secret| TokenSet::read(&secret)).ok()
    }

    async fn exchange(&self, set: &TokenSet) -> Result<BasicTokenResponse, Fault> {
        let client = self.app.client();
        let token = RefreshToken::new(String::clone(&set.refresh_token));
        failpoint::reach("oauth.refresh.before_call");
        let reply = client.exchange_refresh_token(&token).request_async(&self.app.way()).await;
        reply.map_err(|failed| fault(self.app.service, &failed))
    }

    async fn refresh(&self, state: &mut State) -> Result<(), Fault> {
        // Somebody may have signed in anew.
        if let Some(set) = self.stored().await {
            state.set = set;
        }
        let reply = match self.exchange(&state.set).await {
            // Or has done so while the service was asked: the new token says nothing against the account.
            Err(Fault::Unauthorized(why)) => match self.stored().await.filter(|set| is_other(set, &state.set)) {
                Some(set) => {
                    state.set = set;
                    self.exchange(&state.set).await?
                }
                None => return Err(Fault::Unauthorized(why)),
            },
            reply => reply?,
        };
        let mut set = state.set.clone();
        if let Some(new) = reply.refresh_token() {
            set.refresh_token = Zeroizing::new(new.secret().clone());
        }
        let scopes = granted(&reply);
        if !scopes.is_empty() {
            set.scopes = scopes;
        }
        let missing = self.app.missing(&set.scopes);
        if !missing.is_empty() {
            return Err(Fault::Unauthorized(super::sign_in::not_allowed(self.app.service, &missing)));
        }
        state.unsaved = Some((set, access(&reply, &*self.clock)));
        failpoint::reach("oauth.refresh.reply_before_persist");
        self.take_over(state).await
    }

    /// Stores what the service gave last, if that is still to be done, and takes it into use.
    async fn take_over(&self, state: &mut State) -> Result<(), Fault> {
        if let Some((new, _)) = &state.unsaved {
            self.keep(&state.set, new).await?;
        }
        if let Some((set, access)) = state.unsaved.take() {
            state.set = set;
            state.access = Some(access);
        }
        Ok(())
    }

    /// Stores a token that the service has put in place of the old one.
    async fn keep(&self, old: &TokenSet, new: &TokenSet) -> Result<(), Fault> {
        let Some((rows, id)) = &self.home else { return Ok(()) };
        if !is_other(old, new) {
            return Ok(());
        }
        let secret = new.write();
        let stored = rows.change(id, |row| row.secret = rows.seal(&row.account, &secret)).await;
        // Without it the next start would have the old token alone, which the service may refuse by then.
        stored.map(drop).map_err(|error| Fault::Unreachable(format!("the new token can't be stored: {error}")))
    }
}

fn is_other(one: &TokenSet, other: &TokenSet) -> bool {
    *one.refresh_token != *other.refresh_token
}

fn access(reply: &BasicTokenResponse, clock: &dyn Clock) -> Access {
    let life = reply.expires_in().unwrap_or(SHORT);
    let token = Secret::new(reply.access_token().secret().as_bytes());
    // A little before its end it is as good as over.
    Access { token, good_until: clock.monotonic() + life.saturating_sub(MARGIN.min(life / 4)) }
}

#[async_trait]
impl Tokens for TokenKeeper {
    async fn access(&self) -> Result<Secret, Fault> {
        let mut state = self.state.lock().await;
        self.take_over(&mut state).await?;
        if let Some(token) = state.good(self.clock.monotonic()) {
            return Ok(token);
        }
        self.refresh(&mut state).await?;
        let token = state.access.as_ref().map(|access| access.token.clone());
        token.ok_or_else(|| Fault::Unauthorized("there is no access token".to_owned()))
    }

    async fn refused(&self, token: &Secret) {
        let mut state = self.state.lock().await;
        if state.access.as_ref().is_some_and(|access| access.token == *token) {
            state.access = None;
        }
    }
}

/// For replies that do not say how long.
const SHORT: Duration = Duration::from_mins(5);
/// So long before its end a token is no longer used.
const MARGIN: Duration = Duration::from_mins(2);
