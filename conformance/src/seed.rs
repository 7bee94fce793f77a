//! Plausible calendars, the same for the same number: a fifth recurring, a tenth all-day, zones, attendees, alarms.

/// Days of 2026 and after, from which events are spread: 1 January 2026 is day 0.
const FIRST_YEAR: u32 = 2026;

/// How the events lie in time.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    /// Events that begin in each period of 28 days.
    pub every_28_days: u32,
}

/// The name and the octets of event number `n`.
pub fn event(n: u32, spread: Spread) -> (String, String) {
    let day = n * 28 / spread.every_28_days;
    let (year, month, date) = civil(day);
    let hour = 7 + n % 11;
    let mut text = String::from("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//LinearTime//seed//EN\r\n");
    let in_zone = n.is_multiple_of(3) && n % 10 != 9;
    if in_zone {
        text.push_str(BERLIN);
    }
    let mut line = |arguments: std::fmt::Arguments<'_>| text.push_str(&arguments.to_string());
    line(format_args!("BEGIN:VEVENT\r\nUID:seed-{n}@example.org\r\nDTSTAMP:20260101T000000Z\r\n"));
    if n % 10 == 9 {
        line(format_args!("DTSTART;VALUE=DATE:{year:04}{month:02}{date:02}\r\nDURATION:P1D\r\n"));
    } else if in_zone {
        line(format_args!(
            "DTSTART;TZID=Europe/Berlin:{year:04}{month:02}{date:02}T{hour:02}0000\r\nDURATION:PT45M\r\n"
        ));
    } else {
        line(format_args!("DTSTART:{year:04}{month:02}{date:02}T{hour:02}3000Z\r\nDURATION:PT1H\r\n"));
    }
    line(format_args!("SUMMARY:Appointment {n} – Müller & Söhne\r\nLOCATION:Room {}\r\n", n % 40));
    if n.is_multiple_of(5) {
        line(format_args!("RRULE:FREQ=WEEKLY;COUNT=4\r\n"));
    }
    if n % 4 == 1 {
        for guest in 0..(n % 7) {
            line(format_args!(
                "ATTENDEE;CN=Guest {guest};PARTSTAT=ACCEPTED;ROLE=REQ-PARTICIPANT:mailto:guest{guest}@example.org\r\n"
            ));
        }
    }
    let words = 4 + n % 60;
    line(format_args!("DESCRIPTION:"));
    for word in 0..words {
        line(format_args!("{}word-{word}", if word % 6 == 5 { "\r\n  " } else { " " }));
    }
    line(format_args!("\r\nBEGIN:VALARM\r\nACTION:DISPLAY\r\nDESCRIPTION:Soon\r\nTRIGGER:-PT15M\r\nEND:VALARM\r\n"));
    line(format_args!("END:VEVENT\r\nEND:VCALENDAR\r\n"));
    (format!("seed-{n}.ics"), text)
}

/// The name and the octets of series number `n`: weekly, without an end, in a zone, with two weeks left out.
pub fn endless(n: u32, _: Spread) -> (String, String) {
    let (day, hour) = (5 + n % 7, 7 + n % 11);
    let text = format!(
        "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//LinearTime//seed//EN\r\n{BERLIN}BEGIN:VEVENT\r\n\
         UID:endless-{n}@example.org\r\nDTSTAMP:20200101T000000Z\r\nDTSTART;TZID=Europe/Berlin:202001{day:02}T{hour:02}0000\r\n\
         DURATION:PT1H\r\nRRULE:FREQ=WEEKLY\r\nEXDATE;TZID=Europe/Berlin:202002{day:02}T{hour:02}0000\r\n\
         SUMMARY:Weekly {n}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
    );
    (format!("endless-{n}.ics"), text)
}

/// Year, month and day of the month, `day` days after 1 January 2026.
fn civil(mut day: u32) -> (u32, u32, u32) {
    let mut year = FIRST_YEAR;
    loop {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let months = [31, 28 + u32::from(leap), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in (1..).zip(months) {
            if day < length {
                return (year, month, day + 1);
            }
            day -= length;
        }
        year += 1;
    }
}

/// The zone of Berlin.
pub(crate) const BERLIN: &str = "BEGIN:VTIMEZONE\r\nTZID:Europe/Berlin\r\nBEGIN:DAYLIGHT\r\nTZOFFSETFROM:+0100\r\n\
TZOFFSETTO:+0200\r\nTZNAME:CEST\r\nDTSTART:19700329T020000\r\nRRULE:FREQ=YEARLY;BYMONTH=3;BYDAY=-1SU\r\n\
END:DAYLIGHT\r\nBEGIN:STANDARD\r\nTZOFFSETFROM:+0200\r\nTZOFFSETTO:+0100\r\nTZNAME:CET\r\n\
DTSTART:19701025T030000\r\nRRULE:FREQ=YEARLY;BYMONTH=10;BYDAY=-1SU\r\nEND:STANDARD\r\nEND:VTIMEZONE\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_over_leap_years() {
        assert_eq!(civil(0), (2026, 1, 1));
        assert_eq!(civil(58), (2026, 2, 28));
        assert_eq!(civil(365), (2027, 1, 1));
        assert_eq!(civil(365 * 2 + 59), (2028, 2, 29));
        assert_eq!(civil(365 * 2 + 366), (2029, 1, 1));
    }

    #[test]
    fn a_number_gives_the_same_event_and_a_fifth_recur() {
        let spread = Spread { every_28_days: 70 };
        assert_eq!(event(7, spread), event(7, spread));
        let recurring = (0..1000).filter(|&n| event(n, spread).1.contains("RRULE:FREQ=WEEKLY;COUNT")).count();
        assert_eq!(recurring, 200);
        for n in 0..1000 {
            let size = event(n, spread).1.len();
            assert!((300..3200).contains(&size), "{size}");
        }
    }
}
