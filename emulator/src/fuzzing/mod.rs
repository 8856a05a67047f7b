//! The body of the fuzz target for requests: for every request and signature, the invariants that hold. Not an API.
//!
//! `cargo fuzz` runs it, see `fuzz/`, and so do the tests: over the committed corpus, and over inputs that proptest
//! derives from it.

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a fuzz target reports what it finds by a panic")]

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};
use jiff::Timestamp;

use crate::AccessKey;
use crate::auth::sigv4::{Authorization, SignatureError, SignedRequest, format_time};
use crate::auth::{self, authenticate};
use crate::http::request::ParsedRequest;

const REGION: &str = "us-east-1";
const SERVICE: &str = "apprunner";
/// The longest error message: it quotes two values of a header.
const MAX_MESSAGE_BYTES: usize = 1024;

/// Reads one or two HTTP requests, separated by a line `---`. A request is a line with the method and the URI, its
/// headers, an empty line, and the body.
///
/// A request with any signature of its own is parsed, and its signature is not accepted. The first request, signed by the
/// SDK's signer, is accepted. With the signature of the first request, the second one is accepted only if it is the
/// same in all that is signed.
pub fn sigv4(data: &[u8]) {
    let separator = b"\n---\n";
    let at = data.windows(separator.len()).position(|part| part == separator);
    let (first, second) = at.map_or((data, None), |at| (&data[..at], Some(&data[at + separator.len()..])));
    let Some(first) = parse(first) else { return };
    let now = Timestamp::constant(1_795_000_000, 0);
    assert_parsed(&first, now);
    let Some(signature) = signed_by_the_sdk(&first, now) else { return };
    if !is_plain(first.uri()) {
        return;
    }
    let accepted = verify(&with_signature(&first, &signature), now);
    assert_eq!(accepted, Ok(()), "the SDK's own signature: {signature:?}");
    let Some(second) = second.and_then(parse) else { return };
    let taken_over = with_signature(&second, &signature);
    if verify(&taken_over, now).is_ok() {
        let names: Vec<_> =
            signature["authorization"].split(['=', ',']).nth(3).into_iter().flat_map(|n| n.split(';')).collect();
        let covered = |request: &Request<Vec<u8>>| covered(request, &names);
        assert_eq!(
            covered(&with_signature(&first, &signature)),
            covered(&taken_over),
            "a signature of another request"
        );
    }
}

fn parse(data: &[u8]) -> Option<Request<Vec<u8>>> {
    let end = data.windows(2).position(|pair| pair == b"\n\n")?;
    let mut lines = data[..end].split(|byte| *byte == b'\n');
    let line = std::str::from_utf8(lines.next()?).ok()?;
    let (method, uri) = line.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let colon = line.windows(2).position(|pair| pair == b": ")?;
        request = request.header(&line[..colon], &line[colon + 2..]);
    }
    let request = request.body(data[end + 2..].to_vec()).ok()?;
    // hyper refuses a request without a path, and the URI of a proxy.
    request.uri().path().starts_with('/').then_some(request).filter(|request| request.uri().authority().is_none())
}

/// A request as it came: whatever its headers contain, errors are short, and no signature is accepted.
fn assert_parsed(request: &Request<Vec<u8>>, now: Timestamp) {
    let (parts, body): (Parts, Vec<u8>) = request.clone().into_parts();
    let parsed = ParsedRequest::new(&parts, &body);
    if let Some(operation) = parsed.operation {
        assert!(parts.method == "POST" && parts.uri.path() == "/" && parsed.name.as_deref() == Some(operation.name()));
    }
    let signed = SignedRequest { method: &parts.method, uri: &parts.uri, headers: &parts.headers, body: &body };
    let authorization = Authorization::read(&parts.headers);
    let mut length = 0;
    if let Ok(authorization) = &authorization {
        length = authorization.canonical_request(&signed).map_or(0, |canonical| canonical.len());
    }
    let headers: usize = parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let received = headers + parts.uri.to_string().len() + body.len();
    assert!(length <= 12 * received + 1000, "{length} bytes are made of {received}");
    let key = AccessKey::default();
    let find = |id: &str| (id == key.id).then(|| auth::Credentials::of_user(key.clone()));
    let refused = authenticate(find, authorization, &signed, SERVICE, now).expect_err("nobody signed it");
    assert!(refused.message.len() <= MAX_MESSAGE_BYTES, "{} bytes", refused.message.len());
}

/// The headers of a signature by the signer of the AWS SDK, if it signs the request.
fn signed_by_the_sdk(request: &Request<Vec<u8>>, now: Timestamp) -> Option<BTreeMap<String, String>> {
    let key = AccessKey::default();
    let identity = Credentials::new(key.id, key.secret, None, None, "fuzzing").into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Double;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = v4::SigningParams::builder().identity(&identity).region(REGION).name(SERVICE);
    let params = params.time(SystemTime::from(now)).settings(settings).build().ok()?.into();
    let host = request.headers().get("host")?.to_str().ok()?;
    // The signer takes the host out of the URL.
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte)).then_some(())?;
    let url = format!("http://{host}{}", request.uri());
    let mut headers = Vec::new();
    for (name, value) in request.headers() {
        if ["authorization", "x-amz-date", "x-amz-security-token"].contains(&name.as_str()) {
            return None;
        }
        headers.push((name.as_str(), value.to_str().ok()?));
    }
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new(request.method().as_str(), url, headers.into_iter(), body).ok()?;
    let (instructions, _) = sign(signable, &params).ok()?.into_parts();
    let headers: BTreeMap<_, _> =
        instructions.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (headers.get("x-amz-date") == Some(&format_time(now))).then_some(headers)
}

/// A query that every client encodes in the same way: UTF-8, and no "+", which some take for a space.
fn is_plain(uri: &Uri) -> bool {
    let query = uri.query().unwrap_or_default();
    !query.contains('+') && query.split('&').all(|pair| String::from_utf8(decoded(pair)).is_ok())
}

/// The request with these headers in place of its own of the same name.
fn with_signature(request: &Request<Vec<u8>>, signature: &BTreeMap<String, String>) -> Request<Vec<u8>> {
    let mut signed = request.clone();
    for (name, value) in signature {
        let (name, value) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value));
        if let (Ok(name), Ok(value)) = (name, value) {
            signed.headers_mut().insert(name, value);
        }
    }
    signed
}

fn verify(request: &Request<Vec<u8>>, now: Timestamp) -> Result<(), SignatureError> {
    let signed = SignedRequest {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        body: request.body(),
    };
    Authorization::read(request.headers())?.verify(&signed, &AccessKey::default().secret, SERVICE, now)
}

/// All that a signature covers, stated a second time: method, path, query, body, and the named headers.
fn covered(request: &Request<Vec<u8>>, names: &[&str]) -> Vec<Vec<u8>> {
    let uri = request.uri();
    let mut query: Vec<_> =
        uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()).map(decoded).collect();
    query.sort();
    let values = names.iter().map(|name| header_value(request.headers(), name));
    let fixed = [request.method().as_str().into(), uri.path().into(), query.concat(), request.body().clone()];
    fixed.into_iter().chain(values).collect()
}

/// The key and the value of a pair of the query, in bytes.
fn decoded(pair: &str) -> Vec<u8> {
    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
    let decoded = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((first, after)) = rest.split_first() {
            let digits = after.get(..2).filter(|digits| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
            let value = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
            bytes.push(value.unwrap_or(*first));
            rest = if value.is_some() { &after[2..] } else { after };
        }
        bytes
    };
    [decoded(key), decoded(value)].join(&b"\0="[..])
}

/// The values of a header, each without the spaces around it and with single spaces in it.
fn header_value(headers: &HeaderMap, name: &str) -> Vec<u8> {
    let single = |value: &HeaderValue| {
        let words = value.as_bytes().split(|byte| *byte == b' ').filter(|word| !word.is_empty());
        words.collect::<Vec<_>>().join(&b' ')
    };
    headers.get_all(name).iter().map(single).collect::<Vec<_>>().join(&b',')
}
