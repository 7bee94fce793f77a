//! A gateway to look at: one person with an account at Google, one at Microsoft and one on a CalDAV server, all of them
//! simulated or local, full of events, and changing while one looks.

mod account;
mod appointment;
mod google;
mod plan;

use std::path::Path;

use anyhow::{Context, Result};
use jiff::ToSpan;
use jiff::civil::Date;
use serde_json::Value;

use self::account::{Account, Caldav};
use self::appointment::Appointment;
use self::google::Google;
use self::plan::{FAMILY, PRIVATE, WORK};
use crate::client::Client;
use crate::microsoft::{Simulator, settings};
use crate::peer::{Kind, Peer};
use crate::seed::Spread;
use crate::server::{Gateway, PASSWORD, Setting, USER};

/// Where what it needs is.
#[derive(Clone, Copy, Debug)]
pub struct Needs<'a> {
    /// The gateway's program.
    pub binary: &'a Path,
    /// The virtual environment with Radicale.
    pub venv: &'a Path,
    /// The program that simulates Google.
    pub simulate_google: &'a Path,
    /// A folder for the folders of all of them, which end with it.
    pub parent: &'a Path,
}

/// All of it, running.
#[derive(Debug)]
pub struct Demo {
    gateway: Gateway,
    members: Vec<Member>,
    today: Date,
    steps: usize,
    feed: String,
}

/// An account, and the one appointment there that comes and goes.
#[derive(Debug)]
struct Member {
    account: Account,
    /// Where one meets.
    place: &'static str,
    guest: Guest,
}

/// The life of the one that comes and goes.
#[derive(Debug)]
enum Guest {
    Away,
    Come(String, Appointment),
    Moved(String, Appointment),
}

impl Demo {
    /// Starts everything; returns when the gateway has every event.
    pub async fn start(needs: Needs<'_>, today: Date) -> Result<Self> {
        let google = Google::start(&needs.venv.join("bin/python"), needs.simulate_google).await?;
        let simulator = Simulator::start("127.0.0.1:0", "ana@example.com").await?;
        let peer = Peer::start(Kind::Radicale, needs.venv, needs.parent, 0, Spread { every_28_days: 1 }).await?;
        let setting = setting(&google, &simulator);
        let client = Client::connect(&peer.host, USER, PASSWORD).await?;
        let address = format!("http://{}", peer.host);
        let mut members = Vec::new();
        for (mut account, habits, place) in [
            (Account::Google(Box::new(google)), PRIVATE, "Café am Ufer"),
            (Account::Microsoft(simulator), WORK, "Canteen"),
            (Account::Caldav(Box::new(Caldav { peer, client, made: 0 })), FAMILY, "At home"),
        ] {
            for appointment in plan::appointments(habits, today) {
                account.write(None, &appointment).await?;
            }
            members.push(Member { account, place, guest: Guest::Away });
        }
        let gateway = Gateway::start(needs.binary, needs.parent, setting).await?;
        connect(&gateway, &address).await?;
        let feed = gateway.run(&["feed", "add", USER, "--json"], "").await?;
        let feed: Value = serde_json::from_str(&feed)?;
        let feed = feed.get("url").and_then(Value::as_str).context("a feed has an address")?.to_owned();
        Ok(Self { gateway, members, today, steps: 0, feed })
    }

    /// What a person needs to look at it.
    pub fn told(&self) -> String {
        let host = &self.gateway.host;
        format!(
            "For a browser or a CalDAV client: http://{host}/\n\
             User name: {USER}\n\
             Password:  {PASSWORD}\n\
             The calendar itself: http://{host}/dav/calendars/{USER}/unified/\n\
             To subscribe to:     {}",
            self.feed
        )
    }

    /// Changes something at one of the providers, and says what.
    pub async fn step(&mut self) -> Result<String> {
        let (step, count) = (self.steps, self.members.len());
        self.steps += 1;
        let member = self.members.get_mut(step % count).context("no account")?;
        let next = plan::sudden(step, member.place, self.today);
        let said = member.step(next).await?;
        Ok(format!("{}: {said}", member.account.name()))
    }

    /// Ends everything.
    pub async fn stop(self) -> Result<()> {
        self.gateway.stop().await?;
        for member in self.members {
            member.account.stop().await?;
        }
        Ok(())
    }
}

impl Member {
    async fn step(&mut self, next: Appointment) -> Result<String> {
        let (guest, said) = match std::mem::replace(&mut self.guest, Guest::Away) {
            Guest::Away => {
                let id = self.account.write(None, &next).await?;
                let said = format!("new: {}, {}", next.title, next.when());
                (Guest::Come(id, next), said)
            }
            Guest::Come(id, known) => {
                let moved = known.later(1.hour());
                self.account.write(Some(&id), &moved).await?;
                let said = format!("moved: {}, {}", moved.title, moved.when());
                (Guest::Moved(id, moved), said)
            }
            Guest::Moved(id, known) => {
                self.account.remove(&id).await?;
                (Guest::Away, format!("called off: {}", known.title))
            }
        };
        self.guest = guest;
        Ok(said)
    }
}

/// A gateway that knows the simulators, hears of changes where it is told, and asks often where it is not.
fn setting(google: &Google, simulator: &Simulator) -> Setting {
    let mut setting = Setting::on("sled");
    setting.environment.extend(google.settings.clone());
    setting.environment.extend(settings(simulator));
    for (name, value) in [
        ("LINEARTIME_PROVIDERS__ALLOW_PRIVATE_ADDRESSES", "true"),
        ("LINEARTIME_WEBHOOKS__ENABLED", "true"),
        ("LINEARTIME_SYNC__POLL_INTERVAL", "5s"),
    ] {
        setting.environment.push((name.to_owned(), value.to_owned()));
    }
    setting
}

/// Connects the accounts, and waits until their events are there.
async fn connect(gateway: &Gateway, caldav: &str) -> Result<()> {
    let password = format!("{PASSWORD}\n");
    let add = ["account", "add", USER, "--provider"];
    let by_token = |provider, label| [&add[..], &[provider, "--refresh-token-stdin", "--label", label]].concat();
    // The refresh tokens are those with which the simulators begin.
    gateway.run(&by_token("google", "Private"), "refresh-1\n").await?;
    gateway.run(&by_token("microsoft", "Work"), "M.C5_first\n").await?;
    let by_password = ["caldav", "--url", caldav, "--username", USER, "--password-stdin", "--label", "Family"];
    gateway.run(&[&add[..], &by_password].concat(), &password).await?;
    gateway.run(&["sync", USER, "--wait"], "").await.map(drop)
}
