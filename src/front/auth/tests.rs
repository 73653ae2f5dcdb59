//! Who is let in where keys are configured, and as whom.

use crate::front::testing::{Answered, World};
use crate::keys::KeySet;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use http_body::{Body as HttpBody, Frame};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

/// The keys `alpha` of the tenant acme and `beta` of the tenant bulk, by `printf %s KEY | sha256sum`.
const KEYS: &str = r#"
    [[key]]
    sha256 = "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8"
    tenant = "acme"
    [[key]]
    sha256 = "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753"
    tenant = "bulk"
"#;

const EMBED: &str = r#"{"model":"embed","input":"w1"}"#;

async fn ask(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> Answered {
    let body = if path == "/v1/embeddings" { EMBED } else { "" };
    let request = Request::builder().method(method).uri(path);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    world.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_known_key_says_who_asks_whatever_the_header_says() {
    let world = World::new().with_keys(KEYS);
    for (authorization, tenant) in
        [("Bearer alpha", "acme"), ("bearer alpha", "acme"), ("BEARER   beta ", "bulk"), ("Bearer beta", "bulk")]
    {
        // Not even a bad name counts.
        for pretended in ["other", "two words"] {
            let headers = [("authorization", authorization), ("x-inferneo-tenant", pretended)];
            let answer = ask(&world, "POST", "/v1/embeddings", &headers).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(world.echo.asked.lock().unwrap().take().unwrap().tenant, tenant);
        }
    }
}

#[tokio::test]
async fn without_a_known_key_nothing_is_told_or_run() {
    let world = World::new().with_keys(KEYS);
    let routes = [
        ("POST", "/v1/embeddings"),
        ("POST", "/v2/models/embed/infer"),
        ("POST", "/v2/models/embed/versions/1/infer"),
        ("POST", "/v2/models/nobody/infer"),
        ("GET", "/v1/models"),
        ("GET", "/v1/models/embed"),
        ("GET", "/v2"),
        ("GET", "/v2/models/embed"),
        ("GET", "/v2/models/embed/ready"),
        ("GET", "/v2/models/embed/stats"),
        ("POST", "/v2/repository/index"),
        ("POST", "/v2/repository/models/embed/unload"),
    ];
    let many = [("authorization", "Bearer alpha"), ("authorization", "Bearer beta")];
    for (method, path) in routes {
        for headers in [
            &[][..],
            &[("x-inferneo-tenant", "acme")],
            &[("authorization", "Bearer gamma")],
            &[("authorization", "Bearer")],
            &[("authorization", "Bearer ")],
            &[("authorization", "Beareralpha")],
            &[("authorization", "Basic alpha")],
            &[("authorization", "alpha")],
            &[("api-key", "alpha")],
            // A bad header is not worth a word to who is not known.
            &[("authorization", "Bearer gamma"), ("x-inferneo-priority", "high")],
            &many,
        ] {
            let answer = ask(&world, method, path, headers).await;
            let message = answer.refusal(401, "unauthenticated");
            assert_eq!(answer.header("www-authenticate"), "Bearer");
            assert!(!message.contains("gamma"), "{message}");
        }
    }
    assert!(world.echo.asked.lock().unwrap().is_none());
    let answer = ask(&world, "POST", "/v1/embeddings", &[]).await;
    assert_eq!(answer.json()["error"]["type"], "authentication_error");
    let text = String::from_utf8(world.metrics.text().unwrap()).unwrap();
    let counted = r#"inferneo_requests_total{model="embed",outcome="unauthenticated",protocol="v2",tenant="default"}"#;
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn with_a_key_all_is_as_without_keys() {
    let world = World::new().with_keys(KEYS);
    let key = [("authorization", "Bearer alpha")];
    for path in ["/v1/models", "/v1/models/embed", "/v2", "/v2/models/embed", "/v2/models/embed/ready"] {
        assert_eq!(ask(&world, "GET", path, &key).await.status, 200, "{path}");
    }
    ask(&world, "POST", "/v2/models/nobody/infer", &key).await.refusal(404, "unknown_model");
    let urgent = [key[0], ("x-inferneo-priority", "high")];
    ask(&world, "POST", "/v1/embeddings", &urgent).await.refusal(400, "invalid_request");
}

#[tokio::test]
async fn without_keys_a_tenant_that_is_named_twice_is_nobody() {
    let world = World::new();
    let twice = [("x-inferneo-tenant", "acme"), ("x-inferneo-tenant", "bulk")];
    let message = ask(&world, "POST", "/v1/embeddings", &twice).await.refusal(400, "invalid_request");
    assert!(message.contains("x-inferneo-tenant must be given once"), "{message}");
    assert_eq!(ask(&world, "POST", "/v1/embeddings", &twice[..1]).await.status, 200);
}

#[tokio::test]
async fn health_and_paths_that_are_not_ours_are_everybodys() {
    let world = World::new().with_keys(KEYS);
    for path in ["/v2/health/live", "/v2/health/ready"] {
        assert_eq!(ask(&world, "GET", path, &[]).await.status, 200, "{path}");
    }
    ask(&world, "GET", "/nothing", &[]).await.refusal(404, "not_found");
    ask(&world, "GET", "/v1/embeddings", &[]).await.refusal(405, "invalid_request");
}

#[tokio::test]
async fn who_is_not_known_has_no_byte_read_or_reserved() {
    let world = World::new().with_keys(KEYS);
    let request = Request::post("/v1/embeddings").header("expect", "100-continue");
    let request = request.body(Body::new(Forbidden)).unwrap();
    world.send(request).await.refusal(401, "unauthenticated");
    assert_eq!(world.echo.held.load(Ordering::SeqCst), 0);
}

/// A body that must not be read: its client waits for `100 Continue`.
struct Forbidden;

impl HttpBody for Forbidden {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        panic!("the body was read");
    }
}

#[tokio::test]
async fn a_key_that_is_taken_away_is_refused_from_then_on() {
    let world = World::new().with_keys(KEYS);
    let (first, second) = KEYS.split_at(KEYS.rfind("[[key]]").unwrap());
    let (alpha, beta) = ([("authorization", "Bearer alpha")], [("authorization", "Bearer beta")]);
    for (kept, status) in [(first, [200, 401]), (second, [401, 200]), ("", [401, 401]), (KEYS, [200, 200])] {
        world.keys.as_ref().unwrap().replace(KeySet::read("keys.toml", kept).unwrap());
        let seen = [ask(&world, "GET", "/v1/models", &alpha).await, ask(&world, "GET", "/v1/models", &beta).await];
        assert_eq!(seen.map(|answer| answer.status.as_u16()), status);
    }
}
