//! HTTP/1.1 upgrades (WebSocket and the like): after a 101 the two connections are one pipe.

use crate::error::{Error, Reason};
use axum::extract::Request;
use http::{HeaderValue, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

/// The client's half of an upgrade, and the protocol it asks for.
pub(super) type Wanted = (OnUpgrade, HeaderValue);

/// Takes the client's half, if it asks for an upgrade. HTTP/2 has no such thing.
pub(super) fn wanted(request: &mut Request) -> Option<Wanted> {
    if request.version() != Version::HTTP_11 {
        return None;
    }
    let names_upgrade = request
        .headers()
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
    let protocol = request
        .headers()
        .get(header::UPGRADE)
        .cloned()
        .filter(|_| names_upgrade)?;
    // An upgrade to HTTP/2 is ours to ignore: the hop beyond it would not understand the client.
    if protocol.as_bytes().eq_ignore_ascii_case(b"h2c") {
        return None;
    }
    Some((hyper::upgrade::on(request), protocol))
}

/// Joins the two connections when the upstream switched; gives the protocol it switched to.
///
/// # Errors
/// `upstream_failed` when it switched unasked.
pub(super) fn accepted(
    response: &mut Response<Incoming>,
    client: Option<Wanted>,
) -> Result<Option<HeaderValue>, Error> {
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(None);
    }
    let unasked = || Error::new(Reason::UpstreamFailed, "the upstream switched protocols unasked");
    let (client, asked) = client.ok_or_else(unasked)?;
    let protocol = response.headers().get(header::UPGRADE).cloned().unwrap_or(asked);
    let upstream = hyper::upgrade::on(response);
    tokio::spawn(async move {
        let (Ok(client), Ok(upstream)) = tokio::join!(client, upstream) else {
            return;
        };
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        if let Err(error) = copy_bidirectional(&mut client, &mut upstream).await {
            tracing::debug!(%error, "an upgraded connection ended");
        }
    });
    Ok(Some(protocol))
}
