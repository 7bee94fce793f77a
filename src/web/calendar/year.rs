//! The linear year: twelve rows of days in which a year is seen at once (twelve columns on a phone).
//!
//! What takes days is a bar that runs through them, in its own lane; what takes hours is a short stroke. The page stays
//! small however full the year is: a day shows three lanes and counts the rest.

use askama::Template;
use http::StatusCode;
use jiff::civil::{Date, date};

use super::read::{Calendar, Happening, calendars, read};
use super::{Bar, Frame};
use crate::web::page::{Answer, Page};
use crate::web::request::Request;
use crate::web::{Desk, time};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
{{ bar|safe }}
<div data-live="60" data-stream="/api/v1/stream">
<ul class="legend" aria-label="Calendars">{% for one in calendars %}<li><span class="dot {{ one.class }}"></span> {{ one.title }}</li>{% endfor %}</ul>
<div class="year">
{% for month in months %}<section aria-label="{{ month.name }} {{ year }}"><h2><a href="/calendar/month/{{ month.first }}">{{ month.short }}</a></h2><ol>
{% for day in month.days %}<li{% if !day.class.is_empty() %} class="{{ day.class }}"{% endif %}><a href="/calendar/day/{{ day.date }}"{% if !day.label.is_empty() %} title="{{ day.label }}"{% endif %}><b>{{ day.number }}</b>{{ day.lanes|safe }}</a></li>
{% endfor %}</ol></section>
{% endfor %}</div>
</div>
"#
)]
#[expect(clippy::struct_field_names, reason = "the names of the field's own words")]
struct Year {
    bar: String,
    year: i16,
    calendars: Vec<Calendar>,
    months: Vec<Month>,
}

struct Month {
    name: String,
    short: String,
    first: Date,
    days: Vec<Day>,
}

struct Day {
    date: Date,
    number: i8,
    class: &'static str,
    /// The events in words, for who hovers or listens.
    label: String,
    lanes: String,
}

const LANES: usize = 3;
/// Titles that are spelled out on one page at most; beyond that the bars alone tell.
const TITLES: usize = 260;
const LONGEST_TITLE: usize = 28;
/// Days over which a title runs at most; the style sheet has a class for each.
const LONGEST_RUN: usize = 8;

/// The page.
pub(super) async fn get(desk: &Desk, request: &Request<'_>, frame: &Frame) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let year = frame.day.year();
    let (first, last) = (date(year, 1, 1), date(year, 12, 31));
    let happenings = read(desk, user, &zone, (first, last)).await?;
    let mut titles = TITLES;
    let months = (1..=12).map(|month| row(date(year, month, 1), &happenings, frame.today, &mut titles)).collect();
    let (before, after) = ((year - 1).to_string(), (year + 1).to_string());
    let bar = Bar { title: year.to_string(), view: "year", day: frame.day, before, after }.html();
    let content = Year { bar, year, calendars: calendars(desk, user).await?, months };
    Page { title: &year.to_string(), here: "/calendar", content: &content }.answer(request, StatusCode::OK)
}

fn row(first: Date, all: &[Happening], today: Date, titles: &mut usize) -> Month {
    let last = first.last_of_month();
    let mut lanes: Vec<Vec<Option<&Happening>>> = vec![Vec::new(); LANES];
    let touching: Vec<&Happening> =
        all.iter().filter(|one| one.start.date() <= last && one.last_day() >= first).collect();
    for one in touching.iter().filter(|one| one.is_long()).chain(touching.iter().filter(|one| !one.is_long())) {
        let from = offset(one.start.date().max(first));
        let to = offset(one.last_day().min(last));
        let is_free = |lane: &Vec<Option<&Happening>>| (from..=to).all(|at| lane.get(at).is_none_or(Option::is_none));
        if let Some(lane) = lanes.iter_mut().find(|lane| is_free(lane)) {
            lane.resize(lane.len().max(to + 1), None);
            for slot in lane.iter_mut().take(to + 1).skip(from) {
                *slot = Some(*one);
            }
        }
    }
    let days = (0..usize::try_from(last.day()).unwrap_or_default()).map(|at| {
        let day = first.checked_add(jiff::Span::new().days(i64::try_from(at).unwrap_or_default())).unwrap_or(first);
        cell(day, first, &lanes, &touching, (today, &mut *titles))
    });
    Month {
        name: first.strftime("%B").to_string(),
        short: first.strftime("%b").to_string(),
        first,
        days: days.collect(),
    }
}

fn offset(day: Date) -> usize {
    usize::try_from(day.day() - 1).unwrap_or_default()
}

#[expect(clippy::format_push_string, reason = "short texts, written rarely")]
fn cell(
    day: Date,
    first: Date,
    lanes: &[Vec<Option<&Happening>>],
    touching: &[&Happening],
    (today, titles): (Date, &mut usize),
) -> Day {
    let here: Vec<&&Happening> = touching.iter().filter(|one| one.is_on(day)).collect();
    let mut html = String::new();
    let at = offset(day);
    let taken = lanes.iter().rposition(|lane| lane.get(at).is_some_and(Option::is_some));
    for lane in lanes.iter().take(taken.map_or(0, |last| last + 1)) {
        html.push_str(&stroke(lane.get(at).copied().flatten(), day, first, titles));
    }
    let shown = lanes.iter().filter(|lane| lane.get(at).is_some_and(Option::is_some)).count();
    if here.len() > shown {
        html.push_str(&format!("<em>+{}</em>", here.len() - shown));
    }
    let class = match (day == today, day.weekday().to_monday_zero_offset() >= 5) {
        (true, _) => "now",
        (false, true) => "w",
        (false, false) => "",
    };
    let label = match here.len() {
        0 => String::new(),
        1 => "1 event".to_owned(),
        count => format!("{count} events"),
    };
    Day { date: day, number: day.day(), class, label, lanes: html }
}

/// One lane of one day. The title stands where the bar begins, and runs no further than the bar.
fn stroke(one: Option<&Happening>, day: Date, first: Date, titles: &mut usize) -> String {
    let Some(one) = one else { return "<i class=\"x\"></i>".to_owned() };
    let begins = one.start.date() == day || day == first;
    let class = match (one.is_long(), begins) {
        (false, _) => " p",
        (true, true) => " f",
        (true, false) => "",
    };
    let title = if begins && one.is_long() && *titles > 0 {
        *titles -= 1;
        let short: String = one.title.chars().take(LONGEST_TITLE).collect();
        let last = one.last_day().min(day.last_of_month());
        let run = (offset(last) + 1).saturating_sub(offset(day)).clamp(1, LONGEST_RUN);
        format!("<span class=\"d{run}\">{}</span>", escaped(&short))
    } else {
        String::new()
    };
    format!("<i class=\"{}{class}\">{title}</i>", one.class)
}

/// Text for HTML. These cells are made outside a template, a thousand to a page.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(title: &str, from: Date, to: Date) -> Happening {
        Happening {
            title: title.to_owned(),
            location: String::new(),
            calendar: String::new(),
            class: "s1".to_owned(),
            start: from.at(0, 0, 0, 0),
            end: to.at(0, 0, 0, 0),
            all_day: true,
            off: false,
            takes_time: true,
            href: String::new(),
        }
    }

    #[test]
    fn a_bar_keeps_its_lane_through_the_month_and_its_title_is_text() {
        let day = |number| date(2026, 3, number);
        let all = [long("<b>A", day(1), day(4)), long("B", day(3), day(6)), long("C", day(5), day(7))];
        let month = row(day(1), &all, day(9), &mut 10);
        assert_eq!(month.days.len(), 31);
        let lanes: Vec<&str> = month.days.iter().take(6).map(|day| day.lanes.as_str()).collect();
        let (bar, gap) = ("<i class=\"s1\"></i>", "<i class=\"x\"></i>");
        assert_eq!(lanes[0], "<i class=\"s1 f\"><span class=\"d3\">&lt;b&gt;A</span></i>");
        assert_eq!(lanes[1], bar);
        assert_eq!(lanes[2], format!("{bar}<i class=\"s1 f\"><span class=\"d3\">B</span></i>"));
        assert_eq!(lanes[3], format!("{gap}{bar}"));
        assert_eq!(lanes[4], format!("<i class=\"s1 f\"><span class=\"d2\">C</span></i>{bar}"));
        assert_eq!(month.days[8].class, "now");
        assert_eq!(month.days[2].label, "2 events");
    }

    #[test]
    fn a_full_day_counts_what_it_cant_show() {
        let day = date(2026, 3, 2);
        let all: Vec<Happening> = (0..5).map(|_| long("x", day, date(2026, 3, 3))).collect();
        let month = row(date(2026, 3, 1), &all, day, &mut 0);
        assert!(month.days[1].lanes.ends_with("<em>+2</em>") && !month.days[1].lanes.contains("span"));
    }
}
