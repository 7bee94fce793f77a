//! Graph as one mailbox sees it: routes, paging, delta, `$batch`, subscriptions, and the faults that can be switched on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::contract;
use super::mailbox::{self, Item, Mailbox, Target, digits, instant, invalid, local, zone_of};
use super::subscription::{self, Subscriptions};

/// A request, taken apart.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// In capitals.
    pub(super) method: String,
    /// Behind the host, still encoded.
    pub(super) path: String,
    /// Decoded.
    pub(super) query: BTreeMap<String, String>,
    /// By names in small letters.
    pub(super) headers: BTreeMap<String, String>,
    /// The body.
    pub(super) body: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// Status.
    pub(super) status: u16,
    /// Further headers.
    pub(super) headers: Vec<(String, String)>,
    /// Its kind.
    pub(super) kind: &'static str,
    /// The body.
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), kind: "application/json", body: body.to_string().into_bytes() }
    }

    pub(super) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), kind: "text/plain", body: Vec::new() }
    }

    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let id = "11111111-1111-1111-1111-111111111111";
        let inner = json!({"date": "2026-11-01T10:00:00", "request-id": id, "client-request-id": id});
        Self::json(status, &json!({"error": {"code": code, "message": message, "innerError": inner}}))
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The service behind the API.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) base: String,
    pub(super) mailbox: Mailbox,
    pub(super) subscriptions: Subscriptions,
    /// Faults by name: how often they still happen, and with what.
    pub(super) faults: BTreeMap<String, (u64, Value)>,
    pub(super) requests: Vec<String>,
    links: BTreeMap<String, Link>,
    made: u64,
}

/// What a `nextLink` or `deltaLink` stands for.
#[derive(Clone, Debug)]
struct Link {
    calendar: String,
    window: (Timestamp, Timestamp),
    since: u64,
    /// Rows still to come, for a `nextLink`.
    rest: Option<Vec<Value>>,
    until: u64,
}

impl Service {
    pub(super) fn new(base: String, owner: &str) -> Self {
        Self {
            base,
            mailbox: Mailbox::new(owner),
            subscriptions: Subscriptions::default(),
            faults: BTreeMap::new(),
            requests: Vec::new(),
            links: BTreeMap::new(),
            made: 0,
        }
    }

    /// Uses up one occasion of a fault.
    pub(super) fn strikes(&mut self, name: &str) -> Option<Value> {
        let (left, value) = self.faults.get_mut(name)?;
        if *left == 0 {
            return None;
        }
        *left -= 1;
        Some(value.clone())
    }

    pub(super) fn handle(&mut self, request: &Request) -> Reply {
        // Where a page goes on tells a look from a listing.
        let from = ["$skiptoken", "$deltatoken"].into_iter().find(|name| request.query.contains_key(*name));
        let from = from.map(|name| format!("?{name}")).unwrap_or_default();
        self.requests.push(format!("{} {}{from}", request.method, request.path));
        if let Some(reply) = self.general_fault(request) {
            return reply;
        }
        let path = request.path.trim_start_matches("/v1.0").trim_start_matches('/').to_owned();
        let parts: Vec<String> =
            path.split('/').map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned()).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        let query = |allowed: &[&str]| {
            let strange = request.query.keys().find(|name| !allowed.contains(&name.as_str()));
            strange.map(|name| {
                Reply::error(400, "RequestBroker--ParseUri", &format!("The query parameter {name} is not supported."))
            })
        };
        match (request.method.as_str(), parts.as_slice()) {
            ("POST", ["$batch"]) => self.batch(request, &body),
            ("GET", ["me", "calendars"]) => query(&["$top", "$skip", "$select"]).unwrap_or_else(|| self.calendars()),
            ("GET", ["me", "calendar"]) => self.calendar(None),
            ("GET", ["me", "calendars", id]) => self.calendar(Some(id)),
            ("GET", ["me", "calendarGroups"]) => query(&["$top", "$skip", "$select"]).unwrap_or_else(|| self.groups()),
            ("GET", ["me", "calendarGroups", id, "calendars"]) => {
                query(&["$top", "$skip", "$select"]).unwrap_or_else(|| self.of_group(id))
            }
            ("GET", ["me", "calendars", id, "events"]) => {
                query(&["$top", "$skip", "$filter", "$orderby", "$select", "$expand"])
                    .unwrap_or_else(|| self.list(id, request))
            }
            ("POST", ["me", "calendars", id, "events"]) => self.create(id, &body, request),
            ("POST", ["me", "events"]) => {
                let id = self.mailbox.calendars.keys().next().cloned().unwrap_or_default();
                self.create(&id, &body, request)
            }
            ("GET", ["me", "calendars", id, "calendarView"]) => self.view(id, request),
            ("GET", ["me", "calendars", id, "calendarView", "delta"]) => {
                query(&["startDateTime", "endDateTime", "$deltatoken", "$skiptoken"])
                    .unwrap_or_else(|| self.delta(id, request))
            }
            ("GET", ["me", "events", id]) => query(&["$select", "$expand"]).unwrap_or_else(|| self.get(id, request)),
            ("PATCH", ["me", "events", id]) => self.change(id, request, Some(&body)),
            ("DELETE", ["me", "events", id]) => self.change(id, request, None),
            ("GET", ["me", "events", id, "instances"]) => {
                query(&["startDateTime", "endDateTime", "$select", "$top", "$skip"])
                    .unwrap_or_else(|| self.instances(id, request))
            }
            ("POST", ["me", "events", id, action]) => self.act(id, action, &body),
            ("POST", ["subscriptions"]) => self.subscribe(&body),
            ("PATCH", ["subscriptions", id]) => self.renew(id, &body),
            ("POST", ["subscriptions", id, "reauthorize"]) => {
                done(self.subscriptions.reauthorize(id, subscription::now()), 204)
            }
            ("DELETE", ["subscriptions", id]) => done(self.subscriptions.delete(id, subscription::now()), 204),
            _ => Reply::error(400, "BadRequest", "Resource not found for the segment."),
        }
    }

    fn general_fault(&mut self, request: &Request) -> Option<Reply> {
        if request.path.ends_with("$batch") && self.faults.get("no-batch").is_some_and(|(left, _)| *left > 0) {
            return Some(Reply::error(400, "BadRequest", "no batch here"));
        }
        if let Some(value) = self.strikes("throttle") {
            let reply = Reply::error(429, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.");
            return Some(reply.with("Retry-After", value.as_str().unwrap_or("1")));
        }
        if self.strikes("mailbox-gone").is_some() {
            return Some(Reply::error(
                404,
                "MailboxNotEnabledForRESTAPI",
                "The mailbox is either inactive, soft-deleted, or is hosted on-premise.",
            ));
        }
        if self.strikes("login-page").is_some() {
            let body = b"<html><body>Please log in to the network</body></html>".to_vec();
            return Some(Reply { status: 200, headers: Vec::new(), kind: "text/html", body });
        }
        if self.strikes("claims").is_some() {
            let reply =
                Reply::error(401, "InvalidAuthenticationToken", "Continuous access evaluation resulted in challenge.");
            return Some(
                reply.with("WWW-Authenticate", "Bearer realm=\"\", error=\"insufficient_claims\", claims=\"eyJ\""),
            );
        }
        self.strikes("unavailable").map(|_| Reply::error(503, "ErrorServerBusy", "Try again later."))
    }

    fn calendars(&mut self) -> Reply {
        if self.strikes("no-calendars").is_some() {
            return self.collection("calendars", vec![], None);
        }
        self.of_group(OWN_GROUP)
    }

    /// The groups, by their names: that of the person's own calendars, and those that they made.
    fn groups(&mut self) -> Reply {
        if self.strikes("no-groups").is_some() {
            return Reply::error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.");
        }
        if self.strikes("groups-unavailable").is_some() {
            return Reply::error(503, "ErrorServerBusy", "Try again later.");
        }
        let mut names: Vec<&str> = vec![OWN_GROUP];
        names.extend(self.mailbox.groups.values().map(String::as_str));
        names.dedup();
        let class = "0006f0b7-0000-0000-c000-000000000046";
        let all: Vec<Value> = names
            .into_iter()
            .map(|name| json!({"id": format!("AAMkGRP/{name}="), "name": name, "classId": class, "changeKey": "AAAB"}))
            .collect();
        assert!(all.iter().all(|group| contract::defect(group, "calendarGroup").is_none()));
        self.collection("calendarGroups", all, None)
    }

    /// The calendars of a group, by its name or id.
    fn of_group(&self, group: &str) -> Reply {
        let name = group.strip_prefix("AAMkGRP/").and_then(|rest| rest.strip_suffix('=')).unwrap_or(group);
        let is_in = |id: &String| self.mailbox.groups.get(id).map_or(OWN_GROUP, String::as_str) == name;
        let all = self.mailbox.calendars.iter().filter(|(id, _)| is_in(id));
        let all: Vec<Value> = all.map(|(_, calendar)| Value::Object(calendar.clone())).collect();
        assert!(all.iter().all(|calendar| contract::defect(calendar, "calendar").is_none()));
        self.collection("calendars", all, None)
    }

    fn calendar(&self, id: Option<&str>) -> Reply {
        let found = match id {
            Some(id) => self.mailbox.calendars.get(id),
            None => {
                self.mailbox.calendars.values().find(|calendar| calendar.get("isDefaultCalendar") == Some(&json!(true)))
            }
        };
        found.map_or_else(not_found, |calendar| Reply::json(200, &Value::Object(calendar.clone())))
    }

    #[expect(clippy::needless_pass_by_value, reason = "it is used up by what it stands for")]
    fn collection(&self, what: &str, value: Vec<Value>, link: Option<(&str, String)>) -> Reply {
        let mut body = json!({"@odata.context": format!("{}/v1.0/$metadata#{what}", self.base), "value": value});
        if let (Some((name, link)), Some(object)) = (link, body.as_object_mut()) {
            object.insert(name.to_owned(), json!(link));
        }
        Reply::json(200, &body)
    }

    #[expect(clippy::needless_continue, reason = "says that nothing else is done")]
    fn list(&mut self, calendar: &str, request: &Request) -> Reply {
        let filter = request.query.get("$filter").cloned();
        let top: usize = request.query.get("$top").and_then(|top| top.parse().ok()).unwrap_or(10);
        let skip: usize = request.query.get("$skip").and_then(|skip| skip.parse().ok()).unwrap_or(0);
        let mut found = Vec::new();
        if filter.as_deref().is_some_and(|filter| filter.starts_with("iCalUId"))
            && self.strikes("no-uid-filter").is_some()
        {
            return Reply::error(400, "ErrorInvalidUrlQueryFilter", "The filter is not supported.");
        }
        for (id, item) in self.mailbox.items.iter().filter(|(_, item)| item.calendar == calendar && !item.gone) {
            match filter.as_deref().map(|filter| matches(item, filter)) {
                Some(Err(())) => {
                    return Reply::error(400, "ErrorInvalidUrlQueryFilter", "The filter is not supported.");
                }
                Some(Ok(false)) => continue,
                _ => found.push(whole(id, item, &Shape::of(request))),
            }
        }
        let more = found.len() > skip + top;
        let page: Vec<Value> = found.into_iter().skip(skip).take(top).collect();
        let next = more.then(|| format!("{}{}?$top={top}&$skip={}", self.base, request.path, skip + top));
        self.collection("events", page, next.map(|next| ("@odata.nextLink", next)))
    }

    fn create(&mut self, calendar: &str, body: &Value, request: &Request) -> Reply {
        if !self.mailbox.calendars.contains_key(calendar) {
            return not_found();
        }
        if self.mailbox.calendars.get(calendar).and_then(|calendar| calendar.get("canEdit")) == Some(&json!(false)) {
            return Reply::error(403, "ErrorAccessDenied", "Access is denied. Check credentials and try again.");
        }
        match self.mailbox.create(calendar, body, None) {
            Ok(id) => {
                if self.strikes("lost-create").is_some() {
                    return Reply::error(504, "UnknownError", "");
                }
                let reply = self.reply_event(201, &id, request);
                if self.strikes("etag-moves").is_some() {
                    self.mailbox.touch(&id);
                }
                reply
            }
            Err((409, code, existing)) => {
                let status = if self.strikes("duplicate-400").is_some() { 400 } else { 409 };
                let why = "Your request can't be completed. The TransactionId was already used.";
                let mut reply = Reply::error(status, code, why);
                if self.strikes("duplicate-without-id").is_none() {
                    let mut body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
                    if let Some(error) = body.get_mut("error").and_then(Value::as_object_mut) {
                        error.insert("@event.existingEventId".to_owned(), json!(existing));
                    }
                    reply.body = body.to_string().into_bytes();
                }
                reply
            }
            Err((status, code, why)) => Reply::error(status, code, &why),
        }
    }

    fn reply_event(&self, status: u16, id: &str, request: &Request) -> Reply {
        let Some(item) = self.mailbox.items.get(id) else { return not_found() };
        Reply::json(status, &whole(id, item, &Shape { stash: true, ..Shape::of(request) }))
    }

    fn get(&mut self, id: &str, request: &Request) -> Reply {
        let Some(target) = self.mailbox.find(id) else { return not_found() };
        let shape = Shape::of(request);
        if let Some(why) = &shape.defect {
            return Reply::error(400, "RequestBroker--ParseUri", why);
        }
        let found = match &target {
            Target::Item(id) => self.mailbox.items.get(id).map(|item| whole(id, item, &shape)),
            Target::Instance(id, date) => self.mailbox.items.get(id).map(|item| occurrence(id, item, *date, &shape)),
        };
        found.map_or_else(not_found, |event| Reply::json(200, &event))
    }

    fn change(&mut self, id: &str, request: &Request, body: Option<&Value>) -> Reply {
        let Some(target) = self.mailbox.find(id) else { return not_found() };
        let (Target::Item(item) | Target::Instance(item, _)) = &target;
        let tag = self.mailbox.items.get(item).map(etag);
        if request.headers.get("if-match").is_some_and(|given| Some(given) != tag.as_ref()) {
            return Reply::error(412, "ErrorIrresolvableConflict", "Precondition failed.");
        }
        let item = item.clone();
        let Some(body) = body else {
            self.mailbox.delete(&target);
            return Reply::empty(204);
        };
        if let Err((status, code, why)) = self.mailbox.update(&target, body) {
            return Reply::error(status, code, &why);
        }
        let reply = match &target {
            Target::Item(id) => self.reply_event(200, id, request),
            Target::Instance(id, date) => {
                let shape = Shape::of(request);
                self.mailbox
                    .items
                    .get(id)
                    .map_or_else(not_found, |item| Reply::json(200, &occurrence(id, item, *date, &shape)))
            }
        };
        if self.strikes("etag-moves").is_some() {
            self.mailbox.touch(&item);
        }
        reply
    }

    fn act(&mut self, id: &str, action: &str, body: &Value) -> Reply {
        let Some(target) = self.mailbox.find(id) else { return not_found() };
        let sends = body.get("sendResponse").and_then(Value::as_bool).unwrap_or(true);
        let answer = match action {
            "accept" => "accepted",
            "decline" => "declined",
            "tentativelyAccept" => "tentativelyAccepted",
            "cancel" => {
                self.mailbox.delete(&target);
                return Reply::empty(202);
            }
            _ => return Reply::error(400, "BadRequest", "no such action"),
        };
        if self.strikes("slow-action").is_some() {
            // Queued: the mail goes, the change is not to be seen yet.
            self.mailbox.mails.push(mailbox::Mail {
                kind: format!("response {answer}"),
                to: vec![],
                event: id.to_owned(),
            });
            return Reply::empty(202);
        }
        match self.mailbox.respond(&target, answer, sends) {
            Ok(()) => Reply::empty(202),
            Err((status, code, why)) => Reply::error(status, code, &why),
        }
    }

    fn instances(&mut self, id: &str, request: &Request) -> Reply {
        let Some(Target::Item(master)) = self.mailbox.find(id) else { return not_found() };
        let Some((from, to)) = window(request) else { return no_window() };
        let shape = Shape::of(request);
        if let Some(why) = &shape.defect {
            return Reply::error(400, "RequestBroker--ParseUri", why);
        }
        let Some(item) = self.mailbox.items.get(&master) else { return not_found() };
        let rows = item.within(from, to).into_iter().map(|date| occurrence(&master, item, date, &shape)).collect();
        self.collection("instances", rows, None)
    }

    fn view(&mut self, calendar: &str, request: &Request) -> Reply {
        let Some((from, to)) = window(request) else { return no_window() };
        let shape = Shape::of(request);
        let mut rows = Vec::new();
        for (id, item) in self.mailbox.items.iter().filter(|(_, item)| item.calendar == calendar && !item.gone) {
            if item.is_series() {
                rows.extend(item.within(from, to).into_iter().map(|date| occurrence(id, item, date, &shape)));
            } else if item.overlaps(from, to) {
                rows.push(whole(id, item, &shape));
            }
        }
        self.collection("calendarView", rows, None)
    }

    fn delta(&mut self, calendar: &str, request: &Request) -> Reply {
        if !self.mailbox.calendars.contains_key(calendar) {
            return not_found();
        }
        if let Some(token) = request.query.get("$skiptoken") {
            if self.strikes("next-link-expired").is_some() {
                return gone();
            }
            let Some(link) = self.links.get(token).cloned() else { return gone() };
            return self.delta_page(link, request);
        }
        if let Some(token) = request.query.get("$deltatoken") {
            if self.strikes("delta-expired").is_some() {
                return gone();
            }
            if self.strikes("delta-expired-400").is_some() {
                return Reply::error(400, "SyncStateInvalid", "Badly formed sync state.");
            }
            let Some(link) = self.links.get(token).cloned() else { return gone() };
            let (rows, until) = match self.strikes("delta-lags") {
                // Replicated lazily: as if nothing had changed yet.
                Some(_) => (Vec::new(), link.since),
                None => (self.rows_since(&link), self.mailbox.seq),
            };
            return self.delta_page(Link { rest: Some(rows), until, ..link }, request);
        }
        let Some(window) = window(request) else { return no_window() };
        let link = Link { calendar: calendar.to_owned(), window, since: 0, rest: None, until: self.mailbox.seq };
        let rows = self.rows_since(&link);
        self.delta_page(Link { rest: Some(rows), ..link }, request)
    }

    /// Everything of the window that changed since: masters in full, occurrences as stubs, removals.
    fn rows_since(&mut self, link: &Link) -> Vec<Value> {
        let shape = Shape::default();
        let (from, to) = link.window;
        let mut rows = Vec::new();
        for (id, item) in
            self.mailbox.items.iter().filter(|(_, item)| item.calendar == link.calendar && item.seq > link.since)
        {
            if item.gone {
                if link.since > 0 {
                    rows.push(removed(id));
                }
            } else if item.is_series() {
                let dates = item.within(from, to);
                if !dates.is_empty() {
                    rows.push(whole(id, item, &shape));
                }
                rows.extend(dates.into_iter().map(|date| stub(id, item, date)));
            } else if item.overlaps(from, to) {
                rows.push(whole(id, item, &shape));
            } else if link.since > 0 {
                // Graph says "deleted" of what has only left the window.
                rows.push(removed(id));
            }
        }
        if let Some(id) = self.strikes("says-removed") {
            rows.push(removed(id.as_str().unwrap_or("AAMkNEVERSEEN=")));
        }
        if self.strikes("repeats").is_some() {
            let again = rows.clone();
            for row in again {
                let mut old = row.clone();
                if let Some(object) = old.as_object_mut().filter(|object| object.contains_key("subject")) {
                    object.insert("subject".to_owned(), json!("an older state"));
                    rows.insert(0, old);
                }
                rows.push(row);
            }
        }
        if self.strikes("empty-page").is_some() {
            rows.insert(0, Value::Null);
        }
        rows
    }

    #[expect(clippy::similar_names, reason = "the words of the field")]
    fn delta_page(&mut self, link: Link, request: &Request) -> Reply {
        let size = request.headers.get("prefer").and_then(|prefer| {
            let (_, rest) = prefer.split_once("odata.maxpagesize=")?;
            rest.split([',', ' ']).next()?.parse().ok()
        });
        let mut rest = link.rest.clone().unwrap_or_default();
        let is_empty = rest.first().is_some_and(Value::is_null);
        let taken: Vec<Value> = if is_empty {
            rest.remove(0);
            Vec::new()
        } else {
            let after = rest.split_off(rest.len().min(size.unwrap_or(50)));
            std::mem::replace(&mut rest, after)
        };
        for row in taken.iter().filter(|row| row.get("@removed").is_none()) {
            assert_eq!(contract::defect(row, "event"), None);
        }
        self.made += 1;
        let token = format!("t{}", self.made);
        let base = format!("{}{}", self.base, request.path);
        let is_last = rest.is_empty() && !is_empty;
        let (name, key) = if is_last { ("@odata.deltaLink", "$deltatoken") } else { ("@odata.nextLink", "$skiptoken") };
        let next =
            if is_last { Link { since: link.until, rest: None, ..link } } else { Link { rest: Some(rest), ..link } };
        self.links.insert(token.clone(), next);
        self.collection("Collection(event)", taken, Some((name, format!("{base}?{key}={token}"))))
    }

    fn batch(&mut self, outer: &Request, body: &Value) -> Reply {
        let requests = body.get("requests").and_then(Value::as_array).cloned().unwrap_or_default();
        if requests.is_empty() || requests.len() > 20 {
            return Reply::error(400, "BadRequest", "A batch has 1 to 20 requests.");
        }
        let mut responses = Vec::new();
        for part in requests {
            let text = |name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
            let throttled = self.strikes("batch-throttle");
            let reply = if let Some(value) = throttled {
                let reply = Reply::error(429, "TooManyRequests", "");
                reply.with("Retry-After", value.as_str().unwrap_or("1"))
            } else {
                let (path, query) = split_url(&text("url"));
                let path = format!("/v1.0{path}");
                let mut headers = outer.headers.clone();
                for (name, value) in part.get("headers").and_then(Value::as_object).into_iter().flatten() {
                    headers.insert(name.to_lowercase(), value.as_str().unwrap_or_default().to_owned());
                }
                let inner = part.get("body").map(|body| body.to_string().into_bytes()).unwrap_or_default();
                let reply = self.handle(&Request { method: text("method"), path, query, headers, body: inner });
                // Parts are not requests of their own.
                self.requests.pop();
                reply
            };
            let headers: Map<String, Value> =
                reply.headers.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
            let body: Value = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
            // In any order.
            responses.insert(0, json!({"id": text("id"), "status": reply.status, "headers": headers, "body": body}));
        }
        Reply::json(200, &json!({"responses": responses}))
    }

    /// What Graph has against a subscription before it tries its addresses.
    pub(super) fn subscription_defect(&self, body: &Value) -> Option<Reply> {
        let calendars: Vec<String> = self.mailbox.calendars.keys().cloned().collect();
        let (status, code, why) = self.subscriptions.defect(body, &calendars, subscription::now())?;
        Some(Reply::error(status, code, &why))
    }

    pub(super) fn default_calendar(&self) -> String {
        self.mailbox.calendars.keys().next().cloned().unwrap_or_default()
    }

    fn subscribe(&mut self, body: &Value) -> Reply {
        let most = self.subscription_seconds();
        told(self.subscriptions.make(body, subscription::now(), most), 201)
    }

    fn renew(&mut self, id: &str, body: &Value) -> Reply {
        if self.strikes("renewal-unavailable").is_some() {
            return Reply::error(503, "ServiceUnavailable", "Try again later.");
        }
        if self.strikes("renewal-fails").is_some() {
            self.subscriptions.end(Some(id));
        }
        let most = self.subscription_seconds();
        told(self.subscriptions.renew(id, body, subscription::now(), most), 200)
    }

    /// The life that a fault allows a subscription.
    fn subscription_seconds(&mut self) -> Option<i64> {
        self.strikes("subscription-seconds").and_then(|value| value.as_str()?.parse().ok())
    }
}

/// The answer that has a subscription as its body.
fn told(made: Result<Value, subscription::Refusal>, status: u16) -> Reply {
    match made {
        Ok(made) => {
            assert_eq!(contract::defect(&made, "subscription"), None, "the simulator says what Graph does not");
            Reply::json(status, &made)
        }
        Err((status, code, why)) => Reply::error(status, code, &why),
    }
}

fn done(result: Result<(), subscription::Refusal>, status: u16) -> Reply {
    match result {
        Ok(()) => Reply::empty(status),
        Err((status, code, why)) => Reply::error(status, code, &why),
    }
}

/// What of an event is asked for.
#[derive(Clone, Debug, Default)]
struct Shape {
    select: Option<String>,
    exceptions: Option<Box<Shape>>,
    stash: bool,
    defect: Option<String>,
}

impl Shape {
    fn of(request: &Request) -> Self {
        let text = |name: &str| request.query.get(name).cloned();
        Self::read(text("$select"), text("$expand").as_deref().unwrap_or_default())
    }

    fn read(select: Option<String>, expand: &str) -> Self {
        let mut shape = Self {
            defect: select.as_deref().and_then(|select| contract::selected(&Map::new(), select).err()),
            select,
            ..Self::default()
        };
        for part in top_level(expand, ',') {
            let (name, options) =
                part.split_once('(').map_or((part.as_str(), ""), |(name, rest)| (name, rest.trim_end_matches(')')));
            match name.trim() {
                "exceptionOccurrences" => {
                    let (mut select, mut expand) = (None, String::new());
                    for option in top_level(options, ';') {
                        match option.split_once('=') {
                            Some(("$select", value)) => select = Some(value.to_owned()),
                            // The bracket that closes it was taken off with the outer one.
                            Some(("$expand", value)) => expand = format!("{value})"),
                            _ => shape.defect = Some(format!("can't read {option}")),
                        }
                    }
                    let inner = Self::read(select, &expand);
                    shape.defect = shape.defect.or_else(|| inner.defect.clone());
                    shape.exceptions = Some(Box::new(inner));
                }
                "singleValueExtendedProperties" if options.starts_with("$filter=id eq '") => shape.stash = true,
                other => shape.defect = Some(format!("can't expand {other}")),
            }
        }
        shape
    }

    fn selects(&self, name: &str) -> bool {
        self.select.as_deref().is_some_and(|select| select.split(',').any(|known| known.trim() == name))
    }
}

impl Item {
    /// The dates of instances that overlap a span, moved ones by where they are.
    fn within(&self, from: Timestamp, to: Timestamp) -> Vec<Date> {
        let last = jiff::tz::TimeZone::UTC.to_datetime(to).date().saturating_add(jiff::Span::new().days(2));
        self.dates(last)
            .into_iter()
            .filter(|date| !self.cancelled.contains(date) && overlaps(&self.instance(*date), from, to))
            .collect()
    }

    fn overlaps(&self, from: Timestamp, to: Timestamp) -> bool {
        overlaps(&self.members, from, to)
    }
}

fn overlaps(members: &Map<String, Value>, from: Timestamp, to: Timestamp) -> bool {
    let at = |name: &str| local(members.get(name)).map(|local| instant(local, &zone_of(members.get(name))));
    let (Some(start), Some(end)) = (at("start"), at("end")) else { return false };
    start < to && (end > from || (start == end && start >= from))
}

pub(super) fn etag(item: &Item) -> String {
    format!("W/\"{}\"", change_key(item))
}

fn change_key(item: &Item) -> String {
    format!("ZlnW4RIAV06KYYwl{:08}==", item.seq)
}

/// A single event or a master, in full.
fn whole(id: &str, item: &Item, shape: &Shape) -> Value {
    let kind = if item.is_series() { "seriesMaster" } else { "singleInstance" };
    let mut event = full(id, kind, item, &item.members);
    if shape.selects("cancelledOccurrences") && item.is_series() {
        let ids: Vec<String> = item.cancelled.iter().map(|date| format!("OID.{id}.{date}")).collect();
        event.insert("cancelledOccurrences".to_owned(), json!(ids));
    }
    if let Some(inner) = shape.exceptions.as_ref().filter(|_| item.is_series()) {
        let all: Vec<Value> = item.exceptions.keys().map(|date| occurrence(id, item, *date, inner)).collect();
        event.insert("exceptionOccurrences".to_owned(), Value::Array(all));
    }
    shaped(event, &item.members, shape)
}

/// One instance of a series.
fn occurrence(id: &str, item: &Item, date: Date, shape: &Shape) -> Value {
    let kind = if item.exceptions.contains_key(&date) { "exception" } else { "occurrence" };
    let members = item.instance(date);
    let mut event = full(&format!("{id}-occ{date}"), kind, item, &members);
    event.insert("seriesMasterId".to_owned(), json!(id));
    event.insert("recurrence".to_owned(), Value::Null);
    if shape.selects("originalStart") {
        let original = format!(
            "{}Z",
            jiff::tz::TimeZone::UTC.to_datetime(item.original_start(date)).strftime("%Y-%m-%dT%H:%M:%S")
        );
        event.insert("originalStart".to_owned(), json!(original));
    }
    shaped(event, &members, shape)
}

fn shaped(mut event: Map<String, Value>, members: &Map<String, Value>, shape: &Shape) -> Value {
    event.remove("singleValueExtendedProperties");
    if let Some(select) = &shape.select {
        let expanded = event.get("exceptionOccurrences").cloned();
        event = contract::selected(&event, select).unwrap_or_default();
        if let Some(expanded) = expanded {
            event.insert("exceptionOccurrences".to_owned(), expanded);
        }
    }
    if shape.stash
        && let Some(properties) = members.get("singleValueExtendedProperties")
    {
        event.insert("singleValueExtendedProperties".to_owned(), properties.clone());
    }
    let event = Value::Object(event);
    assert_eq!(contract::defect(&event, "event"), None, "the simulator says what Graph does not");
    event
}

/// All members of an event as a reply has them, times in UTC.
fn full(id: &str, kind: &str, item: &Item, members: &Map<String, Value>) -> Map<String, Value> {
    let zone = |name: &str| match &item.zone_name {
        Some(zone) => json!(zone),
        None => members.get(name).and_then(|at| at.get("timeZone")).cloned().unwrap_or(json!("UTC")),
    };
    let text = |name: &str, default: &str| {
        members.get(name).cloned().filter(|value| !value.is_null()).unwrap_or(json!(default))
    };
    let flag =
        |name: &str, default: bool| members.get(name).cloned().filter(Value::is_boolean).unwrap_or(json!(default));
    let is_all_day = members.get("isAllDay") == Some(&json!(true));
    let at = |name: &str| {
        let here = local(members.get(name)).unwrap_or_default();
        // The date of an all-day event is not converted.
        let utc = if is_all_day {
            here
        } else {
            jiff::tz::TimeZone::UTC.to_datetime(instant(here, &zone_of(members.get(name))))
        };
        json!({"dateTime": digits(utc), "timeZone": "UTC"})
    };
    let none = json!({"response": "none", "time": "0001-01-01T00:00:00Z"});
    let mut attendees = members.get("attendees").cloned().filter(Value::is_array).unwrap_or(json!([]));
    for attendee in attendees.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        attendee.entry("status").or_insert_with(|| none.clone());
        attendee.entry("type").or_insert_with(|| json!("required"));
    }
    let location = members.get("location").cloned().filter(Value::is_object).unwrap_or(json!({"displayName": ""}));
    let event = json!({
        "@odata.etag": etag(item), "id": id, "changeKey": change_key(item),
        "createdDateTime": "2026-09-01T08:00:00.0000000Z", "lastModifiedDateTime": "2026-09-02T09:30:12.3456789Z",
        "categories": members.get("categories").cloned().filter(Value::is_array).unwrap_or(json!([])),
        "transactionId": members.get("transactionId").cloned().unwrap_or(Value::Null),
        "originalStartTimeZone": zone("start"), "originalEndTimeZone": zone("end"),
        // That of an occurrence is another than that of its series.
        "iCalUId": if matches!(kind, "occurrence" | "exception") { mailbox::global_id(id) } else { item.uid.clone() },
        "reminderMinutesBeforeStart": members.get("reminderMinutesBeforeStart").cloned().filter(Value::is_i64).unwrap_or(json!(15)),
        "isReminderOn": flag("isReminderOn", true), "hasAttachments": false, "subject": text("subject", ""), "bodyPreview": "",
        "importance": text("importance", "normal"), "sensitivity": text("sensitivity", "normal"), "isAllDay": is_all_day,
        "isCancelled": flag("isCancelled", false), "isOrganizer": flag("isOrganizer", true),
        "responseRequested": flag("responseRequested", true), "seriesMasterId": null, "showAs": text("showAs", "busy"), "type": kind,
        "webLink": "https://outlook.office365.com/owa/?itemid=EXAMPLE", "onlineMeetingUrl": null, "isOnlineMeeting": false,
        "onlineMeetingProvider": "unknown", "allowNewTimeProposals": flag("allowNewTimeProposals", true), "isDraft": false,
        "hideAttendees": false, "recurrence": members.get("recurrence").cloned().unwrap_or(Value::Null), "onlineMeeting": null,
        "responseStatus": members.get("responseStatus").cloned().unwrap_or(none),
        "body": members.get("body").cloned().unwrap_or(json!({"contentType": "html", "content": ""})),
        "start": at("start"), "end": at("end"), "locations": [location.clone()], "location": location, "attendees": attendees,
        "organizer": members.get("organizer").cloned().unwrap_or(Value::Null),
    });
    event.as_object().cloned().unwrap_or_default()
}

/// The parts of a list, where brackets and quotes hold together.
fn top_level(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut depth, mut quoted) = (vec![String::new()], 0, false);
    for character in text.chars() {
        quoted ^= character == '\'';
        depth += i32::from(character == '(' && !quoted) - i32::from(character == ')' && !quoted);
        if character == separator && depth == 0 && !quoted {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(character);
        }
    }
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Delta tells of occurrences without their content.
fn stub(id: &str, item: &Item, date: Date) -> Value {
    let row = occurrence(id, item, date, &Shape::default());
    let kept = ["@odata.etag", "id", "seriesMasterId", "type", "start", "end"];
    let row = row.as_object().cloned().unwrap_or_default();
    Value::Object(row.into_iter().filter(|(name, _)| kept.contains(&name.as_str())).collect())
}

fn removed(id: &str) -> Value {
    json!({"id": id, "@removed": {"reason": "deleted"}})
}

/// The filter that the contract names, by an extended property, and that by the UID.
fn matches(item: &Item, filter: &str) -> Result<bool, ()> {
    if let Some(uid) = filter.strip_prefix("iCalUId eq '").and_then(|rest| rest.strip_suffix('\'')) {
        return Ok(item.uid == uid.replace("''", "'"));
    }
    let inner = filter.strip_prefix("singleValueExtendedProperties/any(ep: ep/id eq '").ok_or(())?;
    let (id, rest) = inner.split_once("' and ep/value eq '").ok_or(())?;
    let value = rest.strip_suffix("')").ok_or(())?.replace("''", "'");
    let properties = item.members.get("singleValueExtendedProperties").and_then(Value::as_array);
    Ok(properties.is_some_and(|all| {
        all.iter()
            .any(|property| property.get("id") == Some(&json!(id)) && property.get("value") == Some(&json!(value)))
    }))
}

/// The group of the calendars that are listed as the person's.
const OWN_GROUP: &str = "My Calendars";

fn window(request: &Request) -> Option<(Timestamp, Timestamp)> {
    let at = |name: &str| {
        let text = request.query.get(name)?;
        let local = text.trim_end_matches('Z').split('.').next()?.parse().ok()?;
        Some(instant(local, &jiff::tz::TimeZone::UTC))
    };
    Some((at("startDateTime")?, at("endDateTime")?))
}

pub(super) fn split_url(url: &str) -> (String, BTreeMap<String, String>) {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let query =
        query.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, value)| (decode(name), decode(value)));
    (path.to_owned(), query.collect())
}

fn not_found() -> Reply {
    Reply::error(404, "ErrorItemNotFound", "The specified object was not found in the store.")
}

fn gone() -> Reply {
    Reply::error(
        410,
        "SyncStateNotFound",
        "The sync state generation is not found; generation=149;[highest=157][lowest=150].",
    )
}

fn no_window() -> Reply {
    let (status, _, why) = invalid(
        "This request requires a time window specified by the query string parameters StartDateTime and EndDateTime.",
    );
    Reply::error(status, "ErrorInvalidParameter", &why)
}
