//! Runs the files of `tests/vectors/dav`: a header, what was sent, and what we make of it.
//!
//! `BLESS=1` writes the last part anew; look at the difference before it is committed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::element::Element;
use super::{ExtendedMkcol, Limits, Malformed, MkCalendar, Multistatus, PropertyUpdate, Propfind, Report};

#[test]
fn vectors_hold() {
    let mut files: Vec<PathBuf> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 30, "the vectors are there");
    #[expect(clippy::disallowed_methods, reason = "only a person who blesses sets it, and only for this test")]
    let bless = std::env::var("BLESS").is_ok();
    let mut wrong = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let (head, expected) =
            text.split_once("=== read\n").unwrap_or_else(|| panic!("{}: no read part", file.display()));
        let (header, sent) =
            head.split_once("=== sent\n").unwrap_or_else(|| panic!("{}: no sent part", file.display()));
        assert!(header.starts_with("rfc: "), "{}: no rfc", file.display());
        let kind = header.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap_or_default();
        let read = read(kind, sent.as_bytes());
        if bless {
            fs::write(&file, format!("{head}=== read\n{read}")).unwrap();
        } else if read != expected {
            wrong.push(format!("{}:\n--- expected\n{expected}--- read\n{read}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Every vector, cut and bent at every place: an error or another meaning, never a panic, and what is read is what
/// would be written.
#[test]
fn damaged_vectors_are_survived() {
    for file in fs::read_dir(folder()).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        let (header, rest) = text.split_once("=== sent\n").unwrap();
        let (sent, _) = rest.split_once("=== read\n").unwrap();
        let kind = header.lines().find_map(|line| line.strip_prefix("kind: ")).unwrap_or_default();
        for at in (0..sent.len()).step_by(5) {
            let (before, after) = sent.as_bytes().split_at(at);
            read(kind, before);
            let strange = [b"<".as_slice(), b"&", b"\"", b"\0", b"\xff", b"</a>", b"<!--", b":"][at / 5 % 8];
            read(kind, &[before, strange, after].concat());
        }
    }
}

/// What we make of it: for requests what we would write ourselves, which must mean the same again.
fn read(kind: &str, sent: &[u8]) -> String {
    let rewritten = match kind {
        "propfind" => again(sent, Propfind::parse, Propfind::write),
        "proppatch" => again(sent, PropertyUpdate::parse, PropertyUpdate::write),
        "mkcalendar" => again(sent, MkCalendar::parse, MkCalendar::write),
        "mkcol" => again(sent, ExtendedMkcol::parse, ExtendedMkcol::write),
        "report" => again(sent, Report::parse, Report::write),
        "multistatus" => Multistatus::parse(sent).map(|answer| summary(&answer)),
        other => panic!("an unknown kind of vector: {other}"),
    };
    rewritten.unwrap_or_else(|error| {
        let condition = error.precondition().map(|p| format!(" {}", p.element())).unwrap_or_default();
        format!("{}{condition}\n", error.status().as_u16())
    })
}

fn again<T: PartialEq + std::fmt::Debug>(
    sent: &[u8],
    parse: fn(&[u8]) -> Result<T, Malformed>,
    write: fn(&T) -> Bytes,
) -> Result<String, Malformed> {
    let first = parse(sent)?;
    let written = write(&first);
    assert_eq!(parse(&written).as_ref(), Ok(&first), "what is written means the same");
    Ok(lines(&Element::parse(&written, Limits::REQUEST)?.to_bytes()))
}

/// One element on each line, for people.
fn lines(xml: &[u8]) -> String {
    String::from_utf8_lossy(xml).replace("><", ">\n<") + "\n"
}

fn summary(answer: &Multistatus) -> String {
    let mut out = String::new();
    for response in &answer.responses {
        for href in &response.hrefs {
            writeln!(out, "{href} {:?}", href.segments()).unwrap();
        }
        if let Some(status) = response.status {
            writeln!(out, "  {} {:?} gone: {}", status.as_u16(), response.errors, response.is_gone()).unwrap();
        }
        for propstat in &response.propstats {
            for property in &propstat.properties {
                let status = propstat.status.as_u16();
                writeln!(out, "  {status} {}", String::from_utf8_lossy(&property.to_bytes())).unwrap();
            }
        }
    }
    let (token, truncated) = (answer.sync_token.as_deref().unwrap_or("none"), answer.is_truncated());
    writeln!(out, "token: {token}, truncated: {truncated}, unreadable: {}", answer.unreadable).unwrap();
    out
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/dav")
}
