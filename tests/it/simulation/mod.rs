//! Whole lives of the gateway from a number (`reliability.md` 4): two accounts, each at a CalDAV server, a service like Google's
//! or one like Graph's; two clients, one that drops its edit after a 412 and one that reads again; edits at the providers, every
//! trouble the network and the store know, crashes, and time; then all heals, and the laws must hold.
//!
//! One seed is one life, on one thread with a clock and chance of its own: it runs the same way each time. A failure prints
//! a line that runs it again and tells its steps. `LINEARTIME_SEEDS=n` runs so many, from `LINEARTIME_FROM` on: the soak.
//! Without either 2,000 run, half of them beside the other half.
//!
//! Never here: how the engine does it. The laws speak of what providers hold, what clients see, and what is recorded.

#![allow(unreachable_pub, reason = "the parts of a life are for one another, and nobody else")]

mod laws;
mod life;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use life::Life;

/// Lives of an ordinary run.
const SEEDS: u64 = 2000;

#[test]
fn laws_hold_in_even_lives() {
    laws_hold(0);
}

#[test]
fn laws_hold_in_odd_lives() {
    laws_hold(1);
}

/// Every life whose seed leaves `rest` when halved.
fn laws_hold(rest: u64) {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let from = number("LINEARTIME_FROM").unwrap_or_default();
    let seeds = match number("LINEARTIME_SEED") {
        Some(seed) => seed..seed + 1,
        None => from..from + number("LINEARTIME_SEEDS").unwrap_or(SEEDS),
    };
    let tells = seeds.end - seeds.start == 1;
    for seed in seeds.filter(|seed| seed % 2 == rest) {
        let result = catch_unwind(AssertUnwindSafe(|| live(seed, tells)));
        if let Err(panic) = result {
            eprintln!("LINEARTIME_SEED={seed} cargo test --test it simulation::");
            resume_unwind(panic);
        }
    }
}

#[test]
fn a_seed_lives_the_same_life_each_time() {
    for seed in [3, 8] {
        assert_eq!(live(seed, false), live(seed, false));
    }
}

/// One life to its end; what was sent, line by line.
fn live(seed: u64, tells: bool) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut life = Life::begin(seed, tells).await;
        life.live().await;
        life.heal().await;
        life.judge().await;
        life.lines
    })
}
