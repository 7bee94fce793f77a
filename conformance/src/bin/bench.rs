//! The figures: what costs grow with, what group commit gains, what memory is used, and how others fare at the same.
//!
//!     bench BINARY [--engine sled|redb]                      what must hold: ratios within one run
//!     bench BINARY --writers [--engine sled|redb]            the last of these alone: group commit
//!     bench BINARY --table [--sizes 1000,10000] [--peers VENV] [--server FILE]... [--seconds 2] [--patience 120] [--engine sled|redb]
//!                                                            every workload; beside Radicale and Xandikos from VENV, and
//!                                                            beside any server that a file describes (see `peer::Described`)

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures real time and prints a table")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use conformance::peer::{self, Described, Kind, Peer};
use conformance::seed::{self, Spread, event};
use conformance::server::{Gateway, PASSWORD, Setting, USER, family, memory};
use conformance::workload::{MONTH, Target, Workload, seed, sync_body, sync_token};

/// Sixty events begin in every four weeks, however many there are: so a month's answer is of one size.
const SPREAD: Spread = Spread { every_28_days: 60 };
const ROUNDS: usize = 60;
const WRITES: u32 = 1600;

struct Options {
    binary: PathBuf,
    engine: String,
    table: bool,
    writers: bool,
    sizes: Vec<u32>,
    peers: Option<PathBuf>,
    servers: Vec<Described>,
    time: Duration,
    /// A cell of the table takes no longer.
    patience: Duration,
}

impl Options {
    fn read() -> Result<Self> {
        let mut arguments = std::env::args().skip(1);
        let binary = PathBuf::from(arguments.next().context("usage: bench BINARY [--engine sled] [--table]")?);
        let mut options = Self {
            binary,
            engine: "sled".to_owned(),
            table: false,
            writers: false,
            sizes: vec![1_000, 10_000],
            peers: None,
            servers: Vec::new(),
            time: Duration::from_secs(2),
            patience: Duration::from_mins(2),
        };
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("{name} needs a value"));
            match name.as_str() {
                "--engine" => options.engine = value()?,
                "--table" => options.table = true,
                "--writers" => options.writers = true,
                "--server" => options.servers.push(Described::read(Path::new(&value()?))?),
                "--patience" => options.patience = Duration::from_secs_f64(value()?.parse()?),
                "--peers" => options.peers = Some(PathBuf::from(value()?)),
                "--seconds" => options.time = Duration::from_secs_f64(value()?.parse()?),
                "--sizes" => {
                    options.sizes = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?;
                }
                _ => bail!("{name} is not known"),
            }
        }
        Ok(options)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::read()?;
    let parent = std::env::current_dir()?.join("target");
    match (options.table, options.writers) {
        (true, _) => table(&options, &parent).await,
        (_, true) => writers(&options, &parent).await,
        _ => promises(&options, &parent).await,
    }
}

/// Every workload at every size on every server, taking turns.
async fn table(options: &Options, parent: &Path) -> Result<()> {
    println!("engine {}; median latency / processor time of the server for a request, in ms", options.engine);
    if let Some(venv) = &options.peers {
        for kind in Kind::ALL {
            println!("{} {}", kind.name(), peer::version(venv, kind).await?);
        }
    }
    for &events in &options.sizes {
        compare(options, parent, events).await?;
    }
    Ok(())
}

async fn compare(options: &Options, parent: &Path, events: u32) -> Result<()> {
    // Three years, however many events there are.
    let spread = Spread { every_28_days: (events / 39).max(1) };
    let mut gateway = Gateway::start(&options.binary, parent, Setting::on(&options.engine)).await?;
    let mut target = target(&gateway, events, spread)?;
    let begun = Instant::now();
    seed(&target, 0..events, 16, event).await?;
    let seeded = f64::from(events) / begun.elapsed().as_secs_f64();
    let filled = gateway.memory()?;
    let started = gateway.restart().await?;
    target.process = Some(gateway.process()?);
    let idle = gateway.memory()?;
    let mut targets = vec![target];
    let mut peers = Vec::new();
    if let Some(venv) = &options.peers {
        for kind in Kind::ALL {
            let peer = Peer::start(kind, venv, parent, events, spread).await?;
            targets.push(Target {
                name: kind.name().to_owned(),
                host: peer.host.clone(),
                login: (USER.to_owned(), PASSWORD.to_owned()),
                process: Some(peer.process()?),
                collection: kind.collection().to_owned(),
                home: kind.home().to_owned(),
                events,
                spread,
            });
            peers.push(peer);
        }
    }
    for server in &options.servers {
        let target = described(server, events, spread);
        seed(&target, 0..events, 4, event).await?;
        targets.push(target);
    }
    let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
    println!("\n| {events} events | {} | octets |", names.join(" | "));
    println!("| --- |{}", " --- |".repeat(names.len() + 1));
    for workload in Workload::ALL {
        let mut cells = Vec::new();
        let mut octets = 0;
        for target in &targets {
            let run = tokio::time::timeout(options.patience, workload.run(target, options.time));
            match run.await.unwrap_or_else(|_| Err(anyhow!("over {} s", options.patience.as_secs()))) {
                Ok(figure) => {
                    octets = if cells.is_empty() { figure.octets } else { octets };
                    let by_rate = workload == Workload::CreateBySixteen;
                    cells.push(if by_rate { format!("{:.0}/s", figure.rate) } else { figure.show() });
                }
                Err(error) => cells.push(format!("– ({error:#})")),
            }
        }
        println!("| {} | {} | {octets} |", workload.title(), cells.join(" | "));
    }
    let now: Vec<_> = targets.iter().map(|target| shown_memory(target.process)).collect();
    println!("| W13 memory after that: resident, peak (MiB) | {} | |", now.join(" | "));
    println!("gateway: filled at {seeded:.0}/s, then {} MiB (peak {} MiB);", filled.0, filled.1);
    println!("started again in {:.0} ms, then {} MiB", started.as_secs_f64() * 1e3, idle.0);
    Ok(())
}

/// Of a process with those that it has started, MiB.
fn shown_memory(process: Option<u32>) -> String {
    let Some(family) = process.and_then(|process| family(process).ok()) else { return "–".to_owned() };
    let each = family.into_iter().filter_map(|one| memory(one).ok());
    let (resident, peak) = each.fold((0, 0), |(resident, peak), (more, high)| (resident + more, peak + high));
    format!("{resident}, {peak}")
}

fn described(server: &Described, events: u32, spread: Spread) -> Target {
    Target {
        name: server.name.clone(),
        host: server.host.clone(),
        login: (server.user.clone(), server.password.clone()),
        process: server.process,
        collection: server.collection.clone(),
        home: server.home.clone(),
        events,
        spread,
    }
}

fn target(gateway: &Gateway, events: u32, spread: Spread) -> Result<Target> {
    Ok(Target {
        name: "gateway".to_owned(),
        host: gateway.host.clone(),
        login: (USER.to_owned(), PASSWORD.to_owned()),
        process: Some(gateway.process()?),
        collection: format!("/dav/calendars/{USER}/unified/"),
        home: format!("/dav/calendars/{USER}/"),
        events,
        spread,
    })
}

/// What must hold on any machine.
async fn promises(options: &Options, parent: &Path) -> Result<()> {
    println!("engine {}; medians of {ROUNDS} requests, least in brackets\n", options.engine);
    println!("| events | sync, one change | one month with data | listing, etags | memory, peak |");
    println!("| --- | --- | --- | --- | --- |");
    let mut rows = Vec::new();
    for events in [1_000, 10_000] {
        let row = measure(options, parent, events).await?;
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
    streaming(options, parent).await?;
    endless(options, parent).await?;
    writers(options, parent).await
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

async fn measure(options: &Options, parent: &Path, events: u32) -> Result<Row> {
    let gateway = Gateway::start(&options.binary, parent, Setting::on(&options.engine)).await?;
    let target = target(&gateway, events, SPREAD)?;
    seed(&target, 0..events, 8, event).await?;
    let mut client = target.connect().await?;
    let unified = &target.collection;
    let mut token = sync_token(&client.multistatus("REPORT", unified, "0", &sync_body("")).await?)?;
    let (mut sync, mut month, mut listing) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (name, body) = event(u32::try_from(round)? * 7, SPREAD);
        client.put(&format!("{unified}{name}"), body.replace("SUMMARY:", &format!("SUMMARY:{round} "))).await?;
        let body = sync_body(&token);
        let start = Instant::now();
        let answer = client.multistatus("REPORT", unified, "0", &body).await?;
        sync.push(start.elapsed());
        token = sync_token(&answer)?;
        let start = Instant::now();
        client.multistatus("REPORT", unified, "1", MONTH).await?;
        month.push(start.elapsed());
        if round % 6 == 0 {
            let start = Instant::now();
            client.multistatus("PROPFIND", unified, "1", LISTING).await?;
            listing.push(start.elapsed());
        }
    }
    let memory = gateway.memory()?;
    Ok(Row { sync: Times::of(sync)?, month: Times::of(month)?, listing: Times::of(listing)?, memory })
}

/// Answers of any size begin at once and are made while they are sent: many of the largest, read slowly, take no memory.
async fn streaming(options: &Options, parent: &Path) -> Result<()> {
    const EVENTS: u32 = 10_000;
    const AT_ONCE: usize = 20;
    let gateway = Gateway::start(&options.binary, parent, Setting::on(&options.engine)).await?;
    let target = target(&gateway, EVENTS, SPREAD)?;
    seed(&target, 0..EVENTS, 16, event).await?;
    let mut client = target.connect().await?;
    println!("\nAnswers about {EVENTS} events, until the first octet of the body and the last (medians of 9):");
    let all = sync_body("");
    let asked = [
        ("PROPFIND Depth 1, etags", "PROPFIND", "1", LISTING),
        ("PROPFIND Depth 1, allprop", "PROPFIND", "1", ALL),
        ("sync-collection from nothing", "REPORT", "0", all.as_str()),
        ("calendar-query, all, etags", "REPORT", "1", EVERYTHING),
    ];
    for (title, method, depth, body) in asked {
        let (mut first, mut last, mut octets) = (Vec::new(), Vec::new(), 0);
        for _ in 0..9 {
            let start = Instant::now();
            let mut pieces = client.pieces(method, &target.collection, depth, body).await?;
            octets = pieces.next().await?.context("an empty answer")?;
            first.push(start.elapsed());
            while let Some(more) = pieces.next().await? {
                octets += more;
            }
            last.push(start.elapsed());
        }
        println!("  {title:<32} {}, {}, {octets} octets", Times::of(first)?.show(), Times::of(last)?.show());
    }
    let before = gateway.memory()?.0;
    gateway.forget_peak()?;
    let mut readers = Vec::new();
    for _ in 0..AT_ONCE {
        let mut client = target.connect().await?;
        let pieces = client.pieces("PROPFIND", &target.collection, "1", ALL).await?;
        readers.push((client, pieces));
    }
    let mut octets = 0;
    // In turn, so that all are under way to the end.
    while !readers.is_empty() {
        let mut going = Vec::with_capacity(readers.len());
        for (client, mut pieces) in readers {
            if let Some(more) = pieces.next().await? {
                octets += more;
                going.push((client, pieces));
            }
        }
        readers = going;
    }
    let grown = gateway.memory()?.1.saturating_sub(before);
    println!(
        "  {AT_ONCE} of the second at once, {} MiB in all: memory grew by {grown} MiB at its highest",
        octets >> 20
    );
    Ok(())
}

/// A calendar of weekly series without an end: none of them can be told apart by when they take place.
async fn endless(options: &Options, parent: &Path) -> Result<()> {
    println!("\nWeekly series without an end, one month with data:");
    for series in [200, 2_000] {
        let gateway = Gateway::start(&options.binary, parent, Setting::on(&options.engine)).await?;
        let target = target(&gateway, series, SPREAD)?;
        seed(&target, 0..series, 16, seed::endless).await?;
        let figure = Workload::Month.run(&target, Duration::from_secs(1)).await?;
        let each = figure.median.as_secs_f64() * 1e6 / f64::from(series);
        println!("  {series:>5} series  {} ms, {each:.0} us for each that is answered", figure.show());
    }
    Ok(())
}

/// Group commit: on this disk, and on one whose sync takes a while, where it is needed most.
async fn writers(options: &Options, parent: &Path) -> Result<()> {
    println!("\nPUT of new events, every one on disk before its answer:");
    println!("  on this disk:");
    let usual = Setting::on(&options.engine);
    writers_against_one(options, parent, usual.clone()).await?;
    let shim = slow_sync(parent).await?;
    println!("  where a sync takes {SLOW_SYNC} ms more:");
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let shim = variable("LD_PRELOAD", shim.to_str().context("a path that is no text")?);
    let environment = vec![shim, variable("SYNC_MILLISECONDS", SLOW_SYNC)];
    writers_against_one(options, parent, Setting { environment, ..usual }).await
}

async fn writers_against_one(options: &Options, parent: &Path, setting: Setting) -> Result<()> {
    let gateway = Gateway::start(&options.binary, parent, setting).await?;
    let target = target(&gateway, 0, SPREAD)?;
    let mut rates = Vec::new();
    let mut next = 0;
    for (writers, writes) in [(1, WRITES / 4), (16, WRITES), (1, WRITES / 4), (16, WRITES)] {
        let start = Instant::now();
        seed(&target, next..next + writes, writers, event).await?;
        next += writes;
        rates.push((writers, f64::from(writes) / start.elapsed().as_secs_f64()));
    }
    for (writers, rate) in &rates {
        println!("    {writers:>2} writers  {rate:.0}/s");
    }
    if let [(_, one), (_, sixteen), (_, one_again), (_, sixteen_again)] = rates.as_slice() {
        println!("    16 against 1: {:.1} (wanted: at least 5)", (sixteen + sixteen_again) / (one + one_again));
    }
    Ok(())
}

/// Compiles what makes a sync take longer.
async fn slow_sync(parent: &Path) -> Result<PathBuf> {
    let (source, library) = (parent.join("slow_sync.c"), parent.join("slow_sync.so"));
    std::fs::write(&source, include_str!("../slow_sync.c"))?;
    let mut compile = tokio::process::Command::new("cc");
    compile.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    ensure!(compile.status().await?.success(), "the C compiler could not make {}", library.display());
    Ok(library)
}

/// What an append with fdatasync takes on a plain disk.
const SLOW_SYNC: &str = "4";
const ALL: &str = "<D:propfind xmlns:D=\"DAV:\"><D:allprop/></D:propfind>";
const EVERYTHING: &str = "<C:calendar-query xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><D:getetag/>\
    </D:prop><C:filter><C:comp-filter name=\"VCALENDAR\"/></C:filter></C:calendar-query>";
const LISTING: &str = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/></D:prop></D:propfind>";
