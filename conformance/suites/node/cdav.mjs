// What Nextcloud's calendar does through @nextcloud/cdav-library. It wants a browser: jsdom stands for one.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [url, username, password] = process.argv.slice(2);
const require = createRequire(process.env.NODE_FOLDER + "/");
const { JSDOM } = require("jsdom");
const page = new JSDOM("<!doctype html><html><head data-requesttoken='x' data-user='ana'></head></html>", { url: url + "/" });
for (const name of ["window", "document", "DOMParser", "XMLSerializer", "XPathResult", "Node", "XMLDocument", "Document"]) {
  globalThis[name] = name === "window" ? page.window : page.window[name];
}
// jsdom's own XPath knows no namespace-uri().
const xpath = require("xpath");
const own = page.window.Document.prototype.evaluate;
page.window.Document.prototype.evaluate = function evaluate(path, node, resolve, ...more) {
  if (!path.includes("namespace-uri")) return own.call(this, path, node, resolve, ...more);
  return xpath.evaluate(path, node, { lookupNamespaceURI: resolve }, ...more);
};
const library = pathToFileURL(require.resolve("@nextcloud/cdav-library").replace("index.cjs", "index.mjs"));
const { default: DavClient, namespaces } = await import(library);

const authorization = "Basic " + Buffer.from(`${username}:${password}`).toString("base64");
const client = new DavClient({ rootUrl: url + "/dav/", defaultHeaders: { authorization, "X-Requested-With": "XMLHttpRequest" } });
await client.connect({ enableCalDAV: true });
assert.ok(client.currentUserPrincipal.url.endsWith(`/dav/principals/${username}/`), client.currentUserPrincipal.url);
const home = client.calendarHomes[0];
const calendars = await home.findAllCalendars();
assert.ok(calendars.some((one) => one.url.endsWith("/unified/")));
const made = await home.createCalendarCollection("Größe", "#0082c9", ["VEVENT"], 3);
assert.equal(made.displayname, "Größe");
assert.equal(made.color, "#0082c9");

const event = (uid, summary, ...more) => [
  "BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//cdav//EN", "BEGIN:VEVENT", `UID:${uid}`, "DTSTAMP:20261101T000000Z",
  ...more, `SUMMARY:${summary}`, "END:VEVENT", "END:VCALENDAR", ""].join("\r\n");
const first = await made.createVObject(event("one", "Erste – 日本語 🎉", "DTSTART:20261201T100000Z", "DTEND:20261201T110000Z"));
await made.createVObject(event("day", "Holiday", "DTSTART;VALUE=DATE:20261224", "DTEND;VALUE=DATE:20261225"));
const series = await made.createVObject(event("week", "Weekly", "DTSTART:20261207T090000Z", "RRULE:FREQ=WEEKLY;COUNT=4"));
assert.equal((await made.findAllVObjects()).length, 3);
const found = await made.findByTypeInTimeRange("VEVENT", new Date("2026-12-21T00:00:00Z"), new Date("2026-12-23T00:00:00Z"));
assert.deepEqual(found.map((one) => one.url), [series.url]);
assert.match(first.data, /日本語 🎉/);
first.data = first.data.replace("Erste", "Zweite");
await first.update();
series.data = series.data.replace("END:VCALENDAR", [
  "BEGIN:VEVENT", "UID:week", "DTSTAMP:20261101T000000Z", "RECURRENCE-ID:20261214T090000Z", "DTSTART:20261214T150000Z",
  "SUMMARY:Moved", "END:VEVENT", "END:VCALENDAR"].join("\r\n"));
await series.update();
const moved = await made.findByTypeInTimeRange("VEVENT", new Date("2026-12-14T14:00:00Z"), new Date("2026-12-14T16:00:00Z"));
assert.equal(moved.length, 1);
const again = await made.find(first.url.split("/").pop());
assert.match(again.data, /Zweite/);
made.displayname = "Anders";
await made.update();
const copyTo = calendars.find((one) => one.url.endsWith("/local/"));
await again.copy(copyTo, false);
assert.equal((await copyTo.findAllVObjects()).length, 1);
await again.delete();
assert.equal((await made.findAllVObjects()).length, 2);
await made.delete();
assert.ok(!(await home.findAllCalendars()).some((one) => one.url === made.url));
const people = await client.principalPropertySearchByDisplayname(username);
assert.equal(people.length, 1);
console.log("ok");
