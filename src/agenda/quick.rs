//! "Lunch with Ana tomorrow 12:30 at Rossi": from one line to an event, to be looked at before it is saved.
//!
//! The time is found by a library; which words are the time is ours: the longest stretch of words that it understands
//! and that no person would mean otherwise. English alone.

use interim::{Dialect, parse_date_string};
use jiff::civil::Time;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::input::{Input, InputFault};
use super::occurrence::Clockwork;

/// Reads a line.
pub fn quick(line: &str, clock: &Clockwork, now: Timestamp) -> Result<Input, InputFault> {
    let now = now.to_zoned(clock.zone().clone());
    let mut words: Vec<String> = line.split_whitespace().take(MOST).map(str::to_owned).collect();
    let length = take_length(&mut words);
    let until = take_range(&mut words);
    let found = find(&words, &now).ok_or(InputFault::Member("text", "names no time such as tomorrow 12:30"))?;
    let mut rest: Vec<&str> = Vec::new();
    rest.extend(words.get(..found.from).unwrap_or_default().iter().map(String::as_str));
    // "on Friday", "at 9:00": the little word belongs to the time.
    if rest.last().is_some_and(|last| LITTLE.contains(&last.to_lowercase().as_str())) {
        rest.pop();
    }
    let before = rest.len();
    rest.extend(words.get(found.to..).unwrap_or_default().iter().map(String::as_str));
    let (title, location) = parted(&rest, before);
    let mut input = Input { location, time_zone: clock.name().map(str::to_owned), ..Input::default() };
    input.title = Some(if title.is_empty() { "(no title)".to_owned() } else { title });
    if found.has_time {
        let end = match until {
            Some(time) => found.at.date().to_datetime(time).to_zoned(clock.zone().clone()).ok(),
            None => found.at.checked_add(length.unwrap_or(SignedDuration::from_hours(1))).ok(),
        };
        let end = end.filter(|end| *end > found.at);
        let end = end.or_else(|| found.at.checked_add(SignedDuration::from_hours(1)).ok());
        input.start = Some(clock.written(found.at.timestamp()));
        input.end = end.map(|end| clock.written(end.timestamp()));
    } else {
        input.start = Some(found.at.date().to_string());
        input.all_day = Some(true);
    }
    Ok(input)
}

/// Which words are the time, and what they mean.
struct Found {
    from: usize,
    to: usize,
    at: Zoned,
    has_time: bool,
}

fn find(words: &[String], now: &Zoned) -> Option<Found> {
    for length in (1..=LONGEST.min(words.len())).rev() {
        for from in 0..=words.len() - length {
            let part = words.get(from..from + length).unwrap_or_default();
            let Some(phrase) = phrase(part) else { continue };
            if !tells_time(&phrase) {
                continue;
            }
            if let Some((at, has_time)) = read(&phrase, now) {
                return Some(Found { from, to: from + length, at, has_time });
            }
        }
    }
    None
}

/// The day and the clock, each read by itself ("5 March 8pm" as a whole could mean the year 8), and whether there is a clock.
fn read(phrase: &str, now: &Zoned) -> Option<(Zoned, bool)> {
    let parse = |words: &[&str]| parse_date_string(&words.join(" "), now.clone(), Dialect::Uk).ok();
    let (clock, day): (Vec<&str>, Vec<&str>) = phrase.split(' ').partition(|word| is_clock(word));
    match (clock.as_slice(), day.as_slice()) {
        ([], day) => Some((parse(day)?, false)),
        ([_], []) => Some((parse(&clock)?, true)),
        ([_], day) => {
            let local = parse(day)?.date().to_datetime(parse(&clock)?.time());
            Some((local.to_zoned(now.time_zone().clone()).ok()?, true))
        }
        _ => None,
    }
}

/// The words of a time without an "at" before the clock; nothing if a little word stands anywhere else.
fn phrase(words: &[String]) -> Option<String> {
    let is_little = |word: &String| LITTLE.contains(&word.to_lowercase().as_str());
    let mut kept = Vec::new();
    for (number, word) in words.iter().enumerate() {
        let before_clock = words.get(number + 1).is_some_and(|next| is_clock(plain(next)));
        match (is_little(word), number > 0 && before_clock) {
            (false, _) => kept.push(plain(word)),
            (true, true) => {}
            (true, false) => return None,
        }
    }
    Some(kept.join(" "))
}

fn plain(word: &str) -> &str {
    word.trim_matches([',', '.', ';', '!'])
}

/// Whether a person would take these words for a time: a number alone, or a name such as May, is not enough.
fn tells_time(phrase: &str) -> bool {
    let words: Vec<String> = phrase.split(' ').map(str::to_lowercase).collect();
    let is_day = |word: &String| DAYS.contains(&word.as_str());
    let is_month = |word: &String| MONTHS.iter().any(|month| word == month || word == month.get(..3).unwrap_or(month));
    let has_number = words.iter().any(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let is_date = |word: &String| {
        word.starts_with(|c: char| c.is_ascii_digit()) && word.matches(['-', '/']).count() >= 1 && word.len() >= 3
    };
    let is_known = |word: &String| {
        is_day(word)
            || is_month(word)
            || is_clock(word)
            || is_date(word)
            || word == "next"
            || word == "last"
            || word.starts_with(|c: char| c.is_ascii_digit())
    };
    let means = words.iter().any(|word| is_day(word) || is_clock(word) || is_date(word))
        || (has_number && words.iter().any(is_month));
    means && words.iter().all(is_known)
}

/// `12:30`, `9am`, `9:15pm`.
fn is_clock(word: impl AsRef<str>) -> bool {
    let word = word.as_ref().to_lowercase();
    let digits = word.strip_suffix("am").or_else(|| word.strip_suffix("pm"));
    match digits {
        Some(digits) => !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == ':'),
        None => word.contains(':') && padded(&word).parse::<Time>().is_ok(),
    }
}

/// `9:30` as `09:30`.
fn padded(word: &str) -> String {
    let is_short = word.len() == 4 && word.as_bytes().get(1) == Some(&b':');
    if is_short { format!("0{word}") } else { word.to_owned() }
}

/// `12:30-13:30`: leaves the start, gives the end.
fn take_range(words: &mut [String]) -> Option<Time> {
    for word in words {
        let Some((start, end)) = word.split_once(['-', '\u{2013}']) else { continue };
        if start.contains(':')
            && let (Ok(_), Ok(end)) = (padded(start).parse::<Time>(), padded(end).parse::<Time>())
        {
            *word = start.to_owned();
            return Some(end);
        }
    }
    None
}

/// `for 2 hours`, `for 45 min`: taken out of the words.
fn take_length(words: &mut Vec<String>) -> Option<SignedDuration> {
    let at = words.iter().position(|word| word.eq_ignore_ascii_case("for"))?;
    let count: i64 = words.get(at + 1)?.parse().ok().filter(|count| (1..=1000).contains(count))?;
    let unit = words.get(at + 2)?.to_lowercase();
    let minutes = match unit.trim_end_matches([',', '.']) {
        "h" | "hour" | "hours" => count * 60,
        "m" | "min" | "mins" | "minute" | "minutes" => count,
        _ => return None,
    };
    words.drain(at..at + 3);
    Some(SignedDuration::from_mins(minutes))
}

/// The title, and what stands behind the last "at".
fn parted(rest: &[&str], before: usize) -> (String, Option<String>) {
    let at = rest.iter().rposition(|word| word.eq_ignore_ascii_case("at") || *word == "@");
    let text = |words: &[&str]| words.join(" ").trim_end_matches([',', '.']).to_owned();
    match at {
        Some(at) if at + 1 < rest.len() => {
            let place = text(rest.get(at + 1..).unwrap_or_default());
            (text(rest.get(..at).unwrap_or_default()), Some(place))
        }
        _ => {
            let (first, second) = rest.split_at(before.min(rest.len()));
            (text(&[first, second].concat()), None)
        }
    }
}

const LITTLE: [&str; 4] = ["on", "at", "@", "from"];
const DAYS: [&str; 16] = [
    "today",
    "tomorrow",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
    "mon",
    "tue",
    "wed",
    "thu",
    "fri",
    "sat",
    "sun",
];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Words of a time, at most.
const LONGEST: usize = 6;
/// Words of a line, at most.
const MOST: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(String, String, Option<String>, Option<String>), InputFault> {
        let clock = Clockwork::named("Europe/Berlin").unwrap();
        // A Monday.
        let input = quick(line, &clock, "2026-03-02T08:00:00Z".parse().unwrap())?;
        Ok((input.title.unwrap(), input.start.unwrap(), input.end, input.location))
    }

    #[test]
    fn lines_become_events() {
        for (line, title, start, end, location) in [
            (
                "Lunch with Ana tomorrow 12:30 at Rossi",
                "Lunch with Ana",
                "2026-03-03T12:30:00+01:00",
                Some("2026-03-03T13:30:00+01:00"),
                Some("Rossi"),
            ),
            (
                "Lunch with Ana at Rossi tomorrow at 12:30",
                "Lunch with Ana",
                "2026-03-03T12:30:00+01:00",
                Some("2026-03-03T13:30:00+01:00"),
                Some("Rossi"),
            ),
            ("Standup 9:15-9:30", "Standup", "2026-03-02T09:15:00+01:00", Some("2026-03-02T09:30:00+01:00"), None),
            (
                "Call May on 5 March 8pm for 30 min",
                "Call May",
                "2026-03-05T20:00:00+01:00",
                Some("2026-03-05T20:30:00+01:00"),
                None,
            ),
            ("2026-04-01 Holiday", "Holiday", "2026-04-01", None, None),
        ] {
            let (found, starts, ends, place) = read(line).unwrap();
            assert_eq!(
                (found.as_str(), starts.as_str(), ends.as_deref(), place.as_deref()),
                (title, start, end, location),
                "{line}"
            );
        }
    }

    #[test]
    fn a_line_without_a_time_is_refused() {
        for line in ["", "Call May", "Room 5", "Buy 3 apples"] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
