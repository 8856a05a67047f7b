//! Verification of the signatures in AWS's "Signature Version 4 test suite".

use axum::http::{HeaderValue, Request};

use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const TIME: &str = "20150830T123600Z";

/// One case of the suite.
struct Vector {
    method: &'static str,
    uri: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    signed_headers: &'static str,
    signature: &'static str,
}

const GET_VANILLA: Vector = Vector {
    method: "GET",
    uri: "/",
    headers: &[],
    body: "",
    signed_headers: "host;x-amz-date",
    signature: "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
};

const GET_VANILLA_QUERY_ORDER_KEY_CASE: Vector = Vector {
    uri: "/?Param2=value2&Param1=value1",
    signature: "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ..GET_VANILLA
};

const GET_VANILLA_QUERY_ORDER_ENCODED: Vector = Vector {
    uri: "/?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
    signature: "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
    ..GET_VANILLA
};

const GET_HEADER_KEY_DUPLICATE: Vector = Vector {
    headers: &[("my-header1", "value2"), ("my-header1", "value2"), ("my-header1", "value1")],
    signed_headers: "host;my-header1;x-amz-date",
    signature: "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ..GET_VANILLA
};

const GET_HEADER_VALUE_TRIM: Vector = Vector {
    headers: &[("my-header1", " value1"), ("my-header2", " \"a   b   c\"")],
    signed_headers: "host;my-header1;my-header2;x-amz-date",
    signature: "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736",
    ..GET_VANILLA
};

const POST_X_WWW_FORM_URLENCODED: Vector = Vector {
    method: "POST",
    headers: &[
        ("content-type", "application/x-www-form-urlencoded"),
        ("content-length", "13"),
        ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
    ],
    body: "Param1=value1",
    signed_headers: "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
    signature: "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b",
    ..GET_VANILLA
};

impl Vector {
    fn request(&self) -> Request<&'static str> {
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders={}, \
             Signature={}",
            self.signed_headers, self.signature
        );
        let mut request = Request::builder().method(self.method).uri(self.uri).body(self.body).unwrap();
        let fixed = [("host", "example.amazonaws.com"), ("x-amz-date", TIME), ("authorization", &authorization)];
        for (name, value) in fixed.iter().chain(self.headers) {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
        }
        request
    }

    fn verify(&self, secret: &str, service: &str, now: &str) -> Result<(), SignatureError> {
        let request = self.request();
        let signed = SignedRequest {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            body: request.body().as_bytes(),
        };
        Authorization::read(request.headers())?.verify(&signed, secret, service, time(now))
    }
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn accepts_the_published_signatures() {
    for vector in [
        GET_VANILLA,
        GET_VANILLA_QUERY_ORDER_KEY_CASE,
        GET_VANILLA_QUERY_ORDER_ENCODED,
        GET_HEADER_KEY_DUPLICATE,
        GET_HEADER_VALUE_TRIM,
        POST_X_WWW_FORM_URLENCODED,
    ] {
        assert_eq!(vector.verify(SECRET, "service", "2015-08-30T12:36:00Z"), Ok(()), "{}", vector.signature);
    }
}

#[track_caller]
fn assert_invalid(result: Result<(), SignatureError>, part: &str) {
    match result {
        Err(SignatureError::Invalid(message)) => assert!(message.contains(part), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn rejects_a_request_that_differs_from_the_signed_one() {
    let now = "2015-08-30T12:36:00Z";
    for changed in [
        Vector { method: "PUT", ..POST_X_WWW_FORM_URLENCODED },
        Vector { uri: "/other", ..POST_X_WWW_FORM_URLENCODED },
        Vector { uri: "/?a=b", ..POST_X_WWW_FORM_URLENCODED },
        Vector { body: "Param1=value2", ..POST_X_WWW_FORM_URLENCODED },
        Vector { headers: &[], ..GET_HEADER_KEY_DUPLICATE },
        Vector { signature: "00", ..GET_VANILLA },
        Vector { signature: "not hexadecimal", ..GET_VANILLA },
        Vector { signature: "", ..GET_VANILLA },
    ] {
        assert_invalid(changed.verify(SECRET, "service", now), "does not match the signature you provided");
    }
    assert_invalid(GET_VANILLA.verify("wrong", "service", now), "does not match the signature you provided");
    assert_invalid(GET_VANILLA.verify(SECRET, "other", now), "scoped to correct service: 'other'");
    let unsigned_host = Vector { signed_headers: "x-amz-date", ..GET_VANILLA };
    assert_invalid(unsigned_host.verify(SECRET, "service", now), "'Host'");
}

#[test]
fn rejects_an_unsigned_amz_header_except_the_session_token() {
    let now = "2015-08-30T12:36:00Z";
    let with = |headers| Vector { headers, ..GET_VANILLA }.verify(SECRET, "service", now);
    assert_invalid(with(&[("x-amz-target", "A.B")]), "'x-amz-target' must be a 'SignedHeader'");
    assert_invalid(with(&[("my-header1", "a"), ("x-amz-meta", "")]), "'x-amz-meta' must be a 'SignedHeader'");
    assert_eq!(with(&[("x-amz-security-token", "token"), ("x-amzn-trace-id", "Root=1"), ("accept", "*/*")]), Ok(()));
    let unsigned_date = Vector { signed_headers: "host", ..GET_VANILLA };
    assert_invalid(unsigned_date.verify(SECRET, "service", now), "'x-amz-date' must be a 'SignedHeader'");
}

#[test]
fn accepts_a_clock_skew_of_at_most_five_minutes() {
    let at = |now: &str| GET_VANILLA.verify(SECRET, "service", now);
    assert_eq!(at("2015-08-30T12:41:00Z"), Ok(()));
    assert_eq!(at("2015-08-30T12:31:00Z"), Ok(()));
    let late = "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)";
    assert_invalid(at("2015-08-30T12:41:01Z"), late);
    let early =
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)";
    assert_invalid(at("2015-08-30T12:30:59Z"), early);
}

#[test]
fn rejects_a_signature_of_other_bytes_that_are_no_text() {
    let canonical = |uri: &'static str, value: &'static [u8]| {
        let vector = Vector { uri, signed_headers: "host;my-header1;x-amz-date", ..GET_VANILLA };
        let mut request = vector.request();
        request.headers_mut().insert("my-header1", HeaderValue::from_bytes(value).unwrap());
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        let signed = SignedRequest { method, uri, headers, body: b"" };
        Authorization::read(headers).unwrap().canonical_request(&signed).unwrap()
    };
    assert_eq!(canonical("/?a=%C3%BC", b"a  b"), canonical("/?a=%c3%bc", b" a b"));
    assert_ne!(canonical("/?a=%FF", b"a"), canonical("/?a=%FE", b"a"));
    assert_ne!(canonical("/", b"\xff"), canonical("/", b"\xfe"));
}

#[test]
fn rejects_signed_headers_that_are_repeated_unsorted_or_in_upper_case() {
    let now = "2015-08-30T12:36:00Z";
    for signed_headers in ["host;host;x-amz-date", "x-amz-date;host", "Host;host;x-amz-date"] {
        let vector = Vector { signed_headers, ..GET_VANILLA };
        assert_invalid(vector.verify(SECRET, "service", now), "does not match the signature you provided");
    }
}

fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
    all.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
}

#[test]
fn names_the_missing_part_of_an_authorization_header() {
    assert_eq!(Authorization::read(&headers(&[])).unwrap_err(), SignatureError::Missing);
    for (authorization, part) in [
        ("Bearer token", "algorithm"),
        ("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00", "'Credential'"),
        ("AWS4-HMAC-SHA256 Credential=A/1/2/aws4_request, SignedHeaders=host, Signature=00", "5 slash-delimited"),
        ("AWS4-HMAC-SHA256 Credential=A/1/2/3/aws4_request, Signature=00", "'SignedHeaders'"),
        ("AWS4-HMAC-SHA256 Credential=A/1/2/3/aws4_request, SignedHeaders=host", "'Signature'"),
    ] {
        let headers = headers(&[("authorization", authorization), ("x-amz-date", TIME)]);
        match Authorization::read(&headers).unwrap_err() {
            SignatureError::Incomplete(message) => assert!(message.contains(part), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    let dateless = "AWS4-HMAC-SHA256 Credential=A/1/2/3/aws4_request, SignedHeaders=host, Signature=00";
    let headers = headers(&[("authorization", dateless)]);
    let error = Authorization::read(&headers).unwrap_err();
    assert!(matches!(error, SignatureError::Incomplete(message) if message.contains("X-Amz-Date")));
}
