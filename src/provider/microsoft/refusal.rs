//! What Outlook can't hold, each case by name, in words for the person whose event it is.
//!
//! Nothing is bent to fit: an event that would happen at another time there is refused and stays with the gateway.

/// Why Exchange can't hold a series, in words for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("its recurrence rule can't be read")]
    Unreadable,
    #[error("Outlook can't repeat an event by the hour, minute or second")]
    TooOften,
    #[error("Outlook holds one recurrence rule in a series, and this has several")]
    SeveralRules,
    #[error("Outlook can't hold single dates (RDATE) in a series")]
    Dates,
    #[error("Outlook can't hold excluding rules (EXRULE)")]
    ExcludingRule,
    #[error("Outlook can't repeat an event at other times of the day (BYHOUR, BYMINUTE, BYSECOND)")]
    TimesOfDay,
    #[error("Outlook can't repeat an event by the number of the week (BYWEEKNO)")]
    Weeks,
    #[error("Outlook can't repeat an event by the day of the year (BYYEARDAY)")]
    DaysOfYear,
    #[error("Outlook holds one day of the month in a rule, and this has several")]
    SeveralMonthDays,
    #[error("Outlook can't count days from the end of the month")]
    NegativeMonthDay,
    #[error("Outlook would move this day to the last one in short months, and other calendars leave those months out")]
    LateMonthDay,
    #[error("Outlook holds months (BYMONTH) in yearly rules only")]
    MonthsOutsideYearly,
    #[error("Outlook holds one month in a yearly rule, and this has several")]
    SeveralMonths,
    #[error("a yearly rule needs its month (BYMONTH) in Outlook")]
    NoMonth,
    #[error("Outlook counts the first to fourth or the last of some weekdays, and nothing else (BYSETPOS)")]
    Position,
    #[error("Outlook can't hold weekdays with different ordinals in one rule")]
    MixedOrdinals,
    #[error("Outlook can't hold the fifth weekday of a month")]
    FifthWeekday,
    #[error("Outlook can't hold every such weekday of some months only")]
    EveryWeekday,
    #[error("weekdays and a day of the month together are not possible in Outlook")]
    WeekdayAndMonthDay,
    #[error("the event's own start is not one of the days of its rule, and Outlook would leave it out")]
    StartOutside,
    #[error("the series ends before it begins")]
    NoInstance,
    #[error("its number of repetitions is more than Outlook can count")]
    TooMany,
    #[error("the event has no start that can be read")]
    NoStart,
    #[error("the event ends before it begins")]
    EndsEarly,
    #[error("a series without a time zone can't be held by Outlook")]
    FloatingSeries,
    #[error("Outlook does not know the time zone of this series")]
    UnknownZone,
    #[error(
        "a change of this and all following instances can't be held by Outlook; change the series, or the instances one by one"
    )]
    ThisAndFuture,
    #[error("Outlook can't move an instance of a series to or past the day of the one before or after it")]
    Crossing,
    #[error("the changed instance does not say which it is")]
    NoInstanceNamed,
    #[error("only events can be held in Outlook calendars")]
    NoEvent,
    #[error("its text is longer than Outlook takes")]
    TooLong,
    #[error("it has more people than Outlook takes (500)")]
    TooManyPeople,
    #[error("Outlook can't bring back an instance that was deleted from a series; make a new event instead")]
    Restored,
}
