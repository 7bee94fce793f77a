//! The published description of Graph, as a judge: what a request or a reply may contain.
//!
//! `subset.json` is derived from Microsoft's own metadata (MIT licence, Copyright (c) 2018 Microsoft Graph). Every reply of
//! the simulator passes here, so that it can't invent members; every request passes here, so that the gateway can't.

use std::sync::OnceLock;

use serde_json::{Map, Value};

fn subset() -> &'static Value {
    static SUBSET: OnceLock<Value> = OnceLock::new();
    SUBSET.get_or_init(|| serde_json::from_str(include_str!("subset.json")).unwrap_or_default())
}

/// What is wrong with `value` as a `kind`, if anything.
pub(super) fn defect(value: &Value, kind: &str) -> Option<String> {
    let Some(object) = value.as_object() else { return Some(format!("a {kind} is no object")) };
    for (name, member) in object {
        if name.starts_with('@') || name.contains("@odata.") {
            continue;
        }
        let Some(property) = property(kind, name) else {
            if is_open(kind) {
                continue;
            }
            return Some(format!("{kind} has no member {name}"));
        };
        let wanted = property.get("type").and_then(Value::as_str).unwrap_or_default();
        if let Some(why) = typed(member, wanted) {
            return Some(format!("{kind}.{name}: {why}"));
        }
    }
    None
}

/// Whether a type has members that its description does not name (`OData`'s open types).
fn is_open(kind: &str) -> bool {
    let described = subset().get("types").and_then(|types| types.get(kind));
    described.and_then(|described| described.get("openType")) == Some(&Value::Bool(true))
}

/// The member of a type or of one of those it is derived from.
pub(super) fn property(kind: &str, name: &str) -> Option<&'static Value> {
    let mut kind = kind.to_owned();
    loop {
        let described = subset().get("types")?.get(&kind)?;
        if let Some(found) = described.get("properties").and_then(|all| all.get(name)) {
            return Some(found);
        }
        kind = described.get("baseType")?.as_str()?.to_owned();
    }
}

fn typed(value: &Value, wanted: &str) -> Option<String> {
    if value.is_null() {
        return None;
    }
    if let Some(inner) = wanted.strip_prefix("Collection(").and_then(|rest| rest.strip_suffix(')')) {
        let Some(items) = value.as_array() else { return Some("is no list".to_owned()) };
        return items.iter().find_map(|item| typed(item, inner));
    }
    let fits = match wanted {
        "Edm.String" | "Edm.Guid" | "Edm.DateTimeOffset" | "Edm.Date" | "Edm.Binary" | "Edm.TimeOfDay"
        | "Edm.Duration" => value.is_string(),
        "Edm.Boolean" => value.is_boolean(),
        "Edm.Int32" | "Edm.Int64" => value.is_i64() || value.is_u64(),
        "Edm.Double" => value.is_number(),
        _ => return other(value, wanted),
    };
    (!fits).then(|| format!("is no {wanted}"))
}

fn other(value: &Value, wanted: &str) -> Option<String> {
    let Some(words) = subset().get("enums").and_then(|all| all.get(wanted)).and_then(|of| of.get("values")) else {
        return defect(value, wanted);
    };
    let known = words.as_array().is_some_and(|words| words.contains(value));
    (!known).then(|| format!("{value} is no {wanted}"))
}

/// The members of an object that a `$select` keeps.
pub(super) fn selected(object: &Map<String, Value>, select: &str) -> Result<Map<String, Value>, String> {
    let mut kept = Map::new();
    for name in select.split(',').map(str::trim) {
        if property("event", name).is_none() {
            return Err(format!("Could not find a property named '{name}' on type 'Microsoft.OutlookServices.Event'."));
        }
        if let Some(value) = object.get(name) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    for name in ["@odata.etag", "id"] {
        if let Some(value) = object.get(name) {
            kept.insert(name.to_owned(), value.clone());
        }
    }
    Ok(kept)
}
