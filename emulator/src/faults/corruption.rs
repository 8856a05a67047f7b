//! Corruptions of a response on its way to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// A response with its complete body.
pub(crate) type FullResponse = Response<Bytes>;

/// Redirect target for a fault without an address; no name in the top level domain `invalid` exists.
const DEFAULT_LOCATION: &str = "http://elsewhere.invalid/";

/// The login page of a proxy.
const LOGIN_PAGE: &str =
    "<!DOCTYPE html>\n<html><head><title>Sign in</title></head><body><h1>Sign in to go on</h1></body></html>\n";

/// Announces the whole body, sends half of it, and ends the connection.
pub(super) fn half_body(response: FullResponse) -> Response {
    response.map(|whole| {
        let half = whole.slice(..whole.len() / 2);
        Body::new(SlowBody {
            promised: whole.len(),
            step: half.len().max(1),
            left: half,
            pause: Duration::ZERO,
            wait: None,
        })
    })
}

/// Sends the body at a number of bytes a second.
pub(super) fn slow(response: FullResponse, bytes_per_second: u32) -> Response {
    let rate = bytes_per_second.max(1);
    // At most 20 pieces a second.
    let step = rate.div_ceil(20);
    let pause = Duration::from_secs(1) * step / rate;
    let step = usize::try_from(step).unwrap_or(usize::MAX);
    response.map(|whole| Body::new(SlowBody { promised: whole.len(), step, left: whole, pause, wait: None }))
}

/// Cuts off the second half of the body and announces the first half as the whole.
pub(super) fn truncated(response: FullResponse) -> Response {
    response.map(|whole| Body::from(whole.slice(..whole.len() / 2)))
}

/// Removes the body.
pub(super) fn empty_body(response: FullResponse) -> Response {
    response.map(|_| Body::empty())
}

/// Replaces the response by a web page with status 200.
pub(super) fn web_page(_: FullResponse) -> Response {
    let page = Response::new(Body::from(LOGIN_PAGE));
    with_header(page, header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
}

/// Replaces the response by a redirect.
pub(super) fn redirect(response: FullResponse, status: u16, location: Option<&str>) -> Response {
    let mut response = web_page(response);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::FOUND);
    let location = location.and_then(|location| HeaderValue::from_str(location).ok());
    with_header(response, header::LOCATION, location.unwrap_or(HeaderValue::from_static(DEFAULT_LOCATION)))
}

/// Sends the body in gzip format.
pub(super) fn gzip(response: FullResponse) -> Response {
    let response = response.map(|whole| Body::from(gzipped(&whole)));
    with_header(response, header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))
}

fn with_header(mut response: Response, name: HeaderName, value: HeaderValue) -> Response {
    response.headers_mut().insert(name, value);
    response
}

/// Wraps bytes in stored blocks: valid gzip without compression. Source: RFC 1951, RFC 1952.
fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    for block in bytes.chunks(usize::from(u16::MAX)) {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        out.push(0);
        out.extend(length.to_le_bytes());
        out.extend((!length).to_le_bytes());
        out.extend(block);
    }
    // An empty block ends the stream.
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

/// A body that is sent in pieces, with a pause after each. It fails when it has fewer bytes than it announced.
struct SlowBody {
    /// Announced bytes that are not sent yet.
    promised: usize,
    left: Bytes,
    step: usize,
    pause: Duration,
    wait: Option<Pin<Box<Sleep>>>,
}

impl hyper::body::Body for SlowBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(wait) = &mut this.wait {
            std::task::ready!(wait.as_mut().poll(cx));
        }
        if this.left.is_empty() {
            let is_complete = this.promised == 0;
            return Poll::Ready((!is_complete).then(|| Err(io::ErrorKind::ConnectionAborted.into())));
        }
        let piece = this.left.split_to(this.step.min(this.left.len()));
        this.promised -= piece.len();
        // Even a pause of 0 lets hyper send the piece before the connection ends.
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
    fn crc32_matches_the_published_check_value() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }
}
