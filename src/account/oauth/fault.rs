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

/// The fault of an `error` (RFC 6749 5.2). Of the description nothing counts but Microsoft's number, `AADSTS` and digits,
/// which is the first of `error_codes` (providers.md 4.3): the words change, the number does not.
pub(super) fn refused(service: OAuthService, error: &str, description: &str) -> Fault {
    let title = service.title();
    match (service, error) {
        (_, "temporarily_unavailable" | "server_error") => {
            return Fault::Unreachable(format!("{title}'s sign-in is out of service"));
        }
        (OAuthService::Google, "invalid_grant") => {
            return Fault::Unauthorized(
                "Google no longer accepts the sign-in: connect the account again. It was revoked, the password was changed, \
                 or the client's project is in testing, where every sign-in ends after 7 days (publish the project to end that)"
                    .to_owned(),
            );
        }
        (OAuthService::Google, "invalid_scope") => {
            return Fault::Unauthorized("Google does not give access to calendars in this way".to_owned());
        }
        (OAuthService::Microsoft, _) => {
            if let Some(fault) = number(description).and_then(numbered) {
                return fault;
            }
        }
        _ => {}
    }
    Fault::Unauthorized(match error {
        "access_denied" | "authorization_declined" => format!("{title} says that access was not allowed"),
        "invalid_grant" | "interaction_required" | "consent_required" | "login_required" => {
            format!("{title} wants the person to sign in again: connect the account again")
        }
        "invalid_client" | "unauthorized_client" => {
            format!("{title} does not accept the client: {}", check_client(service.name()))
        }
        other => format!(
            "{title} refuses the sign-in ({}): connect the account again",
            other.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(40).collect::<String>()
        ),
    })
}

fn check_client(name: &str) -> String {
    format!("the administrator must check providers.{name}.client_id and client_secret (a secret may have expired)")
}

/// The number behind `AADSTS`, as a whole: 70008 is not the beginning of 700084.
fn number(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// What a number of Microsoft's says, if it is one that somebody can do something about.
fn numbered(number: u32) -> Option<Fault> {
    if OUT_OF_SERVICE.contains(&number) {
        return Some(Fault::Unreachable("Microsoft's sign-in is out of service".to_owned()));
    }
    let (_, why) = NUMBERED.iter().find(|(numbers, _)| numbers.contains(&number))?;
    Some(Fault::Unauthorized(format!("{why} (AADSTS{number})")))
}

/// Passes by itself.
const OUT_OF_SERVICE: &[u32] = &[90033, 90055, 90099];

/// Who has to do what, by Microsoft's numbers (providers.md 4.3; reference-error-codes of the Microsoft identity platform).
const NUMBERED: &[(&[u32], &str)] = &[
    (
        &[65001, 90094, 90095, 90008],
        "Microsoft asks for the consent of an administrator of the organization: they have to allow this application, and \
         then the account is to be connected again",
    ),
    (&[65004], "access was not allowed on Microsoft's page: connect the account again and allow it"),
    (
        &[70008, 70043, 700_082],
        "the sign-in at Microsoft has expired, and the person has to sign in again: connect the account again",
    ),
    (
        &[700_084, 9_002_326, 9_002_327],
        "Microsoft ended the sign-in after 24 hours, because the application is registered as a single-page app; register \
         it as web or mobile and desktop, and connect the account again",
    ),
    (
        &[50173, 50132, 50133],
        "Microsoft ended the sign-in, since the password was changed or the sessions were revoked; the person has to sign in \
         again: connect the account again",
    ),
    (
        &[50072, 50074, 50076, 50079, 50158],
        "Microsoft wants a second factor (MFA), and the person has to sign in again with it: connect the account again",
    ),
    (
        &[50005, 50097, 53000, 53001, 53002, 53003, 53004, 530_002, 530_003],
        "a conditional access policy of the organization keeps this sign-in out: the person has to sign in again in a way \
         that the policy allows, or its administrator has to allow this application",
    ),
    (
        &[7_000_222],
        "the client secret has expired: the administrator must make a new one at Microsoft and set \
         providers.microsoft.client_secret",
    ),
    (
        &[7_000_215, 7_000_216, 7_000_218],
        "the client secret is wrong or missing: the administrator must check providers.microsoft.client_secret",
    ),
    (
        &[700_016, 7_000_112, 650_052, 650_056],
        "Microsoft does not know the application in this organization, or it is switched off: the administrator must check \
         providers.microsoft.client_id and tenant",
    ),
    (
        &[50011, 500_113],
        "the redirect address is not registered: the administrator must add <public_url>/oauth/microsoft/callback to the \
         application at Microsoft, letter by letter",
    ),
    (
        &[50194, 9_002_331, 9_002_346, 90002],
        "the application is registered for other accounts than providers.microsoft.tenant says: register it for accounts in \
         any organizational directory and personal Microsoft accounts, or set the tenant that it is for",
    ),
    (
        &[50020, 50034, 51004, 90072],
        "this person is not in the organization (tenant) that the application is for: sign in with another account, or the \
         administrator must set providers.microsoft.tenant to common",
    ),
    (
        &[50105],
        "the person was not given this application in their organization: its administrator has to assign it to them",
    ),
    (
        &[50057],
        "the account is disabled at Microsoft: its administrator has to enable it, and then connect the account again",
    ),
    (&[50053], "Microsoft has locked the account after too many tries: wait, and then connect the account again"),
    (&[50055, 50144], "the password has expired at Microsoft: set a new one there, and connect the account again"),
    (
        &[70011],
        "Microsoft does not give this application access to calendars: the administrator must check its permissions",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_apart() {
        use OAuthService::{Google, Microsoft};
        let cases: [(OAuthService, &str, &str, Option<&str>); 8] = [
            (Google, "invalid_grant", "Token has been expired or revoked.", Some("7 days")),
            (Google, "invalid_client", "", Some("providers.google.client_id")),
            (Google, "temporarily_unavailable", "", None),
            // The numbers are Microsoft's alone.
            (Google, "invalid_scope", "AADSTS65001", Some("does not give access")),
            (Microsoft, "invalid_grant", "no number", Some("sign in again")),
            (Microsoft, "invalid_client", "", Some("providers.microsoft.client_id")),
            (Microsoft, "server_error", "", None),
            (Microsoft, "access_denied", "AADSTS1: unknown", Some("was not allowed")),
        ];
        for (service, error, description, words) in cases {
            check(refused(service, error, description), words, error);
        }
    }

    /// Every row of the table of states (providers.md 4.1 to 4.3), and what else keeps people out.
    #[test]
    fn every_number_of_microsoft_is_told_in_words() {
        let table: [(&str, u32, Option<&str>); 34] = [
            ("invalid_grant", 70008, Some("has expired")),
            ("invalid_grant", 700_082, Some("has expired")),
            ("invalid_grant", 70043, Some("has expired")),
            ("invalid_grant", 700_084, Some("single-page app")),
            ("invalid_request", 9_002_327, Some("single-page app")),
            ("invalid_grant", 50173, Some("password was changed")),
            ("invalid_grant", 50133, Some("password was changed")),
            ("invalid_grant", 65001, Some("consent of an administrator")),
            ("access_denied", 90094, Some("consent of an administrator")),
            ("access_denied", 65004, Some("was not allowed")),
            ("interaction_required", 50076, Some("second factor")),
            ("interaction_required", 50079, Some("second factor")),
            ("interaction_required", 50074, Some("second factor")),
            ("interaction_required", 53003, Some("conditional access")),
            ("interaction_required", 53000, Some("conditional access")),
            ("interaction_required", 50097, Some("conditional access")),
            ("invalid_client", 7_000_215, Some("wrong or missing")),
            ("invalid_client", 7_000_218, Some("wrong or missing")),
            ("invalid_client", 7_000_222, Some("secret has expired")),
            ("unauthorized_client", 700_016, Some("does not know the application")),
            ("unauthorized_client", 7_000_112, Some("switched off")),
            ("invalid_request", 50011, Some("/oauth/microsoft/callback")),
            ("invalid_request", 500_113, Some("/oauth/microsoft/callback")),
            ("invalid_request", 50194, Some("providers.microsoft.tenant")),
            ("invalid_request", 90002, Some("providers.microsoft.tenant")),
            ("invalid_grant", 50020, Some("not in the organization")),
            ("invalid_grant", 90072, Some("not in the organization")),
            ("interaction_required", 50105, Some("assign it")),
            ("invalid_grant", 50057, Some("disabled")),
            ("invalid_grant", 50053, Some("locked")),
            ("invalid_grant", 50055, Some("password has expired")),
            ("invalid_scope", 70011, Some("permissions")),
            ("invalid_grant", 90033, None),
            ("temporarily_unavailable", 0, None),
        ];
        for (error, number, words) in table {
            let description = format!("AADSTS{number}: Words that change. Trace ID: 65001-50057");
            check(refused(OAuthService::Microsoft, error, &description), words, &description);
        }
    }

    fn check(fault: Fault, words: Option<&str>, what: &str) {
        match (fault, words) {
            (Fault::Unauthorized(why), Some(words)) => assert!(why.contains(words), "{what}: {why}"),
            (Fault::Unreachable(_), None) => {}
            (other, _) => panic!("{what}: {other:?}"),
        }
    }
}
