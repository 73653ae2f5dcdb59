//! A running server as seen from outside: its address, and one kept-alive HTTP/1.1 connection to it.
//!
//! Decides which URLs name a server. Knows neither what is asked of it nor what its answers mean.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::io;
use std::str::FromStr;
use tokio::net::TcpStream;

/// A server's address: `http://host[:port][/prefix]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As a socket wants it: an IPv6 address without its brackets.
    name: String,
    port: u16,
    /// `host:port`, as the `host` header wants it.
    host: HeaderValue,
    prefix: String,
}

impl Target {
    /// The `host` header of a request.
    #[must_use]
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Opens a stream to the server; small writes are sent at once.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.name.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The request target of `path`, below the URL's own prefix.
    ///
    /// # Errors
    /// Where `path` does not fit into a URL.
    pub fn uri(&self, path: &str) -> Result<Uri, http::uri::InvalidUri> {
        format!("{}{path}", self.prefix).parse()
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        let uri: Uri = url.parse().map_err(|error| format!("not a URL: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err("the URL must begin with http://".to_owned());
        }
        // A URI is parsed without its fragment; everything else must be used.
        if uri.query().is_some() || url.contains('#') {
            return Err("the URL must end before any query or fragment".to_owned());
        }
        let authority = uri.authority().filter(|authority| !authority.host().is_empty());
        let authority = authority.ok_or("the URL names no host")?;
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host) {
            None => return Err("the URL must name no user".to_owned()),
            Some("") => 80,
            Some(_) => authority.port_u16().filter(|port| *port != 0).ok_or("the port must be from 1 to 65535")?,
        };
        Ok(Self {
            name: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            host: HeaderValue::from_str(&format!("{host}:{port}")).map_err(|_| format!("not a host: {host:?}"))?,
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.host.as_bytes()))
    }
}

/// A connection, opened when it is first used.
#[derive(Debug)]
pub struct Connection {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Connection {
    /// Builds a connection that is not open yet.
    #[must_use]
    pub fn new(target: Target) -> Self {
        Self { target, sender: None }
    }

    /// Opens it.
    ///
    /// # Errors
    /// Where the server cannot be reached.
    pub async fn open(&mut self) -> io::Result<()> {
        let stream = self.target.connect().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // Ends when the sender is dropped; what breaks it is seen by the request it breaks.
        drop(tokio::spawn(connection));
        self.sender = Some(sender);
        Ok(())
    }

    /// Closes it; the next request opens it again.
    pub fn close(&mut self) {
        self.sender = None;
    }

    /// Whether it has been opened and not closed since; the server may have closed its end.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sender.is_some()
    }

    /// Sends a request and answers the head of the response, on a new connection where the server closed
    /// the last. Dropping the future leaves the connection unusable: [`close`](Self::close) it.
    ///
    /// # Errors
    /// Where the server cannot be reached, or the connection breaks.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> io::Result<Response<Incoming>> {
        if self.sender.as_ref().is_none_or(SendRequest::is_closed) {
            self.open().await?;
        }
        let sender = self.sender.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        sender.ready().await.map_err(io::Error::other)?;
        sender.send_request(request).await.map_err(io::Error::other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_name_a_server() {
        let target: Target = "http://localhost:8080/inference/".parse().unwrap();
        assert_eq!(target.to_string(), "localhost:8080");
        assert_eq!(target.uri("/v2").unwrap(), "/inference/v2");
        let v6: Target = "http://[::1]:81".parse().unwrap();
        assert_eq!((v6.name.as_str(), v6.port, v6.host().as_bytes()), ("::1", 81, b"[::1]:81".as_slice()));
        assert_eq!("http://host".parse::<Target>().unwrap().port, 80);
        for bad in ["https://localhost", "localhost:8080", "http://", "http://h?x=1", "http://h#x", ""] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
        for bad in ["http://h:", "http://h:0", "http://h:65536", "http://u:p@h:80", "http://[::1]:x"] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
