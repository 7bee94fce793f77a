//! Figures of the engine at size. They need an optimised build and take their time, so they run only when asked for:
//! `cargo test --release --test it scale:: -- --ignored --nocapture --test-threads 1`.

use std::fs;
use std::time::{Duration, Instant};

use lineartime::account::NewCalDav;
use lineartime::id::UserId;
use lineartime::vault::Secret;

use crate::world::{Manners, Upstream, World, event};

/// Seconds of processor time that this process has used.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn resident_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

fn new_account(n: usize) -> NewCalDav {
    NewCalDav {
        label: None,
        address: "https://a.example.org/home/".to_owned(),
        username: format!("user{n}"),
        password: Secret::new("correct horse"),
    }
}

#[tokio::test]
#[ignore = "takes minutes; prints figures"]
async fn ten_thousand_accounts_polled_for_an_hour() {
    const ACCOUNTS: usize = 10_000;
    let mut world = World::new(1, [("a", Upstream::new(Manners::default(), &["work"]))]);
    for n in 0..20 {
        world.at("a").put("work", &format!("{n}.ics"), event(&format!("u{n}"), "Event", ""));
    }
    world.boot();
    for n in 0..ACCOUNTS {
        let user = UserId::parse(&format!("user{n}")).unwrap();
        let account = world.accounts().add_caldav(&user, new_account(n)).await.unwrap();
        world.engine().attend(&account.id).await.unwrap();
    }
    world.pass_coarsely(Duration::from_mins(20), Duration::from_secs(1)).await;
    drop(world.net.take_lines());
    let (before, began) = (processor(), Instant::now());
    world.pass_coarsely(Duration::from_hours(1), Duration::from_secs(1)).await;
    let (used, polls) = (processor() - before, world.net.take_lines().len());
    let share = used / 3600.0 * 100.0;
    println!(
        "{ACCOUNTS} accounts with 20 events each, one hour: {polls} requests, {used:.1} s of one core ({share:.2} %), {} MiB, in {:.0} s",
        resident_mib(),
        began.elapsed().as_secs_f64()
    );
    assert!(polls >= ACCOUNTS * 3, "each is asked every quarter of an hour: {polls}");
    assert!(polls <= ACCOUNTS * 5, "a quiet look is one request: {polls}");
}

#[tokio::test]
#[ignore = "prints figures"]
async fn first_import_of_ten_thousand_events() {
    const EVENTS: usize = 10_000;
    let mut world = World::new(1, [("a", Upstream::new(Manners::default(), &["work"]))]);
    for n in 0..EVENTS {
        world.at("a").put(
            "work",
            &format!("{n}.ics"),
            event(&format!("u{n}"), &format!("Event {n}"), "LOCATION:There\r\n"),
        );
    }
    world.boot();
    let began = Instant::now();
    world.connect("a").await;
    let took = began.elapsed().as_secs_f64();
    let shown = world.calendars().view(&world.unified()).await.unwrap().len();
    println!(
        "{shown} events imported in {took:.2} s: {:.0} a second, the upstream's part included",
        f64::from(u32::try_from(shown).unwrap()) / took
    );
    assert_eq!(shown, EVENTS);
}
