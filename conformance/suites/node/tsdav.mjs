// What tsdav's users do, in the order in which they do it. Speaks TAP-like lines; any exception is a failure.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [url, username, password] = process.argv.slice(2);
const require = createRequire(process.env.NODE_FOLDER + "/");
const { createDAVClient, freeBusyQuery } = require("tsdav");

const lines = (...all) => all.join("\r\n") + "\r\n";
const event = (uid, summary, ...more) => lines(
  "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//tsdav//EN", "BEGIN:VEVENT", `UID:${uid}`, "DTSTAMP:20261101T000000Z",
  ...more, `SUMMARY:${summary}`, "END:VEVENT", "END:VCALENDAR");
const hour = ["DTSTART:20261201T100000Z", "DTEND:20261201T110000Z"];

const client = await createDAVClient({
  serverUrl: url, credentials: { username, password }, authMethod: "Basic", defaultAccountType: "caldav",
});
let calendars = await client.fetchCalendars();
assert.ok(calendars.some((one) => one.url.endsWith("/unified/")), "discovery");
const home = calendars[0].url.replace(/[^/]+\/$/, "");
const made = await client.makeCalendar({ url: home + "tsdav/", props: { displayname: "Größe" } });
assert.ok(made[0].ok, JSON.stringify(made));
calendars = await client.fetchCalendars();
const calendar = calendars.find((one) => one.url.endsWith("/tsdav/"));
assert.equal(calendar.displayName, "Größe");
assert.ok(calendar.reports.includes("syncCollection"), JSON.stringify(calendar.reports));

const objects = {
  "one.ics": event("one", "Erste Änderung – 日本語 🎉", ...hour),
  "day.ics": event("day", "Holiday", "DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261225"),
  "week.ics": lines(
    "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//tsdav//EN",
    "BEGIN:VEVENT", "UID:week", "DTSTAMP:20261101T000000Z", "DTSTART:20261207T090000Z", "DTEND:20261207T100000Z",
    "RRULE:FREQ=WEEKLY;COUNT=4", "SUMMARY:Weekly", "END:VEVENT",
    "BEGIN:VEVENT", "UID:week", "DTSTAMP:20261101T000000Z", "RECURRENCE-ID:20261214T090000Z",
    "DTSTART:20261214T150000Z", "DTEND:20261214T160000Z", "SUMMARY:Moved", "END:VEVENT", "END:VCALENDAR"),
};
for (const [filename, iCalString] of Object.entries(objects)) {
  const answer = await client.createCalendarObject({ calendar, filename, iCalString });
  assert.equal(answer.status, 201, `${filename}: ${answer.status} ${await answer.text()}`);
}
const again = await client.createCalendarObject({ calendar, filename: "one.ics", iCalString: objects["one.ics"] });
assert.equal(again.status, 412);

let listed = await client.fetchCalendarObjects({ calendar });
assert.equal(listed.length, 3);
for (const one of listed) {
  // It trims texts while it reads XML.
  assert.equal(one.data.replaceAll(/\r?\n/g, "\r\n") + "\r\n", objects[one.url.split("/").pop()]);
}
const december = await client.fetchCalendarObjects({
  calendar, timeRange: { start: "2026-12-14T00:00:00Z", end: "2026-12-15T00:00:00Z" }, expand: true,
});
assert.equal(december.length, 1);
assert.match(december[0].data, /DTSTART:20261214T150000Z/);

const busy = await freeBusyQuery({
  url: calendar.url, timeRange: { start: "2026-12-01T00:00:00Z", end: "2026-12-02T00:00:00Z" },
  headers: { authorization: "Basic " + Buffer.from(`${username}:${password}`).toString("base64") },
});
assert.ok(busy, "free-busy");

const before = await client.syncCollection({ url: calendar.url, props: { "d:getetag": {}, "c:calendar-data": {} }, syncLevel: 1, syncToken: "" });
assert.equal(before.filter((one) => one.href?.endsWith(".ics")).length, 3);
const token = before[0].raw.multistatus.syncToken;
assert.ok(token);
const one = listed.find((object) => object.url.endsWith("one.ics"));
const changed = await client.updateCalendarObject({ calendarObject: { ...one, data: event("one", "Second", ...hour) } });
assert.ok(changed.ok, String(changed.status));
const stale = await client.updateCalendarObject({ calendarObject: { ...one, data: event("one", "Third", ...hour) } });
assert.equal(stale.status, 412);
const gone = await client.deleteCalendarObject({ calendarObject: listed.find((object) => object.url.endsWith("day.ics")) });
assert.ok(gone.ok);
const after = await client.syncCollection({ url: calendar.url, props: { "d:getetag": {} }, syncLevel: 1, syncToken: token });
const states = Object.fromEntries(after.filter((r) => r.href).map((r) => [r.href.split("/").pop(), r.status]));
assert.equal(states["day.ics"], 404, JSON.stringify(states));
assert.ok("one.ics" in states && !("week.ics" in states), JSON.stringify(states));
listed = await client.fetchCalendarObjects({ calendar });
assert.equal(listed.length, 2);
assert.ok((await client.deleteObject({ url: calendar.url })).ok);
console.log("ok");
