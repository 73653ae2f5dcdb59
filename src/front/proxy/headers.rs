//! Headers across a hop (RFC 9110, section 7.6.1, and the `x-forwarded-*` custom).

use axum::extract::Request;
use http::{HeaderMap, HeaderName, HeaderValue, header, uri::Authority};
use std::net::IpAddr;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers about one connection, which never cross to the next.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Prepares a request for the upstream; `upgrade` is the protocol to switch to, if any.
pub(super) fn outgoing(request: &mut Request, peer: Option<IpAddr>, upgrade: Option<&HeaderValue>) {
    let host = request.uri().authority().map(Authority::as_str).and_then(|host| HeaderValue::from_str(host).ok());
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    join_cookies(headers);
    // The client is told to continue as soon as its body is wanted; the upstream need not say so.
    headers.remove(header::EXPECT);
    // The client of the next hop writes its own; an HTTP/2 request has it in its target.
    let host = headers.remove(header::HOST).or(host);
    if let Some(host) = host {
        headers.entry(FORWARDED_HOST).or_insert(host);
    }
    headers.entry(FORWARDED_PROTO).or_insert(HeaderValue::from_static("http"));
    if let Some(peer) = peer {
        append_peer(headers, peer);
    }
    switch(headers, upgrade);
}

/// Prepares the upstream's response for the client; `upgrade` is the protocol switched to, if any.
pub(super) fn incoming<B>(response: &mut http::Response<B>, upgrade: Option<&HeaderValue>) {
    let headers = response.headers_mut();
    remove_hop_by_hop(headers);
    headers.remove(header::PROXY_AUTHENTICATE);
    switch(headers, upgrade);
}

fn switch(headers: &mut HeaderMap, upgrade: Option<&HeaderValue>) {
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

/// Over HTTP/2 a client may send each cookie in a field of its own; before they cross to HTTP/1.1 they become one (RFC 9113,
/// section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<&[u8]> = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

fn append_peer(headers: &mut HeaderMap, peer: IpAddr) {
    let before = headers.get_all(FORWARDED_FOR).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    let peer = peer.to_canonical().to_string();
    let whole = if before.is_empty() { peer.into_bytes() } else { [&before, &b", "[..], peer.as_bytes()].concat() };
    if let Ok(value) = HeaderValue::from_bytes(&whole) {
        headers.insert(FORWARDED_FOR, value);
    }
}
