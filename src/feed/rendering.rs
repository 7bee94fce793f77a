//! A feed as it is at one moment: its events rendered one by one, kept, and rendered again only where they changed.
//!
//! What a feed shows follows from its rules, the day, and the sequence of each calendar it looks at. While that
//! fingerprint is the same, nothing is read but it. When one event of ten thousand changes, one is rendered.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};

use super::redact::{Judge, ZoneUse, definition};
use super::{FeedFault, Feeds};
use crate::calendar::{Collection, CollectionKind, Entry, Privacy};
use crate::ical::{Budget, ComponentKind, Line, PRODID, TimeRange, Zone, busy, fold_line, merge_busy, vfreebusy};
use crate::id::EventId;
use crate::subscription::{Detail, Feed, Field, Kind};

/// What a feed looks at, before any event is read.
#[derive(Debug)]
pub(super) struct Scope {
    /// The calendars.
    pub(super) collections: Vec<Collection>,
    /// The person's own addresses.
    pub(super) own: BTreeSet<String>,
    /// The days it shows.
    pub(super) window: TimeRange,
    /// What a rendering of it is made of, beside the events.
    judged_by: [u8; 32],
    /// The same with the state of the events.
    pub(super) fingerprint: [u8; 32],
}

/// One event in a feed.
#[derive(Clone)]
struct Piece {
    revision: u64,
    allowed: Detail,
    octets: Bytes,
    digest: [u8; 32],
    zones: Arc<BTreeSet<ZoneUse>>,
}

/// A whole feed.
pub(super) struct Rendering {
    judged_by: [u8; 32],
    head: Bytes,
    pieces: Vec<(EventId, Piece)>,
    /// Its strong tag, without quotes.
    pub(super) etag: String,
    /// When it was first so, in whole seconds.
    pub(super) modified: Timestamp,
    /// Its octets.
    pub(super) length: usize,
    packed: OnceLock<Bytes>,
}

impl fmt::Debug for Rendering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rendering({} events, {} octets)", self.pieces.len(), self.length)
    }
}

impl Rendering {
    /// Its octets in chunks of a good size to send.
    pub(super) fn chunks(self: Arc<Self>) -> impl Iterator<Item = Bytes> + Send + 'static {
        let mut next = 0;
        let mut begun = false;
        std::iter::from_fn(move || {
            let mut chunk = Vec::new();
            if !begun {
                begun = true;
                chunk.extend_from_slice(&self.head);
            }
            while chunk.len() < CHUNK
                && let Some((_, piece)) = self.pieces.get(next)
            {
                chunk.extend_from_slice(&piece.octets);
                next += 1;
                if next == self.pieces.len() {
                    chunk.extend_from_slice(END);
                }
            }
            if next == 0 && self.pieces.is_empty() {
                next = 1;
                chunk.extend_from_slice(END);
            }
            (!chunk.is_empty()).then(|| Bytes::from(chunk))
        })
    }

    /// The same, compressed once for all readers.
    pub(super) async fn packed(self: Arc<Self>) -> Bytes {
        if let Some(packed) = self.packed.get() {
            return packed.clone();
        }
        let pack = move || {
            let packed = self.packed.get_or_init(|| {
                use std::io::Write as _;
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                for chunk in Arc::clone(&self).chunks() {
                    // Writing into memory can't fail.
                    drop(encoder.write_all(&chunk));
                }
                Bytes::from(encoder.finish().unwrap_or_default())
            });
            packed.clone()
        };
        tokio::task::spawn_blocking(pack).await.unwrap_or_default()
    }

    /// What it weighs in memory.
    pub(super) fn weight(&self) -> u64 {
        (self.length + 160 * self.pieces.len()) as u64
    }
}

impl Feeds {
    /// What a feed looks at now.
    pub(super) async fn scope(&self, feed: &Feed) -> Result<Scope, FeedFault> {
        let chosen = &feed.rules.sources;
        let mut collections = self.calendars.collections(&feed.user).await?;
        collections.retain(|one| {
            let named = if chosen.is_empty() { one.unify } else { chosen.contains(&one.id.name) };
            named && one.kind != CollectionKind::Unified
        });
        let mut own = BTreeSet::new();
        if !feed.rules.declined {
            own = self.own_addresses(feed).await?;
        }
        let window = window(feed, self.clock.now());
        let mut hash = Sha256::new();
        hash.update(RENDERING);
        // Rules are plain values, which can always be written.
        hash.update(serde_json::to_vec(&feed.rules).unwrap_or_default());
        for part in own.iter().map(String::as_str).chain([feed.alias("").as_str(), feed.name.as_str()]) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let judged_by: [u8; 32] = hash.clone().finalize().into();
        for one in &collections {
            let state = self.calendars.ctag(&one.id).await?;
            let free = if one.transparent { "free" } else { "" };
            for part in [one.id.name.as_str(), &state, free, one.color.as_deref().unwrap_or_default()] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            hash.update([u8::from(one.privacy == Privacy::Busy)]);
        }
        hash.update(window.start.as_second().to_be_bytes());
        hash.update(window.end.as_second().to_be_bytes());
        Ok(Scope { collections, own, window, judged_by, fingerprint: hash.finalize().into() })
    }

    /// The feed as it is now, from memory if it was so a moment ago.
    pub(super) async fn rendering(&self, feed: &Feed) -> Result<Arc<Rendering>, FeedFault> {
        let scope = self.scope(feed).await?;
        let key = scope.fingerprint;
        if let Some(found) = self.renderings.get(&key) {
            return Ok(found);
        }
        self.renderings
            .get_or_insert_async(&key, async {
                let before = self.latest.get(&feed.id);
                let rendering = match feed.rules.kind {
                    Kind::Events => self.render(feed, &scope, before.as_deref()).await?,
                    Kind::FreeBusy => self.render_busy(feed, &scope, before.as_deref()).await?,
                };
                let rendering = Arc::new(rendering);
                self.latest.insert(feed.id.clone(), Arc::clone(&rendering));
                Ok(rendering)
            })
            .await
    }

    async fn render(&self, feed: &Feed, scope: &Scope, before: Option<&Rendering>) -> Result<Rendering, FeedFault> {
        let before = before.filter(|before| before.judged_by == scope.judged_by);
        let known: HashMap<EventId, &Piece> =
            before.iter().flat_map(|before| &before.pieces).map(|(event, piece)| (*event, piece)).collect();
        let mut pieces = Vec::new();
        for (number, (collection, entry, allowed)) in self.shown(scope, &scope.window).await?.into_iter().enumerate() {
            let kept =
                known.get(&entry.event).filter(|kept| kept.revision == entry.revision && kept.allowed == allowed);
            let piece = if let Some(kept) = kept {
                Piece::clone(kept)
            } else {
                let object = self.calendars.object(&collection.id, &entry).await?;
                let judge = Judge { feed, allowed, own: &scope.own };
                if number % 64 == 0 {
                    // Others have their turn: rendering thousands takes a while.
                    tokio::task::yield_now().await;
                }
                Piece::of(&judge, &object, entry.revision)
            };
            pieces.push((entry.event, piece));
        }
        let zones: BTreeSet<&ZoneUse> = pieces.iter().flat_map(|(_, piece)| piece.zones.iter()).collect();
        let head = head(feed, scope, &zones);
        Ok(Rendering::of(scope.judged_by, head, pieces, before, self.clock.now()))
    }

    /// The entries that a feed may show, each event once, with the most that may be told of it.
    pub(super) async fn shown<'a>(
        &self,
        scope: &'a Scope,
        window: &TimeRange,
    ) -> Result<Vec<(&'a Collection, Arc<Entry>, Detail)>, FeedFault> {
        let mut shown: Vec<(&Collection, Arc<Entry>, Detail)> = Vec::new();
        let mut places = HashMap::<EventId, usize>::new();
        for collection in &scope.collections {
            let allowed = match collection.privacy {
                Privacy::Full => Detail::Full,
                Privacy::Busy => Detail::Busy,
            };
            let view = self.calendars.view(&collection.id).await?;
            let entries = view.candidates(window);
            for entry in entries.into_iter().filter(|entry| entry.component == ComponentKind::Event) {
                // Of several calendars that hold an event, the one that tells least decides.
                if let Some(there) = places.get(&entry.event).and_then(|at| shown.get_mut(*at)) {
                    there.2 = there.2.max(allowed);
                } else {
                    places.insert(entry.event, shown.len());
                    shown.push((collection, entry, allowed));
                }
            }
        }
        Ok(shown)
    }

    async fn render_busy(
        &self,
        feed: &Feed,
        scope: &Scope,
        before: Option<&Rendering>,
    ) -> Result<Rendering, FeedFault> {
        let (mut taken, mut budget) = (Vec::new(), Budget::request());
        for (collection, entry, allowed) in self.shown(scope, &scope.window).await? {
            if collection.transparent {
                continue;
            }
            let object = self.calendars.object(&collection.id, &entry).await?;
            let judge = Judge { feed, allowed, own: &scope.own };
            // The filters hold here too; what is left of the event is only its time.
            if judge.fragment(&object).is_some() {
                taken.extend(busy(&object, &scope.window, &Zone::UTC, &mut budget)?);
            }
        }
        let text = vfreebusy(&feed.alias("freebusy"), &merge_busy(taken), &scope.window, scope.window.start);
        let text = String::from_utf8_lossy(&text);
        let head = text.replacen("VERSION:2.0\r\n", "VERSION:2.0\r\nMETHOD:PUBLISH\r\n", 1);
        let head = head.strip_suffix("END:VCALENDAR\r\n").unwrap_or(&head).to_owned();
        Ok(Rendering::of(scope.judged_by, head.into(), Vec::new(), before, self.clock.now()))
    }
}

impl Piece {
    fn of(judge: &Judge<'_>, object: &crate::ical::Object, revision: u64) -> Self {
        let (octets, zones) = match judge.fragment(object) {
            Some(fragment) => (Bytes::from(fragment.octets), fragment.zones),
            None => (Bytes::new(), BTreeSet::new()),
        };
        let digest = Sha256::digest(&octets).into();
        Self { revision, allowed: judge.allowed, octets, digest, zones: Arc::new(zones) }
    }
}

impl Rendering {
    fn of(
        judged_by: [u8; 32],
        head: Bytes,
        pieces: Vec<(EventId, Piece)>,
        before: Option<&Self>,
        now: Timestamp,
    ) -> Self {
        let mut hash = Sha256::new().chain_update(&head);
        for (_, piece) in &pieces {
            hash.update(piece.digest);
        }
        let digest = hash.finalize();
        let etag = data_encoding::HEXLOWER.encode(digest.get(..16).unwrap_or_default());
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        let modified = match before {
            Some(before) if before.etag == etag => before.modified,
            // Two states in one second would share a date, and a reader that knows only dates would miss one.
            Some(before) => now.max(before.modified + SignedDuration::from_secs(1)),
            None => now,
        };
        let length = head.len() + END.len() + pieces.iter().map(|(_, piece)| piece.octets.len()).sum::<usize>();
        Self { judged_by, head, pieces, etag, modified, length, packed: OnceLock::new() }
    }
}

/// The days that a feed shows, in whole days of UTC, so that it stays the same for a day.
fn window(feed: &Feed, now: Timestamp) -> TimeRange {
    let today = now.as_second().div_euclid(DAY) * DAY;
    let (past, future) = match feed.rules.kind {
        Kind::Events => (feed.rules.past, feed.rules.future),
        // Busy times need an end.
        Kind::FreeBusy => (Some(feed.rules.past.unwrap_or(0)), Some(feed.rules.future.unwrap_or(90).min(3660))),
    };
    let at = |seconds: i64| Timestamp::from_second(seconds).ok();
    let start = past.and_then(|days| at(today - i64::from(days) * DAY)).unwrap_or(Timestamp::MIN);
    let end = future.and_then(|days| at(today + (i64::from(days) + 1) * DAY)).unwrap_or(Timestamp::MAX);
    TimeRange { start, end }
}

/// All that stands before the events.
fn head(feed: &Feed, scope: &Scope, zones: &BTreeSet<&ZoneUse>) -> Bytes {
    let mut lines = vec![
        Line::new("VERSION").value("2.0"),
        Line::new("PRODID").value(PRODID),
        Line::new("CALSCALE").value("GREGORIAN"),
    ];
    // A published calendar names no attendees (RFC 5546 3.2.1); programs that see METHOD with them may take the file
    // for an invitation.
    if !feed.rules.fields(Detail::Full).contains(&Field::People) {
        lines.push(Line::new("METHOD").value("PUBLISH"));
    }
    lines.push(Line::new("UID").value(&feed.alias("calendar")));
    lines.push(Line::new("NAME").text(&feed.name));
    lines.push(Line::new("X-WR-CALNAME").text(&feed.name));
    lines.push(Line::new("REFRESH-INTERVAL").param("VALUE", "DURATION").value(REFRESH));
    lines.push(Line::new("X-PUBLISHED-TTL").value(REFRESH));
    if let [only] = scope.collections.as_slice()
        && let Some(color) = &only.color
    {
        lines.extend(super::color::css_name(color).map(|name| Line::new("COLOR").value(name)));
        lines.push(Line::new("X-APPLE-CALENDAR-COLOR").value(color));
    }
    let mut out = b"BEGIN:VCALENDAR\r\n".to_vec();
    for line in lines {
        out.extend(fold_line(line.as_str()));
    }
    for zone in zones {
        out.extend(definition(zone));
    }
    out.into()
}

const END: &[u8] = b"END:VCALENDAR\r\n";
const CHUNK: usize = 64 * 1024;
const DAY: i64 = 86_400;
/// How often readers should look again.
const REFRESH: &str = "PT15M";
/// Another one whenever this program renders the same events otherwise.
const RENDERING: &str = concat!("1/", env!("CARGO_PKG_VERSION"));
