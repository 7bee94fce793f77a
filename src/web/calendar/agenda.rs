//! What comes next, day by day; also one day alone.

use askama::Template;
use http::StatusCode;
use jiff::civil::Date;

use super::read::{Happening, read};
use super::{Bar, Frame, shifted};
use crate::web::page::{Answer, Page};
use crate::web::request::Request;
use crate::web::{Desk, time};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"
{{ bar|safe }}
<form action="/calendar/go" class="row"><div><label for="day">Go to</label><input id="day" name="day" type="date" value="{{ day }}" required></div><button>Go</button></form>
<div class="agenda" data-live="60" data-stream="/api/v1/stream">
{% for day in days %}<section><h2>{{ day.label }}{% if day.today %} <span class="tag good">today</span>{% endif %}</h2>
<ul>{% for one in day.happenings %}<li><a class="{{ one.class }}" href="{{ one.href }}"><span>{{ one.when(day.date) }}</span><span{% if one.off %} class="off"{% endif %}><strong><bdi>{{ one.title }}</bdi></strong>{% if !one.location.is_empty() %}<br><bdi>{{ one.location }}</bdi>{% endif %}<br><span class="hint">{{ one.calendar }}</span></span></a></li>
{% endfor %}</ul></section>
{% endfor %}{% if days.is_empty() %}<p class="note">Nothing takes place here. <a href="/event/new?day={{ day }}">Make an event</a>.</p>{% endif %}
{% if cut %}<p class="note">There is more; the list ends here so that the page stays small.</p>{% endif %}</div>
"#
)]
struct Agenda {
    bar: String,
    day: Date,
    days: Vec<Day>,
    cut: bool,
}

struct Day {
    date: Date,
    label: String,
    today: bool,
    happenings: Vec<Happening>,
}

/// Days of an agenda.
pub(super) const MONTH: i64 = 31;
/// Keeps the page under its size.
const MOST: usize = 200;

/// The page.
pub(super) async fn get(desk: &Desk, request: &Request<'_>, frame: &Frame, length: i64) -> Answer {
    let (user, zone) = (request.user()?, time::zone(request));
    let (first, last) = (frame.day, shifted(frame.day, length - 1));
    let all = read(desk, user, &zone, (first, last)).await?;
    let (mut days, mut left, mut cut) = (Vec::new(), MOST, false);
    for at in 0..length {
        let date = shifted(first, at);
        let mut happenings: Vec<Happening> = all.iter().filter(|one| one.is_on(date)).cloned().collect();
        cut |= happenings.len() > left;
        happenings.truncate(left);
        left -= happenings.len();
        if !happenings.is_empty() {
            days.push(Day { date, label: time::long_day(date), today: date == frame.today, happenings });
        }
    }
    let (title, view) = if length == 1 {
        (time::long_day(first), "day")
    } else {
        (format!("From {}", time::long_day(first)), "agenda")
    };
    let (before, after) = (shifted(first, -length).to_string(), shifted(first, length).to_string());
    let bar = Bar { title: title.clone(), view, day: first, before, after }.html();
    let content = Agenda { bar, day: first, days, cut };
    Page { title: &title, here: "/calendar", content: &content }.answer(request, StatusCode::OK)
}
