//! HTTP/2 frames that cost us work and bring a client nothing: counted below HTTP, where a flood of them can be ended.
//!
//! h2 answers PING and SETTINGS for as long as they come (CVE-2019-9512, CVE-2019-9515), takes in thousands of them at one
//! go, and is not told to stop. So their heads are read along here (RFC 9113 4.1), and too many in a while end the
//! connection. Frames that belong to requests are bounded by h2 itself, as [`super::connection`] sets it up.

use std::time::Duration;

/// Reads along what a peer sends.
#[derive(Debug, Default)]
pub(super) struct Frames {
    at: At,
    counted: u32,
    /// When the counting began.
    since: Duration,
}

/// Where in the octets the reading is.
#[derive(Debug)]
enum At {
    /// So much of the preface has come.
    Preface(usize),
    /// So much of a frame's head has come.
    Head([u8; HEAD], usize),
    /// So much of a frame's payload is still to come.
    Payload(usize),
    /// It is not HTTP/2.
    Other,
}

impl Default for At {
    fn default() -> Self {
        Self::Preface(0)
    }
}

impl Frames {
    /// Takes note of `octets`, which came at `now` (monotonic). `false` when there were too many idle frames.
    pub(super) fn note(&mut self, mut octets: &[u8], now: Duration) -> bool {
        while let Some(&first) = octets.first() {
            let read = match &mut self.at {
                At::Other => return true,
                At::Preface(had) => {
                    if PREFACE.get(*had) != Some(&first) {
                        self.at = At::Other;
                        return true;
                    }
                    *had += 1;
                    if *had == PREFACE.len() {
                        self.at = At::Head([0; HEAD], 0);
                    }
                    1
                }
                At::Head(head, filled) => {
                    if let Some(place) = head.get_mut(*filled) {
                        *place = first;
                    }
                    *filled += 1;
                    if *filled == HEAD {
                        let [a, b, c, kind, ..] = *head;
                        self.at = At::Payload(usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c));
                        if is_idle(kind) && !self.may_have_another(now) {
                            return false;
                        }
                    }
                    1
                }
                At::Payload(0) => {
                    self.at = At::Head([0; HEAD], 0);
                    0
                }
                At::Payload(left) => {
                    let here = (*left).min(octets.len());
                    *left -= here;
                    here
                }
            };
            octets = octets.get(read..).unwrap_or_default();
        }
        true
    }

    fn may_have_another(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.since) > WHILE {
            (self.counted, self.since) = (0, now);
        }
        self.counted += 1;
        self.counted <= MOST
    }
}

/// PRIORITY, SETTINGS, PING, and what no RFC knows.
fn is_idle(kind: u8) -> bool {
    matches!(kind, 2 | 4 | 6 | 10..)
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD: usize = 9;
/// A client that measures its line pings some ten times a second; browsers send a handful of the others.
const MOST: u32 = 500;
const WHILE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0, 0, 0, 0, 0], payload].concat()
    }

    fn sent(kind: u8, count: u32) -> Vec<u8> {
        let mut octets = PREFACE.to_vec();
        (0..count).for_each(|_| octets.extend(frame(kind, &[7; 8])));
        octets
    }

    #[test]
    fn a_flood_of_idle_frames_is_noticed_however_it_is_cut() {
        for size in [1, 5, 9, 17, 4096] {
            for (kind, fine) in [(2, false), (4, false), (6, false), (99, false), (0, true), (1, true), (8, true)] {
                let mut frames = Frames::default();
                let enough = sent(kind, MOST);
                assert!(enough.chunks(size).all(|piece| frames.note(piece, Duration::ZERO)), "{kind}");
                assert_eq!(frame(kind, b"").chunks(size).all(|piece| frames.note(piece, WHILE)), fine, "{kind}");
            }
        }
    }

    #[test]
    fn the_same_number_over_a_longer_while_is_fine() {
        let mut frames = Frames::default();
        assert!(frames.note(&sent(6, MOST), Duration::ZERO));
        assert!(frames.note(&frame(6, &[0; 8]), WHILE + Duration::from_millis(1)));
    }

    #[test]
    fn what_is_not_http_2_is_left_alone() {
        let mut frames = Frames::default();
        assert!(frames.note(b"PRI /x HTTP/1.1\r\n", Duration::ZERO));
        assert!(frames.note(&sent(6, 2 * MOST), Duration::ZERO));
    }
}
