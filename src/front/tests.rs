//! The listener, over real sockets on loopback.

use super::testing::World;
use crate::error::{Error, Reason};
use axum::body::Body;
use bytes::Bytes;
use http::header::CONNECTION;
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const BODY: &str = r#"{"model":"embed","input":"w1"}"#;

struct Served {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    done: JoinHandle<()>,
}

async fn serve(world: &World) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let done = tokio::spawn(world.front().serve(listener, async {
        drop(stopped.await);
    }));
    Served { address, stop, done }
}

fn client(http2: bool) -> Client<HttpConnector, Body> {
    Client::builder(TokioExecutor::new()).http2_only(http2).build_http()
}

fn embed(address: SocketAddr) -> Request<Body> {
    Request::post(format!("http://{address}/v1/embeddings")).body(Body::from(BODY)).unwrap()
}

#[tokio::test]
async fn http1_and_http2_share_the_port() {
    let served = serve(&World::new()).await;
    for (http2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        let response = client(http2).request(embed(served.address)).await.unwrap();
        assert_eq!((response.status(), response.version()), (StatusCode::OK, version));
        let body: Bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(br#"{"object":"list""#));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_its_request() {
    let world = World::new();
    *world.echo.hang.lock().unwrap() = true;
    let served = serve(&world).await;
    for http2 in [false, true] {
        let call = tokio::spawn(client(http2).request(embed(served.address)));
        world.echo.arrived.notified().await;
        call.abort();
        world.echo.cancelled.notified().await;
    }
}

#[tokio::test]
async fn a_drain_ends_an_http1_connection_with_its_next_answer() {
    let world = World::new();
    let served = serve(&world).await;
    let (http1, http2) = (client(false), client(true));
    let closes = async |client: &Client<HttpConnector, Body>| {
        let response = client.request(embed(served.address)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let closes = response.headers().get(CONNECTION).is_some_and(|value| value == "close");
        response.into_body().collect().await.unwrap();
        closes
    };
    assert!(!closes(&http1).await && !closes(&http2).await);
    let mut kept = TcpStream::connect(served.address).await.unwrap();
    world.readiness.drain();
    assert!(closes(&http1).await && !closes(&http2).await);
    kept.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut all = String::new();
    timeout(Duration::from_secs(30), kept.read_to_string(&mut all)).await.unwrap().unwrap();
    assert!(all.starts_with("HTTP/1.1 200") && all.contains("connection: close\r\n"), "{all}");
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_accepts_no_more() {
    let world = World::new();
    *world.echo.hang.lock().unwrap() = true;
    let served = serve(&world).await;
    let call = tokio::spawn(client(false).request(embed(served.address)));
    world.echo.arrived.notified().await;
    // An idle connection as well: it is told to go.
    let mut idle = TcpStream::connect(served.address).await.unwrap();
    idle.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    idle.read_u8().await.unwrap();
    served.stop.send(()).unwrap();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
    assert!(!served.done.is_finished());
    call.abort();
    served.done.await.unwrap();
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let served = serve(&World::new()).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let one = "GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n";
    let last = "GET /v2 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    client.write_all(format!("{one}{one}{last}").as_bytes()).await.unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).await.unwrap();
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3);
    assert!(text.find(r#"{"live":true}"#) < text.find(r#""name":"inferneo""#));
}

#[tokio::test]
async fn a_refusal_reaches_a_client_that_is_still_sending() {
    let world = World::new();
    *world.echo.refuse_room.lock().unwrap() = Some(Error::new(Reason::Overloaded, "full"));
    let served = serve(&world).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let body = vec![b' '; 60_000];
    // Twice on one connection: the rest of the refused body is read beside the answer.
    for last in [false, true] {
        let connection = if last { "close" } else { "keep-alive" };
        let length = body.len();
        let head = format!(
            "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\nconnection: {connection}\r\ncontent-length: {length}\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        let mut answer = vec![0; 12];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 503");
        let mut rest = Vec::new();
        while !rest.ends_with(b"}}") {
            rest.push(client.read_u8().await.unwrap());
        }
        client.write_all(&body).await.unwrap();
    }
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0, "closed, not reset");
}

/// Runs on a clock that jumps to the next timer whenever nothing else can happen.
#[tokio::test(start_paused = true)]
async fn connections_that_send_no_request_are_closed() {
    let mut world = World::new();
    world.limits.header_timeout = Duration::from_secs(10);
    let served = serve(&world).await;
    for start in ["", "P", "PRI * HTTP/2.0", "G", "GET / HTTP/1.1\r\nhost: x\r\n"] {
        let mut client = TcpStream::connect(served.address).await.unwrap();
        client.write_all(start.as_bytes()).await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"", "{start:?}");
    }
}

/// A connection that has had one answer.
async fn answered_once(served: &Served) -> TcpStream {
    let mut client = TcpStream::connect(served.address).await.unwrap();
    client.write_all(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        answer.push(client.read_u8().await.unwrap());
    }
    client
}

/// Whether the server closes the connection within `seconds`, and not a second before.
async fn closes_after(client: &mut TcpStream, seconds: u64) -> bool {
    let stays = timeout(Duration::from_secs(seconds - 1), client.read_u8()).await.is_err();
    let ends = timeout(Duration::from_secs(2), client.read_u8()).await;
    stays && ends.is_ok_and(|read| read.is_err())
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_longer_than_a_head_may_take() {
    let mut world = World::new();
    world.limits.header_timeout = Duration::from_secs(10);
    let served = serve(&world).await;
    let mut fresh = TcpStream::connect(served.address).await.unwrap();
    assert!(closes_after(&mut fresh, 75).await);
    let mut pooled = answered_once(&served).await;
    assert!(closes_after(&mut pooled, 75).await);
    let mut slow = answered_once(&served).await;
    assert!(timeout(Duration::from_secs(60), slow.read_u8()).await.is_err());
    slow.write_all(b"GET / HT").await.unwrap();
    assert!(closes_after(&mut slow, 10).await, "from its first byte a head has the shorter time");
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_no_slow_head() {
    let mut world = World::new();
    world.limits.header_timeout = Duration::from_secs(10);
    world.limits.body_timeout = Duration::from_secs(30);
    let served = serve(&world).await;
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let (start, rest) = BODY.split_at(3);
    let head = format!("POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", BODY.len());
    client.write_all(format!("{head}{start}").as_bytes()).await.unwrap();
    assert!(timeout(Duration::from_secs(20), client.read_u8()).await.is_err());
    client.write_all(rest.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
}

#[tokio::test]
async fn unknown_paths_are_404_in_the_protocols_shape() {
    let world = World::new();
    assert_eq!(world.get("/nothing").await.refusal(404, "not_found"), "there is nothing at /nothing");
    let openai = world.get("/v1/chat/completions").await;
    openai.refusal(404, "not_found");
    assert_eq!(openai.json()["error"]["type"], "invalid_request_error");
    let answer = world.get("/v1/embeddings").await;
    answer.refusal(405, "invalid_request");
    assert_eq!(answer.header("allow"), "POST");
    let answer = world.post("/v1/models", "").await;
    answer.refusal(405, "invalid_request");
    assert_eq!(answer.header("allow"), "GET,HEAD");
}
