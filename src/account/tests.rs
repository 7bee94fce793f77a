//! Accounts against a server that is a function.

use std::sync::atomic::{AtomicU8, Ordering};

use super::*;
use crate::calendar::{Limits, Mirror};
use crate::clock::ManualClock;
use crate::entropy::SeededEntropy;
use crate::id::CollectionId;
use crate::jobs::{Policy, Queue};
use crate::store::{MemoryStore, tables};
use crate::transport::fake::{Answer, FakeTransport, answer};
use crate::vault::{MasterKey, Secret};

/// What the server has: bit 0 is the calendar work, bit 1 home, bit 2 makes work read-only; 255 is a new password.
struct World {
    accounts: Accounts,
    calendars: Arc<Calendars>,
    store: Arc<dyn Store>,
    state: Arc<AtomicU8>,
    user: UserId,
}

const PASSWORD: &str = "correct horse";

fn multistatus(inside: &str) -> Answer {
    answer(
        207,
        &[],
        &format!("<multistatus xmlns=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\">{inside}</multistatus>"),
    )
}

fn response(href: &str, props: &str) -> String {
    format!(
        "<response><href>{href}</href><propstat><prop>{props}</prop><status>HTTP/1.1 200 OK</status></propstat></response>"
    )
}

fn calendar(href: &str, name: &str, read_only: bool) -> String {
    let right = if read_only { "read" } else { "write" };
    response(
        href,
        &format!(
            "<resourcetype><collection/><C:calendar/></resourcetype><displayname>{name}</displayname>\
             <current-user-privilege-set><privilege><{right}/></privilege></current-user-privilege-set>"
        ),
    )
}

fn serve(state: u8, request: &http::Request<bytes::Bytes>) -> Answer {
    // Basic of "ana:correct horse".
    if request.headers().get("authorization").is_none_or(|value| value != "Basic YW5hOmNvcnJlY3QgaG9yc2U=")
        || state == 255
    {
        return answer(401, &[("www-authenticate", "Basic realm=\"x\"")], "");
    }
    match request.uri().path() {
        "/" => multistatus(&response("/", "<current-user-principal><href>/p/</href></current-user-principal>")),
        "/p/" => multistatus(&response("/p/", "<C:calendar-home-set><href>/home/</href></C:calendar-home-set>")),
        "/home/" => {
            let mut all = response("/home/", "<resourcetype><collection/></resourcetype>");
            if state & 1 != 0 {
                all += &calendar("/home/work/", if state & 8 != 0 { "Job" } else { "Work" }, state & 4 != 0);
            }
            if state & 2 != 0 {
                all += &calendar("/home/home/", "Home", false);
            }
            multistatus(&all)
        }
        _ => answer(404, &[], ""),
    }
}

fn world(state: u8) -> World {
    let state = Arc::new(AtomicU8::new(state));
    let seen = state.clone();
    let transport = FakeTransport::serving(move |request| serve(seen.load(Ordering::SeqCst), request));
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let clock = Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH));
    let entropy = Arc::new(SeededEntropy::new(3));
    let keys = Arc::new(KeyRing::load(&MasterKey::generate(entropy.as_ref())));
    let queue = Arc::new(Queue::new(store.clone(), clock.clone(), entropy.clone(), Policy::default()));
    let calendars = Arc::new(Calendars::new(store.clone(), queue, clock.clone(), entropy.clone(), Limits::default()));
    let means = Means { transport: Arc::new(transport), clock, entropy };
    let accounts = Accounts::new(store.clone(), keys, calendars.clone(), means);
    World { accounts, calendars, store, state, user: UserId::parse("ana").unwrap() }
}

impl World {
    async fn add(&self) -> Result<Account, AccountError> {
        let new = NewCalDav {
            label: None,
            address: "https://dav.example.org/".to_owned(),
            username: "ana".to_owned(),
            password: Secret::new(PASSWORD),
        };
        self.accounts.add_caldav(&self.user, new).await
    }

    async fn sources(&self) -> Vec<(String, bool, bool)> {
        let mut all: Vec<_> = self
            .accounts
            .sources(&self.user)
            .await
            .unwrap()
            .into_iter()
            .map(|s| (s.name, s.read_only, s.missing))
            .collect();
        all.sort();
        all
    }
}

#[tokio::test]
async fn an_account_brings_its_calendars_and_the_default() {
    let world = world(3);
    let account = world.add().await.unwrap();
    assert_eq!(account.label, "dav.example.org");
    assert_eq!(world.sources().await, [("Home".to_owned(), false, false), ("Work".to_owned(), false, false)]);
    let names: Vec<String> =
        world.calendars.collections(&world.user).await.unwrap().into_iter().map(|c| c.display_name).collect();
    assert!(names.contains(&"Work".to_owned()) && names.contains(&"Home".to_owned()), "{names:?}");
    assert!(world.calendars.default_source(&world.user).await.unwrap().is_some());
    // The same once more is refused by name.
    assert!(matches!(world.add().await, Err(AccountError::AlreadyConnected(label)) if label == "dav.example.org"));
}

#[tokio::test]
async fn nothing_is_stored_when_the_provider_says_no() {
    for (state, words) in [(255, "refuses the user name or the password"), (0, "no calendars were found at")] {
        let world = world(state);
        let error = world.add().await.unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains(PASSWORD), "{error}");
        assert!(world.accounts.list(&world.user).await.unwrap().is_empty());
        assert!(world.accounts.sources(&world.user).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn the_password_is_sealed_and_bound_to_its_record() {
    let world = world(1);
    let account = world.add().await.unwrap();
    for table in [tables::ACCOUNT, tables::SOURCE] {
        let all = crate::store::KeyRange::below(&crate::store::Key::from_bytes(vec![table.0]).unwrap());
        for (_, value) in world.store.scan(all, usize::MAX).await.unwrap() {
            assert!(!value.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes()));
        }
    }
    let row = world.accounts.rows.row(&account.id).await.unwrap();
    assert_eq!(world.accounts.rows.unseal(&row).unwrap().expose_str(), Some(PASSWORD));
    let mut moved = row;
    moved.account.user = UserId::parse("eve").unwrap();
    assert!(matches!(world.accounts.rows.unseal(&moved), Err(AccountError::Vault(_))));
    assert!(!format!("{:?}", world.accounts).contains(PASSWORD));
}

#[tokio::test]
async fn an_empty_list_once_keeps_everything_and_twice_freezes() {
    let world = world(3);
    let account = world.add().await.unwrap();
    world.state.store(0, Ordering::SeqCst);
    assert_eq!(world.accounts.refresh_sources(&account.id).await.unwrap(), Refreshed::default());
    assert!(world.sources().await.iter().all(|(_, _, missing)| !missing));
    assert_eq!(world.accounts.refresh_sources(&account.id).await.unwrap().missing.len(), 2);
    assert!(world.sources().await.iter().all(|(_, _, missing)| *missing));
    world.state.store(3, Ordering::SeqCst);
    assert_eq!(world.accounts.refresh_sources(&account.id).await.unwrap().changed.len(), 2);
    assert!(world.sources().await.iter().all(|(_, _, missing)| !missing));
}

#[tokio::test]
async fn new_names_and_rights_are_taken_over_unless_a_person_chose() {
    let world = world(1);
    let account = world.add().await.unwrap();
    world.state.store(1 | 2 | 4 | 8, Ordering::SeqCst);
    let refreshed = world.accounts.refresh_sources(&account.id).await.unwrap();
    assert_eq!((refreshed.new.len(), refreshed.changed.len()), (1, 1));
    let id = CollectionId::new(&world.user, refreshed.changed[0].collection());
    let shown = world.calendars.collection(&id).await.unwrap().unwrap();
    assert_eq!((shown.display_name.as_str(), shown.mirror), ("Job", Mirror::ReadOnly));
    let change = crate::calendar::CollectionChange { display_name: Some("Mine".to_owned()), ..Default::default() };
    world.calendars.update(&id, change).await.unwrap();
    world.state.store(1 | 2, Ordering::SeqCst);
    world.accounts.refresh_sources(&account.id).await.unwrap();
    let shown = world.calendars.collection(&id).await.unwrap().unwrap();
    assert_eq!((shown.display_name.as_str(), shown.mirror), ("Mine", Mirror::TwoWay));
    assert_eq!(world.accounts.refresh_sources(&account.id).await.unwrap(), Refreshed::default());
}

#[tokio::test]
async fn two_looks_at_once_make_one_source() {
    let world = world(1);
    let account = world.add().await.unwrap();
    world.state.store(3, Ordering::SeqCst);
    let (a, b) = tokio::join!(world.accounts.refresh_sources(&account.id), world.accounts.refresh_sources(&account.id));
    assert_eq!(a.unwrap().new.len() + b.unwrap().new.len(), 1);
    assert_eq!(world.sources().await.len(), 2);
}

#[tokio::test]
async fn states_change_and_a_new_password_must_work() {
    let world = world(1);
    let id = world.add().await.unwrap().id;
    let waiting = world.accounts.needs_sign_in(&id, "401").await.unwrap();
    assert_eq!(waiting.state, AccountState::NeedsSignIn { why: "401".to_owned() });
    assert!(world.accounts.sign_in(&id, &Secret::new("wrong")).await.is_err());
    assert_eq!(world.accounts.account(&id).await.unwrap().state, waiting.state);
    world.accounts.sign_in(&id, &Secret::new(PASSWORD)).await.unwrap();
    assert_eq!(world.accounts.account(&id).await.unwrap().state, AccountState::Active);
    world.accounts.pause(&id).await.unwrap();
    assert_eq!(world.accounts.needs_sign_in(&id, "401").await.unwrap().state, AccountState::Paused);
    // A provider that is built anew from the record works.
    world.accounts.resume(&id).await.unwrap();
    assert_eq!(world.accounts.provider(&id).await.unwrap().calendars().await.unwrap().len(), 1);
}

#[tokio::test]
async fn connecting_what_waits_for_a_sign_in_is_signing_in() {
    let world = world(1);
    let account = world.add().await.unwrap();
    world.accounts.needs_sign_in(&account.id, "401").await.unwrap();
    assert_eq!(world.add().await.unwrap(), account, "the same account under the same label, worked for again");
    assert_eq!(world.sources().await.len(), 1);
    assert_eq!(world.accounts.provider(&account.id).await.unwrap().calendars().await.unwrap().len(), 1);
    assert!(matches!(world.add().await, Err(AccountError::AlreadyConnected(_))), "it waits no longer");
}

#[tokio::test]
async fn a_removed_account_leaves_nothing() {
    let world = world(3);
    let id = world.add().await.unwrap().id;
    world.accounts.remove(&id).await.unwrap();
    assert!(matches!(world.accounts.account(&id).await, Err(AccountError::NotFound)));
    for table in [tables::ACCOUNT, tables::SOURCE] {
        assert_eq!(
            world
                .store
                .scan(crate::store::KeyRange::below(&crate::store::Key::from_bytes(vec![table.0]).unwrap()), usize::MAX)
                .await
                .unwrap(),
            []
        );
    }
    assert_eq!(world.calendars.collections(&world.user).await.unwrap().len(), 2);
    world.add().await.unwrap();
}

#[tokio::test]
async fn passwords_move_to_a_new_key_and_need_the_old_no_more() {
    let world = world(3);
    let account = world.add().await.unwrap();
    let new = MasterKey::generate(&SeededEntropy::new(8));
    world.accounts.seal_with(&new);
    assert_eq!(world.accounts.reseal().await.unwrap(), Resealed { resealed: 1, unreadable: 0 });
    assert_eq!(world.accounts.reseal().await.unwrap(), Resealed::default(), "once is enough");
    // As after a restart: the new key alone.
    let means = Means {
        transport: Arc::new(FakeTransport::serving(|_| answer(404, &[], ""))),
        clock: Arc::new(ManualClock::new(jiff::Timestamp::UNIX_EPOCH)),
        entropy: Arc::new(SeededEntropy::new(4)),
    };
    let keys = Arc::new(KeyRing::load(&new));
    let later = Accounts::new(world.store.clone(), keys, world.calendars.clone(), means);
    let row = later.rows.row(&account.id).await.unwrap();
    assert_eq!(later.rows.unseal(&row).unwrap(), Secret::new(PASSWORD));
}
