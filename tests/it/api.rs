//! The JSON API, and that each of its answers is what its own description says.

use serde_json::{Value, json};

use super::caldav::{Answer, Server};

struct Api {
    server: Server,
    description: Value,
}

impl Api {
    async fn start() -> Self {
        let server = Server::start().await;
        let answer = server.raw("GET", "/api/v1/openapi.json", &[], "").await;
        assert_eq!(answer.status, 200);
        Self { server, description: serde_json::from_str(&answer.body).unwrap() }
    }

    /// A request as ana; whatever comes back is held against the description.
    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let (answer, body) = self.told(method, path, &[], body).await;
        (answer.status.as_u16(), body)
    }

    async fn told(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Value) -> (Answer, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let mut all = vec![("content-type", "application/json")];
        all.extend_from_slice(headers);
        let answer = self.server.ask(method, &format!("/api/v1{path}"), &all, &text).await;
        let value = serde_json::from_str(&answer.body).unwrap_or(Value::Null);
        self.check(method, path, &answer, &value);
        (answer, value)
    }

    #[track_caller]
    fn check(&self, method: &str, path: &str, answer: &Answer, body: &Value) {
        let path = path.split('?').next().unwrap();
        let parts: Vec<&str> = path.split('/').collect();
        let fits = |pattern: &str| {
            let wanted: Vec<&str> = pattern.split('/').collect();
            wanted.len() == parts.len() && wanted.iter().zip(&parts).all(|(w, p)| w.starts_with('{') || w == p)
        };
        let found = self.description["paths"].as_object().unwrap().iter().find(|(pattern, _)| fits(pattern));
        let Some((_, item)) = found else {
            assert_eq!(answer.status, 404, "{method} {path} is described nowhere");
            return;
        };
        let responses = &item[method.to_lowercase()]["responses"];
        let status = answer.status.as_u16().to_string();
        let described = if responses.get(&status).is_some() { &responses[&status] } else { &responses["default"] };
        let kind = answer.header("content-type");
        if answer.body.is_empty() {
            assert!(
                described.get("content").is_none(),
                "{method} {path} {status}: nothing, where something is described"
            );
            return;
        }
        let schema = &described["content"][kind.as_str()]["schema"];
        assert!(!schema.is_null(), "{method} {path} {status}: {kind} is not described");
        let mut wrong = Vec::new();
        self.validate(schema, body, "$", &mut wrong);
        assert!(wrong.is_empty(), "{method} {path} {status}: {wrong:?}\n{body:#}");
    }

    /// The part of JSON Schema that the description uses.
    fn validate(&self, schema: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let schema = self.description.pointer(name.strip_prefix('#').unwrap()).unwrap();
            return self.validate(schema, value, at, wrong);
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        let is = |kind: &str| match kind {
            "string" => value.is_string(),
            "integer" => value.is_i64() || value.is_u64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            "null" => value.is_null(),
            other => panic!("{other}"),
        };
        if !kinds.into_iter().any(is) {
            wrong.push(format!("{at} is no {}", schema["type"]));
        }
        if let Some(words) = schema["enum"].as_array()
            && !words.contains(value)
        {
            wrong.push(format!("{at} is {value}"));
        }
        for (number, item) in value.as_array().into_iter().flatten().enumerate() {
            self.validate(&schema["items"], item, &format!("{at}[{number}]"), wrong);
        }
        let Some(fields) = value.as_object() else { return };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                wrong.push(format!("{at}.{name} is missing"));
            }
        }
        for (name, field) in fields {
            match schema["properties"].get(name) {
                Some(known) => self.validate(known, field, &format!("{at}.{name}"), wrong),
                None if schema["additionalProperties"] == false => wrong.push(format!("{at}.{name} is not described")),
                None => {}
            }
        }
    }

    async fn events(&self, query: &str) -> Vec<Value> {
        let (status, found) = self.ask("GET", &format!("/events?{query}"), Value::Null).await;
        assert_eq!(status, 200, "{found}");
        found.as_array().unwrap().clone()
    }

    async fn starts(&self) -> Vec<String> {
        let found = self.events(MARCH).await;
        found
            .iter()
            .map(|one| format!("{} {}", &one["start"].as_str().unwrap()[8..16], one["title"].as_str().unwrap()))
            .collect()
    }
}

const MARCH: &str = "start=2026-03-01T00:00:00Z&end=2026-04-10T00:00:00Z&timeZone=Europe/Berlin";

#[tokio::test]
async fn every_list_is_what_the_description_says() {
    let api = Api::start().await;
    api.ask("POST", "/events", json!({ "title": "x", "start": "2026-03-02T09:00:00Z" })).await;
    for path in [
        "/me",
        "/health",
        "/status",
        "/events",
        "/freebusy",
        "/accounts",
        "/sources",
        "/jobs",
        "/jobs?dead=true",
        "/conflicts",
        "/trash",
        "/audit",
        "/feeds",
        "/app-passwords",
    ] {
        let (status, _) = api.ask("GET", path, Value::Null).await;
        assert_eq!(status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_event_is_made_read_changed_and_deleted() {
    let api = Api::start().await;
    let new = json!({
        "title": "Lunch <b>with</b> Ana", "start": "2026-03-02T12:30:00", "end": "2026-03-02T13:30:00",
        "timeZone": "Europe/Berlin", "location": "Rossi", "categories": ["Food"], "reminders": [10],
    });
    let (made, event) = api.told("POST", "/events", &[], new).await;
    assert_eq!((made.status.as_u16(), event["title"].as_str()), (201, Some("Lunch <b>with</b> Ana")));
    let id = event["id"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/api/v1/events/{id}"));
    assert_eq!(api.starts().await, ["02T12:30 Lunch <b>with</b> Ana"]);
    let etag = made.header("etag");
    let (changed, event) = api
        .told("PATCH", &format!("/events/{id}"), &[("if-match", &etag)], json!({ "title": "Dinner", "location": "" }))
        .await;
    assert_eq!(changed.status, 200);
    assert_eq!(event["extendedProps"].get("location"), None);
    let (stale, problem) =
        api.told("PATCH", &format!("/events/{id}"), &[("if-match", &etag)], json!({ "title": "Late" })).await;
    assert_eq!((stale.status.as_u16(), problem["status"].as_u64()), (412, Some(412)));
    let (status, _) = api.ask("DELETE", &format!("/events/{id}"), Value::Null).await;
    assert_eq!((status, api.starts().await.len()), (204, 0));
    let (status, _) = api.ask("GET", &format!("/events/{id}"), Value::Null).await;
    assert_eq!(status, 404);
    let (_, trash) = api.ask("GET", "/trash", Value::Null).await;
    let uid = trash[0]["uid"].as_str().unwrap().to_owned();
    let (_, versions) = api.ask("GET", &format!("/history/{uid}"), Value::Null).await;
    assert_eq!(versions.as_array().unwrap().len(), 2);
    let (status, _) =
        api.ask("POST", &format!("/history/{uid}/restore"), json!({ "revision": versions[0]["revision"] })).await;
    assert_eq!((status, api.starts().await.len()), (200, 1));
}

#[tokio::test]
async fn a_series_is_changed_here_from_here_or_everywhere() {
    let api = Api::start().await;
    let new = json!({ "title": "Daily", "start": "2026-03-27T09:00:00", "timeZone": "Europe/Berlin", "rrule": "FREQ=DAILY;COUNT=4" });
    api.ask("POST", "/events", new).await;
    let ids: Vec<String> = api.events(MARCH).await.iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 4);
    let (status, _) = api.ask("PATCH", &format!("/events/{}", ids[1]), json!({ "title": "Once" })).await;
    assert_eq!(status, 200);
    assert_eq!(api.starts().await, ["27T09:00 Daily", "28T09:00 Once", "29T09:00 Daily", "30T09:00 Daily"]);
    let later = json!({ "start": "2026-03-29T11:00:00", "title": "Later" });
    let (status, _) = api.ask("PATCH", &format!("/events/{}?scope=future", ids[2]), later).await;
    assert_eq!(status, 200);
    assert_eq!(api.starts().await, ["27T09:00 Daily", "28T09:00 Once", "29T11:00 Later", "30T11:00 Later"]);
    let (status, _) = api.ask("DELETE", &format!("/events/{}", ids[0]), Value::Null).await;
    assert_eq!((status, api.starts().await.len()), (204, 3));
    let (status, _) = api.ask("DELETE", &format!("/events/{}?scope=all", ids[1]), Value::Null).await;
    assert_eq!((status, api.starts().await), (204, vec!["29T11:00 Later".to_owned(), "30T11:00 Later".to_owned()]));
    let (status, _) = api.ask("PATCH", &format!("/events/{}?scope=some", ids[1]), json!({})).await;
    assert_eq!(status, 404, "it is deleted");
}

#[tokio::test]
async fn pages_follow_one_another() {
    let api = Api::start().await;
    api.ask(
        "POST",
        "/events",
        json!({ "title": "Daily", "start": "2026-03-02T09:00:00Z", "rrule": "FREQ=DAILY;COUNT=5" }),
    )
    .await;
    let (mut next, mut seen) = (Some(format!("/events?{MARCH}&limit=2")), Vec::new());
    while let Some(path) = next.take() {
        let (answer, page) = api.told("GET", &path, &[], Value::Null).await;
        seen.extend(page.as_array().unwrap().iter().map(|one| one["start"].as_str().unwrap().to_owned()));
        let link = answer.header("link");
        next = link.strip_prefix("</api/v1").and_then(|rest| rest.split('>').next()).map(str::to_owned);
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
}

#[tokio::test]
async fn what_is_wrong_is_said_by_name() {
    let api = Api::start().await;
    for (method, path, body, status, says) in [
        ("POST", "/events", json!({ "title": "x" }), 422, "start"),
        ("POST", "/events", json!({ "start": "2026-03-02", "nonsense": 1 }), 422, "nonsense"),
        ("POST", "/events", json!({ "start": "2026-03-02", "source": "nowhere" }), 422, "no such calendar"),
        ("GET", "/events?start=soon", Value::Null, 400, "start"),
        ("GET", "/events?timeZone=Moon", Value::Null, 400, "timeZone"),
        ("GET", "/events?limit=0", Value::Null, 400, "limit"),
        ("GET", "/events/zzz", Value::Null, 404, "no such event"),
        ("PATCH", "/sources/local", json!({ "color": "red" }), 422, "color"),
        ("PATCH", "/sources/local", json!({ "mirror": "off" }), 422, "mirror"),
        ("PATCH", "/sources/unified", json!({ "name": "x" }), 404, "calendar"),
        ("POST", "/feeds", json!({ "name": "x", "rules": { "sources": ["s-none"] } }), 404, "calendar"),
        ("POST", "/app-passwords", json!({ "label": "" }), 422, "label"),
        ("POST", "/conflicts/1/resolve", json!({ "keep": "local" }), 404, "conflict"),
        ("DELETE", "/jobs/1", Value::Null, 404, "job"),
        ("GET", "/nowhere", Value::Null, 404, "nothing"),
    ] {
        let (found, problem) = api.ask(method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {problem}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{method} {path}: {problem}");
    }
    let form = api.server.ask("POST", "/api/v1/events", &[("content-type", "text/plain")], "{}").await;
    assert_eq!(form.status, 415, "what a form of another site can send is not taken");
    let nobody = api.server.raw("GET", "/api/v1/events", &[], "").await;
    assert_eq!((nobody.status.as_u16(), nobody.header("content-type").as_str()), (401, "application/problem+json"));
    assert!(nobody.header("www-authenticate").starts_with("Basic"));
    let page = api.server.raw("GET", "/api/v1/events", &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(page.header("www-authenticate"), "", "a page shows its own form");
}

#[tokio::test]
async fn nobody_sees_or_touches_what_is_anothers() {
    let api = Api::start().await;
    let (_, event) = api.ask("POST", "/events", json!({ "title": "Mine", "start": "2026-03-02T09:00:00Z" })).await;
    let (_, feed) = api.ask("POST", "/feeds", json!({ "name": "Mine" })).await;
    api.server.add("bob").await;
    let own = format!("/api/v1/events/{}", event["id"].as_str().unwrap());
    let feed = format!("/api/v1/feeds/{}", feed["id"].as_str().unwrap());
    for (method, path) in [("GET", &own), ("PATCH", &own), ("DELETE", &own), ("DELETE", &feed)] {
        let answer = api.server.ask_as_bob(method, path, &[("content-type", "application/json")], "{}").await;
        assert_eq!(answer.status, 404, "{method} {path}");
    }
    for list in ["events", "feeds", "audit", "trash"] {
        let path = format!("/api/v1/{list}?start=2026-03-01T00:00:00Z");
        assert_eq!(api.server.ask_as_bob("GET", &path, &[], "").await.body, "[]", "{list}");
    }
    assert_eq!(api.starts().await.len(), 1);
}

#[tokio::test]
async fn feeds_and_passwords_are_told_once() {
    let api = Api::start().await;
    let (status, feed) =
        api.ask("POST", "/feeds", json!({ "name": "Week", "rules": { "detail": "busy", "past": 7 } })).await;
    assert_eq!(status, 201);
    let url = feed["url"].as_str().unwrap();
    assert!(feed["webcal"].as_str().unwrap().starts_with("webcal://cal.example.org/feeds/"));
    let path = url.strip_prefix("https://cal.example.org").unwrap();
    assert_eq!(api.server.raw("GET", path, &[], "").await.status, 200);
    let (_, list) = api.ask("GET", "/feeds", Value::Null).await;
    assert_eq!((list[0].get("url"), list[0]["rules"]["past"].as_u64()), (None, Some(7)));
    let id = feed["id"].as_str().unwrap();
    let (status, changed) =
        api.ask("PATCH", &format!("/feeds/{id}"), json!({ "name": "Month", "rules": { "past": 31 } })).await;
    assert_eq!(
        (status, changed["name"].as_str(), changed["rules"]["detail"].as_str()),
        (200, Some("Month"), Some("full"))
    );
    assert_eq!(api.ask("DELETE", &format!("/feeds/{id}"), Value::Null).await.0, 204);
    assert_eq!(api.server.raw("GET", path, &[], "").await.status, 410);
    let (status, made) = api.ask("POST", "/app-passwords", json!({ "label": "phone" })).await;
    assert!(status == 201 && made["password"].as_str().unwrap().starts_with("lt-"));
    let id = made["id"].as_str().unwrap();
    let (_, list) = api.ask("GET", "/app-passwords", Value::Null).await;
    assert_eq!(list[0].get("password"), None);
    assert_eq!(api.ask("DELETE", &format!("/app-passwords/{id}"), Value::Null).await.0, 204);
}

#[tokio::test]
async fn a_calendar_is_renamed_and_coloured() {
    let api = Api::start().await;
    let change = json!({ "name": "Home", "color": "#3366CC", "privacy": "busy" });
    let (status, source) = api.ask("PATCH", "/sources/local", change).await;
    assert_eq!((status, source["name"].as_str(), source["privacy"].as_str()), (200, Some("Home"), Some("busy")));
    api.ask("POST", "/events", json!({ "title": "x", "start": "2026-03-02" })).await;
    let found = api.events(MARCH).await;
    assert_eq!((found[0]["color"].as_str(), found[0]["allDay"].as_bool()), (Some("#3366CC"), Some(true)));
    assert_eq!((found[0]["start"].as_str(), found[0]["end"].as_str()), (Some("2026-03-02"), Some("2026-03-03")));
    let (_, busy) = api.ask("GET", &format!("/freebusy?{MARCH}"), Value::Null).await;
    assert_eq!(busy[0]["start"].as_str(), Some("2026-03-02T00:00:00+01:00"));
}

#[tokio::test]
async fn only_known_sites_may_read_answers() {
    let api = Api::start().await;
    let from = async |method: &str, origin: &str| {
        api.server.ask(method, "/api/v1/me", &[("origin", origin)], "").await.header("access-control-allow-origin")
    };
    assert_eq!(from("GET", "https://page.example.org").await, "https://page.example.org");
    assert_eq!(from("OPTIONS", "https://page.example.org").await, "https://page.example.org");
    assert_eq!(from("GET", "https://evil.example.org").await, "");
    assert_eq!(from("OPTIONS", "https://evil.example.org").await, "");
    let known = api.server.ask("GET", "/api/v1/me", &[("origin", "https://page.example.org")], "").await;
    assert_eq!(known.header("access-control-allow-credentials"), "", "cookies never go along");
}

#[tokio::test]
async fn what_another_site_asks_for_is_not_done() {
    let api = Api::start().await;
    let post =
        async |headers: &[(&str, &str)]| api.server.ask("POST", "/api/v1/sync", headers, "").await.status.as_u16();
    assert_eq!(post(&[]).await, 202);
    assert_eq!(post(&[("sec-fetch-site", "same-origin"), ("origin", "https://cal.example.org")]).await, 202);
    assert_eq!(post(&[("origin", "https://cal.example.org")]).await, 202);
    assert_eq!(post(&[("sec-fetch-site", "cross-site"), ("origin", "https://page.example.org")]).await, 202);
    assert_eq!(post(&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example.org")]).await, 403);
    assert_eq!(post(&[("sec-fetch-site", "same-site")]).await, 403);
    assert_eq!(post(&[("origin", "https://evil.example.org")]).await, 403);
    assert_eq!(post(&[("origin", "null")]).await, 403);
}

#[tokio::test]
async fn a_line_is_shown_as_an_event_and_then_saved() {
    let api = Api::start().await;
    let line = "text=Lunch%20with%20Ana%20tomorrow%2012:30%20at%20Rossi&timeZone=Europe/Berlin";
    let (status, preview) = api.ask("GET", &format!("/quick?{line}"), Value::Null).await;
    assert_eq!((status, preview["location"].as_str()), (200, Some("Rossi")));
    assert!(api.starts().await.is_empty(), "nothing is saved yet");
    assert_eq!(api.ask("POST", "/events", preview).await.0, 201);
    assert_eq!(api.starts().await, ["03T12:30 Lunch with Ana"]);
    assert_eq!(api.ask("GET", "/quick?text=Lunch", Value::Null).await.0, 422);
}
