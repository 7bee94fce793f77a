//! Who is connected: how many in all and from one address, and who gives way when there is no room.
//!
//! A connection that works on no request (it is silent, still says its first words, or waits for a next request) gives
//! way to a new one: first one of the same address, then whichever has rested longest. So a crowd that only holds
//! connections open keeps nobody out, and a peer that is refused can tell that all the others are at work.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::Frame;
use tokio::sync::Notify;

use crate::caldav::body::Body;
use crate::clock::Clock;

/// All connections.
#[derive(Debug)]
pub(super) struct Crowd {
    clock: Arc<dyn Clock>,
    /// In all.
    most: usize,
    /// From one address.
    most_of_one: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    members: BTreeMap<u64, Member>,
    counts: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Member {
    /// Whose it is; `None` for peers that are not counted.
    household: Option<IpAddr>,
    /// Requests that are worked on or answered now.
    working: usize,
    /// Those of them whose next octets are not made yet: nobody waits for the peer, as in a stream of events.
    owing: usize,
    /// Since when that is all of them: this time is not the peer's.
    owed: Option<Duration>,
    /// When it began to work or to rest, or moved octets, last.
    since: Duration,
    leave: Arc<Notify>,
}

impl Member {
    /// Notes whether the peer is waited for. While it is not its time stands still; it does not begin anew, or whoever takes
    /// little at a time would never be slow.
    fn reckon(&mut self, now: Duration) {
        let is_ours = self.working > 0 && self.owing == self.working;
        match self.owed {
            None if is_ours => self.owed = Some(now),
            Some(begun) if !is_ours => {
                self.since += now.saturating_sub(begun);
                self.owed = None;
            }
            _ => {}
        }
    }
}

impl Crowd {
    pub(super) fn new(clock: Arc<dyn Clock>, most: usize, most_of_one: usize) -> Self {
        Self { clock, most, most_of_one, state: Mutex::default() }
    }

    /// A place for one more connection, perhaps that of one that rests. `None` when all are at work.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Seat> {
        let household = address.map(household);
        let since = self.clock.monotonic();
        let mut state = self.lock();
        let of_one = household.map_or(0, |one| state.counts.get(&one).copied().unwrap_or(0));
        if of_one >= self.most_of_one && !state.dismiss(|member| member.household == household) {
            return None;
        }
        if state.members.len() >= self.most && !state.dismiss(|_| true) {
            return None;
        }
        let (id, leave) = (state.next, Arc::new(Notify::new()));
        state.next += 1;
        if let Some(one) = household {
            *state.counts.entry(one).or_default() += 1;
        }
        state.members.insert(id, Member { household, working: 0, owing: 0, owed: None, since, leave: leave.clone() });
        Some(Seat { crowd: self.clone(), id, leave })
    }

    /// Lets the one that has rested longest go, if one rests: file descriptors have run out.
    pub(super) fn dismiss_one(&self) {
        self.lock().dismiss(|_| true);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn dismiss(&mut self, may: impl Fn(&Member) -> bool) -> bool {
        let resting = self.members.iter().filter(|(_, member)| member.working == 0 && may(member));
        let Some(longest) = resting.min_by_key(|(id, member)| (member.since, **id)).map(|(id, _)| *id) else {
            return false;
        };
        if let Some(member) = self.remove(longest) {
            member.leave.notify_one();
        }
        metrics::counter!("lineartime_connections_dismissed_total").increment(1);
        true
    }

    fn remove(&mut self, id: u64) -> Option<Member> {
        let member = self.members.remove(&id)?;
        if let Some(one) = member.household
            && let Some(count) = self.counts.get_mut(&one)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&one);
            }
        }
        Some(member)
    }
}

/// One connection's place; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    id: u64,
    leave: Arc<Notify>,
}

/// How a connection has been spending its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// It rests, for so long.
    Resting(Duration),
    /// It works, and nothing has moved for so long, although the peer could have taken something.
    Working(Duration),
}

impl Seat {
    /// Resolves when the place went to somebody else.
    pub(super) async fn dismissed(&self) {
        self.leave.notified().await;
    }

    /// What it is doing.
    pub(super) fn look(&self) -> Look {
        let now = self.crowd.clock.monotonic();
        match self.crowd.lock().members.get(&self.id) {
            Some(member) if member.owed.is_some() => Look::Working(Duration::ZERO),
            Some(member) if member.working > 0 => Look::Working(now.saturating_sub(member.since)),
            Some(member) => Look::Resting(now.saturating_sub(member.since)),
            None => Look::Resting(Duration::MAX),
        }
    }

    /// Octets have moved.
    pub(super) fn moved(&self) {
        self.pass().change(|working| working);
    }

    /// For the requests of the connection.
    pub(super) fn pass(&self) -> Pass {
        Pass { crowd: self.crowd.clone(), id: self.id }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.crowd.lock().remove(self.id);
    }
}

/// Says when its connection works.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    crowd: Arc<Crowd>,
    id: u64,
}

impl Pass {
    /// The connection works until the guard is dropped.
    pub(super) fn work(&self) -> Working {
        self.change(|working| working + 1);
        Working(self.clone())
    }

    fn change(&self, working: impl FnOnce(usize) -> usize) {
        let since = self.crowd.clock.monotonic();
        // One that had to leave finishes what it has begun, and is not counted any more.
        if let Some(member) = self.crowd.lock().members.get_mut(&self.id) {
            member.working = working(member.working);
            (member.since, member.owed) = (since, None);
            member.reckon(since);
        }
    }

    fn owe(&self, owing: impl FnOnce(usize) -> usize) {
        let now = self.crowd.clock.monotonic();
        if let Some(member) = self.crowd.lock().members.get_mut(&self.id) {
            member.owing = owing(member.owing);
            member.reckon(now);
        }
    }
}

/// A request that is worked on, up to the last octet of its answer.
#[derive(Debug)]
pub(super) struct Working(Pass);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.change(|working| working.saturating_sub(1));
    }
}

/// An answer's body; the connection works as long as it lives.
#[derive(Debug)]
pub(super) struct Attended {
    inner: Body,
    working: Working,
    /// The last look found nothing to send yet.
    owes: bool,
}

impl Attended {
    pub(super) fn new(inner: Body, working: Working) -> Self {
        Self { inner, working, owes: false }
    }

    fn owes(&mut self, owes: bool) {
        if self.owes != owes {
            self.owes = owes;
            self.working.0.owe(|count| if owes { count + 1 } else { count.saturating_sub(1) });
        }
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.owes(false);
    }
}

impl http_body::Body for Attended {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        self.owes(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}

/// One IPv4 address or one IPv6 /64: what a single subscriber is given.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::clock::ManualClock;

    fn crowd(most: usize, most_of_one: usize) -> (Arc<Crowd>, ManualClock) {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        (Arc::new(Crowd::new(Arc::new(clock.clone()), most, most_of_one)), clock)
    }

    #[expect(clippy::unnecessary_wraps, reason = "one of several functions of this shape")]
    fn from(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn is_dismissed(seat: &Seat) -> bool {
        seat.look() == Look::Resting(Duration::MAX)
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let (crowd, _clock) = crowd(100, 2);
        let seats: Vec<Seat> = [1, 2].map(|_| crowd.enter(from("192.0.2.1")).unwrap()).into();
        let work: Vec<Working> = seats.iter().map(|seat| seat.pass().work()).collect();
        assert!(crowd.enter(from("::ffff:192.0.2.1")).is_none(), "all are at work");
        assert!(crowd.enter(from("192.0.2.2")).is_some());
        assert!(crowd.enter(None).is_some());
        drop((seats, work));
        assert!(crowd.enter(from("192.0.2.1")).is_some());
        assert!(crowd.lock().counts.is_empty(), "nothing is kept of who has gone");
    }

    #[test]
    fn a_household_of_ipv6_is_one() {
        let (crowd, _clock) = crowd(100, 1);
        let seat = crowd.enter(from("2001:db8::1")).unwrap();
        let _work = seat.pass().work();
        assert!(crowd.enter(from("2001:db8::ffff")).is_none());
        assert!(crowd.enter(from("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn whoever_has_rested_longest_gives_way_first_to_its_own_address() {
        let (crowd, clock) = crowd(3, 2);
        let stranger = crowd.enter(from("192.0.2.9")).unwrap();
        clock.advance(Duration::from_secs(1));
        let first = crowd.enter(from("192.0.2.1")).unwrap();
        clock.advance(Duration::from_secs(1));
        let second = crowd.enter(from("192.0.2.1")).unwrap();
        clock.advance(Duration::from_secs(1));
        drop(first.pass().work());
        // The address has no place left: one of its own goes, although the stranger has rested longer.
        let _third = crowd.enter(from("192.0.2.1")).unwrap();
        assert!(is_dismissed(&second) && !is_dismissed(&first) && !is_dismissed(&stranger));
        let _other = crowd.enter(from("192.0.2.3")).unwrap();
        assert!(is_dismissed(&stranger));
        drop(second);
        assert_eq!(crowd.lock().members.len(), 3, "a place is freed once");
    }

    #[test]
    fn nobody_at_work_gives_way() {
        let (crowd, _clock) = crowd(1, 9);
        let seat = crowd.enter(from("192.0.2.1")).unwrap();
        let work = seat.pass().work();
        assert!(crowd.enter(from("192.0.2.2")).is_none());
        drop(work);
        assert!(crowd.enter(from("192.0.2.2")).is_some());
    }

    #[test]
    fn a_stream_that_has_nothing_to_say_is_not_the_peers_fault() {
        let (crowd, clock) = crowd(1, 9);
        let seat = crowd.enter(from("192.0.2.1")).unwrap();
        let body = crate::caldav::body::streamed(futures_util::stream::pending());
        let mut answer = Attended::new(body, seat.pass().work());
        clock.advance(Duration::from_secs(200));
        assert_eq!(seat.look(), Look::Working(Duration::from_secs(200)));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(http_body::Body::poll_frame(Pin::new(&mut answer), &mut cx).is_pending());
        clock.advance(Duration::from_secs(200));
        assert_eq!(seat.look(), Look::Working(Duration::ZERO));
        // Beside it, one that nobody takes.
        let _other = Attended::new(crate::caldav::body::whole("x"), seat.pass().work());
        clock.advance(Duration::from_secs(200));
        assert_eq!(seat.look(), Look::Working(Duration::from_secs(200)));
        drop(answer);
        assert_eq!(crowd.lock().members.values().map(|member| member.owing).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn who_takes_little_at_a_time_is_slow_all_the_same() {
        let (crowd, clock) = crowd(1, 9);
        let seat = crowd.enter(from("192.0.2.1")).unwrap();
        let pass = seat.pass();
        let _work = pass.work();
        for _ in 0..10 {
            pass.owe(|count| count + 1);
            clock.advance(Duration::from_secs(1));
            pass.owe(|count| count - 1);
            clock.advance(Duration::from_secs(20));
        }
        assert_eq!(seat.look(), Look::Working(Duration::from_secs(200)), "ten seconds of it were ours");
    }
}
