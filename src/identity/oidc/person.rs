//! What a service says of a person, and what follows from their groups.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who comes in, and as what.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// Members of any of these come in; everybody when there are none.
    pub allowed_groups: Vec<String>,
    /// Members of any of these are administrators, and nobody else who signs in so; left alone when there are none.
    pub admin_groups: Vec<String>,
    /// Whether somebody who signs in for the first time becomes a user.
    pub create_users: bool,
}

impl Rules {
    /// Whether groups matter at all.
    pub(super) fn ask_groups(&self) -> bool {
        !self.allowed_groups.is_empty() || !self.admin_groups.is_empty()
    }

    /// Whether somebody in these groups comes in. An administrator's group lets in too.
    pub(super) fn admit(&self, groups: &BTreeSet<String>) -> bool {
        self.allowed_groups.is_empty()
            || self.allowed_groups.iter().chain(&self.admin_groups).any(|group| groups.contains(group))
    }

    /// Whether they are administrators; `None` where groups don't say.
    pub(super) fn admin(&self, groups: &BTreeSet<String>) -> Option<bool> {
        (!self.admin_groups.is_empty()).then(|| self.admin_groups.iter().any(|group| groups.contains(group)))
    }
}

/// A person as a service knows them.
#[derive(Clone)]
pub(in crate::identity) struct Person {
    pub(in crate::identity) issuer: String,
    pub(in crate::identity) subject: String,
    /// The user name; the claim's name where there is none.
    pub(in crate::identity) name: Result<String, String>,
    pub(in crate::identity) groups: BTreeSet<String>,
}

/// Claims that are the company's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Extra {
    #[serde(flatten)]
    all: Map<String, Value>,
}

impl openidconnect::AdditionalClaims for Extra {}

/// The claims in a token of JWS compact form (RFC 7515 3.1). It verifies nothing.
pub(super) fn payload(token: &str) -> Option<Map<String, Value>> {
    let octets = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice(&octets).ok()
}

/// A claim that is one text.
pub(super) fn text(claim: Option<&Value>) -> Option<String> {
    claim?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// A claim that is a list of texts, or one.
pub(super) fn texts(claim: Option<&Value>) -> BTreeSet<String> {
    match claim {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        one => text(one).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn groups_let_in_and_make_administrators() {
        let groups = |names: &[&str]| texts(Some(&json!(names)));
        let open = Rules::default();
        assert!(open.admit(&groups(&[])) && open.admin(&groups(&["x"])).is_none() && !open.ask_groups());
        let closed =
            Rules { allowed_groups: vec!["staff".to_owned()], admin_groups: vec!["it".to_owned()], create_users: true };
        assert!(closed.admit(&groups(&["staff"])) && closed.admit(&groups(&["x", "it"])));
        assert!(!closed.admit(&groups(&[])) && !closed.admit(&groups(&["Staff", "staff2"])));
        assert_eq!((closed.admin(&groups(&["it"])), closed.admin(&groups(&["staff"]))), (Some(true), Some(false)));
    }

    #[test]
    fn claims_of_another_type_are_none() {
        assert_eq!(texts(Some(&json!("staff"))).len(), 1);
        assert!(texts(Some(&json!({ "staff": true }))).is_empty() && texts(Some(&json!([1, null]))).is_empty());
        assert!(text(Some(&json!(7))).is_none() && text(Some(&json!(" "))).is_none() && text(None).is_none());
        assert!(payload("a.b").is_none() && payload("").is_none());
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(r#"{"sub":"1"}"#));
        assert_eq!(payload(&token).unwrap().get("sub"), Some(&json!("1")));
    }
}
