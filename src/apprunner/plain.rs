//! Says in plain words why there is no usable answer, where AWS itself said nothing.
//!
//! The SDK's errors name its parts and print whole requests; what helps is their root: no connection, a certificate, a
//! page of a proxy's. AWS's own words are passed on elsewhere, as they are.

use std::error::Error;
use std::io::{self, ErrorKind};

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_apprunner::config::http::HttpResponse;
use aws_sdk_apprunner::error::ProvideErrorMetadata;
use aws_sdk_sts::operation::assume_role::AssumeRoleError;
use aws_sdk_sts::operation::assume_role_with_web_identity::AssumeRoleWithWebIdentityError;

use crate::core::outcome::Operation;
use crate::core::words;

/// How the SDK says that one source of credentials has none.
const NOT_ENABLED: &str = "the credential provider was not enabled";
/// How rustls begins to say that a certificate is not trusted.
const BAD_CERTIFICATE: &str = "invalid peer certificate";
/// How an error of the operating system's ends.
const OS_CODE: &str = " (os error ";

/// An error and its causes, the outermost first.
pub(super) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&e| e.source())
}

/// Only a failure to connect proves that nothing was sent.
pub(super) fn never_connected(error: &(dyn Error + 'static)) -> bool {
    chain(error)
        .filter_map(|e| e.downcast_ref::<hyper_util::client::legacy::Error>())
        .any(hyper_util::client::legacy::Error::is_connect)
}

/// Whether there is no connection because the certificate on the other end is not trusted.
pub(super) fn untrusted(error: &(dyn Error + 'static)) -> bool {
    never_connected(error) && words::says(&last(error), BAD_CERTIFICATE)
}

/// Why there is no connection to a host.
pub(super) fn no_connection(error: &(dyn Error + 'static), host: &str) -> String {
    format!("cannot connect to {host}: {}", root(error))
}

/// What stands in the way of an answer whose head says that all is well, if that can be told from the head.
pub(super) fn in_the_way(operation: Operation, answer: &HttpResponse) -> Option<String> {
    let kind = answer.headers().get("content-type")?;
    let (expected, service) = match operation {
        Operation::GetCallerIdentity => ("XML", "STS"),
        _ => ("JSON", "App Runner"),
    };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let strange = !words::says(kind, expected);
    strange.then(|| format!("the answer is {kind} and not {expected}; a proxy may have answered in place of {service}"))
}

/// Why an answer that says that all is well can't be read.
pub(super) fn unreadable(operation: Operation, answer: &HttpResponse) -> String {
    if let Some(why) = in_the_way(operation, answer) {
        return why;
    }
    match (answer.headers().get("content-encoding"), answer.body().bytes(), operation) {
        (_, None, _) => "the connection broke before the whole answer had come".to_owned(),
        (Some(packed), ..) => format!("the answer is packed with {packed}, which nobody asked for"),
        (_, Some([]), _) => "the answer is empty".to_owned(),
        (.., Operation::GetCallerIdentity) => "the answer is no valid XML".to_owned(),
        _ => "the answer is no valid JSON".to_owned(),
    }
}

/// What an error answer is that has no code of AWS's.
pub(super) fn without_a_code(operation: Operation, answer: &HttpResponse) -> String {
    let location = answer.headers().get("location").filter(|_| answer.status().as_u16() / 100 == 3);
    // What follows the path may be a secret.
    let address = location.map(|location| location.split(['?', '#']).next().unwrap_or_default());
    match address {
        Some(address) => format!("the answer is a redirect to {address}; a proxy may have answered in place of AWS"),
        None => in_the_way(operation, answer)
            .unwrap_or_else(|| "the answer has no error code of AWS's; a proxy may have answered in its place".into()),
    }
}

/// Why there are no credentials, for whoever uses this profile.
pub(super) fn no_credentials(error: &CredentialsError, profile: Option<&str>) -> String {
    let refused = |name: &str, code: Option<&str>, message: Option<&str>| {
        let said: Vec<_> = [code, message].into_iter().flatten().collect();
        format!("{name} failed: {}", said.join(": "))
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
        return no_connection(error, "where the credentials come from");
    }
    if let Some(sign_in) = sign_in(error, profile) {
        return sign_in;
    }
    match error {
        CredentialsError::CredentialsNotLoaded(_) => tried(&last(error)),
        CredentialsError::ProviderTimedOut(_) => "where the credentials come from, nobody answered in time".to_owned(),
        CredentialsError::InvalidConfiguration(_) => {
            format!("the credentials are configured wrongly: {}", root(error))
        }
        _ => format!("the credentials could not be read: {}", root(error)),
    }
}

/// What to do where a person must sign in first: the SDK only says what it made of a file.
fn sign_in(error: &CredentialsError, profile: Option<&str>) -> Option<String> {
    let said = |phrase: &str| chain(error).any(|cause| words::says(&cause.to_string(), phrase));
    let (what, command) = SIGN_IN
        .iter()
        .find(|(_, _, phrases)| phrases.iter().any(|phrase| said(phrase)))
        .map(|(what, command, _)| (what, command))?;
    let option = profile.filter(|name| *name != "default").map(|name| format!(" --profile {name}")).unwrap_or_default();
    Some(format!("the {what} has expired, or there is none; run: {command}{option}"))
}

/// Sessions of people: what each is, the command that begins it, and how the SDK says that it is over or missing.
const SIGN_IN: [(&str, &str, &[&str]); 2] = [
    ("IAM Identity Center session", "aws sso login", &["SSO token", "sso/cache", "UnauthorizedException"]),
    ("login session", "aws login", &["Login token", "login/cache"]),
];

/// The sources that were asked in vain, each with its reason.
fn tried(said: &str) -> String {
    let sources = said.lines().skip(1).map(|line| {
        let line = line.trim().replace(NOT_ENABLED, "");
        let (source, why) = line.split_once(':').unwrap_or((&line, ""));
        let why = why.trim_matches([':', ' ']);
        if why.is_empty() { source.to_owned() } else { format!("{source} ({why})") }
    });
    let sources: Vec<_> = sources.filter(|source| !source.is_empty()).collect();
    if sources.is_empty() { "no source has any".to_owned() } else { format!("not in {}", sources.join(", ")) }
}

fn last(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

/// The root of an error, without what the SDK says about itself.
pub(super) fn root(error: &(dyn Error + 'static)) -> String {
    let kind = chain(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).map(io::Error::kind).last();
    let text = last(error);
    match kind {
        Some(ErrorKind::ConnectionRefused) => return "connection refused".to_owned(),
        Some(ErrorKind::ConnectionReset) => return "connection reset".to_owned(),
        Some(ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) => return "there is no way there".to_owned(),
        Some(ErrorKind::NotFound) => return "there is no such file".to_owned(),
        _ => {}
    }
    if words::says(&text, "Non-success status") {
        let status: String = text.chars().filter(char::is_ascii_digit).collect();
        return format!("the answer has HTTP status {status}");
    }
    let known = PLAIN.iter().find(|(phrase, _)| words::says(&text, phrase));
    match known {
        Some((_, plain)) => (*plain).to_owned(),
        // Only a rendering for developers has braces, and it may hold a whole request.
        None if text.contains('{') => "a failure that has no name".to_owned(),
        None => text.split(OS_CODE).next().unwrap_or_default().to_owned(),
    }
}

/// What libraries say of the root of a failure, and what it means; the first that fits counts.
const PLAIN: [(&str, &str); 11] = [
    ("failed to lookup address", "its name cannot be resolved"),
    ("connect timeout", "no answer in time"),
    // Their words hold the time, which would make every attempt another message.
    ("certificate expired", "its certificate is not trusted: it has expired"),
    ("certificate not valid yet", "its certificate is not trusted: it is not valid yet, or the clock here is slow"),
    ("certificate not valid for name", "its certificate is not trusted: it is another name's"),
    (
        "UnknownIssuer",
        "its certificate is not trusted: nobody here knows who issued it; if that is right, name a file with the \
         certificate of that authority in AWS_CA_BUNDLE or SSL_CERT_FILE",
    ),
    ("CaUsedAsEndEntity", "its certificate is not trusted: it is that of an authority, and not of a server"),
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
    fn an_answer_of_another_kind_is_told_by_its_head_in_any_case() {
        let says = |operation, kind| in_the_way(operation, &answer(200, &[("content-type", kind)], ""));
        for kind in [OURS, "Application/JSON", "APPLICATION/X-AMZ-JSON-1.0; charset=utf-8"] {
            assert_eq!(says(Operation::TagResource, kind), None, "{kind}");
        }
        let page = says(Operation::TagResource, "text/html; charset=utf-8").unwrap();
        assert_eq!(page, "the answer is text/html and not JSON; a proxy may have answered in place of App Runner");
        let sts = says(Operation::GetCallerIdentity, "text/html").unwrap();
        assert_eq!(sts, "the answer is text/html and not XML; a proxy may have answered in place of STS");
        assert_eq!(says(Operation::GetCallerIdentity, "Text/XML"), None);
        assert_eq!(in_the_way(Operation::TagResource, &answer(200, &[], "")), None, "what does not say may be one");
    }

    #[test]
    fn why_an_answer_cannot_be_read() {
        let delete = Operation::DeleteVpcConnector;
        let kind = ("content-type", OURS);
        for (operation, answer, says) in [
            (delete, answer(200, &[("content-type", "text/html")], "<html>"), "the answer is text/html and not JSON"),
            (delete, answer(200, &[kind], "{"), "the answer is no valid JSON"),
            (delete, answer(200, &[kind], ""), "the answer is empty"),
            (delete, answer(200, &[kind, ("content-encoding", "gzip")], "x"), "the answer is packed with gzip"),
            (Operation::GetCallerIdentity, answer(200, &[("content-type", "text/xml")], "<"), "is no valid XML"),
        ] {
            assert!(unreadable(operation, &answer).contains(says), "{says}");
        }
    }

    #[test]
    fn what_an_error_is_that_has_no_code() {
        let told = |answer| without_a_code(Operation::DescribeService, &answer);
        let redirect = answer(302, &[("location", "https://login.example/x?state=secret#y")], "");
        assert!(told(redirect).starts_with("the answer is a redirect to https://login.example/x; a proxy may"));
        assert!(told(answer(502, &[("content-type", "text/html")], "")).starts_with("the answer is text/html and not"));
        assert!(told(answer(502, &[], "")).starts_with("the answer has no error code of AWS's"));
        assert!(told(answer(200, &[("location", "https://x")], "")).starts_with("the answer has no error code"));
    }

    #[test]
    fn the_root_of_a_failure_is_told_in_plain_words() {
        let io = |kind, words: &'static str| root(&io::Error::new(kind, words));
        assert_eq!(root(&io::Error::from_raw_os_error(111)), "connection refused");
        assert_eq!(root(&io::Error::from_raw_os_error(113)), "there is no way there");
        assert_eq!(root(&io::Error::from_raw_os_error(13)), "Permission denied");
        for (words, plain) in [
            ("failed to lookup address information: Name or service not known", "its name cannot be resolved"),
            ("invalid peer certificate: UnknownIssuer", "in AWS_CA_BUNDLE or SSL_CERT_FILE"),
            ("invalid peer certificate: certificate expired: verification time 17 (UNIX)", "it has expired"),
            ("HTTP connect timeout occurred after 3s", "no answer in time"),
            ("failed to apply `Request { headers: {\"authorization\": \"secret\"} }`", "a failure that has no name"),
            ("something else", "something else"),
        ] {
            let told = io(ErrorKind::InvalidData, words);
            assert!(told.ends_with(plain) && !told.contains("secret"), "{told}");
        }
    }

    #[test]
    fn what_was_tried_to_get_credentials_is_told_without_the_sdks_own_words() {
        let attempted = "no credentials found in chain. Attempted:\n  \
            Environment: the credential provider was not enabled: environment variable not set\n  \
            Profile: the credential provider was not enabled\n";
        for (error, told) in [
            (CredentialsError::not_loaded(attempted), "not in Environment (environment variable not set), Profile"),
            (CredentialsError::not_loaded_no_source(), "no source has any"),
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
            assert_eq!(no_credentials(&error, None), told);
        }
    }
}
