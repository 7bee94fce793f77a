//! Find a time: when a person is free over all their calendars, at a glance and as a list of openings.

use askama::Template;
use http::StatusCode;
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, ToSpan as _};

use super::calendar::happenings;
use super::page::{Answer, Page};
use super::request::{Request, Trouble};
use super::{Desk, time};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
<h1>Find a time</h1>
<form class="card row"><div><label for="from">From</label><input id="from" name="from" type="date" value="{{ from }}" required></div>
<div><label for="days">Days</label><input id="days" name="days" type="number" min="1" max="31" value="{{ days }}"></div>
<div><label for="minutes">Minutes needed</label><input id="minutes" name="minutes" type="number" min="15" max="600" step="15" value="{{ minutes }}"></div>
<div><label for="begin">Between</label><input id="begin" name="begin" type="time" value="{{ begin }}"></div>
<div><label for="end">And</label><input id="end" name="end" type="time" value="{{ end }}"></div>
<button class="main">Look</button></form>
<h2>Openings</h2>
{% if openings.is_empty() %}<p class="note">There is none. Try more days, longer hours, or less time.</p>{% else %}
<ul class="list">{% for one in openings %}<li><span>{{ one.words }}</span><a class="button" href="/event/new?day={{ one.day }}">Make an event</a></li>{% endfor %}</ul>{% endif %}
<h2>At a glance</h2>
<div class="free" role="img" aria-label="Free and busy half hours of each day; the openings are listed above">
<span></span>{% for hour in [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22] %}<span class="h">{{ hour }}</span>{% endfor %}
{% for row in rows %}<span>{{ row.0 }}</span>{% for busy in row.1 %}<i{% if *busy %} class="busy"{% endif %}></i>{% endfor %}
{% endfor %}</div>
<p class="hint">Share when you are busy, and nothing else, by a feed: <a href="/sharing">Feeds</a>.</p>
"#
)]
struct Found {
    from: Date,
    days: i64,
    minutes: i64,
    begin: String,
    end: String,
    openings: Vec<Opening>,
    rows: Vec<(String, Vec<bool>)>,
}

struct Opening {
    words: String,
    day: Date,
}

const MOST: usize = 60;

/// The page.
pub(super) async fn get(desk: &Desk, request: &Request<'_>) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let ask = request.ask();
    let now = zone.to_civil(desk.clock.now());
    let from = ask.word("from").parse::<Date>().ok().filter(|day| (1900..2200).contains(&day.year()));
    let from = from.unwrap_or_else(|| now.date());
    let number = |name: &str, usual: i64, most: i64| ask.word(name).parse().unwrap_or(usual).clamp(1, most);
    let (days, minutes) = (number("days", 7, 31), number("minutes", 60, 600));
    let text =
        |name: &str, usual: &str| if ask.word(name).is_empty() { usual.to_owned() } else { ask.word(name).to_owned() };
    let (begin, end) = (text("begin", "09:00"), text("end", "18:00"));
    let clock = |field: &str, text: &str| {
        let time = text.get(..5).and_then(|text| jiff::civil::Time::strptime("%H:%M", text).ok());
        time.ok_or_else(|| Trouble::Refused(format!("{field}: {text:?} is no time such as 09:30.")))
    };
    let (opens, closes) = (clock("Between", &begin)?, clock("and", &end)?);
    let last = from.checked_add((days - 1).days()).unwrap_or(from);
    let all = happenings(desk, user, &zone, (from, last)).await?;
    let busy: Vec<(DateTime, DateTime)> =
        all.iter().filter(|one| !one.off && one.takes_time).map(|one| (one.start, one.end)).collect();
    let (mut openings, mut rows) = (Vec::new(), Vec::new());
    for at in 0..days {
        let day = from.checked_add(at.days()).unwrap_or(from);
        let earliest = day.to_datetime(opens).max(now);
        for (start, stop) in gaps(&busy, earliest, day.to_datetime(closes)) {
            if stop.duration_since(start) >= SignedDuration::from_mins(minutes) && openings.len() < MOST {
                let words = format!("{}, {}–{}", time::long_day(day), start.strftime("%H:%M"), stop.strftime("%H:%M"));
                openings.push(Opening { words, day });
            }
        }
        rows.push((day.strftime("%a %-d %b").to_string(), halves(&busy, day)));
    }
    let content = Found { from, days, minutes, begin, end, openings, rows };
    Page { title: "Find a time", here: "/find-a-time", content: &content }.answer(request, StatusCode::OK)
}

/// What is left between `from` and `to`. The busy times are in order of their start.
fn gaps(busy: &[(DateTime, DateTime)], from: DateTime, to: DateTime) -> Vec<(DateTime, DateTime)> {
    let (mut free, mut at) = (Vec::new(), from);
    for (start, end) in busy {
        if *start >= to {
            break;
        }
        if *start > at {
            free.push((at, *start));
        }
        at = at.max(*end);
    }
    if at < to {
        free.push((at, to));
    }
    free
}

/// Which half hours of a day are taken.
fn halves(busy: &[(DateTime, DateTime)], day: Date) -> Vec<bool> {
    (0..48)
        .map(|half: i8| {
            let start = day.at(half / 2, (half % 2) * 30, 0, 0);
            let end = start.checked_add(SignedDuration::from_mins(30)).unwrap_or(start);
            busy.iter().any(|(from, to)| *from < end && *to > start)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn gaps_are_what_is_left_between() {
        let at = |hour: i8| date(2026, 3, 5).at(hour, 0, 0, 0);
        let busy = [(at(8), at(10)), (at(9), at(11)), (at(13), at(14)), (at(20), at(21))];
        assert_eq!(gaps(&busy, at(9), at(18)), [(at(11), at(13)), (at(14), at(18))]);
        assert!(gaps(&busy, at(9), at(10)).is_empty());
        assert_eq!(halves(&busy, date(2026, 3, 5)).iter().filter(|taken| **taken).count(), 10);
    }
}
