//! Signing in at a company's own service: the code flow of `OpenID` Connect Core 1.0 (3.1), with PKCE (RFC 7636).
//!
//! `waiting` holds what was begun, `way` is how the service is reached, `person` reads the claims and decides by groups,
//! `link` knows which user a person is. What a service says of a person is believed only from an ID token whose signature,
//! issuer, audience, end and nonce were checked, or from its user-info endpoint with the subject of that token.
//!
//! Invariants: a person is known by issuer and subject, never by a name or an e-mail address; no claim, code, state or
//! token is logged. Never here: cookies and pages.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use openidconnect::core::{CoreClient, CoreGenderClaim, CoreJwsSigningAlgorithm, CoreResponseType};
use openidconnect::{
    AuthType, AuthenticationFlow, AuthorizationCode, ClientId, ClientSecret, CsrfToken, EndpointMaybeSet,
    EndpointNotSet, EndpointSet, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl,
    RequestTokenError, Scope, TokenResponse as _, UserInfoClaims,
};
use serde_json::{Map, Value};
use url::Url;

use super::{UserError, Users};
use crate::clock::Clock;
use crate::entropy::{self, Entropy};
use crate::id::{BadName, UserId};
use crate::transport::Transport;
use crate::vault::Secret;

mod link;
mod person;
mod waiting;
mod way;

pub use person::Rules;
use person::{Extra, Person};
use waiting::{Begun, Waiting};
use way::{Known, Metadata};

/// Where people sign in, and as what this server is known there.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The service, letter by letter as it names itself.
    pub issuer: String,
    /// The client that is registered there.
    pub client_id: String,
    /// Its secret; public clients have none.
    pub client_secret: Option<Secret>,
    /// What people call the service.
    pub name: String,
    /// What is asked for beside `openid`.
    pub scopes: Vec<String>,
    /// The claim that holds the user name.
    pub user_claim: String,
    /// The claim that holds the groups.
    pub groups_claim: String,
    /// Who comes in, and as what.
    pub rules: Rules,
    /// Where the service sends the browser.
    pub redirect: String,
}

/// By what means the service is reached.
#[derive(Clone, Debug)]
pub struct Ways {
    /// For the host that the administrator has named.
    pub named: Arc<dyn Transport>,
    /// For every other.
    pub guarded: Arc<dyn Transport>,
}

/// Why nobody was signed in, in words for the person.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The state is not one that was given out, was used, or is too old.
    #[error("This sign-in is not known here, was used already, or took too long. Begin again.")]
    Unknown,
    /// It was begun in another browser, or by another person.
    #[error(
        "This sign-in was begun in another browser, or while another person was signed in. Begin again in this one."
    )]
    OtherBrowser,
    /// The service, or the person there, said no.
    #[error("The service did not let you in, or you turned back there.")]
    Denied,
    /// It can't be asked, or says what can't be understood.
    #[error(
        "The service can't be reached or gave an answer that can't be read: {0}. Try again, or tell an administrator."
    )]
    Unreachable(String),
    /// What it said of the person does not hold.
    #[error("What the service said about you could not be verified ({0}). Begin again, or tell an administrator.")]
    NotTrusted(&'static str),
    /// None of the person's groups comes in.
    #[error("Your account there is in none of the groups that may use this server. Ask an administrator.")]
    NotInGroup,
    /// Nobody here is this person, and nobody is made.
    #[error(
        "Nobody on this server is connected to your account there. Sign in with your password and connect it on the page with your name, or ask an administrator."
    )]
    NotKnownHere,
    /// The service gives no name.
    #[error("The service gave no user name for you (the claim {0}). Ask an administrator.")]
    NoName(String),
    /// The name can't be one here.
    #[error("The user name that the service gave can't be one here: {0}. Ask an administrator.")]
    BadName(#[from] BadName),
    /// A user of this name is somebody else, as far as anybody can tell.
    #[error(
        "There is a user {0} on this server already. If that is you, sign in with your password and connect the service on the page with your name."
    )]
    NameTaken(UserId),
    /// The person is another user already.
    #[error("Your account there is connected to another user of this server.")]
    LinkedElsewhere,
    /// The store failed, or too much is going on.
    #[error("{0}")]
    User(#[from] UserError),
}

impl OidcError {
    /// Its word in the log: nothing of the person.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown or used state",
            Self::OtherBrowser => "other browser",
            Self::Denied => "denied",
            Self::Unreachable(_) => "service out of reach",
            Self::NotTrusted(what) => what,
            Self::NotInGroup => "no allowed group",
            Self::NotKnownHere => "not known here",
            Self::NoName(_) => "no user name",
            Self::BadName(_) => "bad user name",
            Self::NameTaken(_) => "user name taken",
            Self::LinkedElsewhere => "linked elsewhere",
            Self::User(_) => "store",
        }
    }
}

/// A sign-in to begin.
#[derive(Debug)]
pub struct NewSignIn<'a> {
    /// What the browser will show again.
    pub browser: &'a Secret,
    /// Where it is.
    pub address: IpAddr,
    /// The page to show afterwards.
    pub to: &'a str,
    /// The signed-in person who wants to be known by it from now on; `None` for one who signs in.
    pub connect: Option<&'a UserId>,
}

/// A sign-in that has ended well.
#[derive(Debug)]
pub struct SignedIn {
    /// Who it is here.
    pub user: UserId,
    /// The page to show.
    pub to: String,
    /// Whether somebody who was signed in has been connected.
    pub connected: bool,
}

/// The service.
#[derive(Debug)]
pub struct Oidc {
    settings: Settings,
    users: Arc<Users>,
    ways: Ways,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    known: tokio::sync::Mutex<Known>,
    waiting: Waiting,
}

type Client =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

impl Oidc {
    /// Nothing is asked of the service before somebody signs in.
    pub fn new(settings: Settings, users: Arc<Users>, ways: Ways) -> Self {
        let (clock, entropy) = (users.clock.clone(), users.entropy.clone());
        let (known, waiting) = (tokio::sync::Mutex::default(), Waiting::default());
        Self { settings, users, ways, clock, entropy, known, waiting }
    }

    /// What people call the service.
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// Begins: the address at the service to send the browser to.
    pub async fn begin(&self, new: NewSignIn<'_>) -> Result<Url, OidcError> {
        let client = self.client(self.metadata(false).await?)?;
        let token = || entropy::token(&*self.entropy, 32);
        let (state, nonce) = (token(), token());
        let verifier = PkceCodeVerifier::new(entropy::token(&*self.entropy, 64));
        let begun = Begun {
            nonce: Secret::new(nonce.as_bytes()),
            verifier: Secret::new(verifier.secret().as_bytes()),
            to: new.to.to_owned(),
            connect: new.connect.cloned(),
            until: self.clock.monotonic() + LASTS,
        };
        self.waiting.put(&Secret::new(state.as_bytes()), new.browser, new.address, begun);
        let flow = AuthenticationFlow::<CoreResponseType>::AuthorizationCode;
        let scopes = self.settings.scopes.iter().filter(|scope| *scope != "openid").cloned().map(Scope::new);
        let request = client.authorize_url(flow, move || CsrfToken::new(state), move || Nonce::new(nonce));
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
        Ok(request.add_scopes(scopes).set_pkce_challenge(challenge).url().0)
    }

    /// Ends with the query that the service gave to the browser. `browser` is what the browser shows that came with it,
    /// `present` who is signed in there.
    pub async fn finish(
        &self,
        query: &str,
        browser: Option<&Secret>,
        present: Option<&UserId>,
    ) -> Result<SignedIn, OidcError> {
        let answer = Answer::read(query);
        let begun = self.waiting.take(&answer.state, browser, self.clock.monotonic())?;
        if begun.connect.is_some() && begun.connect.as_ref() != present {
            return Err(OidcError::OtherBrowser);
        }
        // RFC 9207: an answer that names another service is one of its mixed up with ours.
        if answer.issuer.is_some_and(|issuer| issuer != self.settings.issuer) {
            return Err(OidcError::NotTrusted("issuer"));
        }
        let code = answer.code.ok_or(OidcError::Denied)?;
        let person = self.person(code, &begun).await?;
        let user = self.users.enter(&person, &self.settings.rules, begun.connect.as_ref()).await?;
        Ok(SignedIn { user, to: begun.to, connected: begun.connect.is_some() })
    }

    /// Who the code stands for.
    async fn person(&self, code: String, begun: &Begun) -> Result<Person, OidcError> {
        // The keys of this moment: they are changed now and then.
        let client = self.client(self.metadata(true).await?)?;
        let verifier = PkceCodeVerifier::new(begun.verifier.expose_str().unwrap_or_default().to_owned());
        let request =
            client.exchange_code(AuthorizationCode::new(code)).map_err(|_| unread("it names no token endpoint"))?;
        let way = self.way();
        let reply = request.set_pkce_verifier(verifier).request_async(&way).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(_) => unread("it refused the code or this server as its client"),
            RequestTokenError::Request(error) => OidcError::Unreachable(error.to_string()),
            _ => unread("its answer to the code"),
        })?;
        let token = reply.id_token().ok_or(OidcError::NotTrusted("no ID token"))?;
        let clock = self.clock.clone();
        let checks = client
            .id_token_verifier()
            .set_allowed_algs(ALGORITHMS)
            .set_time_fn(move || chrono::DateTime::from_timestamp(clock.now().as_second(), 0).unwrap_or_default());
        let nonce = Nonce::new(begun.nonce.expose_str().unwrap_or_default().to_owned());
        let proven = token.claims(&checks, &nonce).map_err(|error| OidcError::NotTrusted(way::failed_check(&error)))?;
        let subject = proven.subject().clone();
        // The same octets that were verified, with the claims that are the company's own.
        let mut claims = person::payload(&token.to_string()).ok_or(OidcError::NotTrusted("ID token"))?;
        if self.lacks_claims(&claims)
            && let Ok(request) = client.user_info(reply.access_token().clone(), Some(subject.clone()))
        {
            let more: UserInfoClaims<Extra, CoreGenderClaim> =
                request.request_async(&way).await.map_err(|_| unread("its user-info endpoint"))?;
            if let Ok(Value::Object(more)) = serde_json::to_value(more) {
                for (name, value) in more {
                    claims.entry(name).or_insert(value);
                }
            }
        }
        Ok(self.read(&subject, &claims))
    }

    fn lacks_claims(&self, claims: &Map<String, Value>) -> bool {
        let settings = &self.settings;
        !claims.contains_key(&settings.user_claim)
            || (settings.rules.ask_groups() && !claims.contains_key(&settings.groups_claim))
    }

    fn read(&self, subject: &str, claims: &Map<String, Value>) -> Person {
        let settings = &self.settings;
        Person {
            issuer: settings.issuer.clone(),
            subject: subject.to_owned(),
            name: person::text(claims.get(&settings.user_claim)).ok_or_else(|| settings.user_claim.clone()),
            groups: person::texts(claims.get(&settings.groups_claim)),
        }
    }

    fn client(&self, metadata: Metadata) -> Result<Client, OidcError> {
        let settings = &self.settings;
        let secret = settings.client_secret.as_ref().and_then(Secret::expose_str);
        let in_body = way::secret_in_body(&metadata);
        let redirect = RedirectUrl::new(settings.redirect.clone()).map_err(|_| unread("server.public_url"))?;
        let secret = secret.map(|secret| ClientSecret::new(secret.to_owned()));
        let client = CoreClient::from_provider_metadata(metadata, ClientId::new(settings.client_id.clone()), secret)
            .set_redirect_uri(redirect);
        Ok(if in_body { client.set_auth_type(AuthType::RequestBody) } else { client })
    }
}

/// What the service sent the browser back with.
struct Answer {
    state: Secret,
    code: Option<String>,
    issuer: Option<String>,
}

impl Answer {
    fn read(query: &str) -> Self {
        let (mut state, mut code, mut issuer, mut refused) = (String::new(), None, None, false);
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "state" => state = value.into_owned(),
                "code" => code = Some(value.into_owned()),
                "iss" => issuer = Some(value.into_owned()),
                "error" => refused = true,
                _ => {}
            }
        }
        Self { state: Secret::from(state), code: code.filter(|_| !refused), issuer }
    }
}

fn unread(what: &str) -> OidcError {
    OidcError::Unreachable(what.to_owned())
}

/// So long a person has to sign in.
const LASTS: Duration = Duration::from_mins(10);

/// Signatures with a key that the service alone has.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 8] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha384,
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha512,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha384,
    CoreJwsSigningAlgorithm::RsaSsaPssSha512,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EcdsaP384Sha384,
];
