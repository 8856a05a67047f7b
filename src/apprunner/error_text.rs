//! Texts for failures without an error message of AWS.
//!
//! The errors of the SDK name its internal parts and print whole requests. Users need the root cause: no connection, a
//! certificate, the page of a proxy. [`super::wire`] passes on the messages of AWS unchanged.

use std::error::Error;
use std::io::{self, ErrorKind};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_apprunner::config::http::HttpResponse;
use aws_sdk_apprunner::error::ProvideErrorMetadata;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;

use crate::causes::{chain, never_connected, root_text};
use crate::core::outcome::Operation;
use crate::core::words;

/// The text of the SDK for a source without credentials.
const NOT_ENABLED: &str = "the credential provider was not enabled";
/// The start of the text of rustls for a certificate that is not trusted.
const BAD_CERTIFICATE: &str = "invalid peer certificate";
/// The start of the number at the end of an error of the operating system.
const OS_CODE: &str = " (os error ";

/// Returns whether there is no connection because the certificate of the server is not trusted.
pub(super) fn untrusted(error: &(dyn Error + 'static)) -> bool {
    never_connected(error) && words::says(&root_text(error), BAD_CERTIFICATE)
}

/// Text for a failed connection to a host.
pub(super) fn no_connection(error: &(dyn Error + 'static), host: &str) -> String {
    format!("cannot connect to {host}: {}", root(error))
}

/// Text for an answer with the content type of another kind of server, if its headers show one.
pub(super) fn wrong_content_type(operation: Operation, answer: &HttpResponse) -> Option<String> {
    let kind = String::from_utf8_lossy(answer.headers().get_bytes("content-type")?);
    let (expected, service) = match operation {
        operation if operation.is_of_sts() => ("XML", "STS"),
        _ => ("JSON", "App Runner"),
    };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let wrong = !words::says(kind, expected);
    wrong.then(|| format!("the answer is {kind} and not {expected}; a proxy may have answered in place of {service}"))
}

/// Text for an answer with a success status that cannot be parsed.
pub(super) fn unreadable(operation: Operation, answer: &HttpResponse) -> String {
    if let Some(why) = wrong_content_type(operation, answer) {
        return why;
    }
    match (answer.headers().get("content-encoding"), answer.body().bytes(), operation) {
        (_, None, _) => "the connection broke before the whole answer had come".to_owned(),
        (Some(encoding), ..) => format!("the answer is compressed with {encoding}, which the operator did not request"),
        (_, Some([]), _) => "the answer is empty".to_owned(),
        (.., operation) if operation.is_of_sts() => "the answer is no valid XML".to_owned(),
        _ => "the answer is no valid JSON".to_owned(),
    }
}

/// Text for an error answer without an error code of AWS.
pub(super) fn without_a_code(operation: Operation, answer: &HttpResponse) -> String {
    let location = answer.headers().get("location").filter(|_| answer.status().as_u16() / 100 == 3);
    // The query and the fragment may be secrets.
    let address = location.map(|location| location.split(['?', '#']).next().unwrap_or_default());
    match address {
        Some(address) => format!("the answer is a redirect to {address}; a proxy may have answered in place of AWS"),
        None => wrong_content_type(operation, answer)
            .unwrap_or_else(|| "the answer has no error code of AWS's; a proxy may have answered in its place".into()),
    }
}

/// Text for a failure to get credentials with this profile.
pub(super) fn no_credentials(error: &CredentialsError, profile: Option<&str>) -> String {
    let refused = |name: &str, code: Option<&str>, message: Option<&str>| {
        let parts: Vec<_> = [code, message].into_iter().flatten().collect();
        format!("{name} failed: {}", parts.join(": "))
    };
    for cause in chain(error) {
        if let Some(error) = cause.downcast_ref::<AssumeRoleWithWebIdentityError>() {
            return refused("AssumeRoleWithWebIdentity", error.code(), error.message());
        }
        if let Some(error) = cause.downcast_ref::<AssumeRoleError>() {
            return refused("AssumeRole", error.code(), error.message());
        }
    }
    if never_connected(error) {
        return no_connection(error, "the source of the credentials");
    }
    if let Some(sign_in) = sign_in(error, profile) {
        return sign_in;
    }
    match error {
        CredentialsError::CredentialsNotLoaded(_) => tried_sources(&root_text(error)),
        CredentialsError::ProviderTimedOut(_) => "the source of the credentials did not answer in time".to_owned(),
        CredentialsError::InvalidConfiguration(_) => {
            format!("the credentials are configured wrongly: {}", root(error))
        }
        _ => format!("the credentials could not be read: {}", root(error)),
    }
}

/// The command to run if a user must sign in first: the error of the SDK only describes a file.
fn sign_in(error: &CredentialsError, profile: Option<&str>) -> Option<String> {
    let says = |phrase: &str| chain(error).any(|cause| words::says(&cause.to_string(), phrase));
    let (kind, command) = SIGN_IN
        .iter()
        .find(|(_, _, phrases)| phrases.iter().any(|phrase| says(phrase)))
        .map(|(kind, command, _)| (kind, command))?;
    let option = profile.filter(|name| *name != "default").map(|name| format!(" --profile {name}")).unwrap_or_default();
    Some(format!("the {kind} has expired, or there is none; run: {command}{option}"))
}

/// Sessions of users: the kind, the sign-in command, and the texts of the SDK for an expired or missing session.
const SIGN_IN: [(&str, &str, &[&str]); 2] = [
    ("IAM Identity Center session", "aws sso login", &["SSO token", "sso/cache", "UnauthorizedException"]),
    ("login session", "aws login", &["Login token", "login/cache"]),
];

/// The sources without credentials, each with its reason.
fn tried_sources(text: &str) -> String {
    let sources = text.lines().skip(1).map(|line| {
        let line = line.trim().replace(NOT_ENABLED, "");
        let (source, why) = line.split_once(':').unwrap_or((&line, ""));
        let why = why.trim_matches([':', ' ']);
        if why.is_empty() { source.to_owned() } else { format!("{source} ({why})") }
    });
    let sources: Vec<_> = sources.filter(|source| !source.is_empty()).collect();
    if sources.is_empty() { "no source has credentials".to_owned() } else { format!("not in {}", sources.join(", ")) }
}

/// The root cause of an error, without internal names of the SDK.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let kind = chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).last();
    let text = root_text(error);
    match kind {
        Some(ErrorKind::ConnectionRefused) => return "connection refused".to_owned(),
        Some(ErrorKind::ConnectionReset) => return "connection reset".to_owned(),
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => {
            return "there is no network route to it".to_owned();
        }
        Some(ErrorKind::NotFound) => return "there is no such file".to_owned(),
        _ => {}
    }
    if words::says(&text, "Non-success status") {
        let status: String = text.chars().filter(char::is_ascii_digit).collect();
        return format!("the answer has HTTP status {status}");
    }
    let known = TRANSLATIONS.iter().find(|(phrase, _)| words::says(&text, phrase));
    match known {
        Some((_, plain)) => (*plain).to_owned(),
        // Only the debug format of a value has braces, and it may contain a whole request.
        None if text.contains('{') => "an unknown failure".to_owned(),
        None => text.split(OS_CODE).next().unwrap_or_default().to_owned(),
    }
}

/// Phrases of libraries in a root cause, and their plain text. The first match counts.
const TRANSLATIONS: [(&str, &str); 11] = [
    ("failed to lookup address", "its name cannot be resolved"),
    ("connect timeout", "no answer in time"),
    // These two errors contain the time, which would make the message of every attempt another one.
    ("certificate expired", "its certificate is not trusted: it has expired"),
    ("certificate not valid yet", "its certificate is not trusted: it is not valid yet, or the clock here is slow"),
    ("certificate not valid for name", "its certificate is not trusted: it is for another name"),
    (
        "UnknownIssuer",
        "its certificate is not trusted: its issuer is not known here; if the issuer is right, name a file with the \
         certificate of that authority in AWS_CA_BUNDLE or SSL_CERT_FILE",
    ),
    ("CaUsedAsEndEntity", "its certificate is not trusted: it is the certificate of an authority, not of a server"),
    (BAD_CERTIFICATE, "its certificate is not trusted"),
    ("InvalidContentType", "it does not speak TLS"),
    ("could not parse profile file", "the profile file cannot be parsed"),
    ("invalid JSON", "the answer is no valid JSON"),
];

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "application/x-amz-json-1.0";

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> HttpResponse {
        let mut answer = HttpResponse::new(status.try_into().unwrap(), body.into());
        for (name, value) in headers {
            answer.headers_mut().insert(*name, *value);
        }
        answer
    }

    #[test]
    fn wrong_content_type_is_found_in_any_case_of_letters() {
        let says = |operation, kind| wrong_content_type(operation, &answer(200, &[("content-type", kind)], ""));
        for kind in [OURS, "Application/JSON", "APPLICATION/X-AMZ-JSON-1.0; charset=utf-8"] {
            assert_eq!(says(Operation::TagResource, kind), None, "{kind}");
        }
        let kind = http::HeaderValue::from_bytes(b"\xff").unwrap();
        let binary = http::Response::builder().header("content-type", kind).body("".into()).unwrap();
        let binary = wrong_content_type(Operation::TagResource, &binary.try_into().unwrap());
        assert!(binary.is_some(), "a content type that is no text is not JSON");
        let page = says(Operation::TagResource, "text/html; charset=utf-8").unwrap();
        assert_eq!(page, "the answer is text/html and not JSON; a proxy may have answered in place of App Runner");
        let sts = says(Operation::GetCallerIdentity, "text/html").unwrap();
        assert_eq!(sts, "the answer is text/html and not XML; a proxy may have answered in place of STS");
        assert_eq!(says(Operation::GetCallerIdentity, "Text/XML"), None);
        assert_eq!(
            wrong_content_type(Operation::TagResource, &answer(200, &[], "")),
            None,
            "an answer without a content type may be right"
        );
    }

    #[test]
    fn unreadable_answer_has_a_text_for_its_cause() {
        let delete = Operation::DeleteVpcConnector;
        let kind = ("content-type", OURS);
        for (operation, answer, says) in [
            (delete, answer(200, &[("content-type", "text/html")], "<html>"), "the answer is text/html and not JSON"),
            (delete, answer(200, &[kind], "{"), "the answer is no valid JSON"),
            (delete, answer(200, &[kind], ""), "the answer is empty"),
            (delete, answer(200, &[kind, ("content-encoding", "gzip")], "x"), "the answer is compressed with gzip"),
            (Operation::GetCallerIdentity, answer(200, &[("content-type", "text/xml")], "<"), "is no valid XML"),
        ] {
            assert!(unreadable(operation, &answer).contains(says), "{says}");
        }
    }

    #[test]
    fn error_answer_without_a_code_has_a_text_for_its_cause() {
        let text = |answer| without_a_code(Operation::DescribeService, &answer);
        let redirect = answer(302, &[("location", "https://login.example/x?state=secret#y")], "");
        assert!(text(redirect).starts_with("the answer is a redirect to https://login.example/x; a proxy may"));
        assert!(text(answer(502, &[("content-type", "text/html")], "")).starts_with("the answer is text/html and not"));
        assert!(text(answer(502, &[], "")).starts_with("the answer has no error code of AWS's"));
        assert!(text(answer(200, &[("location", "https://x")], "")).starts_with("the answer has no error code"));
    }

    #[test]
    fn root_cause_of_a_failure_has_a_plain_text() {
        let io = |kind, words: &'static str| root(&io::Error::new(kind, words));
        assert_eq!(root(&io::Error::from_raw_os_error(111)), "connection refused");
        assert_eq!(root(&io::Error::from_raw_os_error(113)), "there is no network route to it");
        assert_eq!(root(&io::Error::from_raw_os_error(13)), "Permission denied");
        for (words, plain) in [
            ("failed to lookup address information: Name or service not known", "its name cannot be resolved"),
            ("invalid peer certificate: UnknownIssuer", "in AWS_CA_BUNDLE or SSL_CERT_FILE"),
            ("invalid peer certificate: certificate expired: verification time 17 (UNIX)", "it has expired"),
            ("HTTP connect timeout occurred after 3s", "no answer in time"),
            ("failed to apply `Request { headers: {\"authorization\": \"secret\"} }`", "an unknown failure"),
            ("something else", "something else"),
        ] {
            let text = io(ErrorKind::InvalidData, words);
            assert!(text.ends_with(plain) && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn sources_without_credentials_are_listed_without_internals_of_the_sdk() {
        let attempted = "no credentials found in chain. Attempted:\n  \
            Environment: the credential provider was not enabled: environment variable not set\n  \
            Profile: the credential provider was not enabled\n";
        for (error, expected) in [
            (CredentialsError::not_loaded(attempted), "not in Environment (environment variable not set), Profile"),
            (CredentialsError::not_loaded_no_source(), "no source has credentials"),
            (
                CredentialsError::invalid_configuration("could not parse profile file"),
                "the credentials are configured wrongly: the profile file cannot be parsed",
            ),
            (
                CredentialsError::provider_error(io::Error::from_raw_os_error(2)),
                "the credentials could not be read: there is no such file",
            ),
            (
                CredentialsError::provider_error("Non-success status from HTTP credential provider: StatusCode(403)"),
                "the credentials could not be read: the answer has HTTP status 403",
            ),
        ] {
            assert_eq!(no_credentials(&error, None), expected);
        }
    }
}
