//! The identity platform: codes, devices, and refresh tokens of which every use gives a new one.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::service::Reply;

/// Tokens and codes that were given out.
#[derive(Debug)]
pub(super) struct Identity {
    made: u64,
    codes: BTreeMap<String, Code>,
    pub(super) refresh: Vec<String>,
    pub(super) access: Vec<String>,
    pub(super) refreshes: u64,
    device: Option<u64>,
}

#[derive(Debug)]
struct Code {
    challenge: Option<String>,
    redirect: String,
}

impl Identity {
    /// With one refresh token that somebody has already.
    pub(super) fn new() -> Self {
        Self {
            made: 0,
            codes: BTreeMap::new(),
            refresh: vec!["M.C5_first".to_owned()],
            access: Vec::new(),
            refreshes: 0,
            device: None,
        }
    }

    /// The consent page, which says yes at once.
    pub(super) fn authorize(&mut self, query: &BTreeMap<String, String>, denied: bool) -> Reply {
        let text = |name: &str| query.get(name).cloned().unwrap_or_default();
        if text("response_type") != "code" || text("client_id").is_empty() || text("scope").is_empty() {
            return Reply::error(400, "invalid_request", "AADSTS900144: a parameter is missing");
        }
        let redirect = text("redirect_uri");
        let answer = if denied {
            "error=access_denied&error_description=AADSTS65004".to_owned()
        } else {
            self.made += 1;
            let code = format!("0.code{}", self.made);
            let challenge = query.get("code_challenge").cloned();
            self.codes.insert(code.clone(), Code { challenge, redirect: redirect.clone() });
            format!("code={code}")
        };
        let mut reply = Reply::empty(302);
        reply.headers.push(("Location".to_owned(), format!("{redirect}?{answer}&state={}", text("state"))));
        reply
    }

    pub(super) fn device_code(&mut self, base: &str) -> Reply {
        self.device = Some(1);
        Reply::json(
            200,
            &json!({
                "user_code": "EXAMPLE12", "device_code": "device-1", "verification_uri": format!("{base}/device"),
                "expires_in": 900, "interval": 1, "message": "To sign in, open the page and enter the code.",
            }),
        )
    }

    pub(super) fn token(&mut self, form: &BTreeMap<String, String>, scopes: &str) -> Reply {
        let text = |name: &str| form.get(name).cloned().unwrap_or_default();
        match text("grant_type").as_str() {
            "authorization_code" => {
                let Some(code) = self.codes.remove(&text("code")) else { return refused("invalid_grant", 70008) };
                let digest = URL_SAFE_NO_PAD.encode(Sha256::digest(text("code_verifier")));
                if code.redirect != text("redirect_uri") || code.challenge.is_some_and(|challenge| challenge != digest)
                {
                    return refused("invalid_grant", 501_481);
                }
                self.issue(scopes)
            }
            "refresh_token" => {
                if !self.refresh.contains(&text("refresh_token")) {
                    return refused("invalid_grant", 700_082);
                }
                self.refreshes += 1;
                self.issue(scopes)
            }
            "urn:ietf:params:oauth:grant-type:device_code" => match self.device {
                Some(0) => self.issue(scopes),
                Some(left) => {
                    self.device = Some(left - 1);
                    refused("authorization_pending", 70016)
                }
                None => refused("bad_verification_code", 70018),
            },
            _ => refused("unsupported_grant_type", 70003),
        }
    }

    /// New tokens. The old refresh token is not revoked at once.
    fn issue(&mut self, scopes: &str) -> Reply {
        self.made += 1;
        let (access, refresh) = (format!("EwAccess{}", self.made), format!("M.C5_{}", self.made));
        self.access.push(access.clone());
        self.refresh.push(refresh.clone());
        Reply::json(
            200,
            &json!({
                "token_type": "Bearer", "scope": scopes, "expires_in": 4712, "ext_expires_in": 4712,
                "access_token": access, "refresh_token": refresh,
            }),
        )
    }
}

/// A refusal of the token endpoint.
pub(super) fn refused(error: &str, number: u64) -> Reply {
    let body = json!({
        "error": error, "error_description": format!("AADSTS{number}: refused by the simulator"),
        "error_codes": [number], "timestamp": "2026-11-01 10:00:00Z", "trace_id": "0", "correlation_id": "0",
    });
    Reply::json(400, &body)
}

/// The fault `token-error`, as `error:number`.
pub(super) fn switched(value: &Value) -> Reply {
    let (error, number) = value.as_str().and_then(|text| text.split_once(':')).unwrap_or(("invalid_grant", "70008"));
    refused(error, number.parse().unwrap_or(70008))
}
