//! Signing in against a token endpoint that is a function.

use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use super::*;
use crate::account::Means;
use crate::account::record::{ACCOUNT_OWNERS, ACCOUNTS, AccountRow, OWNER, Owner, Rows};
use crate::account::{Account, AccountState, Accounts, GoogleService, Invitations, ProviderKind, Services};
use crate::calendar::{Calendars, Limits};
use crate::clock::{Clock, ManualClock};
use crate::entropy::SeededEntropy;
use crate::id::UserId;
use crate::jobs::{Policy, Queue};
use crate::provider::Tokens;
use crate::store::{Batch, MemoryStore, Store};
use crate::transport::fake::{FakeTransport, answer};
use crate::vault::{KeyRing, MasterKey};

fn app(transport: &FakeTransport) -> App {
    App {
        service: OAuthService::Google,
        client_id: "client".to_owned(),
        client_secret: Some(Secret::new("hush")),
        auth_url: Url::parse("https://accounts.example/auth").unwrap(),
        token_url: Url::parse("https://token.example/token").unwrap(),
        revoke_url: Some(Url::parse("https://accounts.example/revoke").unwrap()),
        device_url: None,
        scopes: vec!["https://x.example/auth/calendar.events".to_owned()],
        needed: vec![("https://x.example/auth/calendar.events".to_owned(), "see and change events")],
        parameters: vec![("access_type", "offline")],
        transport: Arc::new(transport.clone()),
    }
}

struct World {
    rows: Arc<Rows>,
    means: Means,
    clock: ManualClock,
    account: Account,
    accounts: Accounts,
    user: UserId,
}

/// A world whose token endpoint is this function.
async fn world(transport: &FakeTransport) -> World {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().unwrap());
    let shared: Arc<dyn Clock> = Arc::new(clock.clone());
    let entropy = Arc::new(SeededEntropy::new(3));
    let keys = Arc::new(KeyRing::load(&MasterKey::generate(entropy.as_ref())));
    let queue = Arc::new(Queue::new(store.clone(), shared.clone(), entropy.clone(), Policy::default()));
    let calendars = Calendars::new(store.clone(), queue, shared.clone(), entropy.clone(), Limits::default());
    let means = Means { transport: Arc::new(transport.clone()), clock: shared, entropy: entropy.clone() };
    let rows = Arc::new(Rows::new(store.clone(), entropy, keys.clone()));
    let user = UserId::parse("ana").unwrap();
    let account = Account {
        id: "a-x1".parse().unwrap(),
        user: user.clone(),
        label: "g".to_owned(),
        provider: ProviderKind::Google { email: "ana@example.org".to_owned() },
        state: AccountState::Active,
        created: clock.now(),
        invitations: Invitations::default(),
    };
    add(&rows, &account).await;
    let service = GoogleService {
        app: app(transport),
        api: Url::parse("https://api.example/calendar/v3").unwrap(),
        transport: Arc::new(transport.clone()),
    };
    let services = Services { google: Some(service), ..Services::default() };
    let accounts = Accounts::new(store, keys, Arc::new(calendars), means.clone()).with_services(services);
    World { rows, means, clock, account, accounts, user }
}

/// Puts an account with its first token.
async fn add(rows: &Rows, account: &Account) {
    let secret = TokenSet::of_refresh_token(&Secret::new("first")).unwrap().write();
    let row = AccountRow { account: account.clone(), secret: rows.seal(account, &secret) };
    let mut batch = Batch::new();
    ACCOUNTS.put(&mut batch, &AccountRow::key(account), &row);
    ACCOUNT_OWNERS.put(&mut batch, &(OWNER, account.id.clone()), &Owner(account.user.clone()));
    rows.store.commit(batch).await.unwrap();
}

impl World {
    async fn add_again(&self) {
        add(&self.rows, &self.account).await;
    }

    async fn keeper(&self, transport: &FakeTransport) -> TokenKeeper {
        TokenKeeper::of_account(app(transport), self.stored().await, &self.rows, &self.account, &self.means)
    }

    async fn stored(&self) -> TokenSet {
        let row = self.rows.row(&self.account.id).await.unwrap();
        TokenSet::read(&self.rows.unseal(&row).unwrap()).unwrap()
    }

    /// Takes the account's row away, so that it can't be written.
    async fn lose_row(&self) -> AccountRow {
        let row = self.rows.row(&self.account.id).await.unwrap();
        let mut batch = Batch::new();
        ACCOUNTS.delete(&mut batch, &AccountRow::key(&self.account));
        self.rows.store.commit(batch).await.unwrap();
        row
    }

    async fn put_row(&self, row: &AccountRow) {
        let mut batch = Batch::new();
        ACCOUNTS.put(&mut batch, &AccountRow::key(&self.account), row);
        self.rows.store.commit(batch).await.unwrap();
    }

    async fn begin(&self, browser: Option<&Secret>) -> Url {
        let new = NewSignIn {
            user: &self.user,
            service: OAuthService::Google,
            redirect: "http://127.0.0.1:8008/oauth/google/callback".to_owned(),
            browser,
            label: None,
        };
        self.accounts.begin_sign_in(new).await.unwrap().link
    }

    async fn finish(&self, query: &str, browser: Option<&Secret>) -> SignInError {
        match self.accounts.finish_sign_in(query, browser).await.unwrap_err() {
            AccountError::SignIn(error) => error,
            other => panic!("{other:?}"),
        }
    }
}

fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs().find(|(key, _)| key == name).unwrap().1.into_owned()
}

/// Fault catalogue 73 and 74: a rotated token is stored before it is used, and two who need one cause one refresh.
#[tokio::test]
async fn one_refresh_for_all_and_the_rotated_token_is_stored_first() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let transport = FakeTransport::serving(move |request| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        let expected = if n == 0 { "refresh_token=first" } else { "refresh_token=second" };
        assert!(body.contains(expected) && body.contains("client_secret=hush"), "{body}");
        answer(
            200,
            &[("content-type", "application/json")],
            r#"{"access_token":"at","token_type":"Bearer","expires_in":3600,"refresh_token":"second"}"#,
        )
    });
    let world = world(&transport).await;
    let keeper = world.keeper(&transport).await;
    let (one, two) = futures_util::future::join(keeper.access(), keeper.access()).await;
    assert_eq!((one.unwrap(), two.unwrap()), (Secret::new("at"), Secret::new("at")));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert_eq!(world.stored().await.secret(), Secret::new("second"));
    // A token that nobody has now is not thrown away; the one in use is.
    keeper.refused(&Secret::new("other")).await;
    keeper.access().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    keeper.refused(&Secret::new("at")).await;
    keeper.access().await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

/// Fault catalogue 73: the service forgets the old token at once, and the store does not take the new one. Nobody else has it
/// then, so it is kept, and stored before it is used.
#[tokio::test]
async fn rotated_refresh_token_write_fails() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let transport = FakeTransport::serving(move |request| {
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        let good = ["first", "second", "third", "fourth"];
        let n = count.fetch_add(1, Ordering::SeqCst);
        if !body.contains(&format!("refresh_token={}", good[n])) {
            return answer(400, &[], r#"{"error":"invalid_grant"}"#);
        }
        let new = good[n + 1];
        let reply = r#"{"access_token":"for-NEW","token_type":"Bearer","expires_in":3600,"refresh_token":"NEW"}"#;
        answer(200, &[("content-type", "application/json")], &reply.replace("NEW", new))
    });
    let world = world(&transport).await;
    let keeper = world.keeper(&transport).await;
    let lost = world.lose_row().await;
    assert!(matches!(keeper.access().await, Err(Fault::Unreachable(_))));
    assert!(matches!(keeper.access().await, Err(Fault::Unreachable(_))), "what is not stored is not used");
    world.put_row(&lost).await;
    assert_eq!(keeper.access().await.unwrap(), Secret::new("for-second"));
    assert_eq!(world.stored().await.secret(), Secret::new("second"));
    assert_eq!(asked.load(Ordering::SeqCst), 1, "a refresh that was stored late is no reason for another");
    // The store is away for longer than the access token is good.
    world.clock.advance(std::time::Duration::from_hours(2));
    let lost = world.lose_row().await;
    assert!(matches!(keeper.access().await, Err(Fault::Unreachable(_))));
    world.clock.advance(std::time::Duration::from_hours(2));
    world.put_row(&lost).await;
    assert_eq!(keeper.access().await.unwrap(), Secret::new("for-fourth"));
    assert_eq!((world.stored().await.secret(), asked.load(Ordering::SeqCst)), (Secret::new("fourth"), 3));
}

/// Fault catalogue 71 and 85.
#[tokio::test]
async fn a_dead_token_needs_a_person_and_a_wrong_wall_clock_none() {
    let state = Arc::new(AtomicU8::new(0));
    let seen = state.clone();
    let transport = FakeTransport::serving(move |_| match seen.load(Ordering::SeqCst) {
        0 => answer(200, &[], r#"{"access_token":"at","token_type":"Bearer","expires_in":3600}"#),
        1 => answer(400, &[], r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#),
        _ => answer(502, &[], "<html>Bad gateway</html>"),
    });
    let world = world(&transport).await;
    let keeper = world.keeper(&transport).await;
    keeper.access().await.unwrap();
    let before = transport.requests().len();
    keeper.access().await.unwrap();
    assert_eq!(transport.requests().len(), before);
    world.clock.advance(std::time::Duration::from_hours(1));
    state.store(1, Ordering::SeqCst);
    let Err(Fault::Unauthorized(why)) = keeper.access().await else { panic!() };
    assert!(why.contains("7 days"), "{why}");
    state.store(2, Ordering::SeqCst);
    assert!(matches!(keeper.access().await, Err(Fault::Unreachable(_))));
}

#[tokio::test]
async fn a_link_has_pkce_and_a_state_that_works_once_in_one_browser() {
    let transport = FakeTransport::serving(|_| answer(400, &[], r#"{"error":"invalid_grant"}"#));
    let world = world(&transport).await;
    let cookie = Secret::new("cookie");
    let link = world.begin(Some(&cookie)).await;
    assert_eq!(parameter(&link, "code_challenge_method"), "S256");
    assert_eq!(parameter(&link, "access_type"), "offline");
    assert!(!parameter(&link, "code_challenge").is_empty());
    let query = format!("state={}&code=c", parameter(&link, "state"));
    assert_eq!(world.finish("state=forged&code=c", Some(&cookie)).await, SignInError::Unknown);
    assert_eq!(world.finish("code=c", Some(&cookie)).await, SignInError::NotAnAnswer);
    assert_eq!(world.finish(&query, Some(&Secret::new("another"))).await, SignInError::OtherBrowser);
    assert_eq!(world.finish(&query, None).await, SignInError::OtherBrowser);
    assert!(transport.requests().is_empty(), "no code was sent");
    assert!(matches!(world.accounts.finish_sign_in(&query, Some(&cookie)).await, Err(AccountError::Provider(_))));
    assert_eq!(world.finish(&query, Some(&cookie)).await, SignInError::Unknown);
    let link = world.begin(None).await;
    world.clock.advance(std::time::Duration::from_mins(16));
    let query = format!("http://127.0.0.1/?state={}&code=c", parameter(&link, "state"));
    assert_eq!(world.finish(&query, None).await, SignInError::Unknown);
}

/// Fault catalogue 72.
#[tokio::test]
async fn a_box_that_was_not_ticked_is_named() {
    let clock = Arc::new(std::sync::Mutex::new(None::<ManualClock>));
    let ticking = clock.clone();
    let transport = FakeTransport::serving(move |_| {
        // Time goes on while the provider answers.
        if let Some(clock) = &*ticking.lock().unwrap() {
            clock.advance(std::time::Duration::from_secs(1));
        }
        let granted = "openid https://x.example/auth/calendar.readonly";
        let body = format!(
            r#"{{"access_token":"a","token_type":"Bearer","refresh_token":"r","expires_in":3600,"scope":"{granted}"}}"#
        );
        answer(200, &[], &body)
    });
    let world = world(&transport).await;
    *clock.lock().unwrap() = Some(world.clock.clone());
    let link = world.begin(None).await;
    let query = format!("state={}&code=c", parameter(&link, "state"));
    let SignInError::NotAllowed(why) = world.finish(&query, None).await else { panic!() };
    assert!(why.contains("see and change events"), "{why}");
    let link = world.begin(None).await;
    let query = format!("state={}&error=access_denied", parameter(&link, "state"));
    assert!(matches!(world.finish(&query, None).await, SignInError::Denied(_)));
}

impl World {
    /// The same signed in at the address of the service itself, as a browser with `present` in it comes there.
    async fn finish_at(&self, service: OAuthService, query: &str, browser: &Secret, present: &str) -> SignInError {
        let present = UserId::parse(present).unwrap();
        match self.accounts.finish_sign_in_at(service, query, Some(browser), Some(&present)).await.unwrap_err() {
            AccountError::SignIn(error) => error,
            other => panic!("{other:?}"),
        }
    }
}

/// Reliability O1, O2, O3, O4.
#[tokio::test]
async fn an_answer_at_another_address_or_for_another_person_is_refused() {
    let transport = FakeTransport::serving(|_| answer(400, &[], r#"{"error":"invalid_grant"}"#));
    let world = world(&transport).await;
    let cookie = Secret::new("cookie");
    let link = world.begin(Some(&cookie)).await;
    assert_eq!(parameter(&link, "redirect_uri"), "http://127.0.0.1:8008/oauth/google/callback");
    assert!(!link.query_pairs().any(|(name, _)| name == "code_verifier"));
    let query = format!("state={}&code=c", parameter(&link, "state"));
    let at = async |service, present| world.finish_at(service, &query, &cookie, present).await;
    assert_eq!(at(OAuthService::Microsoft, "ana").await, SignInError::Unknown, "a code of another provider");
    assert_eq!(at(OAuthService::Google, "ben").await, SignInError::OtherBrowser, "somebody else is signed in by now");
    assert!(transport.requests().is_empty(), "no code was sent");
    let ana = world.user.clone();
    let ended = world.accounts.finish_sign_in_at(OAuthService::Google, &query, Some(&cookie), Some(&ana)).await;
    assert!(matches!(ended, Err(AccountError::Provider(_))));
    let sent = transport.requests();
    let body = String::from_utf8(sent[0].body().to_vec()).unwrap();
    assert!(body.contains("code_verifier=") && body.contains("oauth%2Fgoogle%2Fcallback"), "the same address again");
}

/// Reliability O5.
#[tokio::test]
async fn what_a_provider_says_of_a_refusal_is_told_and_no_token_is_asked_for() {
    let transport = FakeTransport::serving(|_| answer(500, &[], ""));
    let world = world(&transport).await;
    let link = world.begin(None).await;
    let state = parameter(&link, "state");
    let query = format!("state={state}&error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E");
    let SignInError::Denied(why) = world.finish(&query, None).await else { panic!() };
    assert!(!why.contains("<script>"), "{why}");
    assert!(transport.requests().is_empty());
}

/// Reliability O7.
#[tokio::test]
async fn access_for_an_hour_only_connects_nothing_and_a_refresh_may_keep_the_old_token() {
    let transport = FakeTransport::serving(|_| {
        let scope = "https://x.example/auth/calendar.events";
        answer(
            200,
            &[],
            &format!(r#"{{"access_token":"a","token_type":"Bearer","expires_in":3600,"scope":"{scope}"}}"#),
        )
    });
    let world = world(&transport).await;
    let link = world.begin(None).await;
    let query = format!("state={}&code=c", parameter(&link, "state"));
    assert_eq!(world.finish(&query, None).await, SignInError::NoRefreshToken);
    assert_eq!(world.accounts.list(&world.user).await.unwrap().len(), 1, "no account beside the one that was there");
    world.keeper(&transport).await.access().await.unwrap();
    assert_eq!(world.stored().await.secret(), Secret::new("first"));
}

/// Reliability O10: a person signs in anew while a refresh with the old token is under way, which the service refuses.
#[tokio::test]
async fn a_refusal_of_a_token_that_was_replaced_meanwhile_says_nothing() {
    let replaced = Arc::new(std::sync::Mutex::new(None::<(Arc<Rows>, Account)>));
    let late = replaced.clone();
    let transport = FakeTransport::serving(move |request| {
        let body = String::from_utf8(request.body().to_vec()).unwrap();
        if body.contains("refresh_token=first") {
            if let Some((rows, account)) = late.lock().unwrap().take() {
                let secret = TokenSet::of_refresh_token(&Secret::new("second")).unwrap().write();
                let change = rows.change(&account.id, |row| row.secret = rows.seal(&account, &secret));
                // The store in memory answers at once.
                futures_util::FutureExt::now_or_never(change).unwrap().unwrap();
            }
            return answer(400, &[], r#"{"error":"invalid_grant"}"#);
        }
        answer(200, &[], r#"{"access_token":"new","token_type":"Bearer","expires_in":3600}"#)
    });
    let world = world(&transport).await;
    let keeper = world.keeper(&transport).await;
    *replaced.lock().unwrap() = Some((world.rows.clone(), world.account.clone()));
    assert_eq!(keeper.access().await.unwrap(), Secret::new("new"));
    assert_eq!(world.stored().await.secret(), Secret::new("second"));
}

/// Reliability O11.
#[tokio::test]
async fn tokens_of_a_removed_account_are_given_back_for_a_day_whatever_the_provider_does() {
    let status = Arc::new(std::sync::atomic::AtomicU16::new(503));
    let now = status.clone();
    let transport = FakeTransport::serving(move |_| answer(now.load(Ordering::SeqCst), &[], ""));
    let world = world(&transport).await;
    let tell = |code: u16| status.store(code, Ordering::SeqCst);
    world.accounts.remove(&world.account.id).await.unwrap();
    assert!(matches!(world.accounts.account(&world.account.id).await, Err(AccountError::NotFound)));
    assert_eq!(world.accounts.give_back().await.unwrap(), GivenBack { waiting: 1, ..GivenBack::default() });
    let asked = transport.requests();
    assert!(asked.iter().all(|one| one.uri() == "https://accounts.example/revoke" && one.body() == "token=first"));
    tell(200);
    assert_eq!(world.accounts.give_back().await.unwrap(), GivenBack { done: 1, ..GivenBack::default() });
    assert_eq!(world.accounts.give_back().await.unwrap(), GivenBack::default());

    tell(503);
    world.add_again().await;
    world.accounts.remove(&world.account.id).await.unwrap();
    world.clock.advance(std::time::Duration::from_hours(25));
    assert_eq!(world.accounts.give_back().await.unwrap(), GivenBack { given_up: 1, ..GivenBack::default() });
    assert_eq!(world.accounts.give_back().await.unwrap(), GivenBack::default());
}

/// A grant is one for all accounts of a login: taking it back would end those that are there.
#[tokio::test]
async fn the_grant_of_a_login_that_is_connected_again_stays() {
    let status = Arc::new(std::sync::atomic::AtomicU16::new(503));
    let now = status.clone();
    let transport = FakeTransport::serving(move |_| answer(now.load(Ordering::SeqCst), &[], ""));
    let world = world(&transport).await;
    world.accounts.remove(&world.account.id).await.unwrap();
    let asked = transport.requests().len();
    world.add_again().await;
    status.store(200, Ordering::SeqCst);
    assert_eq!(world.accounts.give_back().await.unwrap(), GivenBack { done: 1, ..GivenBack::default() });
    assert_eq!(transport.requests().len(), asked);
}
