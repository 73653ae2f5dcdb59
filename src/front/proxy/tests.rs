//! The pass-through, against a real upstream on loopback.

use super::*;
use crate::front::testing::World;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// A body fed by hand.
struct Fed(mpsc::UnboundedReceiver<Bytes>);

impl http_body::Body for Fed {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

type Seen = Arc<Mutex<Vec<(String, HeaderMap)>>>;

/// Sends each request's body back as it comes; switches protocols to an echo of bytes when asked.
async fn echo(
    seen: Seen,
    mut request: Request<Incoming>,
) -> Result<Response<BoxBody<Bytes, hyper::Error>>, Infallible> {
    let target = request.uri().to_string();
    seen.lock().unwrap().push((target, request.headers().clone()));
    let empty = || Full::default().map_err(|e| match e {}).boxed();
    if request.headers().contains_key("upgrade") {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgrade.await.unwrap());
            let mut bytes = [0; 4];
            io.read_exact(&mut bytes).await.unwrap();
            io.write_all(&bytes).await.unwrap();
        });
        let response = Response::builder().status(101).header("upgrade", "echo").header("connection", "upgrade");
        return Ok(response.body(empty()).unwrap());
    }
    let response = Response::builder()
        .status(201)
        .header("x-mine", "yes")
        .header("keep-alive", "timeout=5")
        .header("connection", "x-secret")
        .header("x-secret", "hop");
    Ok(response.body(request.into_body().boxed()).unwrap())
}

async fn upstream() -> (Upstream, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string().parse().unwrap();
    let seen = Seen::default();
    let shared = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&shared);
            let service = service_fn(move |request| echo(Arc::clone(&seen), request));
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(stream), service).with_upgrades());
        }
    });
    (Upstream::new(authority, "/base".into()), seen)
}

async fn world() -> (World, Seen) {
    let (upstream, seen) = upstream().await;
    let mut world = World::new();
    world.upstream = Some(upstream);
    (world, seen)
}

#[tokio::test]
async fn bodies_stream_both_ways_unbuffered() {
    let (world, _) = world().await;
    let (feed, fed) = mpsc::unbounded_channel();
    let request = Request::post("/v1/chat/completions").body(Body::new(Fed(fed))).unwrap();
    let response = world.answer(request).await;
    assert_eq!(response.status(), 201);
    let mut body = response.into_body();
    // Each part comes back before the next is sent: nothing waits for the whole.
    for part in ["one", "two"] {
        feed.send(part.into()).unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), part);
    }
    drop(feed);
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn headers_cross_but_for_those_of_the_hop() {
    let (world, seen) = world().await;
    let request = Request::post("/anything?q=1")
        .header("host", "public.example")
        .header("connection", "close, x-drop")
        .header("x-drop", "1")
        .header("te", "trailers")
        .header("expect", "100-continue")
        .header("x-forwarded-for", "10.0.0.1")
        .header("traceparent", "00-a-b-01")
        .header("authorization", "Bearer k")
        .header("x-request-id", "id-1")
        .extension(ConnectInfo::<SocketAddr>("127.0.0.9:5".parse().unwrap()))
        .body(Body::from("x"))
        .unwrap();
    let answer = world.send(request).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-mine"), answer.text().as_str()), (201, "yes", "x"));
    for gone in ["keep-alive", "x-secret", "connection"] {
        assert!(!answer.headers.contains_key(gone), "{gone}");
    }
    let (target, headers) = seen.lock().unwrap()[0].clone();
    assert_eq!(target, "/base/anything?q=1");
    for (name, value) in [
        ("x-forwarded-for", "10.0.0.1, 127.0.0.9"),
        ("x-forwarded-host", "public.example"),
        ("x-forwarded-proto", "http"),
        ("traceparent", "00-a-b-01"),
        ("authorization", "Bearer k"),
        ("x-request-id", "id-1"),
    ] {
        assert_eq!(headers.get(name).unwrap(), value, "{name}");
    }
    assert!(headers.get("host").unwrap().to_str().unwrap().starts_with("127.0.0.1:"));
    for gone in ["connection", "x-drop", "te", "expect"] {
        assert!(!headers.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn no_limit_of_ours_touches_what_passes() {
    let (mut world, _) = world().await;
    world.limits.max_body_bytes = Some(10);
    *world.echo.refuse_room.lock().unwrap() = Some(Error::new(Reason::Overloaded, "full"));
    let request = Request::put("/files").header("content-type", "text/plain").header("content-encoding", "br");
    let answer = world.send(request.body(Body::from(vec![b'x'; 1 << 20])).unwrap()).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (201, 1 << 20));
}

#[tokio::test]
async fn our_paths_stay_ours() {
    let (world, seen) = world().await;
    world.get("/v1/embeddings").await.refusal(405, "invalid_request");
    world.get("/v2/models/nobody").await.refusal(404, "unknown_model");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_upstream_that_is_away_is_502_in_the_protocols_shape() {
    let mut world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let authority = listener.local_addr().unwrap().to_string().parse().unwrap();
    drop(listener);
    world.upstream = Some(Upstream::new(authority, String::new()));
    world.get("/v1/completions").await.refusal(502, "upstream_failed");
    let answer = world.get("/other").await;
    assert_eq!(answer.refusal(502, "upstream_failed"), "the upstream could not be reached");
}

#[tokio::test]
async fn a_broken_request_body_is_the_clients_fault() {
    struct Broken;
    impl http_body::Body for Broken {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
            Poll::Ready(Some(Err(std::io::Error::other("broken"))))
        }
    }
    let (world, _) = world().await;
    let request = Request::post("/x").body(Body::new(Broken)).unwrap();
    world.send(request).await.refusal(400, "invalid_request");
}

/// Runs on a clock that jumps: no time limit of HTTP applies to the pipe.
#[tokio::test(start_paused = true)]
async fn upgrades_become_a_pipe() {
    let (world, _) = world().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(world.front().serve(listener, std::future::pending()));
    let mut client = TcpStream::connect(address).await.unwrap();
    let request = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: echo\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    client.write_all(b"pi").await.unwrap();
    tokio::time::sleep(Duration::from_secs(300)).await;
    client.write_all(b"ng").await.unwrap();
    let mut back = [0; 4];
    client.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"ping");
}

#[tokio::test]
async fn cookies_in_fields_of_their_own_become_one() {
    let (world, seen) = world().await;
    let request =
        Request::get("/page").header("cookie", "a=1").header("cookie", "b=2").header("x-a", "1").header("x-a", "2");
    let answer = world.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.status, 201);
    let (_, headers) = seen.lock().unwrap().pop().unwrap();
    let all = |name: &str| headers.get_all(name).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!((all("cookie"), all("x-a")), (vec!["a=1; b=2".to_owned()], vec!["1".to_owned(), "2".to_owned()]));
}
