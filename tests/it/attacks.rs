//! HTTP/2 peers that mean harm, frame by frame, over real sockets: whatever they do, others are served meanwhile.
//!
//! The classes are those of CVE-2023-44487 (rapid reset), RUSTSEC-2024-0332 (CONTINUATION), RUSTSEC-2026-0258 (empty
//! DATA), CVE-2019-9512 and 9515 (PING, SETTINGS), 9517 (answers that nobody takes), 9518 and compression bombs.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::edge::Edge;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// How often others are served while an attack goes on.
const MEANWHILE: usize = 20;

/// RFC 9113 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// RFC 7541: `:method`, `:scheme: http`, `:path: /healthz`, `:authority: x`. The method is GET (2) or POST (3).
fn head(method: u8) -> Vec<u8> {
    [&[0x80 | method, 0x86, 0x04, 8], b"/healthz".as_slice(), &[0x41, 1, b'x']].concat()
}

fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, &head(2))
}

fn post(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(3))
}

fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| 2 * n + 1)
}

fn many(piece: &[u8], count: usize) -> Vec<u8> {
    piece.repeat(count)
}

/// Each attack, as what is sent after the preface.
fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    let reset = |stream| [get(stream), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])].concat();
    let field = [&[0x00, 4], b"evil".as_slice(), &[0x7f, 0x81, 0x07], &[b'x'; 1024]].concat();
    // A field of 3,000 octets that goes into the table once, then one octet for each repetition.
    let large = [&[0x40, 1, b'a', 0x7f, 0xb9, 0x16], [b'y'; 3000].as_slice(), &many(&[0xbe], 10_000)].concat();
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]);
    let window = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
    vec![
        ("rapid reset", streams(3000).flat_map(reset).collect()),
        (
            "header without an end",
            [frame(HEADERS, 0, 1, &head(2)), many(&frame(CONTINUATION, 0, 1, &field), 5000)].concat(),
        ),
        (
            "empty continuations",
            [frame(HEADERS, 0, 1, &head(2)), many(&frame(CONTINUATION, 0, 1, &[]), 100_000)].concat(),
        ),
        ("empty data", [post(1), many(&frame(DATA, 0, 1, &[]), 100_000)].concat()),
        ("pings", many(&frame(PING, 0, 0, &[7; 8]), 100_000)),
        ("settings", many(&settings, 100_000)),
        ("priorities", streams(50_000).flat_map(|n| frame(PRIORITY, 0, n, &[0, 0, 0, 0, 1])).collect()),
        ("windows beyond all", many(&window, 10)),
        ("bodies that never come", streams(2000).flat_map(post).collect()),
        ("a bomb of headers", frame(HEADERS, END_STREAM | END_HEADERS, 1, &[head(2), large].concat())),
        ("unknown frames", many(&frame(0xee, 0, 0, &[1; 100]), 50_000)),
        ("answers that nobody takes", [settings_no_window(), streams(2000).flat_map(get).collect()].concat()),
        ("a frame too large", frame(DATA, 0, 1, &vec![0; 1 << 20])),
        ("stream numbers that go back", [get(9), get(3), get(1)].concat()),
    ]
}

/// `SETTINGS_INITIAL_WINDOW_SIZE` of nothing.
fn settings_no_window() -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])
}

#[tokio::test]
async fn whatever_one_peer_does_on_http_2_others_are_served() {
    let edge = Edge::start().await;
    for (name, octets) in attacks() {
        for reads in [true, false] {
            let mut stream = edge.connect().await;
            let attack = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &octets].concat();
            let flood = tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                let send = async {
                    // The server may have had enough before all is said.
                    drop(write.write_all(&attack).await);
                    std::future::pending::<()>().await;
                };
                let take = async {
                    let mut sink = vec![0; 64 << 10];
                    while reads && read.read(&mut sink).await.is_ok_and(|count| count > 0) {}
                    std::future::pending::<()>().await;
                };
                tokio::join!(send, take);
            });
            for _ in 0..MEANWHILE {
                edge.lives().await;
            }
            flood.abort();
            println!("{name}, reading: {reads}: others were served");
        }
    }
    edge.stop().await;
}

#[tokio::test]
async fn who_takes_no_answer_on_http_2_is_let_go() {
    let edge = Edge::start().await;
    let mut stream = edge.connect().await;
    let asked = [PREFACE, &settings_no_window(), &get(1)].concat();
    stream.write_all(&asked).await.unwrap();
    let mut ended = Box::pin(async {
        let mut sink = vec![0; 4096];
        while stream.read(&mut sink).await.is_ok_and(|count| count > 0) {}
    });
    // At most: the rest after the last request, its patience, and the time to finish.
    let mut minutes = 0;
    while futures_util::poll!(&mut ended).is_pending() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        edge.clock.advance(Duration::from_secs(1));
        minutes += 1;
        assert!(minutes < 100_000, "the connection is held for ever");
    }
    edge.lives().await;
    edge.stop().await;
}
