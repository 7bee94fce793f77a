//! The calendar as people look at it: the linear year, month, week, agenda, each in the colours of the sources.

mod agenda;
mod edit;
pub(super) mod event;
mod month;
mod read;
mod week;
mod year;

use http::StatusCode;
use http::header::{CACHE_CONTROL, HeaderValue};
use jiff::ToSpan as _;
use jiff::civil::Date;

use super::page::{Answer, go, with_type};
use super::request::{Request, Trouble};
use super::{Desk, time};

pub(super) use read::{Calendar, calendars, read as happenings, title as event_title};

/// Where a view begins, from its path, or today.
pub(super) struct Frame {
    pub(super) today: Date,
    pub(super) day: Date,
}

impl Frame {
    fn of(desk: &Desk, request: &Request<'_>, text: Option<&str>) -> Result<Self, Trouble> {
        let today = time::zone(request).to_civil(desk.clock.now()).date();
        let day = match text {
            None => today,
            Some(text) => parse(text).ok_or(Trouble::NotFound)?,
        };
        Ok(Self { today, day })
    }
}

/// A day, a month or a year, within reason.
fn parse(text: &str) -> Option<Date> {
    let full = match text.len() {
        4 => format!("{text}-01-01"),
        7 => format!("{text}-01"),
        _ => text.to_owned(),
    };
    let day: Date = full.parse().ok()?;
    (1900..=2200).contains(&day.year()).then_some(day)
}

/// The class that gives the colour of the calendar with this place in the list.
pub(super) fn class(index: usize) -> String {
    format!("s{index}")
}

/// The pages.
pub(super) async fn get(desk: &Desk, request: &Request<'_>, path: &[&str]) -> Answer {
    let frame = |text: Option<&str>| Frame::of(desk, request, text);
    match path {
        [] => year::get(desk, request, &frame(None)?).await,
        ["colors.css"] => colors(desk, request).await,
        ["go"] => {
            let ask = request.ask();
            let day = parse(ask.word("day")).ok_or_else(|| Trouble::Refused("Day: this is no date.".to_owned()))?;
            go(&format!("/calendar/agenda/{day}"), "", "")
        }
        ["year", text] => year::get(desk, request, &frame(Some(text))?).await,
        ["month"] => month::get(desk, request, &frame(None)?).await,
        ["month", text] => month::get(desk, request, &frame(Some(text))?).await,
        ["week"] => week::get(desk, request, &frame(None)?).await,
        ["week", text] => week::get(desk, request, &frame(Some(text))?).await,
        ["agenda"] => agenda::get(desk, request, &frame(None)?, agenda::MONTH).await,
        ["agenda", text] => agenda::get(desk, request, &frame(Some(text))?, agenda::MONTH).await,
        ["day", text] => agenda::get(desk, request, &frame(Some(text))?, 1).await,
        _ => Err(Trouble::NotFound),
    }
}

/// The person's colours. They can't be in the pages, whose policy allows no inline style.
async fn colors(desk: &Desk, request: &Request<'_>) -> Answer {
    use std::fmt::Write as _;
    let mut css = String::new();
    for one in calendars(desk, request.user()?).await? {
        // Writing into a string can't fail.
        let _written = writeln!(css, ".{}{{--c:{}}}", one.class, one.color).is_ok();
    }
    let mut response = with_type(StatusCode::OK, "text/css; charset=utf-8", css);
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    Ok(response)
}

/// The day before or after, staying where dates end.
fn shifted(day: Date, days: i64) -> Date {
    day.checked_add(days.days()).unwrap_or(day)
}

/// The links to the views, which is shown, and to what is before and after.
pub(super) struct Bar {
    pub(super) title: String,
    pub(super) view: &'static str,
    pub(super) day: Date,
    pub(super) before: String,
    pub(super) after: String,
}

impl Bar {
    /// Its HTML. Nothing in it comes from outside.
    pub(super) fn html(&self) -> String {
        let Self { title, view, day, before, after } = self;
        let links = [("year", "Year"), ("month", "Month"), ("week", "Week"), ("agenda", "Agenda")]
            .iter()
            .map(|(name, word)| {
                let here = if name == view { " aria-current=\"page\"" } else { "" };
                format!("<a class=\"button\" href=\"/calendar/{name}/{day}\"{here}>{word}</a> ")
            })
            .collect::<Vec<_>>()
            .concat();
        format!(
            "<div class=\"bar\"><h1>{title}</h1>\
             <a class=\"button\" href=\"/calendar/{view}/{before}\"><span aria-hidden=\"true\">‹</span> Before</a> \
             <a class=\"button\" href=\"/calendar/{view}/{after}\">After <span aria-hidden=\"true\">›</span></a> {links}\
             <a class=\"button main\" href=\"/event/new?day={day}\">New event</a></div>"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_months_and_years_are_read_and_nothing_else() {
        let day = jiff::civil::date;
        assert_eq!(parse("2026"), Some(day(2026, 1, 1)));
        assert_eq!(parse("2026-03"), Some(day(2026, 3, 1)));
        assert_eq!(parse("2026-03-05"), Some(day(2026, 3, 5)));
        for bad in ["", "26", "2026-13", "2026-02-30", "1066-10-14", "<b>", "9999"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
