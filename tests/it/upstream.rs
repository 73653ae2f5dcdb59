//! The pass-through: whatever is not ours goes to the upstream, streamed both ways.

use crate::client::Client;
use crate::harness::{Server, Settings, model};
use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use http::HeaderName;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// An upstream that sends each body back as it comes, and tells in `x-seen` what it was asked.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let echo = async |request: Request| {
        let header = |name: &str| request.headers().get(name).map_or("-", |value| value.to_str().unwrap());
        let hops = [header("x-forwarded-for"), header("keep-alive"), header("x-request-id")].join(" ");
        let seen = format!("{} {} {hops}", request.method(), request.uri());
        Response::builder().status(202).header("x-seen", seen).body(request.into_body()).unwrap()
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(echo)).await });
    address
}

async fn before(upstream: SocketAddr) -> Server {
    Settings::new("").flag("--upstream", format!("http://{upstream}")).start()
}

#[tokio::test]
async fn bodies_stream_through_part_by_part() {
    let server = before(upstream().await).await;
    let mut stream = TcpStream::connect(server.data).await.unwrap();
    let head =
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = String::new();
    // Each part comes back before the next is sent: nothing on the way waits for the whole.
    for part in ["first", "second", "third"] {
        let chunk = format!("{:x}\r\n{part}\r\n", part.len());
        stream.write_all(chunk.as_bytes()).await.unwrap();
        while !seen.contains(part) {
            let mut bytes = [0; 1024];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "closed after {seen:?}");
            seen.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
        }
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    stream.read_to_string(&mut seen).await.unwrap();
    assert!(seen.starts_with("HTTP/1.1 202 ") && seen.ends_with("0\r\n\r\n"), "{seen}");
}

#[tokio::test]
async fn what_crosses_is_the_request_but_for_the_headers_of_the_hop() {
    let server = before(upstream().await).await;
    for client in [server.http1(), server.http2()] {
        let answer = client.with("x-request-id", "r-1").send("PUT", "/any/thing?q=1", "body").await;
        assert_eq!((answer.status.as_u16(), &*answer.text()), (202, "body"));
        assert_eq!(answer.header("x-seen"), "PUT /any/thing?q=1 127.0.0.1 - r-1");
        assert_eq!(answer.headers.get_all(HeaderName::from_static("x-request-id")).iter().count(), 1);
    }
    // No limit of ours touches it.
    let large = vec![b'x'; 20 << 20];
    let answer = server.http1().with("content-type", "text/plain").send("POST", "/upload", large.clone()).await;
    assert!(answer.status == 202 && answer.body == large);
}

#[tokio::test]
async fn our_own_paths_stay_here_and_an_upstream_that_is_gone_is_502() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Settings::new(model("int_ops", "test/int_ops", "instances = 1"));
    let server = server.flag("--upstream", format!("http://{closed}")).start();
    let body = json!({"inputs": [crate::client::input("x", "INT64", &[1], json!([4]))]});
    let ours = async |client: &Client| client.infer("int_ops", body.clone()).await.ok().output("y").1;
    let client = server.http1();
    assert_eq!(ours(&client).await, json!([8]));
    client.get("/elsewhere").await.refusal(502, "upstream_failed");
    client.get("/v1/elsewhere").await.refusal(502, "upstream_failed");
    assert_eq!(ours(&client).await, json!([8]));
}

/// An upstream that answers the first request of each connection, and ends the connection as the second arrives; it tells
/// in its answer which connection it was.
async fn forgetful() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 1.. {
            let Ok((mut stream, _)) = listener.accept().await else { return };
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 << 10];
                let count = stream.read(&mut bytes).await.unwrap();
                assert!(count > 0);
                let body = number.to_string();
                let head: String = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
                // The next request's first bytes, or the end.
                let more = stream.read(&mut bytes).await;
                assert!(more.is_ok(), "{more:?}");
            });
        }
    });
    address
}

#[tokio::test]
async fn what_may_be_sent_twice_survives_a_connection_that_the_upstream_has_ended() {
    let server = before(forgetful().await).await;
    let client = server.http1();
    for method in ["GET", "GET", "DELETE", "GET", "OPTIONS"] {
        let answer = client.send(method, "/page", "").await;
        assert_eq!(answer.status, 200, "{method}: {}", answer.text());
    }
    // What has a body may have been done already.
    let posted = [client.send("POST", "/order", "1").await, client.send("POST", "/order", "2").await];
    assert!(posted.iter().any(|answer| answer.status == 502), "{posted:?}");
    let refused = posted.iter().find(|answer| answer.status == 502).unwrap();
    assert!(refused.text().contains("ended the connection before it answered"), "{}", refused.text());
}

#[tokio::test]
async fn a_head_that_cannot_be_taken_is_answered() {
    let server = before(upstream().await).await;
    let many: String = (0..150).map(|i| format!("x-h{i}: v\r\n")).collect();
    let long = format!("/{}", "a".repeat(70_000));
    for (head, status) in [
        (format!("GET /v2/health/live HTTP/1.1\r\nhost: x\r\n{many}\r\n"), "431"),
        (format!("GET {long} HTTP/1.1\r\nhost: x\r\n\r\n"), "414 431"),
        ("GET / HTTP/1.1\r\nhost x\r\n\r\n".to_owned(), "400"),
        ("G\u{e4}T / HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/9.9\r\nhost: x\r\n\r\n".to_owned(), "400"),
    ] {
        for port in [server.data, server.admin] {
            let mut stream = TcpStream::connect(port).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            let mut seen = Vec::new();
            // What was not read of a long head resets the connection behind the answer.
            drop(stream.read_to_end(&mut seen).await);
            let seen = String::from_utf8_lossy(&seen).into_owned();
            let (answered, body) = seen.split_once("\r\n\r\n").unwrap_or_default();
            let code = answered.get(9..12).unwrap_or_default();
            assert!(!code.is_empty() && status.contains(code), "{head:.40}: {seen:?}");
            let reason = if code == "400" { "invalid_request" } else { "too_large" };
            assert!(answered.contains(&format!("x-inferneo-reason: {reason}")), "{head:.40}: {seen:?}");
            let body: Value = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {head:.40}: {seen:?}"));
            assert_eq!(body["reason"], reason, "{seen:?}");
        }
    }
}
