//! The figures: what costs grow with, what group commit gains, what memory is used. Ratios within one run.
//!
//!     cargo run --release -p conformance --bin bench -- target/release/lineartime

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures real time and prints a table")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use conformance::client::Client;
use conformance::seed::{Spread, event};
use conformance::server::{Gateway, USER};

/// Sixty events begin in every four weeks, however many there are: so a month's answer is of one size.
const SPREAD: Spread = Spread { every_28_days: 60 };
const ROUNDS: usize = 60;
const WRITES: u32 = 1600;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let binary = PathBuf::from(arguments.next().context("usage: bench BINARY [ENGINE]")?);
    let engine = arguments.next().unwrap_or_else(|| "sled".to_owned());
    let parent = std::env::current_dir()?.join("target");
    println!("engine {engine}; medians of {ROUNDS} requests, least in brackets\n");
    println!("| events | sync, one change | one month with data | listing, etags | memory, peak |");
    println!("| --- | --- | --- | --- | --- |");
    let mut rows = Vec::new();
    for events in [1_000, 10_000] {
        let row = measure(&binary, &parent, &engine, events).await?;
        println!(
            "| {events} | {} | {} | {} | {} MiB, {} MiB |",
            row.sync.show(),
            row.month.show(),
            row.listing.show(),
            row.memory.0,
            row.memory.1
        );
        rows.push(row);
    }
    if let [small, large] = rows.as_slice() {
        println!("\n10,000 against 1,000 events, medians:");
        println!("  sync with one change {:.2} (wanted: at most 1.5)", large.sync.over(&small.sync));
        println!("  one month            {:.2} (wanted: at most 1.5)", large.month.over(&small.month));
        println!("  memory               {} MiB (wanted: under 150)", large.memory.0);
    }
    writers(&binary, &parent, &engine).await
}

struct Row {
    sync: Times,
    month: Times,
    listing: Times,
    memory: (u64, u64),
}

struct Times {
    median: Duration,
    least: Duration,
}

impl Times {
    fn of(mut all: Vec<Duration>) -> Result<Self> {
        all.sort();
        let median = *all.get(all.len() / 2).context("no measurement")?;
        let least = *all.first().context("no measurement")?;
        Ok(Self { median, least })
    }

    fn show(&self) -> String {
        format!("{:.2} ms ({:.2})", self.median.as_secs_f64() * 1e3, self.least.as_secs_f64() * 1e3)
    }

    fn over(&self, other: &Self) -> f64 {
        self.median.as_secs_f64() / other.median.as_secs_f64()
    }
}

async fn measure(binary: &Path, parent: &Path, engine: &str, events: u32) -> Result<Row> {
    let gateway = Gateway::start(binary, parent, engine).await?;
    write(&gateway, 0..events, 8).await?;
    let mut client = gateway.connect().await?;
    let unified = unified();
    let mut token = sync_token(&client.multistatus("REPORT", &unified, "0", &sync_body("")).await?)?;
    let (mut sync, mut month, mut listing) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (name, body) = event(u32::try_from(round)? * 7, SPREAD);
        client.put(&format!("{unified}{name}"), body.replace("SUMMARY:", &format!("SUMMARY:{round} "))).await?;
        let body = sync_body(&token);
        let start = Instant::now();
        let answer = client.multistatus("REPORT", &unified, "0", &body).await?;
        sync.push(start.elapsed());
        token = sync_token(&answer)?;
        let start = Instant::now();
        client.multistatus("REPORT", &unified, "1", MONTH).await?;
        month.push(start.elapsed());
        if round % 6 == 0 {
            let start = Instant::now();
            client.multistatus("PROPFIND", &unified, "1", LISTING).await?;
            listing.push(start.elapsed());
        }
    }
    Ok(Row {
        sync: Times::of(sync)?,
        month: Times::of(month)?,
        listing: Times::of(listing)?,
        memory: gateway.memory()?,
    })
}

async fn writers(binary: &Path, parent: &Path, engine: &str) -> Result<()> {
    let gateway = Gateway::start(binary, parent, engine).await?;
    let mut rates = Vec::new();
    let mut next = 0;
    for (writers, writes) in [(1, WRITES / 4), (16, WRITES), (1, WRITES / 4), (16, WRITES)] {
        let start = Instant::now();
        write(&gateway, next..next + writes, writers).await?;
        next += writes;
        rates.push((writers, f64::from(writes) / start.elapsed().as_secs_f64()));
    }
    println!("\nPUT of new events, every one on disk before its answer:");
    for (writers, rate) in &rates {
        println!("  {writers:>2} writers  {rate:.0}/s");
    }
    if let [(_, one), (_, sixteen), (_, one_again), (_, sixteen_again)] = rates.as_slice() {
        println!("  16 against 1: {:.1} (wanted: at least 5)", (sixteen + sixteen_again) / (one + one_again));
    }
    Ok(())
}

/// PUTs the events of a range over `writers` connections.
async fn write(gateway: &Gateway, range: std::ops::Range<u32>, writers: u32) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let mut client: Client = gateway.connect().await?;
        let mine = range.clone().filter(move |n| n % writers == writer);
        tasks.spawn(async move {
            let unified = unified();
            for n in mine {
                let (name, body) = event(n, SPREAD);
                client.put(&format!("{unified}{name}"), body).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

fn unified() -> String {
    format!("/dav/calendars/{USER}/unified/")
}

fn sync_body(token: &str) -> String {
    format!(
        "<D:sync-collection xmlns:D=\"DAV:\"><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>\
         <D:prop><D:getetag/></D:prop></D:sync-collection>"
    )
}

fn sync_token(answer: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(answer)?;
    let (_, rest) = text
        .rsplit_once("sync-token>")
        .map(|(head, _)| head)
        .and_then(|head| head.rsplit_once("sync-token>"))
        .context("no sync-token")?;
    Ok(rest.split('<').next().unwrap_or_default().to_owned())
}

const LISTING: &str = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/></D:prop></D:propfind>";
const MONTH: &str = "<C:calendar-query xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><D:getetag/>\
<C:calendar-data/></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">\
<C:time-range start=\"20260301T000000Z\" end=\"20260401T000000Z\"/></C:comp-filter></C:comp-filter></C:filter>\
</C:calendar-query>";
