// The client that Microsoft wrote, at the simulator of Graph: lists, pages, writes, batches, delta.
import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [url] = process.argv.slice(2);
const require = createRequire(process.env.NODE_FOLDER + "/");
const { Client, BatchRequestContent } = require("@microsoft/microsoft-graph-client");
// Its own middleware sends the token over https alone.
const middleware = {
  async execute(context) {
    const headers = new Headers(context.options?.headers);
    headers.set("Authorization", "Bearer person");
    context.response = await fetch(typeof context.request === "string" ? context.request : context.request.url, { ...context.options, headers });
  },
};
const client = Client.initWithMiddleware({ middleware, baseUrl: url + "/", defaultVersion: "v1.0", customHosts: new Set(["127.0.0.1"]) });

const { value: calendars } = await client.api("/me/calendars").get();
assert.equal(calendars[0].isDefaultCalendar, true);
const path = `/me/calendars/${encodeURIComponent(calendars[0].id)}`;
const at = (dateTime) => ({ dateTime, timeZone: "W. Europe Standard Time" });
const made = [];
for (let number = 0; number < 15; number++) {
  made.push(await client.api(`${path}/events`).post({ subject: `event ${number}`, start: at("2026-12-07T09:00:00"), end: at("2026-12-07T10:00:00") }));
}
assert.equal(made[0].start.dateTime, "2026-12-07T08:00:00.0000000");
const seen = [];
// It takes links for links over https alone.
const follow = (link) => client.api(link.replace(`${url}/v1.0`, "")).get();
let page = await client.api(`${path}/events`).get();
while (page) {
  seen.push(...page.value.map((event) => event.subject));
  page = page["@odata.nextLink"] && (await follow(page["@odata.nextLink"]));
}
assert.equal(seen.length, 15);
await client.api(`/me/events/${encodeURIComponent(made[0].id)}`).header("If-Match", made[0]["@odata.etag"]).patch({ subject: "changed" });
await assert.rejects(client.api(`/me/events/${encodeURIComponent(made[0].id)}`).header("If-Match", made[0]["@odata.etag"]).patch({ subject: "late" }), (error) => error.statusCode === 412);
const batch = new BatchRequestContent(made.slice(0, 3).map((event, index) => ({ id: `${index}`, request: new Request(`${url}/v1.0/me/events/${encodeURIComponent(event.id)}`) })));
const answered = await client.api("/$batch").post(await batch.getContent());
assert.deepEqual(answered.responses.map((part) => part.status), [200, 200, 200]);
const view = await client.api(`${path}/calendarView/delta`).query({ startDateTime: "2026-01-01T00:00:00Z", endDateTime: "2027-12-31T00:00:00Z" }).get();
assert.equal(view.value.length, 15);
await client.api(`/me/events/${encodeURIComponent(made[1].id)}`).delete();
const next = await follow(view["@odata.deltaLink"]);
assert.deepEqual(next.value.map((row) => row["@removed"]?.reason), ["deleted"]);
console.log("ok");
