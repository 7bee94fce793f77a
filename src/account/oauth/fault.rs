//! The token endpoint's refusals, told apart: who has to do something, and whether it passes by itself.

use oauth2::RequestTokenError;
use oauth2::basic::BasicErrorResponse;

use super::OAuthService;
use crate::provider::Fault;
use crate::transport::TransportError;

/// Why no token came.
pub(super) type Failed = RequestTokenError<TransportError, BasicErrorResponse>;

/// The fault of a failed request for tokens.
pub(super) fn fault(service: OAuthService, failed: &Failed) -> Fault {
    match failed {
        RequestTokenError::ServerResponse(answer) => {
            let description = answer.error_description().map_or("", String::as_str);
            refused(service, answer.error().as_ref(), description)
        }
        RequestTokenError::Request(error) => Fault::Unreachable(error.to_string()),
        // A page of somebody in between, or of a service that is down.
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
            Fault::Unreachable(format!("{}'s sign-in answers what can't be read", service.title()))
        }
    }
}

/// The fault of an `error` (RFC 6749 5.2). The description is looked through for Microsoft's numbers alone.
pub(super) fn refused(service: OAuthService, error: &str, description: &str) -> Fault {
    let numbered = |numbers: &[&str]| numbers.iter().any(|number| description.contains(&format!("AADSTS{number}")));
    match (service, error) {
        (_, "temporarily_unavailable" | "server_error") => {
            Fault::Unreachable(format!("{}'s sign-in is out of service", service.title()))
        }
        (OAuthService::Microsoft, _) if numbered(&["90033"]) => {
            Fault::Unreachable("Microsoft's sign-in is out of service".to_owned())
        }
        (OAuthService::Google, "invalid_grant") => Fault::Unauthorized(
            "Google no longer accepts the sign-in: connect the account again. It was revoked, the password was changed, \
             or the client's project is in testing, where every sign-in ends after 7 days (publish the project to end that)"
                .to_owned(),
        ),
        (OAuthService::Microsoft, "invalid_grant" | "interaction_required" | "consent_required")
            if numbered(&["65001", "90094"]) =>
        {
            Fault::Unauthorized(
                "Microsoft asks for the consent of an administrator of the organization: they have to allow this \
                 application, and then the account is to be connected again"
                    .to_owned(),
            )
        }
        (OAuthService::Microsoft, "invalid_grant") if numbered(&["700084"]) => Fault::Unauthorized(
            "Microsoft ended the sign-in after 24 hours, because the application is registered as a single-page app; \
             register it as web or mobile and desktop, and connect the account again"
                .to_owned(),
        ),
        (OAuthService::Microsoft, "invalid_grant" | "interaction_required" | "consent_required") => {
            Fault::Unauthorized("Microsoft wants the person to sign in again: connect the account again".to_owned())
        }
        (_, "invalid_client" | "unauthorized_client") => Fault::Unauthorized(format!(
            "{title} does not accept the client: the administrator must check providers.{name}.client_id and \
             client_secret (a secret may have expired)",
            title = service.title(),
            name = service.name()
        )),
        (OAuthService::Google, "invalid_scope") => {
            Fault::Unauthorized("Google does not give access to calendars in this way".to_owned())
        }
        (_, other) => Fault::Unauthorized(format!(
            "{} refuses the sign-in ({}): connect the account again",
            service.title(),
            other.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect::<String>()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        use OAuthService::{Google, Microsoft};
        let cases: [(OAuthService, &str, &str, Option<&str>); 9] = [
            (Google, "invalid_grant", "Token has been expired or revoked.", Some("7 days")),
            (Google, "invalid_client", "", Some("providers.google.client_id")),
            (Google, "temporarily_unavailable", "", None),
            (Microsoft, "invalid_grant", "AADSTS70008: expired", Some("sign in again")),
            (Microsoft, "invalid_grant", "AADSTS65001: consent", Some("administrator")),
            (Microsoft, "interaction_required", "AADSTS50076", Some("sign in again")),
            (Microsoft, "invalid_client", "AADSTS7000222", Some("providers.microsoft.client_id")),
            (Microsoft, "invalid_grant", "AADSTS90033", None),
            (Microsoft, "server_error", "", None),
        ];
        for (service, error, description, words) in cases {
            match (refused(service, error, description), words) {
                (Fault::Unauthorized(why), Some(words)) => assert!(why.contains(words), "{error}: {why}"),
                (Fault::Unreachable(_), None) => {}
                (other, _) => panic!("{error} {description}: {other:?}"),
            }
        }
    }
}
