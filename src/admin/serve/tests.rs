//! The listener against those who mean it no good.

use super::connections::CONNECTIONS;
use super::*;
use crate::trace::Recorder;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;

const PROBE: &[u8] = b"GET /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

struct Plane {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
    recorder: Arc<Recorder>,
}

async fn plane() -> Plane {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let admin = super::super::tests::admin(vec![]);
    let recorder = Arc::clone(admin.handle.recorder());
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(admin.serve(listener, async { drop(stopped.await) }));
    Plane { address, stop, served, recorder }
}

impl Plane {
    /// A connection on which this was said.
    async fn say(&self, text: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text).await.unwrap();
        stream
    }

    /// All that is answered to this before the connection ends.
    async fn answer(&self, text: &[u8]) -> String {
        rest(self.say(text).await).await
    }
}

/// What still comes; a connection that is reset has said all.
async fn rest(mut stream: TcpStream) -> String {
    let mut said = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = stream.read(&mut chunk).await {
        said.extend_from_slice(&chunk[..n]);
    }
    String::from_utf8(said).unwrap()
}

#[tokio::test]
async fn connections_beyond_the_limit_close_the_oldest_and_never_keep_a_probe_out() {
    let plane = plane().await;
    let mut held = VecDeque::new();
    for _ in 0..CONNECTIONS + 5 {
        // Half a head.
        held.push_back(plane.say(b"GET /metrics HT").await);
    }
    assert!(plane.answer(PROBE).await.starts_with("HTTP/1.1 200 "));
    for _ in 0..6 {
        assert_eq!(rest(held.pop_front().unwrap()).await, "");
    }
    let mut young = held.pop_back().unwrap();
    young.write_all(b"TP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
    assert!(rest(young).await.contains("inferneo_build_info"));
}

#[tokio::test]
async fn those_at_work_and_those_just_answered_outlive_those_that_wait() {
    let plane = plane().await;
    let recording = plane.say(b"POST /trace HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    while !plane.recorder.is_recording() {
        tokio::task::yield_now().await;
    }
    let mut asking = plane.say(b"").await;
    let mut waiting = VecDeque::new();
    for _ in 0..CONNECTIONS - 3 {
        waiting.push_back(plane.say(b"").await);
    }
    // Once this is answered, all of them have been taken in, and its own has a place.
    assert!(plane.answer(PROBE).await.starts_with("HTTP/1.1 200 "));
    asking.write_all(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    asking.read_exact(&mut [0; 12]).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS - 3 {
        held.push(plane.say(b"").await);
    }
    // All but one of those that wait have made room.
    for _ in 0..CONNECTIONS - 4 {
        assert_eq!(rest(waiting.pop_front().unwrap()).await, "");
    }
    asking.write_all(PROBE).await.unwrap();
    assert!(rest(asking).await.contains("HTTP/1.1 200 "));
    for _ in 0..2 * CONNECTIONS {
        held.push(plane.say(b"").await);
    }
    assert_eq!(rest(held.swap_remove(0)).await, "");
    plane.recorder.close();
    assert!(rest(recording).await.contains("\"truncated\":false"));
}

#[tokio::test]
async fn bodies_are_short() {
    let plane = plane().await;
    let length = BODY_BYTES + 1;
    // Refused by what it says of itself, before a byte of it has come.
    let declared = format!("PUT /readyz HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let answer = plane.answer(declared.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains(r#""reason":"too_large""#), "{answer}");
    let mut chunked = b"PUT /readyz HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    chunked.extend(format!("{length:x}\r\n").bytes());
    chunked.extend(vec![b'x'; length]);
    let answer = plane.answer(&chunked).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    let allowed =
        format!("PUT /readyz HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
    let answer = plane.answer(&[allowed.as_bytes(), &vec![b'x'; BODY_BYTES]].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 405 "), "{answer}");
}

#[tokio::test]
async fn heads_are_short_and_http_1() {
    let plane = plane().await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "x".repeat(2 * HEAD_BYTES));
    assert!(!plane.answer(long.as_bytes()).await.starts_with("HTTP/1.1 2"));
    for nonsense in [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], b"\0\0\0\0\r\n\r\n", b"GET\r\n\r\n"] {
        assert!(!plane.answer(nonsense).await.starts_with("HTTP/1.1 2"));
    }
    assert!(plane.answer(PROBE).await.starts_with("HTTP/1.1 200 "));
}

/// On a clock that jumps to the next timer whenever nothing else can happen.
#[tokio::test(start_paused = true)]
async fn slow_clients_are_not_waited_for() {
    let plane = plane().await;
    let answer = plane.answer(b"PUT /readyz HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf").await;
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("within 10 s"), "{answer}");
    for silent in [&b""[..], b"GET /metrics HT"] {
        assert!(!plane.answer(silent).await.starts_with("HTTP/1.1 2"));
    }
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_waits_for_answers() {
    let plane = plane().await;
    let idle = plane.say(b"GET /livez HTTP/1.1\r\nhost: a\r\n\r\n").await;
    let mut asking = plane.say(b"PUT /readyz HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n").await;
    let mut first = [0; 12];
    let mut idle = idle;
    idle.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    // Answered once both heads have been read.
    assert!(plane.answer(PROBE).await.starts_with("HTTP/1.1 200 "));
    plane.stop.send(()).unwrap();
    assert!(rest(idle).await.ends_with("ok\n"));
    assert!(!plane.served.is_finished());
    asking.write_all(b"xx").await.unwrap();
    assert!(rest(asking).await.starts_with("HTTP/1.1 405 "));
    plane.served.await.unwrap();
}
