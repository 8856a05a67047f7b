//! Verification of Signature Version 4.
//!
//! The code follows AWS's description of the algorithm, so that a client's mistake in signing fails here as it does in
//! AWS. The canonical request contains the received values: the headers that `SignedHeaders` names and the hash of the
//! body.

use axum::http::{HeaderMap, HeaderName, Method, Uri};
use hmac::{Hmac, KeyInit, Mac};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// The reason why a signature is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SignatureError {
    /// The request has no signature.
    Missing,
    /// A part of the signature is missing or cannot be parsed.
    Incomplete(String),
    /// The signature is well formed and wrong.
    Invalid(String),
}

impl SignatureError {
    /// The signature was made with another secret or for another request.
    pub(crate) fn wrong_signature() -> Self {
        let message = "The request signature we calculated does not match the signature you provided. Check your AWS \
                       Secret Access Key and signing method. Consult the service documentation for details.";
        Self::Invalid(message.to_owned())
    }

    /// The signature leaves out a header that it must cover.
    fn unsigned_header(name: &str) -> Self {
        Self::Invalid(format!("'{}' must be a 'SignedHeader' in the AWS Authorization.", excerpt(name)))
    }

    /// The request was signed more than 5 minutes ago, or by a slow clock.
    pub(crate) fn expired(signed_at: &str, now: Timestamp) -> Self {
        let (limit, now) = (format_time(now - MAX_SKEW), format_time(now));
        Self::Invalid(format!("Signature expired: {signed_at} is now earlier than {limit} ({now} - 5 min.)"))
    }
}

/// Formats a time as signatures do.
pub(crate) fn format_time(time: Timestamp) -> String {
    time.strftime(TIME_FORMAT).to_string()
}

/// The signature of a request; all of it is unproven before [`Authorization::verify`].
#[derive(Debug)]
pub(crate) struct Authorization<'a> {
    pub(crate) access_key_id: &'a str,
    pub(crate) region: &'a str,
    date: &'a str,
    service: &'a str,
    terminator: &'a str,
    signed_headers: Vec<&'a str>,
    signature: &'a str,
    time: &'a str,
}

/// The parts of a request that a signature covers.
pub(crate) struct SignedRequest<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl<'a> Authorization<'a> {
    /// Reads the headers `authorization` and `x-amz-date`.
    pub(crate) fn read(headers: &'a HeaderMap) -> Result<Self, SignatureError> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = header("authorization").ok_or(SignatureError::Missing)?;
        let parameters = authorization.strip_prefix(ALGORITHM).ok_or_else(|| {
            SignatureError::Incomplete(format!("Authorization header requires the algorithm {ALGORITHM}."))
        })?;
        let parameter = |name: &str| {
            let mut all = parameters.split(',').filter_map(|pair| pair.trim().split_once('='));
            let found = all.find(|(key, _)| *key == name).map(|(_, value)| value);
            found
                .ok_or_else(|| SignatureError::Incomplete(format!("Authorization header requires '{name}' parameter.")))
        };
        let credential = parameter("Credential")?;
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key_id, date, region, service, terminator] = parts[..] else {
            return Err(SignatureError::Incomplete(
                "Credential must have exactly 5 slash-delimited elements.".to_owned(),
            ));
        };
        let time = header("x-amz-date").ok_or_else(|| {
            SignatureError::Incomplete("Authorization header requires existence of 'X-Amz-Date'.".to_owned())
        })?;
        let signed_headers = parameter("SignedHeaders")?.split(';').collect();
        let signature = parameter("Signature")?;
        Ok(Self { access_key_id, region, date, service, terminator, signed_headers, signature, time })
    }

    /// Checks that the holder of the secret signed this request for this service within the last 5 minutes.
    pub(crate) fn verify(
        &self,
        request: &SignedRequest<'_>,
        secret: &str,
        service: &str,
        now: Timestamp,
    ) -> Result<(), SignatureError> {
        self.check_scope(service)?;
        self.check_time(now)?;
        let canonical = self.canonical_request(request)?;
        let to_sign = self.string_to_sign(&canonical);
        let matches = hex::decode(self.signature).ok().and_then(|signature| {
            let mac = hmac_of(&self.signing_key(secret)?)?.chain_update(to_sign.as_bytes());
            mac.verify_slice(&signature).ok()
        });
        matches.ok_or_else(SignatureError::wrong_signature)
    }

    fn check_scope(&self, service: &str) -> Result<(), SignatureError> {
        if self.service != service {
            return Err(SignatureError::Invalid(format!(
                "Credential should be scoped to correct service: '{service}'."
            )));
        }
        if self.terminator != TERMINATOR {
            return Err(SignatureError::Invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}'."
            )));
        }
        if self.time.get(..8) != Some(self.date) {
            let message = format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{}'.",
                excerpt(self.date),
                excerpt(self.time)
            );
            return Err(SignatureError::Invalid(message));
        }
        Ok(())
    }

    fn check_time(&self, now: Timestamp) -> Result<(), SignatureError> {
        let signed_at = civil::DateTime::strptime(TIME_FORMAT, self.time).and_then(|time| time.to_zoned(TimeZone::UTC));
        let Ok(signed_at) = signed_at.map(|time| time.timestamp()) else {
            let message = "Date must be in ISO-8601 'basic format' (YYYYMMDD'T'HHMMSS'Z').";
            return Err(SignatureError::Incomplete(message.to_owned()));
        };
        let age = now.duration_since(signed_at);
        if age > MAX_SKEW {
            return Err(SignatureError::expired(self.time, now));
        }
        if age < -MAX_SKEW {
            let (limit, now) = (format_time(now + MAX_SKEW), format_time(now));
            let message =
                format!("Signature not yet current: {} is still later than {limit} ({now} + 5 min.)", self.time);
            return Err(SignatureError::Invalid(message));
        }
        Ok(())
    }

    /// The request in the form that is signed.
    pub(crate) fn canonical_request(&self, request: &SignedRequest<'_>) -> Result<Vec<u8>, SignatureError> {
        self.check_signed_headers(request.headers)?;
        let (method, path) = (request.method.as_str(), canonical_path(request.uri.path()));
        let query = canonical_query(request.uri.query().unwrap_or_default());
        let mut canonical = [method, &path, &query, ""].join("\n").into_bytes();
        for name in &self.signed_headers {
            let values: Vec<_> =
                request.headers.get_all(*name).iter().map(|value| normalize_spaces(value.as_bytes())).collect();
            canonical.extend([name.as_bytes(), b":", &values.join(&b','), b"\n"].concat());
        }
        canonical.extend(format!("\n{}\n", self.signed_headers.join(";")).into_bytes());
        canonical.extend(hex::encode(Sha256::digest(request.body)).into_bytes());
        Ok(canonical)
    }

    /// The names are sorted, in lower case, and without repetitions: a header that is named a thousand times would make
    /// the canonical request a thousand times as long.
    fn check_signed_headers(&self, headers: &HeaderMap) -> Result<(), SignatureError> {
        if !self.signed_headers.contains(&"host") {
            return Err(SignatureError::unsigned_header("Host"));
        }
        let is_unsigned = |name: &&str| must_be_signed(name) && !self.signed_headers.contains(name);
        if let Some(name) = headers.keys().map(HeaderName::as_str).find(is_unsigned) {
            return Err(SignatureError::unsigned_header(name));
        }
        let sorted = self.signed_headers.is_sorted_by(|name, next| name < next);
        if sorted && !self.signed_headers.iter().any(|name| name.contains(|c: char| c.is_ascii_uppercase())) {
            return Ok(());
        }
        Err(SignatureError::wrong_signature())
    }

    fn string_to_sign(&self, canonical: &[u8]) -> String {
        let scope = format!("{}/{}/{}/{}", self.date, self.region, self.service, self.terminator);
        format!("{ALGORITHM}\n{}\n{scope}\n{}", self.time, hex::encode(Sha256::digest(canonical)))
    }

    fn signing_key(&self, secret: &str) -> Option<Vec<u8>> {
        let steps = [self.date, self.region, self.service, self.terminator];
        steps.iter().try_fold(format!("AWS4{secret}").into_bytes(), |key, step| {
            Some(hmac_of(&key)?.chain_update(step.as_bytes()).finalize().into_bytes().to_vec())
        })
    }
}

/// Returns true for a header that a signature must cover if the request has it.
///
/// Source: IAM User Guide, "Create a signed AWS API request": the host and all `x-amz-*` headers. The session token is
/// excepted, because the guide lets some services take it unsigned, and a wrong token is rejected anyway.
fn must_be_signed(name: &str) -> bool {
    name.starts_with("x-amz-") && name != "x-amz-security-token"
}

/// The beginning of a value that a message quotes.
fn excerpt(value: &str) -> &str {
    &value[..value.floor_char_boundary(32)]
}

/// Makes the HMAC of a key; it accepts keys of every length, but the constructor's type does not say so.
fn hmac_of(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

/// Trims a header's value and replaces runs of spaces by one space. The value may be no text.
fn normalize_spaces(value: &[u8]) -> Vec<u8> {
    value.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(&b' ')
}

/// Encodes the path a second time, as every service except S3 requires.
fn canonical_path(path: &str) -> String {
    path.split('/').map(|segment| percent_encode(segment.as_bytes())).collect::<Vec<_>>().join("/")
}

/// The pairs of the query, sorted. They are decoded into bytes, which may be no text.
fn canonical_query(query: &str) -> String {
    let encode = |text: &str| percent_encode(&percent_decode_str(text).collect::<Vec<u8>>());
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<(String, String)> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (encode(key), encode(value)))
        .collect();
    pairs.sort();
    pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

fn percent_encode(bytes: &[u8]) -> String {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    bytes
        .iter()
        .map(|byte| if is_unreserved(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
#[path = "sigv4_tests.rs"]
mod tests;
