//! What a person does over some weeks: at work, at home, and in the places where others keep a calendar for them.

use jiff::ToSpan;
use jiff::civil::Date;

use super::appointment::{Appointment, Length, at};

/// Something that happens again and again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Habit {
    title: &'static str,
    place: &'static str,
    /// From Monday, which is 0, and at what hour and minute.
    time: (i8, i8, i8),
    length: Length,
    /// Every so many weeks as an event of its own; 0 is a weekly series.
    every: usize,
}

const fn habit(title: &'static str, place: &'static str, time: (i8, i8, i8), length: Length, every: usize) -> Habit {
    Habit { title, place, time, length, every }
}

/// In the private account, at Google.
pub(super) const PRIVATE: &[Habit] = &[
    habit("Yoga", "Studio Süd", (1, 18, 30), Length::Minutes(60), 0),
    habit("Phone Grandma", "", (6, 17, 0), Length::Minutes(30), 1),
    habit("Breakfast with Mia", "Café am Ufer", (5, 10, 0), Length::Minutes(90), 2),
    habit("Cinema", "Lichtblick", (4, 20, 15), Length::Minutes(130), 3),
    habit("Bicycle to the workshop", "Kastanienallee 12", (2, 17, 0), Length::Minutes(30), 4),
    habit("At the sea", "Rügen", (4, 0, 0), Length::Days(3), 4),
];

/// In the account at work, at Microsoft.
pub(super) const WORK: &[Habit] = &[
    habit("Stand-up", "Online", (0, 9, 15), Length::Minutes(15), 0),
    habit("One-to-one with Jonas", "Room 3", (3, 11, 0), Length::Minutes(30), 1),
    habit("Budget review", "Room 7", (1, 14, 0), Length::Minutes(60), 2),
    habit("Lunch with the new colleagues", "Canteen", (3, 12, 30), Length::Minutes(60), 2),
    habit("Workshop: prices", "Room 1", (2, 10, 0), Length::Minutes(180), 3),
    habit("Trade fair", "Hanover", (0, 0, 0), Length::Days(2), 4),
];

/// In the calendar that the family keeps on a CalDAV server.
pub(super) const FAMILY: &[Habit] = &[
    habit("Choir", "Church hall", (2, 19, 30), Length::Minutes(120), 0),
    habit("Swimming lesson", "Stadtbad", (3, 15, 30), Length::Minutes(45), 1),
    habit("Board games", "Lena, Mühlenweg 5", (4, 19, 30), Length::Minutes(180), 2),
    habit("Market stall", "Town square", (5, 8, 0), Length::Minutes(240), 3),
    habit("Dentist", "Dr Weber", (0, 8, 0), Length::Minutes(30), 4),
    habit("No school", "", (0, 0, 0), Length::Days(1), 4),
];

const WEEKS_BACK: i64 = 2;
const WEEKS: usize = 11;

/// What these habits put into a calendar, from two weeks before `today` to two months after it.
pub(super) fn appointments(habits: &[Habit], today: Date) -> Vec<Appointment> {
    let back = i64::from(today.weekday().to_monday_zero_offset()) + WEEKS_BACK * 7;
    let first = today.saturating_sub(back.days());
    let weeks = std::iter::successors(Some(first), |monday| Some(monday.saturating_add(1.week())));
    let mut made = Vec::new();
    for (week, monday) in weeks.take(WEEKS).enumerate() {
        for (number, habit) in habits.iter().enumerate() {
            let happens = if habit.every == 0 { week == 0 } else { (week + number).is_multiple_of(habit.every) };
            if happens {
                made.push(habit.in_week(monday));
            }
        }
    }
    made
}

impl Habit {
    fn in_week(&self, monday: Date) -> Appointment {
        let (day, hour, minute) = self.time;
        Appointment {
            title: self.title.to_owned(),
            place: self.place.to_owned(),
            start: at(monday.saturating_add(day.days()), hour, minute),
            length: self.length,
            is_weekly: self.every == 0,
        }
    }
}

const WITH: [&str; 8] = ["Anton", "Bea", "Carla", "Deniz", "Emil", "Fatima", "Greta", "Hugo"];

/// What is put into a calendar while one looks, the `n`th time: at this place, within a week after `today`.
pub(super) fn sudden(n: usize, place: &str, today: Date) -> Appointment {
    let with = WITH.iter().cycle().nth(n).copied().unwrap_or_default();
    let day = today.saturating_add(i64::try_from(1 + n % 6).unwrap_or(1).days());
    Appointment {
        title: format!("Coffee with {with}"),
        place: place.to_owned(),
        start: at(day, i8::try_from(8 + n % 9).unwrap_or(8), 0),
        length: Length::Minutes(45),
        is_weekly: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_calendar_is_full_and_begins_on_a_monday_two_weeks_ago() {
        for habits in [PRIVATE, WORK, FAMILY] {
            let made = appointments(habits, Date::constant(2026, 11, 28));
            assert!(made.len() >= 25, "{}", made.len());
            assert_eq!(made.iter().filter(|one| one.is_weekly).count(), 1);
            assert!(made.iter().all(|one| one.start.date() >= Date::constant(2026, 11, 9)));
            assert!(made.iter().any(|one| one.start.date() > Date::constant(2027, 1, 15)));
        }
    }
}
