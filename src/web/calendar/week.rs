//! A week by the hour; on a phone a list of its days.

use askama::Template;
use http::StatusCode;
use jiff::civil::{Date, DateTime};

use super::read::{Calendar, Happening, calendars, read};
use super::{Bar, Frame, shifted};
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
<div class="week">
{% for day in days %}<h2 class="{{ day.class }}"><a href="/calendar/day/{{ day.date }}">{{ day.date.strftime("%a %-d") }}</a></h2>
<div class="days">{% for one in day.long %}<a class="chip {{ one.class }}{% if one.off %} off{% endif %}" href="{{ one.href }}"><bdi>{{ one.title }}</bdi></a>{% endfor %}</div>
<div class="day">{% for (one, place) in day.short %}<a class="chip {{ one.class }}{% if one.off %} off{% endif %} {{ place }}" href="{{ one.href }}">{{ one.when(day.date) }} <bdi>{{ one.title }}</bdi></a>
{% endfor %}</div>
{% endfor %}<div class="hours" aria-hidden="true">{% for hour in 0..24 %}<span>{{ hour }}:00</span>{% endfor %}</div>
</div></div>
"#
)]
struct Week {
    bar: String,
    calendars: Vec<Calendar>,
    days: Vec<Day>,
}

struct Day {
    date: Date,
    class: &'static str,
    long: Vec<Happening>,
    /// Each with the classes that place it.
    short: Vec<(Happening, String)>,
}

/// The quarter of an hour in which it begins.
fn start(at: DateTime) -> i32 {
    i32::from(at.hour()) * 4 + i32::from(at.minute()) / 15
}

/// How many quarters it takes, at least two, so that its title can be read.
fn length(one: &Happening) -> i32 {
    let begins = start(one.start);
    let ends = i32::from(one.end.hour()) * 4 + (i32::from(one.end.minute()) + 14) / 15;
    let ends = if one.end.date() > one.start.date() { 96 } else { ends };
    (ends - begins).max(2).min(96 - begins).max(1)
}

/// The page.
pub(super) async fn get(desk: &Desk, request: &Request<'_>, frame: &Frame) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let first = shifted(frame.day, -i64::from(frame.day.weekday().to_monday_zero_offset()));
    let last = shifted(first, 6);
    let all = read(desk, user, &zone, (first, last)).await?;
    let days = (0..7).map(|at| {
        let date = shifted(first, at);
        let here = all.iter().filter(|one| one.is_on(date)).cloned();
        let (long, short): (Vec<_>, Vec<_>) = here.partition(Happening::is_long);
        let placed = |one: Happening| {
            let place = format!("t{} n{}", start(one.start), length(&one));
            (one, place)
        };
        let short = short.into_iter().map(placed).collect();
        Day { date, class: if date == frame.today { "now" } else { "" }, long, short }
    });
    let title = format!("{} – {}", first.strftime("%-d %B"), last.strftime("%-d %B %Y"));
    let (before, after) = (shifted(first, -7).to_string(), shifted(first, 7).to_string());
    let bar = Bar { title: title.clone(), view: "week", day: frame.day, before, after }.html();
    let content = Week { bar, days: days.collect(), calendars: calendars(desk, user).await? };
    Page { title: &title, here: "/calendar", content: &content }.answer(request, StatusCode::OK)
}
