//! The code flow (RFC 6749 4.1) with PKCE (RFC 7636).
//!
//! What is begun lies in a row under the hash of its state, the verifier sealed. The row is taken once, under a
//! condition, before the code is used: a state that comes twice finds nothing. A sign-in that a browser began ends in that
//! browser alone; one that a command began is bound to the command, which waits for it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use oauth2::{AuthorizationCode, CsrfToken, PkceCodeChallenge, PkceCodeVerifier, Scope};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use super::super::{Account, AccountError, Accounts};
use super::fault::{fault, refused};
use super::{OAuthService, TokenSet, granted};
use crate::entropy;
use crate::id::{AccountId, UserId};
use crate::provider::Fault;
use crate::store::{Batch, CommitError, Record, Table, tables};
use crate::vault::{Sealed, Secret};

/// Why a sign-in came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignInError {
    /// The state is not one that was given out, was used, or is too old.
    #[error("this sign-in is not known here, was used already, or took too long: begin again")]
    Unknown,
    /// It was begun in another browser.
    #[error("this sign-in was begun in another browser: begin again in this one")]
    OtherBrowser,
    /// The person, or the provider in their name, said no.
    #[error("{0}")]
    Denied(String),
    /// A box was not ticked.
    #[error("{0}")]
    NotAllowed(String),
    /// The provider gave no refresh token.
    #[error(
        "the provider gave access for an hour only: take this program's access away in the account's settings there, and connect again"
    )]
    NoRefreshToken,
    /// What was given is no address that the provider redirected to.
    #[error("this is not the address that the provider sent the browser to: it has `state=` and `code=` in it")]
    NotAnAnswer,
    /// It failed, as whoever finished it was told.
    #[error("{0}")]
    Failed(String),
}

/// A sign-in to begin.
#[derive(Clone, Debug)]
pub struct NewSignIn<'a> {
    /// Whose account it will be.
    pub user: &'a UserId,
    /// Where.
    pub service: OAuthService,
    /// Where the provider is to send the browser.
    pub redirect: String,
    /// What the browser that begins will show again; `None` when a command begins and waits.
    pub browser: Option<&'a Secret>,
    /// The account's name for people.
    pub label: Option<String>,
}

/// A sign-in that was begun.
#[derive(Clone, Debug)]
pub struct Begun {
    /// The page of the provider to open.
    pub link: Url,
    /// By which [`Accounts::await_sign_in`] waits for it.
    pub id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct SignInRow {
    user: UserId,
    service: OAuthService,
    redirect: String,
    verifier: Sealed,
    browser: Option<[u8; 32]>,
    label: Option<String>,
    until: Timestamp,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stage {
    Waiting,
    Taken,
    Connected(AccountId),
    Failed(String),
}

impl Record for SignInRow {
    const FORMAT: u8 = 1;
}

const SIGN_INS: Table<String, SignInRow> = Table::new(tables::SIGN_IN);

impl Accounts {
    /// Begins a sign-in: the link to open.
    pub async fn begin_sign_in(&self, new: NewSignIn<'_>) -> Result<Begun, AccountError> {
        let app = self.app(new.service)?;
        self.forget_old_sign_ins().await?;
        let entropy = self.means.entropy.as_ref();
        let state = Secret::new(entropy::token(entropy, 32));
        let verifier = PkceCodeVerifier::new(entropy::token(entropy, 64));
        let id = hash_text(&state);
        let record = SIGN_INS.key(&id);
        let sealed = self.rows.keys().seal(entropy, record.as_bytes(), &Secret::new(verifier.secret().as_bytes()));
        let row = SignInRow {
            user: new.user.clone(),
            service: new.service,
            redirect: new.redirect.clone(),
            verifier: sealed,
            browser: new.browser.map(hash),
            label: new.label,
            until: self.after(LASTS),
            stage: Stage::Waiting,
        };
        let mut batch = Batch::new();
        SIGN_INS.expect_absent(&mut batch, &id);
        SIGN_INS.put(&mut batch, &id, &row);
        self.rows.store.commit(batch).await?;
        let client = app.client_for(&new.redirect)?;
        let shown = state.expose_str().unwrap_or_default().to_owned();
        let mut request = client
            .authorize_url(|| CsrfToken::new(shown))
            .add_scopes(app.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        for (name, value) in &app.parameters {
            request = request.add_extra_param(*name, *value);
        }
        Ok(Begun { link: request.url().0, id })
    }

    /// Ends a sign-in with the query that the provider gave to the browser (or the whole address). `browser` is what
    /// the browser shows that came with it.
    pub async fn finish_sign_in(&self, answer: &str, browser: Option<&Secret>) -> Result<Account, AccountError> {
        let answer = Answer::read(answer)?;
        let id = hash_text(&answer.state);
        let row = SIGN_INS.get(&*self.rows.store, &id).await?.filter(|row| row.stage == Stage::Waiting);
        let row = row.filter(|row| self.means.clock.now() < row.until).ok_or(SignInError::Unknown)?;
        if row.browser.is_some() && browser.map(hash) != row.browser {
            return Err(SignInError::OtherBrowser.into());
        }
        let taken = self.stage(&id, &row, Stage::Taken).await?;
        let connected = self.connect(&id, &row, &answer).await;
        let stage = match &connected {
            Ok(account) => Stage::Connected(account.id.clone()),
            Err(error) => Stage::Failed(error.to_string()),
        };
        self.stage(&id, &taken, stage).await?;
        connected
    }

    /// The same for an answer that came to the address of `service`, in a browser where `present` is signed in: never an
    /// account for another person, nor one provider's code at another's address (RFC 9700 4.4, 4.7).
    pub async fn finish_sign_in_at(
        &self,
        service: OAuthService,
        answer: &str,
        browser: Option<&Secret>,
        present: Option<&UserId>,
    ) -> Result<Account, AccountError> {
        let id = hash_text(&Answer::read(answer)?.state);
        let row = SIGN_INS.get(&*self.rows.store, &id).await?.ok_or(SignInError::Unknown)?;
        if row.service != service {
            return Err(SignInError::Unknown.into());
        }
        if row.browser.is_some() && present.is_some_and(|present| *present != row.user) {
            return Err(SignInError::OtherBrowser.into());
        }
        self.finish_sign_in(answer, browser).await
    }

    /// Waits until a sign-in has ended, however.
    pub async fn await_sign_in(&self, id: &str) -> Result<Account, AccountError> {
        loop {
            let row = SIGN_INS.get(&*self.rows.store, &id.to_owned()).await?.ok_or(SignInError::Unknown)?;
            match row.stage {
                Stage::Connected(account) => return self.account(&account).await,
                Stage::Failed(why) => return Err(SignInError::Failed(why).into()),
                Stage::Waiting if row.until <= self.means.clock.now() => return Err(SignInError::Unknown.into()),
                Stage::Waiting | Stage::Taken => self.means.clock.sleep(LOOK).await,
            }
        }
    }

    async fn connect(&self, id: &str, row: &SignInRow, answer: &Answer) -> Result<Account, AccountError> {
        let app = self.app(row.service)?;
        let code = answer.code(row.service)?;
        let record = SIGN_INS.key(&id.to_owned());
        let verifier = self.rows.keys().open(record.as_bytes(), &row.verifier)?;
        let verifier = PkceCodeVerifier::new(verifier.expose_str().unwrap_or_default().to_owned());
        let client = app.client_for(&row.redirect)?;
        let reply = client.exchange_code(AuthorizationCode::new(code)).set_pkce_verifier(verifier);
        let reply = reply.request_async(&app.way()).await.map_err(|failed| fault(row.service, &failed))?;
        self.connect_reply(&row.user, row.service, &reply, row.label.as_deref()).await
    }

    /// An account of what the token endpoint answered.
    pub(super) async fn connect_reply(
        &self,
        user: &UserId,
        service: OAuthService,
        reply: &oauth2::basic::BasicTokenResponse,
        label: Option<&str>,
    ) -> Result<Account, AccountError> {
        let missing = self.app(service)?.missing(&granted(reply));
        if !missing.is_empty() {
            return Err(SignInError::NotAllowed(not_allowed(service, &missing)).into());
        }
        let set = TokenSet::of_reply(reply).ok_or(SignInError::NoRefreshToken)?;
        self.add_tokens(user, (service, set, Some(reply)), label).await
    }

    /// Moves a sign-in on, if it is still as it was read.
    async fn stage(&self, id: &str, row: &SignInRow, stage: Stage) -> Result<SignInRow, AccountError> {
        let mut batch = Batch::new();
        let (id, next) = (id.to_owned(), SignInRow { stage, until: self.after(LASTS), ..row.clone() });
        SIGN_INS.expect(&mut batch, &id, row);
        SIGN_INS.put(&mut batch, &id, &next);
        match self.rows.store.commit(batch).await {
            Ok(_) => Ok(next),
            Err(CommitError::Stale(_)) => Err(SignInError::Unknown.into()),
            Err(CommitError::Store(error)) => Err(error.into()),
        }
    }

    async fn forget_old_sign_ins(&self) -> Result<(), AccountError> {
        let now = self.means.clock.now();
        let mut batch = Batch::new();
        for (id, row) in SIGN_INS.scan(&*self.rows.store, SIGN_INS.all(), usize::MAX).await? {
            if row.until <= now {
                SIGN_INS.delete(&mut batch, &id);
            }
        }
        if !batch.is_empty() {
            self.rows.store.commit(batch).await?;
        }
        Ok(())
    }

    fn after(&self, pause: Duration) -> Timestamp {
        let pause = SignedDuration::try_from(pause).unwrap_or_default();
        self.means.clock.now().checked_add(pause).unwrap_or(Timestamp::MAX)
    }
}

/// What the provider sent the browser back with.
struct Answer {
    state: Secret,
    code: Option<String>,
    error: Option<String>,
    description: String,
}

impl Answer {
    /// Reads a query, or an address with one.
    fn read(text: &str) -> Result<Self, SignInError> {
        let text = text.trim();
        let query = text.split_once('?').map_or(text, |(_, query)| query);
        let query = query.split('#').next().unwrap_or_default();
        let (mut state, mut code, mut error, mut description) = (None, None, None, String::new());
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "state" => state = Some(Secret::from(value.into_owned())),
                "code" => code = Some(value.into_owned()),
                "error" => error = Some(value.into_owned()),
                "error_description" => description = value.into_owned(),
                _ => {}
            }
        }
        let state = state.filter(|_| code.is_some() || error.is_some()).ok_or(SignInError::NotAnAnswer)?;
        Ok(Self { state, code, error, description })
    }

    fn code(&self, service: OAuthService) -> Result<String, SignInError> {
        match (&self.error, &self.code) {
            (None, Some(code)) => Ok(code.clone()),
            (Some(error), _) if error == "access_denied" && !self.description.contains("AADSTS") => {
                Err(SignInError::Denied(format!("{} says that access was not allowed", service.title())))
            }
            (Some(error), _) => Err(match refused(service, error, &self.description) {
                Fault::Unauthorized(why) | Fault::Unreachable(why) => SignInError::Denied(why),
                other => SignInError::Denied(other.to_string()),
            }),
            (None, None) => Err(SignInError::NotAnAnswer),
        }
    }
}

/// In words what was not allowed.
pub(super) fn not_allowed(service: OAuthService, missing: &[&str]) -> String {
    format!(
        "{} was not allowed to let this program {}: connect the account again and tick every box",
        service.title(),
        missing.join(" and ")
    )
}

fn hash(secret: &Secret) -> [u8; 32] {
    Sha256::digest(secret.expose()).into()
}

fn hash_text(secret: &Secret) -> String {
    data_encoding::HEXLOWER.encode(&hash(secret))
}

/// A person has so long to sign in, and whoever waits so long to hear of it.
const LASTS: Duration = Duration::from_mins(15);
/// A command that waits looks this often.
const LOOK: Duration = Duration::from_millis(300);
