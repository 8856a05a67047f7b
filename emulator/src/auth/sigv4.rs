//! Signature Version 4, from the verifying side.
//!
//! Written from AWS's description of the algorithm, so that a client's mistake in signing shows here as it would there.
//! The canonical request is built from what arrived: the headers that `SignedHeaders` names and the body's real hash.

use std::fmt::Write as _;

use axum::http::{HeaderMap, Method, Uri};
use hmac::{Hmac, KeyInit, Mac};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";
const MAX_SKEW: SignedDuration = SignedDuration::from_mins(5);

/// Why a signature is not accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// There is none.
    Missing,
    /// It is there in part, or cannot be read.
    Incomplete(String),
    /// It is well formed and wrong.
    Invalid(String),
}

impl Problem {
    /// Says that the secret is another, or the request.
    pub(crate) fn wrong_signature() -> Self {
        let message = "The request signature we calculated does not match the signature you provided. Check your AWS \
                       Secret Access Key and signing method. Consult the service documentation for details.";
        Self::Invalid(message.to_owned())
    }

    /// Says that a request was signed too long ago, or by a slow clock.
    pub(crate) fn expired(signed_at: &str, now: Timestamp) -> Self {
        let (limit, now) = (shown(now - MAX_SKEW), shown(now));
        Self::Invalid(format!("Signature expired: {signed_at} is now earlier than {limit} ({now} - 5 min.)"))
    }
}

/// Writes a time as signatures do.
pub(crate) fn shown(time: Timestamp) -> String {
    time.strftime(TIME_FORMAT).to_string()
}

/// What a request says about its signer; nothing of it is proved before [`Claim::verify`].
#[derive(Debug)]
pub(crate) struct Claim<'a> {
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
pub(crate) struct Signed<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
}

impl<'a> Claim<'a> {
    /// Reads the headers `authorization` and `x-amz-date`.
    pub(crate) fn read(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let authorization = header("authorization").ok_or(Problem::Missing)?;
        let parameters = authorization
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| Problem::Incomplete(format!("Authorization header requires the algorithm {ALGORITHM}.")))?;
        let parameter = |name: &str| {
            let mut all = parameters.split(',').filter_map(|pair| pair.trim().split_once('='));
            let found = all.find(|(key, _)| *key == name).map(|(_, value)| value);
            found.ok_or_else(|| Problem::Incomplete(format!("Authorization header requires '{name}' parameter.")))
        };
        let credential = parameter("Credential")?;
        let parts: Vec<&str> = credential.split('/').collect();
        let [access_key_id, date, region, service, terminator] = parts[..] else {
            return Err(Problem::Incomplete("Credential must have exactly 5 slash-delimited elements.".to_owned()));
        };
        let time = header("x-amz-date").ok_or_else(|| {
            Problem::Incomplete("Authorization header requires existence of 'X-Amz-Date'.".to_owned())
        })?;
        let signed_headers = parameter("SignedHeaders")?.split(';').collect();
        let signature = parameter("Signature")?;
        Ok(Self { access_key_id, region, date, service, terminator, signed_headers, signature, time })
    }

    /// Proves that the holder of the secret signed this request for this service, just now.
    pub(crate) fn verify(
        &self,
        request: &Signed<'_>,
        secret: &str,
        service: &str,
        now: Timestamp,
    ) -> Result<(), Problem> {
        self.check_scope(service)?;
        self.check_time(now)?;
        let canonical = self.canonical_request(request)?;
        let to_sign = self.string_to_sign(&canonical);
        let matches = hex::decode(self.signature).ok().and_then(|signature| {
            let mac = keyed(&self.signing_key(secret)?)?.chain_update(to_sign.as_bytes());
            mac.verify_slice(&signature).ok()
        });
        matches.ok_or_else(Problem::wrong_signature)
    }

    fn check_scope(&self, service: &str) -> Result<(), Problem> {
        if self.service != service {
            return Err(Problem::Invalid(format!("Credential should be scoped to correct service: '{service}'.")));
        }
        if self.terminator != TERMINATOR {
            return Err(Problem::Invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}'."
            )));
        }
        if self.time.get(..8) != Some(self.date) {
            let message = format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: \
                 '{}' != '{}'.",
                self.date, self.time
            );
            return Err(Problem::Invalid(message));
        }
        Ok(())
    }

    fn check_time(&self, now: Timestamp) -> Result<(), Problem> {
        let signed_at = civil::DateTime::strptime(TIME_FORMAT, self.time).and_then(|time| time.to_zoned(TimeZone::UTC));
        let Ok(signed_at) = signed_at.map(|time| time.timestamp()) else {
            let message = "Date must be in ISO-8601 'basic format' (YYYYMMDD'T'HHMMSS'Z').";
            return Err(Problem::Incomplete(message.to_owned()));
        };
        let age = now.duration_since(signed_at);
        if age > MAX_SKEW {
            return Err(Problem::expired(self.time, now));
        }
        if age < -MAX_SKEW {
            let (limit, now) = (shown(now + MAX_SKEW), shown(now));
            let message =
                format!("Signature not yet current: {} is still later than {limit} ({now} + 5 min.)", self.time);
            return Err(Problem::Invalid(message));
        }
        Ok(())
    }

    fn canonical_request(&self, request: &Signed<'_>) -> Result<String, Problem> {
        let mut headers = String::new();
        for name in &self.signed_headers {
            let values: Vec<String> =
                request.headers.get_all(*name).iter().map(|value| tidy(value.as_bytes())).collect();
            // Writing into a String cannot fail.
            let _ = writeln!(headers, "{name}:{}", values.join(","));
        }
        if !self.signed_headers.contains(&"host") {
            return Err(Problem::Invalid("'Host' must be a 'SignedHeader' in the AWS Authorization.".to_owned()));
        }
        Ok(format!(
            "{}\n{}\n{}\n{headers}\n{}\n{}",
            request.method,
            canonical_path(request.uri.path()),
            canonical_query(request.uri.query().unwrap_or_default()),
            self.signed_headers.join(";"),
            hex::encode(Sha256::digest(request.body)),
        ))
    }

    fn string_to_sign(&self, canonical: &str) -> String {
        let scope = format!("{}/{}/{}/{}", self.date, self.region, self.service, self.terminator);
        format!("{ALGORITHM}\n{}\n{scope}\n{}", self.time, hex::encode(Sha256::digest(canonical)))
    }

    fn signing_key(&self, secret: &str) -> Option<Vec<u8>> {
        let steps = [self.date, self.region, self.service, self.terminator];
        steps.iter().try_fold(format!("AWS4{secret}").into_bytes(), |key, step| {
            Some(keyed(&key)?.chain_update(step.as_bytes()).finalize().into_bytes().to_vec())
        })
    }
}

/// Any length of key is fine for HMAC; the type only cannot say so.
fn keyed(key: &[u8]) -> Option<Hmac<Sha256>> {
    Hmac::new_from_slice(key).ok()
}

/// Trims a header's value and makes one space of many.
fn tidy(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// Encodes the path once more, as every service but S3 has it.
fn canonical_path(path: &str) -> String {
    path.split('/').map(|segment| encode(segment.as_bytes())).collect::<Vec<_>>().join("/")
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = form_urlencoded::parse(query.replace('+', "%2B").as_bytes())
        .map(|(key, value)| (encode(key.as_bytes()), encode(value.as_bytes())))
        .collect();
    pairs.sort();
    pairs.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join("&")
}

fn encode(bytes: &[u8]) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    bytes.iter().map(|byte| if kept(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
#[path = "sigv4_tests.rs"]
mod tests;
