// From what GET /api/v1/events answers to what each library takes. FullCalendar takes it as it is.

/** The occurrences from `start` to before `end` (dates), with times as they are in `zone`. */
export async function occurrences(start, end, zone) {
  const query = new URLSearchParams({ start, end, timeZone: zone });
  const answer = await fetch(`/api/v1/events?${query}`);
  if (!answer.ok) throw new Error((await answer.json()).detail);
  return answer.json();
}

/** A date of the answer as the browser's own midnight, a time as it is. */
export function asDate(text) {
  return text.length === 10 ? new Date(`${text}T00:00:00`) : new Date(text);
}

/** Toast UI: the last day of an all-day event is inclusive there. */
export function forToast(event) {
  const end = asDate(event.end);
  if (event.allDay) end.setDate(end.getDate() - 1);
  return {
    id: event.id,
    calendarId: event.extendedProps.source,
    title: event.title,
    category: event.allDay ? "allday" : "time",
    isAllday: event.allDay,
    start: asDate(event.start),
    end,
    backgroundColor: event.color,
    isReadOnly: !event.editable,
  };
}

/** react-big-calendar: `Date` objects, an exclusive end. */
export function forBigCalendar(event) {
  return { id: event.id, title: event.title, start: asDate(event.start), end: asDate(event.end), allDay: event.allDay };
}

/** Date pickers show days: the titles of each day that an event touches, by `YYYY-MM-DD`. */
export function byDay(events) {
  const days = new Map();
  for (const event of events) {
    const last = asDate(event.end);
    const day = asDate(event.start);
    do {
      const key = dayKey(day);
      days.set(key, [...(days.get(key) ?? []), event.title]);
      day.setDate(day.getDate() + 1);
      day.setHours(0, 0, 0, 0);
    } while (day < last);
  }
  return days;
}

/** `YYYY-MM-DD` of a `Date`, as the browser's clock has it. */
export function dayKey(date) {
  const two = (number) => String(number).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}
