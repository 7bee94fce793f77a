//! `doctor`: looks at everything that can be wrong, and says what to do about it. It changes nothing unless it is told
//! to accept a loss.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Answer, Failure, failed};
use crate::app::{self, Gateway};
use crate::calendar::check;
use crate::clock::Clock;
use crate::config::Config;
use crate::entropy::Entropy;
use crate::server::{TlsFiles, certificate_end};
use crate::store::{self, OpenError, Verdict};
use crate::sync;

/// The findings that need an open store; those about the configuration come first.
pub(super) async fn doctor(gateway: &Gateway) -> Result<Answer, Failure> {
    let mut findings = app::notes(&gateway.config);
    findings.push(clock(&*gateway.clock));
    findings.extend(surroundings(gateway).await);
    findings.push(store_answers(gateway).await);
    findings.extend(calendars(gateway).await);
    findings.extend(accounts(gateway).await);
    Ok(answer(findings))
}

/// What can be said of a store that nobody has open. `Ok` when it can be opened.
pub(crate) async fn examine(config: &Config, clock: Arc<dyn Clock>) -> Result<Value, Answer> {
    let settings = app::store_settings(config);
    if !settings.path.exists() {
        let what = "there is no data folder yet; the first start makes it";
        return Err(unopened(config, &*clock, finding("store", "ok", what, "run `lineartime serve`")));
    }
    let at = Arc::clone(&clock);
    let examined = tokio::task::spawn_blocking(move || store::examine(&settings, &*at)).await;
    let trouble = match examined {
        Ok(Ok(Verdict::Healthy { rows })) => {
            return Ok(finding("files", "ok", &format!("every one of {rows} rows is as it was written"), ""));
        }
        Ok(Ok(Verdict::Repaired { what })) => {
            return Ok(finding("files", "warning", &what, "look after the disk; keep backups"));
        }
        Ok(Ok(Verdict::Damaged { what, way_out })) => {
            let advice =
                format!("{way_out}; without a backup, `lineartime doctor --accept-loss` keeps what can be read");
            finding("files", "error", &what, &advice)
        }
        Ok(Err(OpenError::Failed { reason, .. })) => finding("store", "error", &reason, "run `lineartime serve`"),
        Ok(Err(error)) => finding("store", "error", &error.to_string(), ""),
        Err(_gave_up) => finding("store", "error", "the storage engine gave up on its files", "restore a backup"),
    };
    Err(unopened(config, &*clock, trouble))
}

/// Replaces a damaged store by what can be read of it. One that is whole is left alone.
pub(crate) async fn accept_loss(
    config: &Config,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
) -> Result<Answer, Failure> {
    let settings = app::store_settings(config);
    if !settings.path.exists() {
        return failed(format!("there is no data folder {}", settings.path.display()));
    }
    let done = tokio::task::spawn_blocking(move || match store::examine(&settings, &*clock)? {
        Verdict::Damaged { .. } => store::salvage(&settings, &*clock, &*entropy).map(Some),
        Verdict::Healthy { .. } | Verdict::Repaired { .. } => Ok(None),
    });
    let done: Result<_, OpenError> = done.await.map_err(|_| Failure("the storage engine gave up".to_owned()))?;
    let Some(salvaged) = done? else {
        let what = "the store is whole, so nothing is given up";
        return Ok(Answer::saying(json!({ "kept": null, "lost": 0 }), what));
    };
    let aside = salvaged.aside.display();
    let text = format!(
        "{} rows are kept, {} unreadable ones are lost, and others may be missing; the damaged files are in {aside}; run `lineartime doctor` now, and \
         `lineartime sync USER --full` for each user with accounts",
        salvaged.kept, salvaged.lost
    );
    let document = json!({ "kept": salvaged.kept, "lost": salvaged.lost, "damaged_files": salvaged.aside });
    Ok(Answer::saying(document, text))
}

/// The same findings with one more at the front.
pub(crate) fn with_first(answer: &Answer, first: Value) -> Answer {
    let rest = answer.document.as_array().cloned().unwrap_or_default();
    self::answer([vec![first], rest].concat())
}

fn unopened(config: &Config, clock: &dyn Clock, trouble: Value) -> Answer {
    let mut findings = app::notes(config);
    findings.extend([self::clock(clock), trouble]);
    answer(findings)
}

fn answer(findings: Vec<Value>) -> Answer {
    let text = findings.iter().map(line).collect::<Vec<_>>().join("\n");
    Answer::saying(Value::Array(findings), text)
}

/// A clock that stands before this program was written makes certificates and sync times useless.
fn clock(clock: &dyn Clock) -> Value {
    let now = clock.now().as_second();
    match now {
        ..WRITTEN => finding("clock", "error", "the clock is years behind", "set it, and keep it by NTP"),
        LONG_AFTER.. => finding("clock", "error", "the clock is decades ahead", "set it, and keep it by NTP"),
        _ => finding("clock", "ok", "the clock is plausible", ""),
    }
}

async fn store_answers(gateway: &Gateway) -> Value {
    match gateway.users.is_empty().await {
        Ok(false) => finding("store", "ok", "the store answers", ""),
        Ok(true) => {
            let advice = "run `lineartime user add NAME --admin --password-stdin`";
            finding("users", "warning", "there is no user yet", advice)
        }
        Err(error) => {
            finding("store", "error", &error.to_string(), "stop the server and run `lineartime doctor` again")
        }
    }
}

async fn calendars(gateway: &Gateway) -> Vec<Value> {
    let Ok(users) = gateway.users.list().await else { return Vec::new() };
    let mut findings = Vec::new();
    for user in users {
        let subject = format!("calendars of {}", user.id);
        let advice = "restore a backup, or export, remove the user and import again; please report this as a defect";
        findings.push(match disagreements(gateway, &user.id).await {
            Ok(wrong) if wrong.is_empty() => finding(&subject, "ok", "the rows agree with one another", ""),
            Ok(wrong) => {
                let first = wrong.first().map(String::as_str).unwrap_or_default();
                let what = format!("{} rows disagree, the first: {first}", wrong.len());
                finding(&subject, "error", &what, advice)
            }
            Err(error) => finding(&subject, "error", &error.to_string(), advice),
        });
    }
    findings
}

/// What is wrong twice. A look takes a while, and somebody may write meanwhile.
async fn disagreements(gateway: &Gateway, user: &crate::id::UserId) -> Result<Vec<String>, store::StoreError> {
    let mut wrong = wrong_once(gateway, user).await?;
    if !wrong.is_empty() {
        let again = wrong_once(gateway, user).await?;
        wrong.retain(|line| again.contains(line));
    }
    Ok(wrong)
}

async fn wrong_once(gateway: &Gateway, user: &crate::id::UserId) -> Result<Vec<String>, store::StoreError> {
    let mut wrong = check::consistent(&*gateway.store, user).await?;
    let events = check::events(&*gateway.store, user).await?;
    for collection in gateway.calendars.collections(user).await? {
        if let Some(source) = collection.source() {
            wrong.extend(sync::check::consistent(&*gateway.store, &source.source, &events).await?);
        }
    }
    Ok(wrong)
}

/// Room on the disk, and on paper: what ends by itself one day.
async fn surroundings(gateway: &Gateway) -> Vec<Value> {
    let mut findings = Vec::new();
    let path = &gateway.config.storage.path;
    findings.extend(store::free_octets(path).map(|free| disk(free, gateway.store.size_on_disk().unwrap_or_default())));
    let server = &gateway.config.server;
    if let (Some(cert), Some(key)) = (server.tls_cert.clone(), server.tls_key.clone()) {
        let end = certificate_end(&TlsFiles { cert, key }).await;
        findings.push(match end {
            Ok(end) => certificate(end, gateway.clock.now()),
            Err(error) => finding("certificate", "error", &error.to_string(), "see server.tls_cert and tls_key"),
        });
    }
    findings
}

/// sled needs several times the room of what it holds when it tidies up.
fn disk(free: u64, used: u64) -> Value {
    let mib = |octets: u64| octets >> 20;
    let what = format!("{} MiB are free, the store takes {} MiB", mib(free), mib(used));
    match free {
        0..LEAST_FREE => finding("disk", "error", &what, "make room: changes are refused"),
        _ if free < 2 * used.max(LEAST_FREE) => finding("disk", "warning", &what, "make room before it is needed"),
        _ => finding("disk", "ok", &what, ""),
    }
}

fn certificate(end: Option<Timestamp>, now: Timestamp) -> Value {
    let Some(end) = end else {
        return finding("certificate", "warning", "it does not say until when it is good", "look at it");
    };
    let days = end.duration_since(now).as_hours() / 24;
    let what = format!("good until {end}");
    match end {
        _ if end <= now => finding("certificate", "error", &format!("it ended at {end}"), "renew it"),
        _ if days < 14 => finding("certificate", "warning", &what, "renew it; it is taken up without a restart"),
        _ => finding("certificate", "ok", &what, ""),
    }
}

async fn accounts(gateway: &Gateway) -> Vec<Value> {
    let all = match gateway.accounts.all().await {
        Ok(all) => all,
        Err(error) => return vec![finding("accounts", "error", &error.to_string(), "restore a backup")],
    };
    let mut findings = Vec::new();
    for account in all {
        let subject = format!("account {} ({})", account.id, account.label);
        let reached = match gateway.accounts.provider(&account.id).await {
            Ok(provider) => provider.calendars().await.map_err(|fault| fault.to_string()),
            Err(error) => Err(error.to_string()),
        };
        findings.push(match reached {
            Ok(calendars) => finding(&subject, "ok", &format!("answers, with {} calendars", calendars.len()), ""),
            Err(why) => {
                finding(&subject, "error", &why, "check the server, the network and the password of this account")
            }
        });
    }
    findings
}

/// One thing that was looked at.
pub(crate) fn finding(subject: &str, state: &str, what: &str, advice: &str) -> Value {
    json!({ "id": subject, "state": state, "finding": what, "advice": advice })
}

/// A finding for people.
pub(crate) fn line(finding: &Value) -> String {
    let word = |name| finding.get(name).and_then(Value::as_str).unwrap_or_default();
    let advice = word("advice");
    let advice = if advice.is_empty() { String::new() } else { format!("; {advice}") };
    format!("{}: {}: {}{advice}", word("state"), word("id"), word("finding"))
}

/// Below this the store refuses changes.
const LEAST_FREE: u64 = 16 << 20;
/// October 2025.
const WRITTEN: i64 = 1_760_000_000;
/// 2070.
const LONG_AFTER: i64 = 3_155_760_000;
