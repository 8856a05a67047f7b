//! What happens to an answer on its way back.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// An answer that is whole.
pub(crate) type Whole = Response<Bytes>;

/// Stands where a fault names no address; the top level domain is reserved for names that do not exist.
const NOWHERE: &str = "http://elsewhere.invalid/";

/// As a proxy with a login form would say it.
const PAGE: &str =
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Sign in to go on</h1></body></html>\n";

/// Sends half of the body, then ends the connection.
pub(crate) fn half(answer: Whole) -> Response {
    answer.map(|whole| {
        let half = whole.slice(..whole.len() / 2);
        Body::new(Drip {
            promised: whole.len(),
            step: half.len().max(1),
            left: half,
            pause: Duration::ZERO,
            wait: None,
        })
    })
}

/// Sends the body so many bytes a second.
pub(crate) fn slow(answer: Whole, bytes_per_second: u32) -> Response {
    let rate = bytes_per_second.max(1);
    // Not more often than twenty times a second.
    let step = rate.div_ceil(20);
    let pause = Duration::from_secs(1) * step / rate;
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    answer.map(|whole| Body::new(Drip { promised: whole.len(), step, left: whole, pause, wait: None }))
}

/// Leaves out the second half of the body, as if that were all.
pub(crate) fn truncated(answer: Whole) -> Response {
    answer.map(|whole| Body::from(whole.slice(..whole.len() / 2)))
}

/// Leaves out the body.
pub(crate) fn empty(answer: Whole) -> Response {
    answer.map(|_| Body::empty())
}

/// Puts a web page in the answer's place.
pub(crate) fn page(_: Whole) -> Response {
    with(Response::new(Body::from(PAGE)), header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
}

/// Sends the caller elsewhere.
pub(crate) fn elsewhere(answer: Whole, status: u16, location: Option<&str>) -> Response {
    let mut response = page(answer);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
    let location = location.and_then(|location| HeaderValue::from_str(location).ok());
    with(response, header::LOCATION, location.unwrap_or(HeaderValue::from_static(NOWHERE)))
}

/// Sends the body in gzip's format.
pub(crate) fn gzip(answer: Whole) -> Response {
    let response = answer.map(|whole| Body::from(gzipped(&whole)));
    with(response, header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))
}

fn with(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// Wraps bytes in stored blocks, which save nothing and are gzip all the same. Source: RFC 1951, RFC 1952.
fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for block in bytes.chunks(usize::from(u16::MAX)) {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    // An empty block says that it was the last.
    out.extend([1, 0, 0, 255, 255]);
    out.extend(crc32(bytes).to_le_bytes());
    let length = bytes.len() & 0xffff_ffff;
    out.extend(u32::try_from(length).unwrap_or_default().to_le_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 })
    })
}

/// A body that comes in pieces, and breaks off when it has less than it promised.
struct Drip {
    promised: usize,
    left: Bytes,
    step: usize,
    pause: Duration,
    wait: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for Drip {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(wait) = &mut this.wait {
            std::task::ready!(wait.as_mut().poll(cx));
        }
        if this.left.is_empty() {
            let whole = this.promised == 0;
            return Poll::Ready((!whole).then(|| Err(io::ErrorKind::ConnectionAborted.into())));
        }
        let piece = this.left.split_to(this.step.min(this.left.len()));
        this.promised -= piece.len();
        // The wait also lets the piece go out before the connection breaks.
        this.wait = Some(Box::pin(sleep(this.pause)));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.promised == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised.try_into().unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standard() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
