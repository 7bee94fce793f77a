//! Every fuzz target over its corpus: what was found once stays found.

use std::fs;
use std::path::Path;

#[path = "../../fuzz/src/lib.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    unused_must_use,
    clippy::all,
    clippy::pedantic,
    clippy::restriction,
    reason = "its own crate, when it is fuzzed"
)]
mod targets;

#[test]
fn every_corpus_is_replayed() {
    for (name, target) in targets::TARGETS {
        let folder = Path::new("fuzz/corpus").join(name);
        let mut inputs = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let path = entry.unwrap().path();
            // Named, so that a crash of the whole process can be traced.
            println!("{}", path.display());
            target(&fs::read(path).unwrap());
            inputs += 1;
        }
        assert!(inputs > 0, "{} is empty", folder.display());
    }
}

/// What brings down libraries that we use, made here because it is large.
#[test]
#[expect(clippy::format_collect, reason = "short texts, written rarely")]
fn deep_wide_and_endless_inputs_are_refused_in_time() {
    let nested = |n: usize| {
        let (begin, end) = ("BEGIN:X-A\r\n".repeat(n), "END:X-A\r\n".repeat(n));
        format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n{begin}{end}END:VCALENDAR\r\n")
    };
    let wide = |line: &str, n: usize| {
        format!(
            "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\nBEGIN:VEVENT\r\nUID:u\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20260101T000000Z\r\n{}END:VEVENT\r\nEND:VCALENDAR\r\n",
            line.repeat(n)
        )
    };
    let elements = |n: usize| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n));
    let attributes = |n: usize| format!("<a {}/>", (0..n).map(|n| format!("a{n}=\"\" ")).collect::<String>());
    let namespaces = |n: usize| format!("<a {}/>", (0..n).map(|n| format!("xmlns:a{n}=\"b\" ")).collect::<String>());
    let large = [
        ("object", nested(20_000)),
        ("object", nested(7)),
        ("object", wide("X-A:b\r\n", 100_000)),
        ("object", wide("RRULE:FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30\r\n", 2_000)),
        ("object", wide("EXDATE:20260101T000000Z\r\n", 20_000)),
        ("object", wide(&format!("X-A;{}:b\r\n", "p=1;".repeat(20_000)), 1)),
        ("object", wide("RRULE:FREQ=SECONDLY\r\n", 1)),
        ("object", wide(" \r\n", 100_000)),
        ("rule", "FREQ=DAILY;BYDAY=€".to_owned()),
        ("rule", "FREQ=SECONDLY;INTERVAL=1".to_owned()),
        ("rule", format!("FREQ=YEARLY;BYHOUR={}", "1,".repeat(200_000))),
        ("answers", elements(200_000)),
        ("answers", attributes(80_000)),
        ("answers", namespaces(100_000)),
        ("answers", format!("<a>{}</a>", "<b/>".repeat(200_000))),
        ("answers", "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>".to_owned()),
        ("path", format!("/dav/{}", "%2e%2e/".repeat(10_000))),
        ("login", format!("Basic {}", "a".repeat(100_000))),
    ];
    for (name, input) in large {
        let (_, target) = targets::TARGETS.iter().find(|(target, _)| *target == name).unwrap();
        println!("{name}: {} octets, {}", input.len(), input.chars().take(60).collect::<String>().escape_debug());
        // The stack of a worker.
        let (target, input) = (*target, input);
        let run = std::thread::Builder::new().stack_size(2 << 20).spawn(move || target(input.as_bytes()));
        run.unwrap().join().unwrap();
    }
}
