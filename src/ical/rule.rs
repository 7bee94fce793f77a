//! The grammar of RRULE values (RFC 5545 3.3.10; RSCALE and SKIP of RFC 7529), in ASCII.
//!
//! Everything passes here before the `rrule` library sees it, since that panics on some text outside the grammar.
//! Lenient where that is harmless: a semicolon at the end, `X-` parts. Says nothing about what a rule would yield.

use super::value::DateOrTime;

/// Why a rule is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleDefect {
    #[error("the recurrence rule has characters outside of ASCII")]
    NotAscii,
    #[error("the recurrence rule has a part without a value")]
    NotAPart,
    #[error("the recurrence rule has an unknown part")]
    UnknownPart,
    #[error("the recurrence rule has a part twice")]
    Twice,
    #[error("the recurrence rule has no FREQ")]
    NoFrequency,
    #[error("the recurrence rule has both COUNT and UNTIL")]
    CountAndUntil,
    #[error("the recurrence rule's {0} isn't valid")]
    Value(&'static str),
}

/// Whether a value is a recurrence rule.
pub fn check_rule(value: &str) -> Result<(), RuleDefect> {
    if !value.is_ascii() {
        return Err(RuleDefect::NotAscii);
    }
    let mut seen: Vec<&'static str> = Vec::new();
    for part in value.trim_end_matches(';').split(';') {
        let (name, list) = part.split_once('=').ok_or(RuleDefect::NotAPart)?;
        if name.get(..2).is_some_and(|prefix| prefix.eq_ignore_ascii_case("X-")) {
            continue;
        }
        let known = PARTS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (known, allowed) = known.ok_or(RuleDefect::UnknownPart)?;
        if seen.contains(known) {
            return Err(RuleDefect::Twice);
        }
        seen.push(known);
        if !allowed.admits(list) {
            return Err(RuleDefect::Value(known));
        }
    }
    if !seen.contains(&"FREQ") {
        return Err(RuleDefect::NoFrequency);
    }
    if seen.contains(&"COUNT") && seen.contains(&"UNTIL") {
        return Err(RuleDefect::CountAndUntil);
    }
    Ok(())
}

/// How many instances a valid rule says that it has; none if it ends otherwise or never. One beyond all numbers is the
/// largest.
pub(super) fn count(value: &str) -> Option<usize> {
    let mut parts = value.split(';').filter_map(|part| part.split_once('='));
    let (_, number) = parts.find(|(name, _)| name.eq_ignore_ascii_case("COUNT"))?;
    Some(number.parse().unwrap_or(usize::MAX))
}

/// What the value of a part may be.
enum Allowed {
    OneOf(&'static [&'static str]),
    Moment,
    Number(u32, u32),
    Numbers(u32, u32),
    /// Numbers with a sign, never zero.
    Signed(u32),
    Weekdays,
    /// Numbers from 1 that may end in L, the leap month of RFC 7529.
    Months,
    Token,
}

impl Allowed {
    fn admits(&self, text: &str) -> bool {
        let all = |check: &dyn Fn(&str) -> bool| text.split(',').count() <= LONGEST_LIST && text.split(',').all(check);
        match *self {
            Self::OneOf(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
            Self::Moment => DateOrTime::parse_value(text, None).is_ok(),
            Self::Number(least, most) => is_number(text, least, most),
            Self::Numbers(least, most) => all(&|item| is_number(item, least, most)),
            Self::Signed(most) => all(&|item| is_number(without_sign(item), 1, most)),
            Self::Weekdays => all(&is_weekday),
            Self::Months => all(&|item| is_number(item.strip_suffix(['L', 'l']).unwrap_or(item), 1, 13)),
            Self::Token => !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-'),
        }
    }
}

fn is_number(text: &str, least: u32, most: u32) -> bool {
    text.bytes().all(|octet| octet.is_ascii_digit())
        && text.parse::<u32>().is_ok_and(|number| (least..=most).contains(&number))
}

fn without_sign(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// `MO`, `-1SU`, `+2TU`.
fn is_weekday(text: &str) -> bool {
    // The text is ASCII, yet a fuzzer once got past that elsewhere: `get` and not slicing.
    let Some(at) = text.len().checked_sub(2) else { return false };
    let (Some(ordinal), Some(day)) = (text.get(..at), text.get(at..)) else { return false };
    let is_day = WEEKDAYS.iter().any(|known| known.eq_ignore_ascii_case(day));
    is_day && (ordinal.is_empty() || is_number(without_sign(ordinal), 1, 53))
}

/// More values than any list can hold that says something.
const LONGEST_LIST: usize = 1_000;
const WEEKDAYS: &[&str] = &["SU", "MO", "TU", "WE", "TH", "FR", "SA"];
const PARTS: &[(&str, Allowed)] = &[
    ("FREQ", Allowed::OneOf(&["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"])),
    ("UNTIL", Allowed::Moment),
    ("COUNT", Allowed::Number(1, u32::MAX)),
    ("INTERVAL", Allowed::Number(1, u32::MAX)),
    ("BYSECOND", Allowed::Numbers(0, 60)),
    ("BYMINUTE", Allowed::Numbers(0, 59)),
    ("BYHOUR", Allowed::Numbers(0, 23)),
    ("BYDAY", Allowed::Weekdays),
    ("BYMONTHDAY", Allowed::Signed(31)),
    ("BYYEARDAY", Allowed::Signed(366)),
    ("BYWEEKNO", Allowed::Signed(53)),
    ("BYMONTH", Allowed::Months),
    ("BYSETPOS", Allowed::Signed(366)),
    ("WKST", Allowed::OneOf(WEEKDAYS)),
    ("RSCALE", Allowed::Token),
    ("SKIP", Allowed::OneOf(&["OMIT", "BACKWARD", "FORWARD"])),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_the_rfc_and_of_clients_pass() {
        for rule in [
            "FREQ=DAILY",
            "FREQ=DAILY;",
            "freq=weekly;byday=mo,TU;wkst=su",
            "FREQ=MONTHLY;BYDAY=-1FR,+2MO;BYSETPOS=-1",
            "FREQ=YEARLY;UNTIL=19970902T090000Z;BYMONTH=1,12;BYDAY=SU",
            "FREQ=YEARLY;UNTIL=19970902;BYWEEKNO=-1,20;INTERVAL=2",
            "FREQ=MINUTELY;COUNT=4;BYSECOND=0,60;BYMINUTE=0,59;BYHOUR=0,23",
            "RSCALE=CHINESE;FREQ=YEARLY;BYMONTH=5L;SKIP=FORWARD",
            "FREQ=DAILY;X-EVOLUTION-ENDDATE=20200101T000000Z",
            "BYMONTHDAY=31,-1;FREQ=MONTHLY;BYYEARDAY=366",
        ] {
            assert_eq!(check_rule(rule), Ok(()), "{rule}");
        }
    }

    #[test]
    fn everything_else_is_told_by_its_fault() {
        use RuleDefect::*;
        for (rule, fault) in [
            ("", NotAPart),
            ("DAILY", NotAPart),
            ("FREQ=DAILY;;COUNT=1", NotAPart),
            ("FREQ=DAILY;BYDAY=€", NotAscii),
            ("FREQ=FORTNIGHTLY", Value("FREQ")),
            ("COUNT=3", NoFrequency),
            ("FREQ=DAILY;FREQ=DAILY", Twice),
            ("FREQ=DAILY;COUNT=1;UNTIL=20200101", CountAndUntil),
            ("FREQ=DAILY;COUNT=0", Value("COUNT")),
            ("FREQ=DAILY;COUNT=-1", Value("COUNT")),
            ("FREQ=DAILY;COUNT=4294967296", Value("COUNT")),
            ("FREQ=DAILY;INTERVAL=0", Value("INTERVAL")),
            ("FREQ=DAILY;UNTIL=soon", Value("UNTIL")),
            ("FREQ=DAILY;BYHOUR=24", Value("BYHOUR")),
            ("FREQ=DAILY;BYHOUR=", Value("BYHOUR")),
            ("FREQ=DAILY;BYDAY=XX", Value("BYDAY")),
            ("FREQ=DAILY;BYDAY=0MO", Value("BYDAY")),
            ("FREQ=DAILY;BYDAY=M", Value("BYDAY")),
            ("FREQ=DAILY;BYMONTHDAY=0", Value("BYMONTHDAY")),
            ("FREQ=DAILY;BYMONTHDAY=+-1", Value("BYMONTHDAY")),
            ("FREQ=DAILY;BYEASTER=0", UnknownPart),
        ] {
            assert_eq!(check_rule(rule), Err(fault), "{rule}");
        }
        let long = format!("FREQ=DAILY;BYHOUR={}", vec!["1"; 1_001].join(","));
        assert_eq!(check_rule(&long), Err(Value("BYHOUR")));
    }
}
