//! The workloads: what is asked of a server, how long an answer takes, and what processor time it costs.

#![expect(clippy::disallowed_methods, clippy::cast_precision_loss, reason = "it measures real time")]

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::client::{Client, ICALENDAR};
use crate::seed::{Spread, event};
use crate::server::processor_time;

/// A server, where its calendar is, and what it holds.
#[derive(Clone, Debug)]
pub struct Target {
    /// What the table calls it.
    pub name: String,
    /// `address:port`.
    pub host: String,
    /// Who asks, and the password.
    pub login: (String, String),
    /// Its process, if that is to be looked at; those that it has started count as part of it.
    pub process: Option<u32>,
    /// The path of the calendar.
    pub collection: String,
    /// The path of the home above it.
    pub home: String,
    /// Events in the calendar.
    pub events: u32,
    /// How they lie in time.
    pub spread: Spread,
}

/// What a workload came to.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The median of the latencies.
    pub median: Duration,
    /// The least of them.
    pub least: Duration,
    /// Processor time of the server for one request, where its process is known.
    pub processor: Option<Duration>,
    /// Requests in a second.
    pub rate: f64,
    /// Octets of an answer.
    pub octets: usize,
}

impl Figure {
    /// `latency / processor` in milliseconds.
    pub fn show(&self) -> String {
        let ms = |time: Duration| match time.as_secs_f64() * 1e3 {
            long if long >= 100.0 => format!("{long:.0}"),
            middling if middling >= 10.0 => format!("{middling:.1}"),
            short => format!("{short:.2}"),
        };
        format!("{} / {}", ms(self.median), self.processor.map_or_else(|| "–".to_owned(), ms))
    }
}

/// Something to ask, by the names that issue and table give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// PROPFIND, all names and tags.
    Listing,
    /// sync-collection from nothing.
    FirstSync,
    /// sync-collection with one change.
    Sync,
    /// calendar-query over one month, with the data.
    Month,
    /// Fifty objects by name.
    Multiget,
    /// One object.
    Get,
    /// New objects from one writer.
    Create,
    /// New objects from sixteen writers.
    CreateBySixteen,
    /// A changed object, under a condition.
    Change,
    /// Objects go.
    Delete,
    /// free-busy-query over one month.
    FreeBusy,
    /// The whole calendar as a subscription.
    Feed,
    /// The same, and nothing has changed.
    FeedUnchanged,
    /// PROPFIND on the home alone: what signing in costs.
    Home,
}

impl Workload {
    /// All, reading ones first, so that they meet what was seeded.
    pub const ALL: [Self; 14] = [
        Self::Home,
        Self::Get,
        Self::Multiget,
        Self::Month,
        Self::FreeBusy,
        Self::Feed,
        Self::FeedUnchanged,
        Self::Listing,
        Self::FirstSync,
        Self::Sync,
        Self::Change,
        Self::Create,
        Self::CreateBySixteen,
        Self::Delete,
    ];

    /// Its row in the table.
    pub fn title(self) -> &'static str {
        match self {
            Self::Listing => "W1 PROPFIND Depth 1, getetag",
            Self::FirstSync => "W2 sync-collection from nothing",
            Self::Sync => "W3 sync-collection, one change",
            Self::Month => "W4 calendar-query, one month with data",
            Self::Multiget => "W5 multiget of 50",
            Self::Get => "W6 GET",
            Self::Create => "W7 PUT new, 1 writer",
            Self::CreateBySixteen => "W7 PUT new, 16 writers",
            Self::Change => "W8 PUT with If-Match",
            Self::Delete => "W9 DELETE",
            Self::FreeBusy => "W10 free-busy-query, one month",
            Self::Feed => "W11 the whole calendar as a feed",
            Self::FeedUnchanged => "W11 the same, 304",
            Self::Home => "W12 PROPFIND Depth 0 on the home",
        }
    }

    /// Asks `target` for about `time`.
    pub async fn run(self, target: &Target, time: Duration) -> Result<Figure> {
        let mut client = target.connect().await?;
        let collection = target.collection.as_str();
        match self {
            Self::Listing => target.report(&mut client, "PROPFIND", collection, "1", ETAGS, time).await,
            Self::FirstSync => target.report(&mut client, "REPORT", collection, "0", &sync_body(""), time).await,
            Self::Sync => {
                let answer = client.multistatus("REPORT", collection, "0", &sync_body("")).await?;
                let body = sync_body(&sync_token(&answer)?);
                let (name, text) = event(target.events / 2, target.spread);
                client.put(&format!("{collection}{name}"), text.replace("SUMMARY:", "SUMMARY:Moved ")).await?;
                target.report(&mut client, "REPORT", collection, "0", &body, time).await
            }
            Self::Month => target.report(&mut client, "REPORT", collection, "1", MONTH, time).await,
            Self::Multiget => target.report(&mut client, "REPORT", collection, "1", &target.multiget(50), time).await,
            Self::FreeBusy => target.repeat(&mut client, time, &Request::report(collection, FREE_BUSY)).await,
            Self::Feed => {
                let path = target.feed(&mut client).await?;
                let request = Request { method: "GET", path: &path, depth: "0", body: "", wanted: 200 };
                target.repeat(&mut client, time, &request).await
            }
            Self::FeedUnchanged => target.feed_unchanged(&mut client, time).await,
            Self::Home => target.report(&mut client, "PROPFIND", &target.home, "0", HOME, time).await,
            Self::Get => {
                let (name, _) = event(target.events / 2, target.spread);
                let path = format!("{collection}{name}");
                let request = Request { method: "GET", path: &path, depth: "0", body: "", wanted: 200 };
                target.repeat(&mut client, time, &request).await
            }
            Self::Create => target.create(1, 10_000_000, time).await,
            Self::CreateBySixteen => target.create(16, 20_000_000, time).await,
            Self::Change => target.change(&mut client, time).await,
            Self::Delete => target.delete(&mut client, time).await,
        }
    }
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    depth: &'a str,
    body: &'a str,
    wanted: u16,
}

impl<'a> Request<'a> {
    fn report(path: &'a str, body: &'a str) -> Self {
        Self { method: "REPORT", path, depth: "1", body, wanted: 200 }
    }
}

impl Target {
    /// A connection.
    pub async fn connect(&self) -> Result<Client> {
        let (user, password) = &self.login;
        Client::connect(&self.host, user, password).await
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a request")]
    async fn report(
        &self,
        client: &mut Client,
        method: &str,
        path: &str,
        depth: &str,
        body: &str,
        time: Duration,
    ) -> Result<Figure> {
        self.repeat(client, time, &Request { method, path, depth, body, wanted: 207 }).await
    }

    async fn repeat(&self, client: &mut Client, time: Duration, request: &Request<'_>) -> Result<Figure> {
        // Once to fill whatever caches there are. Of a server that takes long for it that is all that is asked.
        let mut watch = Watch::start(self)?;
        watch.octets = self.ask(client, request).await?;
        let first = watch.begun.elapsed();
        if first > time * 3 {
            watch.latencies.push(first);
            return watch.stop(self);
        }
        let mut watch = Watch::start(self)?;
        while watch.begun.elapsed() < time || watch.latencies.len() < 3 {
            let begun = Instant::now();
            watch.octets = self.ask(client, request).await?;
            watch.latencies.push(begun.elapsed());
        }
        watch.stop(self)
    }

    async fn ask(&self, client: &mut Client, request: &Request<'_>) -> Result<usize> {
        let headers = [("Content-Type", "application/xml"), ("Depth", request.depth)];
        let answer = client.send(request.method, request.path, &headers, request.body.to_owned()).await?;
        ensure!(
            answer.status.as_u16() == request.wanted,
            "{}: {} {}: {}",
            self.name,
            request.method,
            request.path,
            answer.status
        );
        Ok(answer.body.len())
    }

    /// PUTs new events, numbered from `first`, over `writers` connections.
    async fn create(&self, writers: u32, first: u32, time: Duration) -> Result<Figure> {
        let mut clients = Vec::new();
        for _ in 0..writers {
            clients.push(self.connect().await?);
        }
        let mut watch = Watch::start(self)?;
        let begun = watch.begun;
        let mut tasks = tokio::task::JoinSet::new();
        for (writer, mut client) in (0..).zip(clients) {
            let target = self.clone();
            tasks.spawn(async move {
                let mut latencies = Vec::new();
                let mut n = first + writer;
                while begun.elapsed() < time || latencies.is_empty() {
                    let (name, text) = event(n % 1_000 + 1, target.spread);
                    let text = text.replace("UID:seed-", &format!("UID:new-{n}-"));
                    let begun = Instant::now();
                    client.put(&format!("{}new-{n}-{name}", target.collection), text).await?;
                    latencies.push(begun.elapsed());
                    n += writers;
                }
                anyhow::Ok(latencies)
            });
        }
        while let Some(done) = tasks.join_next().await {
            watch.latencies.extend(done??);
        }
        watch.stop(self)
    }

    async fn change(&self, client: &mut Client, time: Duration) -> Result<Figure> {
        let (name, text) = event(self.events / 3, self.spread);
        let path = format!("{}{name}", self.collection);
        let mut etag = client.send("GET", &path, &[], "").await?.etag.context("a GET without ETag")?;
        let mut watch = Watch::start(self)?;
        while watch.begun.elapsed() < time || watch.latencies.len() < 3 {
            let text = text.replace("SUMMARY:", &format!("SUMMARY:{} ", watch.latencies.len()));
            let begun = Instant::now();
            let headers = [("Content-Type", ICALENDAR), ("If-Match", &etag)];
            let answer = client.send("PUT", &path, &headers, text).await?;
            watch.latencies.push(begun.elapsed());
            ensure!(answer.status.is_success(), "{}: PUT If-Match: {}", self.name, answer.status);
            etag = match answer.etag {
                Some(etag) => etag,
                None => client.send("GET", &path, &[], "").await?.etag.context("a GET without ETag")?,
            };
        }
        watch.stop(self)
    }

    /// Makes a subscription of everything; says its path.
    async fn feed(&self, client: &mut Client) -> Result<String> {
        let headers = [("Content-Type", "application/json")];
        let answer = client.send("POST", "/api/v1/feeds", &headers, FEED).await?;
        ensure!(answer.status == 201, "has no feeds");
        let made: serde_json::Value = serde_json::from_slice(&answer.body)?;
        let url = made.get("url").and_then(serde_json::Value::as_str).context("a feed without its URL")?;
        let (_, path) = url.split_once("/feeds/").context("a feed elsewhere")?;
        Ok(format!("/feeds/{path}"))
    }

    async fn feed_unchanged(&self, client: &mut Client, time: Duration) -> Result<Figure> {
        let path = self.feed(client).await?;
        let etag = client.send("GET", &path, &[], "").await?.etag.context("a feed without ETag")?;
        let mut watch = Watch::start(self)?;
        while watch.begun.elapsed() < time || watch.latencies.len() < 5 {
            let begun = Instant::now();
            let answer = client.send("GET", &path, &[("If-None-Match", &etag)], "").await?;
            watch.latencies.push(begun.elapsed());
            ensure!(answer.status == 304, "{}: {}", self.name, answer.status);
        }
        watch.stop(self)
    }

    /// Deletes what was seeded, from the end.
    async fn delete(&self, client: &mut Client, time: Duration) -> Result<Figure> {
        let mut watch = Watch::start(self)?;
        let mut n = self.events;
        while (watch.begun.elapsed() < time || watch.latencies.len() < 3) && n > self.events / 2 + 1 {
            n -= 1;
            let (name, _) = event(n, self.spread);
            let begun = Instant::now();
            let answer = client.send("DELETE", &format!("{}{name}", self.collection), &[], "").await?;
            watch.latencies.push(begun.elapsed());
            ensure!(answer.status.is_success(), "{}: DELETE {name}: {}", self.name, answer.status);
        }
        watch.stop(self)
    }

    fn multiget(&self, count: u32) -> String {
        let mut body = String::from(
            "<C:calendar-multiget xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><D:getetag/>\
             <C:calendar-data/></D:prop>",
        );
        for i in 0..count {
            let (name, _) = event(i * (self.events / count), self.spread);
            body.extend(["<D:href>", &self.collection, &name, "</D:href>"]);
        }
        body.push_str("</C:calendar-multiget>");
        body
    }
}

/// One measurement under way.
struct Watch {
    begun: Instant,
    used: Option<Duration>,
    latencies: Vec<Duration>,
    octets: usize,
}

impl Watch {
    fn start(target: &Target) -> Result<Self> {
        let used = target.process.map(processor_time).transpose()?;
        Ok(Self { begun: Instant::now(), used, latencies: Vec::new(), octets: 0 })
    }

    fn stop(mut self, target: &Target) -> Result<Figure> {
        let took = self.begun.elapsed();
        let used = target.process.map(processor_time).transpose()?;
        self.latencies.sort();
        let count = self.latencies.len();
        Ok(Figure {
            median: *self.latencies.get(count / 2).context("no measurement")?,
            least: *self.latencies.first().context("no measurement")?,
            processor: used.zip(self.used).map(|(now, before)| now.saturating_sub(before).div_f64(count as f64)),
            rate: count as f64 / took.as_secs_f64(),
            octets: self.octets,
        })
    }
}

/// PUTs the events of a range over `writers` connections.
pub async fn seed(
    target: &Target,
    range: std::ops::Range<u32>,
    writers: u32,
    make: fn(u32, Spread) -> (String, String),
) -> Result<()> {
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..writers {
        let mut client = target.connect().await?;
        let (target, mine) = (target.clone(), range.clone().filter(move |n| n % writers == writer));
        tasks.spawn(async move {
            for n in mine {
                let (name, body) = make(n, target.spread);
                client.put(&format!("{}{name}", target.collection), body).await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// A sync-collection.
pub fn sync_body(token: &str) -> String {
    format!(
        "<D:sync-collection xmlns:D=\"DAV:\"><D:sync-token>{token}</D:sync-token><D:sync-level>1</D:sync-level>\
         <D:prop><D:getetag/></D:prop></D:sync-collection>"
    )
}

/// The token at the end of its answer, whatever the prefix.
pub fn sync_token(answer: &[u8]) -> Result<String> {
    let text = std::str::from_utf8(answer)?;
    let (head, _) = text.rsplit_once("sync-token>").context("no sync-token")?;
    let (_, rest) = head.rsplit_once("sync-token>").context("no sync-token")?;
    Ok(rest.split('<').next().unwrap_or_default().to_owned())
}

const ETAGS: &str = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:getetag/></D:prop></D:propfind>";
const HOME: &str = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:resourcetype/><D:displayname/><D:current-user-principal/></D:prop></D:propfind>";
/// One month with data.
pub const MONTH: &str = "<C:calendar-query xmlns:D=\"DAV:\" xmlns:C=\"urn:ietf:params:xml:ns:caldav\"><D:prop><D:getetag/>\
<C:calendar-data/></D:prop><C:filter><C:comp-filter name=\"VCALENDAR\"><C:comp-filter name=\"VEVENT\">\
<C:time-range start=\"20260301T000000Z\" end=\"20260401T000000Z\"/></C:comp-filter></C:comp-filter></C:filter>\
</C:calendar-query>";
const FEED: &str = r#"{"name":"all","rules":{"detail":"full"}}"#;
const FREE_BUSY: &str = "<C:free-busy-query xmlns:C=\"urn:ietf:params:xml:ns:caldav\">\
<C:time-range start=\"20260301T000000Z\" end=\"20260401T000000Z\"/></C:free-busy-query>";
