//! A month in weeks that begin on Monday.

use askama::Template;
use http::StatusCode;
use jiff::civil::Date;

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
<ol class="month">
{% for name in ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"] %}<li class="head" aria-hidden="true">{{ name }}</li>{% endfor %}
{% for day in days %}<li class="{{ day.class }}"><a class="n" href="/calendar/day/{{ day.date }}" aria-label="{{ day.label }}">{{ day.number }}</a>
{% for one in day.happenings %}<a class="chip {{ one.class }}{% if one.off %} off{% endif %}" href="{{ one.href }}" title="{{ one.when(day.date) }} {{ one.title }}">{% if !one.is_long() %}{{ one.start.strftime("%H:%M") }} {% endif %}<bdi>{{ one.title }}</bdi></a>
{% endfor %}{% if day.more > 0 %}<a class="n more" href="/calendar/day/{{ day.date }}">{{ day.more }} more</a>{% endif %}</li>
{% endfor %}</ol></div>
"#
)]
struct Month {
    bar: String,
    calendars: Vec<Calendar>,
    days: Vec<Day>,
}

struct Day {
    date: Date,
    number: i8,
    class: &'static str,
    label: String,
    happenings: Vec<Happening>,
    more: usize,
}

const SHOWN: usize = 5;

/// The page.
pub(super) async fn get(desk: &Desk, request: &Request<'_>, frame: &Frame) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let first = frame.day.first_of_month();
    let last = frame.day.last_of_month();
    let from = shifted(first, -i64::from(first.weekday().to_monday_zero_offset()));
    let to = shifted(last, 6 - i64::from(last.weekday().to_monday_zero_offset()));
    let all = read(desk, user, &zone, (from, to)).await?;
    let mut days = Vec::new();
    let mut day = from;
    while day <= to {
        let here: Vec<Happening> = all.iter().filter(|one| one.is_on(day)).cloned().collect();
        let class = match () {
            () if day == frame.today => "now",
            () if day < first || day > last => "other",
            () if day.weekday().to_monday_zero_offset() >= 5 => "w",
            () => "",
        };
        let more = here.len().saturating_sub(SHOWN);
        let happenings = here.into_iter().take(SHOWN).collect();
        days.push(Day { date: day, number: day.day(), class, label: time::long_day(day), happenings, more });
        let Ok(next) = day.tomorrow() else { break };
        day = next;
    }
    let title = first.strftime("%B %Y").to_string();
    let before = shifted(first, -1).first_of_month().to_string();
    let bar = Bar { title: title.clone(), view: "month", day: first, before, after: shifted(last, 1).to_string() };
    let content = Month { bar: bar.html(), calendars: calendars(desk, user).await?, days };
    Page { title: &title, here: "/calendar", content: &content }.answer(request, StatusCode::OK)
}
