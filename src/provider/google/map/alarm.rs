//! Reminders: at most five, whole minutes before the start, by a message on the screen or by mail.
//!
//! An alarm that Google can hold in part keeps its own text in the stash, and is found again by its method and minutes; one
//! that it can't hold at all is in the stash alone.

use serde_json::{Value, json};

use super::{Context, Mapped, stash, string};
use crate::ical::{Component, Draft, Duration, Line};

pub(super) fn components(mut draft: Draft, event: &Value, (context, kept): (&Context, &stash::Kept)) -> Draft {
    let mut kept: Vec<Component> = kept.values("alarm").filter_map(|text| stash::component(&unpack(text))).collect();
    let reminders = event.get("reminders");
    let is_default = reminders.and_then(|reminders| reminders.get("useDefault")) == Some(&json!(true));
    let overrides = reminders.and_then(|reminders| reminders.get("overrides")).and_then(Value::as_array);
    let shown = if is_default { Some(&context.calendar.reminders) } else { overrides };
    for one in shown.into_iter().flatten() {
        let (Some(method), Some(minutes)) = (string(one, "method"), one.get("minutes").and_then(Value::as_i64)) else {
            continue;
        };
        let own = kept.iter().position(|alarm| reminder(alarm).is_some_and(|(m, n)| m == method && n == minutes));
        draft = match own.map(|at| kept.remove(at)) {
            Some(alarm) => draft.child(copy(&alarm)),
            None => draft.child(alarm(method, minutes, is_default, context)),
        };
    }
    // What Google never held.
    kept.iter().filter(|alarm| reminder(alarm).is_none()).fold(draft, |draft, alarm| draft.child(copy(alarm)))
}

fn alarm(method: &str, minutes: i64, is_default: bool, context: &Context) -> Draft {
    let action = if method == "email" { "EMAIL" } else { "DISPLAY" };
    let mut draft = Draft::new("VALARM").line(Line::new("ACTION").value(action));
    draft = draft.line(Line::new("TRIGGER").value(&trigger(minutes)));
    draft = draft.line(Line::new("DESCRIPTION").text(WORDS));
    if method == "email" {
        draft = draft.line(Line::new("SUMMARY").text(WORDS));
        draft = draft.line(Line::new("ATTENDEE").value(&format!("mailto:{}", context.email)));
    }
    if is_default {
        draft = draft.line(Line::new(DEFAULT).value("TRUE"));
    }
    draft
}

pub(super) fn members(component: &Component, mapped: &mut Mapped) {
    let alarms: Vec<&Component> = component.children().iter().filter(|child| child.is("VALARM")).collect();
    let is_default = |alarm: &&Component| alarm.property(DEFAULT).is_some_and(|flag| flag.value().trim() == "TRUE");
    if !alarms.is_empty() && alarms.iter().all(is_default) {
        mapped.members.insert("reminders".to_owned(), json!({ "useDefault": true }));
        return;
    }
    let mut overrides: Vec<Value> = Vec::new();
    for alarm in alarms {
        match reminder(alarm).filter(|_| overrides.len() < MOST) {
            Some((method, minutes)) => {
                let one = json!({ "method": method, "minutes": minutes });
                if !overrides.contains(&one) {
                    overrides.push(one);
                }
                if !is_plain(alarm) {
                    mapped.stash.push(format!("!alarm:{}", pack(alarm)));
                }
            }
            None => mapped.stash.push(format!("!alarm:{}", pack(alarm))),
        }
    }
    overrides.sort_by_key(ToString::to_string);
    mapped.members.insert("reminders".to_owned(), json!({ "useDefault": false, "overrides": overrides }));
}

/// Method and minutes of an alarm that Google can hold.
fn reminder(alarm: &Component) -> Option<(&'static str, i64)> {
    let action = alarm.property("ACTION")?.value().trim().to_ascii_uppercase();
    let method = match action.as_str() {
        "DISPLAY" | "AUDIO" => "popup",
        "EMAIL" => "email",
        _ => return None,
    };
    let trigger = alarm.property("TRIGGER")?;
    let is_start = trigger.param("RELATED").is_none_or(|related| related.eq_ignore_ascii_case("START"));
    let before = Duration::parse(trigger.value()).ok().map(|before| -before.total_seconds())?;
    let fits =
        is_start && alarm.property("REPEAT").is_none() && before % 60 == 0 && (0..=LONGEST * 60).contains(&before);
    fits.then_some((method, before / 60))
}

/// Whether the alarm says no more than what would be made of its reminder.
fn is_plain(alarm: &Component) -> bool {
    let is_display =
        alarm.property("ACTION").is_some_and(|action| action.value().trim().eq_ignore_ascii_case("DISPLAY"));
    is_display
        && alarm.properties().iter().all(|property| match property.name().to_ascii_uppercase().as_str() {
            "ACTION" | "ACKNOWLEDGED" => true,
            "TRIGGER" => property.params().next().is_none(),
            "DESCRIPTION" => property.text() == WORDS,
            _ => false,
        })
}

fn trigger(minutes: i64) -> String {
    if minutes > 0 && minutes % 1440 == 0 { format!("-P{}D", minutes / 1440) } else { format!("-PT{minutes}M") }
}

fn copy(alarm: &Component) -> Draft {
    alarm.properties().iter().fold(Draft::new("VALARM"), |draft, property| draft.line(Line::copy(property)))
}

/// An alarm on one line.
fn pack(alarm: &Component) -> String {
    let kept = alarm.properties().iter().filter(|property| !property.is("ACKNOWLEDGED"));
    let lines: Vec<&str> = kept.map(crate::ical::Property::line).collect();
    lines.join("\u{1f}")
}

fn unpack(text: &str) -> String {
    format!("BEGIN:VALARM\r\n{}\r\nEND:VALARM\r\n", text.replace('\u{1f}', "\r\n"))
}

const DEFAULT: &str = "X-APPLE-DEFAULT-ALARM";
const WORDS: &str = "Reminder";
/// Overrides that an event may have.
const MOST: usize = 5;
/// Four weeks.
const LONGEST: i64 = 40_320;
