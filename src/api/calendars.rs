//! The calendars of a person: what they are called, how they look, which way changes travel.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Api, Problem, Request, json as answer};
use crate::calendar::{Collection, CollectionChange, CollectionKind, Mirror, Privacy};
use crate::id::{CollectionId, CollectionName};

/// What is to be changed about a calendar.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Change {
    name: Option<String>,
    color: Option<String>,
    mirror: Option<String>,
    privacy: Option<String>,
    default: bool,
    confirm_deletions: bool,
}

impl Api {
    pub(super) async fn sources(&self, request: &Request<'_>) -> Answer {
        let user = &request.who.user;
        let rows = self.parts.calendars.collections(user).await.map_err(Problem::internal)?;
        let mut records = Vec::new();
        for row in rows.iter().filter(|row| !matches!(row.kind, CollectionKind::Unified)) {
            records.push(self.source_record(row).await?);
        }
        Ok(answer(StatusCode::OK, &records))
    }

    pub(super) async fn change_source(&self, request: &Request<'_>, id: &str) -> Answer {
        let change: Change = request.read()?;
        let row = self.own_source(request, id).await?;
        let mirror = change.mirror.as_deref().map(mirror).transpose()?;
        let privacy = change.privacy.as_deref().map(privacy).transpose()?;
        if mirror.is_some() && row.source().is_none() {
            return Err(wrong("mirror: this is a local calendar, so nothing is mirrored"));
        }
        if change.color.as_deref().is_some_and(|color| !is_color(color)) {
            return Err(wrong("color: this is no colour such as #3366CC"));
        }
        if change.name.as_deref().is_some_and(|name| name.trim().is_empty() || name.chars().any(char::is_control)) {
            return Err(wrong("name: a calendar's name has at least one character, and no control characters"));
        }
        let wakes = mirror.is_some_and(|mirror| mirror != Mirror::Off && row.mirror == Mirror::Off);
        let new = CollectionChange {
            display_name: change.name,
            color: change.color.map(Some),
            mirror,
            privacy,
            ..CollectionChange::default()
        };
        let row = self.parts.calendars.update(&row.id, new).await?;
        if change.default {
            let source = row.source().map(|at| &at.source);
            self.parts.calendars.set_default_source(&request.who.user, source).await?;
        }
        if let Some(at) = row.source() {
            if wakes {
                let source = self.parts.accounts.source(&at.source).await.map_err(Problem::internal)?;
                self.parts.sync.mirror_again(&source).await.map_err(Problem::internal)?;
            }
            let confirms = change.confirm_deletions;
            if confirms && !self.parts.sync.confirm_deletions(&at.source).await.map_err(Problem::internal)? {
                return Err(wrong("confirm_deletions: no deletions are held for this calendar"));
            }
        }
        Ok(answer(StatusCode::OK, &self.source_record(&row).await?))
    }

    pub(super) async fn own_source(&self, request: &Request<'_>, id: &str) -> Result<Collection, Problem> {
        let none = || Problem::not_found("There is no such calendar.");
        let name: CollectionName = id.parse().map_err(|_| none())?;
        let id = CollectionId::new(&request.who.user, name);
        let row = self.parts.calendars.collection(&id).await.map_err(Problem::internal)?;
        row.filter(|row| !matches!(row.kind, CollectionKind::Unified)).ok_or_else(none)
    }

    async fn source_record(&self, row: &Collection) -> Result<Value, Problem> {
        let calendars = &self.parts.calendars;
        let default = calendars.default_collection(&row.id.user).await.map_err(Problem::internal)?.id == row.id;
        let count = calendars.view(&row.id).await.map_err(Problem::internal)?.len();
        let mirror = match row.mirror {
            Mirror::TwoWay => "two-way",
            Mirror::ReadOnly => "read-only",
            Mirror::Off => "off",
        };
        let privacy = match row.privacy {
            Privacy::Full => "full",
            Privacy::Busy => "busy",
        };
        Ok(json!({
            "id": row.id.name, "name": row.display_name, "account": row.source().map(|at| &at.account),
            "mirror": mirror, "default": default, "color": row.color, "privacy": privacy, "unified": row.unify,
            "writable": row.is_writable(), "count": count, "created": row.created,
        }))
    }
}

fn mirror(word: &str) -> Result<Mirror, Problem> {
    match word {
        "two-way" => Ok(Mirror::TwoWay),
        "read-only" => Ok(Mirror::ReadOnly),
        "off" => Ok(Mirror::Off),
        _ => Err(wrong("mirror is one of: two-way, read-only, off")),
    }
}

fn privacy(word: &str) -> Result<Privacy, Problem> {
    match word {
        "full" => Ok(Privacy::Full),
        "busy" => Ok(Privacy::Busy),
        _ => Err(wrong("privacy is one of: full, busy")),
    }
}

fn is_color(color: &str) -> bool {
    let digits = color.strip_prefix('#').unwrap_or_default();
    digits.len() == 6 && digits.chars().all(|c| c.is_ascii_hexdigit())
}

fn wrong(words: &'static str) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, words)
}
