// The walk of test_pages.py. Prints each step; a failure ends it with what was seen.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { strict as assert } from "node:assert";

const env = process.env;
const require = createRequire(env.NODE_FOLDER + "/");
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const WIDTHS = { phone: { width: 390, height: 844 }, desktop: { width: 1280, height: 900 } };
const PASSWORD = "tall blue ladder 41";

// Asks again until it is so.
async function until(check, what, seconds = 30) {
  for (const end = Date.now() + seconds * 1000; Date.now() < end; await new Promise((done) => setTimeout(done, 300))) {
    if (await check()) return true;
  }
  assert.ok(false, `did not come: ${what}`);
}
const says = (page, path, text) => page.evaluate(async ([path, text]) => (await (await fetch(path)).text()).includes(text), [path, text]);

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
const findings = [];

// The policy of the pages forbids foreign script, so axe comes in by the debugger, in a context that bypasses it.
async function look(storage, path, name) {
  for (const [width, viewport] of Object.entries(WIDTHS)) {
    for (const colorScheme of width === "desktop" ? ["light", "dark"] : ["light"]) {
      const context = await browser.newContext({ viewport, colorScheme, storageState: storage, bypassCSP: true, timezoneId: "Europe/Vienna" });
      const page = await context.newPage();
      const answer = await page.goto(env.GATEWAY + path);
      assert.equal(answer.status(), 200, path);
      const size = (await answer.body()).length;
      if (size > 100_000) findings.push(`${path}: ${size} octets`);
      await page.screenshot({ path: `${env.PICTURES}/${name}-${width}-${colorScheme}.png`, fullPage: true });
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      if (overflow > 1) findings.push(`${path} at ${width}: ${overflow} px too wide`);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run());
      for (const one of violations.filter((v) => ["serious", "critical"].includes(v.impact))) {
        findings.push(`${path} at ${width}, ${colorScheme}: ${one.id}: ${one.nodes.slice(0, 3).map((n) => n.html).join(" | ").slice(0, 400)}`);
      }
      await context.close();
    }
  }
}

try {
  const context = await browser.newContext({ viewport: WIDTHS.desktop, timezoneId: "Europe/Vienna" });
  const page = await context.newPage();
  const broken = [];
  page.on("dialog", (dialog) => { broken.push("a script of an event ran"); dialog.dismiss(); });
  page.on("console", (message) => { if (message.type() === "error" && !/status of 4\d\d/.test(message.text())) broken.push(message.text()); });

  console.log("set-up");
  await page.goto(env.SETUP);
  await page.fill("#user", "ana");
  await page.fill("#password", "short");
  await page.fill("#again", "short");
  await page.click("button.main");
  assert.match(await page.textContent("[role=alert]"), /choose another password/);
  assert.equal(await page.inputValue("#user"), "ana", "what was typed is kept");
  await page.fill("#password", PASSWORD);
  await page.fill("#again", PASSWORD);
  await page.click("button.main");
  await page.click("text=Connect your accounts");

  console.log("connect");
  await page.click("text=Connect an account");
  await page.click("text=Connect a CalDAV server");
  await page.fill("#address", env.UPSTREAM);
  await page.fill("#username", env.UPSTREAM_USER);
  await page.fill("#password", "wrong");
  await page.click("button.main");
  await page.waitForSelector("[role=alert]");
  assert.equal(await page.inputValue("#username"), env.UPSTREAM_USER, "what was typed is kept");
  await page.fill("#password", env.UPSTREAM_PASSWORD);
  await page.fill("#label", env.UPSTREAM_NAME);
  await page.click("button.main");
  await page.waitForSelector("text=is connected");

  console.log("connect Google and Microsoft");
  for (const name of ["Google", "Microsoft"]) {
    await page.goto(env.GATEWAY + "/accounts/new");
    await page.click(`text=Sign in at ${name}`);
    await page.waitForSelector("text=is connected");
    await page.click("text=Accounts");
  }

  console.log("year");
  await until(() => says(page, "/calendar/agenda/2026-12-01", "alert(1)"), "the events of the upstream");
  await page.goto(env.GATEWAY + "/calendar/year/2026");
  assert.equal(await page.locator(".year section").count(), 12);
  assert.equal(await page.locator(".year li").count(), 365);
  assert.ok(await page.locator(".year i:not(.x)").count() > 0, "events are in the year");
  for (const title of ["From Google", "From Microsoft"]) {
    await until(() => says(page, "/calendar/agenda/2026-12-01", title), title);
  }
  await page.goto(env.GATEWAY + "/calendar/year/2026");
  const colours = await page.locator(".year i:not(.x)").evaluateAll((all) => [...new Set(all.map((one) => getComputedStyle(one).backgroundColor))]);
  assert.ok(colours.length >= 3, `each calendar has its colour: ${colours}`);
  await page.goto(env.GATEWAY + "/calendar/agenda/2026-12-01");
  await page.click("text=alert(1)");
  assert.match(await page.textContent("h1"), /<script>alert\(1\)<\/script>/, "markup is text");

  console.log("a line makes an event");
  await page.goto(env.GATEWAY + "/event/new");
  await page.fill("#line", "Lunch with Bo on 2026-12-08 12:30 at Rossi");
  await page.click("text=Fill in");
  assert.deepEqual(await Promise.all(["#title", "#from_day", "#from_time", "#location"].map((one) => page.inputValue(one))),
    ["Lunch with Bo", "2026-12-08", "12:30", "Rossi"]);

  console.log("make an event");
  await page.goto(env.GATEWAY + "/calendar/month/2026-12");
  await page.click("text=New event");
  await page.fill("#title", "Made in the browser");
  await page.fill("#from_day", "2026-12-07");
  await page.fill("#to_day", "2026-12-06");
  await page.click("button[value=save]");
  assert.match(await page.textContent("[role=alert]"), /End/);
  await page.fill("#to_day", "2026-12-07");
  const upstream = await page.locator("#calendar option").filter({ hasText: "Work" }).first().getAttribute("value");
  await page.selectOption("#calendar", upstream);
  await page.click("button[value=save]");
  await page.waitForSelector("text=Made in the browser");

  console.log("devices");
  await page.goto(env.GATEWAY + "/devices");
  await page.fill("#label", "Phone");
  await page.click("text=Make a password");
  const secret = await page.textContent("#secret");
  assert.match(secret, /^lt-/);
  await page.click("text=Run the self-test");
  assert.equal(await page.locator("#test ~ h3 .tag.good").count(), 3, await page.textContent("main"));

  console.log("a phone writes, the open page shows it");
  await page.goto(env.GATEWAY + "/calendar/agenda/2026-12-01");
  const body = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:phone", "BEGIN:VEVENT", "UID:from-the-phone", "DTSTAMP:20261201T000000Z",
    "DTSTART:20261209T100000Z", "DTEND:20261209T110000Z", "SUMMARY:From the phone", "END:VEVENT", "END:VCALENDAR", ""].join("\r\n");
  const put = await fetch(env.GATEWAY + "/dav/calendars/ana/unified/from-the-phone.ics", {
    method: "PUT", body, headers: { "content-type": "text/calendar", authorization: "Basic " + btoa(`ana:${secret}`) } });
  assert.equal(put.status, 201);
  await page.reload();
  await page.waitForSelector("text=From the phone", { timeout: 90_000 });

  console.log("a feed that says busy and nothing else");
  await page.goto(env.GATEWAY + "/sharing");
  await page.fill("#name", "For colleagues");
  await page.selectOption("#detail", "busy");
  await page.click("text=Make the feed");
  const feed = await (await fetch(await page.textContent("#address"))).text();
  assert.match(feed, /DTSTART[^\r\n]*20261209T100000/);
  assert.match(feed, /SUMMARY:Busy/i);
  for (const secret of ["From the phone", "From Google", "From Microsoft", "Made in the browser", "alert"]) assert.ok(!feed.includes(secret), secret);

  console.log("a conflict, and the person's word on it");
  const there = (summary) => ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:phone", "BEGIN:VEVENT", "UID:argued", "DTSTAMP:20261201T000000Z",
    "DTSTART:20261215T100000Z", "DTEND:20261215T110000Z", `SUMMARY:${summary}`, "END:VEVENT", "END:VCALENDAR", ""].join("\r\n");
  const theirs = "Basic " + btoa(`${env.UPSTREAM_USER}:${env.UPSTREAM_PASSWORD}`), ours = "Basic " + btoa(`ana:${secret}`);
  const upstreamPut = (summary) => fetch(env.UPSTREAM_CALENDAR + "argued.ics", { method: "PUT", body: there(summary), headers: { "content-type": "text/calendar", authorization: theirs } });
  const includes = (title) => until(() => says(page, "/calendar/agenda/2026-12-15", title), title);
  assert.ok((await upstreamPut("Agreed")).ok);
  await page.goto(env.GATEWAY + "/accounts");
  await includes("Agreed");
  // Its name here is the gateway's choice.
  const query = `<C:calendar-query xmlns:C="urn:ietf:params:xml:ns:caldav" xmlns:D="DAV:"><D:prop><D:getetag/></D:prop><C:filter><C:comp-filter name="VCALENDAR"><C:comp-filter name="VEVENT"><C:prop-filter name="UID"><C:text-match collation="i;octet">argued</C:text-match></C:prop-filter></C:comp-filter></C:comp-filter></C:filter></C:calendar-query>`;
  const answer = await fetch(env.GATEWAY + "/dav/calendars/ana/unified/", { method: "REPORT", body: query, headers: { depth: "1", "content-type": "application/xml", authorization: ours } });
  const listed = await answer.text();
  const href = listed.match(/<[^>]*href>([^<]+)</)?.[1];
  assert.ok(href, `${answer.status} ${listed}`);
  // A poll between the two makes it no conflict; then once more.
  let clash = false;
  for (let turn = 1; turn <= 5 && !clash; turn++) {
    const one = await upstreamPut(`Said there ${turn}`);
    const two = await fetch(env.GATEWAY + href, { method: "PUT", body: there(`Said here ${turn}`), headers: { "content-type": "text/calendar", authorization: ours } });
    assert.ok(one.ok && two.ok, `${one.status} ${two.status}`);
    clash = await until(() => says(page, "/conflicts", "changed twice"), "the conflict", 5).catch(() => false);
  }
  assert.ok(clash, "the conflict is shown");
  await page.goto(env.GATEWAY + "/conflicts");
  await page.locator("li:has-text('changed twice') a.button").first().click();
  assert.match(await page.textContent("table"), /Said here \d[\s\S]*Said there \d/);
  const conflict = new URL(page.url()).pathname;
  await page.click("text=Keep what is there");
  await includes("Said there");

  const storage = await context.storageState();
  const paths = { "/calendar/year/2026": "year", "/calendar/month/2026-12": "month", "/calendar/week/2026-12-07": "week",
    "/calendar/agenda/2026-12-01": "agenda", "/event/new?day=2026-12-07": "event-new", "/accounts": "accounts", "/accounts/new": "connect",
    "/accounts/new/caldav": "connect-caldav", "/devices": "devices", "/find-a-time?from=2026-12-01": "find-a-time", "/conflicts": "conflicts", "/sharing": "sharing", "/accounts/new/ics": "connect-ics", "/accounts/new/icloud": "connect-icloud",
    "/history": "history", "/queue": "queue", "/audit": "audit", "/admin": "admin", "/me": "me", "/help": "help", "/help/proxy": "help-proxy" };
  paths[conflict] = "conflict";
  await page.goto(env.GATEWAY + "/calendar/agenda/2026-12-07");
  paths[new URL(await page.locator("a:has-text('Made in the browser')").first().getAttribute("href"), env.GATEWAY).pathname] = "event";
  for (const [path, name] of Object.entries(paths)) { console.log("look", path); await look(storage, path, name); }
  await look(undefined, "/", "front");
  await look(undefined, "/sign-in", "sign-in");

  console.log("sign out everywhere");
  await page.click("text=Sign out");
  await page.waitForSelector("text=You are signed out");
  await page.goto(env.GATEWAY + "/accounts");
  assert.match(page.url(), /sign-in/);
  assert.deepEqual(broken, [], "no script ran that is not ours, and the policy broke nothing");
  assert.deepEqual(findings, []);
} finally {
  await browser.close();
}
