//! Bodies that are too large, too slow, or in another form.

use super::*;
use crate::front::testing::World;
use axum::body::Body;
use http::Request;
use http_body::Frame;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

const PATH: &str = "/v2/models/echo-FP32/infer";
const GOOD: &str = r#"{"inputs":[{"name":"x","datatype":"FP32","shape":[1,1],"data":[1]}]}"#;

/// A body that never ends, or (the client waits for `100 Continue`) must not be read at all.
enum Odd {
    Forbidden,
    Silent,
    Endless,
}

impl HttpBody for Odd {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match *self {
            Self::Forbidden => panic!("the body was read"),
            Self::Silent => Poll::Pending,
            Self::Endless => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b' '; 1000]))))),
        }
    }
}

#[tokio::test]
async fn a_long_body_is_refused_by_its_length_before_it_is_read() {
    let request = Request::post(PATH)
        .header("content-length", "65537")
        .header("expect", "100-continue")
        .body(Body::new(Odd::Forbidden))
        .unwrap();
    World::new().send(request).await.refusal(413, "too_large");
}

#[tokio::test]
async fn overload_is_refused_before_the_body_is_read() {
    let world = World::new();
    *world.echo.refuse_room.lock().unwrap() = Some(Error::new(Reason::Overloaded, "full"));
    let request = Request::post(PATH).header("expect", "100-continue");
    let request = request.body(Body::new(Odd::Forbidden)).unwrap();
    world.send(request).await.refusal(503, "overloaded");
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_off_at_the_bound() {
    let world = World::new();
    let request = Request::post(PATH).body(Body::new(Odd::Endless)).unwrap();
    world.send(request).await.refusal(413, "too_large");
    assert_eq!(world.echo.held.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_408() {
    let mut world = World::new();
    world.limits.body_timeout = Duration::from_millis(1500);
    let request = Request::post(PATH).body(Body::new(Odd::Silent)).unwrap();
    let message = world.send(request).await.refusal(408, "invalid_request");
    assert!(message.contains("1.5 s"), "{message}");
}

#[tokio::test]
async fn room_is_held_until_the_answer_is_written() {
    let world = World::new();
    let request = Request::post(PATH).header("content-length", GOOD.len()).body(Body::from(GOOD)).unwrap();
    let response = world.answer(request).await;
    assert_eq!(world.echo.held.load(Ordering::SeqCst), GOOD.len());
    drop(response);
    assert_eq!(world.echo.held.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn gzip_is_understood_within_the_bound_after_expansion() {
    let world = World::new();
    let gzip = |plain: &[u8]| {
        let body = Body::from(gzip::compress(plain));
        Request::post(PATH).header("content-encoding", "gzip").body(body).unwrap()
    };
    assert_eq!(world.send(gzip(GOOD.as_bytes())).await.status, 200);
    world.send(gzip(&vec![b' '; 70_000])).await.refusal(413, "too_large");
    let bad = Request::post(PATH).header("content-encoding", "gzip").body(Body::from("plain")).unwrap();
    world.send(bad).await.refusal(400, "invalid_request");
}

#[tokio::test]
async fn other_encodings_and_types_are_415() {
    let world = World::new();
    for (name, value) in [
        ("content-encoding", "br"),
        ("content-encoding", "gzip, gzip"),
        ("content-type", "text/plain"),
        ("content-type", "application/x-www-form-urlencoded"),
    ] {
        let request = Request::post(PATH)
            .header(name, value)
            .header("expect", "100-continue")
            .body(Body::new(Odd::Forbidden))
            .unwrap();
        let message = world.send(request).await.refusal(415, "invalid_request");
        assert!(message.contains(name), "{message}");
    }
    for value in ["application/json", "Application/JSON; charset=utf-8", "application/octet-stream"] {
        let request = Request::post(PATH).header("content-type", value).body(Body::from(GOOD)).unwrap();
        assert_eq!(world.send(request).await.status, 200, "{value}");
    }
}
