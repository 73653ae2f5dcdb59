//! `inferneo doctor --url`: what it says of a running server, and of stand-ins that are at fault.

use crate::harness::{Settings, cached, model, program, until};
use axum::Router;
use axum::response::IntoResponse;
use http::{StatusCode, Uri};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What a doctor said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    lines: Vec<String>,
}

impl Said {
    /// Whether a line begins with `mark` and holds all of `words`.
    fn has(&self, mark: &str, words: &[&str]) -> bool {
        self.lines.iter().any(|line| line.starts_with(mark) && words.iter().all(|word| line.contains(word)))
    }
}

/// Asks a server of the address, on a machine without ONNX Runtime.
async fn doctor(address: SocketAddr, flags: &[&str]) -> Said {
    let mut command = program();
    command.env("INFERNEO_ONNXRUNTIME_LIBRARY", "/no/such/library.so").arg("doctor");
    command.arg("--url").arg(format!("http://{address}")).args(flags);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let lines: Vec<String> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    let marked = |line: &String| ["ok ", "warning ", "failure "].iter().any(|word| line.starts_with(word));
    assert!(lines.iter().all(marked), "{lines:?}");
    Said { code: output.status.code(), lines }
}

#[tokio::test]
async fn every_model_of_a_running_server_infers() {
    let every = fs::read_dir(cached("models/test")).unwrap().map(|entry| entry.unwrap().path());
    let names = every.filter(|path| path.is_dir()).map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let names: Vec<String> = names.collect();
    let models: String = names.iter().map(|name| model(name, &format!("test/{name}"), "instances = 1")).collect();
    let server = Settings::new(models).start();
    let said = doctor(server.data, &["--wait", "1m"]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.has("ok ", &["live at", &server.data.to_string()]) && said.has("ok ", &["ready"]), "{said:#?}");
    assert!(said.has("ok ", &["inferneo", env!("CARGO_PKG_VERSION")]), "{said:#?}");
    for name in &names {
        assert!(said.has("ok ", &[&format!("model {name} infers: ")]), "{name}: {said:#?}");
    }
    assert!(said.has("ok ", &["model tiny_text infers: embedding FP32 [1, 8] in "]), "{said:#?}");
    // Named as `serve` names them, and one that is not there.
    let said = doctor(server.data, &["--model", "affine,x=no/such/identity,y=masked"]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.has("ok ", &["model affine infers"]) && said.has("failure ", &["model x is not known"]), "{said:#?}");
    assert_eq!(said.lines.iter().filter(|line| line.contains(" infers: ")).count(), 1, "{said:#?}");
}

#[tokio::test]
async fn an_unloaded_model_is_a_warning_unless_it_is_named() {
    let models = model("tiny", "test/tiny_text", "instances = 1") + &*model("affine", "test/affine", "instances = 1");
    let server = Settings::new(models).start();
    server.http1().post("/v2/repository/models/affine/unload", json!({})).await.ok();
    let said = doctor(server.data, &[]).await;
    assert_eq!(said.code, Some(0), "{said:#?}");
    assert!(said.has("warning ", &["affine is unloaded", "/v2/repository/models/affine/load"]), "{said:#?}");
    assert!(said.has("ok ", &["model tiny infers"]), "{said:#?}");
    let said = doctor(server.data, &["--model", "affine"]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.has("failure ", &["affine is UNAVAILABLE", "unloaded"]), "{said:#?}");
}

#[tokio::test]
async fn a_server_that_drains_is_a_failure_though_it_infers() {
    let server = Settings::new(format!("drain_delay = \"1h\"\n{}", model("affine", "test/affine", ""))).start();
    server.terminate();
    until("a drain", async || server.http1().get("/v2/health/ready").await.status == 503).await;
    let said = doctor(server.data, &["--wait", "1ms"]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.has("failure ", &["not ready", "503 draining", "/readyz"]), "{said:#?}");
    assert!(said.has("ok ", &["live"]) && said.has("ok ", &["model affine infers"]), "{said:#?}");
}

#[tokio::test]
async fn a_model_that_does_not_answer_is_a_failure_and_the_others_are_asked() {
    let models = model("tiny", "test/tiny_text", "instances = 1") + &*model("affine", "test/affine", "instances = 1");
    let policy = "match.models = [\"affine\"]\nqueue.max_bytes = 1\n";
    let server = Settings::new(models).policy("narrow", policy).start();
    let said = doctor(server.data, &[]).await;
    assert_eq!(said.code, Some(1), "{said:#?}");
    assert!(said.has("failure ", &["model affine does not infer", "413 too_large", "real input"]), "{said:#?}");
    assert!(said.has("ok ", &["model tiny infers"]), "{said:#?}");
}

#[tokio::test]
async fn nobody_there_is_a_failure_that_says_what_to_do() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let said = doctor(closed, &["--wait", "1ms"]).await;
    assert_eq!((said.code, said.lines.len()), (Some(1), 1), "{said:#?}");
    assert!(said.has("failure ", &["cannot reach", &closed.to_string(), "refused", "inferneo serve"]), "{said:#?}");
    // A listener that never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let said = doctor(silent.local_addr().unwrap(), &["--timeout", "50ms"]).await;
    assert!(said.code == Some(1) && said.has("failure ", &["no answer to /v2/health/live within 50ms"]), "{said:#?}");
    // The admin plane is another port.
    let server = Settings::new(model("affine", "test/affine", "instances = 1")).start();
    let said = doctor(server.admin, &[]).await;
    assert!(said.code == Some(1) && said.has("failure ", &["404", "data plane"]), "{said:#?}");
}

#[tokio::test]
async fn a_server_does_not_steer_the_terminal() {
    let body = json!({ "error": "\u{1b}]0;title\u{7}\nok       all is well" });
    let said = doctor(stand_in("READY", (500, "", body)).await, &["--wait", "1m"]).await;
    assert!(said.has("failure ", &[r"\u{1b}]0;title\u{7}\nok "]), "{said:#?}");
    assert!(!said.has("ok ", &["all is well"]), "{said:#?}");
}

#[test]
fn a_reader_that_has_gone_changes_nothing() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = program();
    let output = command.args(["doctor", "--url", &format!("http://{closed}")]).stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), &*String::from_utf8_lossy(&output.stderr)), (Some(1), ""));
}

#[test]
fn flags_of_a_question_are_checked() {
    for (flags, word) in [
        (&["--url", "https://x"][..], "must begin with http://"),
        (&["--url", "http://x", "--timeout", "10"], "for example 500ms"),
        (&["--wait", "1s"], "--url"),
    ] {
        let output = program().arg("doctor").args(flags).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(word), "{flags:?}: {said}");
    }
}

/// A server of the protocol with one model `m`, whose inference is answered `answer`; ready at the third look.
async fn stand_in(state: &'static str, answer: (u16, &'static str, Value)) -> SocketAddr {
    let looks = Arc::new(AtomicUsize::new(0));
    let handler = move |uri: Uri| {
        let (looks, answer) = (looks.clone(), answer.clone());
        async move {
            let output = json!([{ "name": "y", "datatype": "FP32", "shape": [-1, 2] }]);
            let (status, reason, body) = match uri.path() {
                "/v2" => (200, "", json!({ "name": "other", "version": "9" })),
                "/v2/health/live" => (200, "", json!({})),
                "/v2/health/ready" => match looks.fetch_add(1, Ordering::Relaxed) {
                    0 | 1 => (503, "not_ready", json!({ "error": "warming up" })),
                    _ => (200, "", json!({})),
                },
                "/v2/repository/index" => (200, "", json!([{ "name": "m", "state": state, "reason": "not well" }])),
                "/v2/models/m" => (200, "", json!({ "inputs": [], "outputs": output })),
                "/v2/models/m/infer" => answer,
                path => panic!("{path}"),
            };
            (StatusCode::from_u16(status).unwrap(), [("x-inferneo-reason", reason)], body.to_string()).into_response()
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await }));
    address
}

#[tokio::test]
async fn answers_are_judged() {
    let y = |data: Value| json!({ "outputs": [{ "name": "y", "datatype": "FP32", "shape": [1, 2], "data": data }] });
    let waiting = ["--wait", "1m"];
    for (state, answer, code, mark, words) in [
        ("READY", (200, "", y(json!([1, 2]))), 0, "ok ", &["model m infers: y FP32 [1, 2] in "][..]),
        ("READY", (200, "", y(json!([1, null]))), 1, "failure ", &["null is not a finite element of FP32"]),
        ("READY", (200, "", json!("outputs")), 1, "failure ", &["it has no outputs"]),
        (
            "READY",
            (500, "execution_failed", json!({ "error": "Gather" })),
            1,
            "failure ",
            &["500 execution_failed: Gather"],
        ),
        (
            "READY",
            (503, "overloaded", json!({ "error": "full" })),
            0,
            "warning ",
            &["m is busy", "503 overloaded: full"],
        ),
        ("UNAVAILABLE", (200, "", Value::Null), 1, "failure ", &["model m is UNAVAILABLE, not well"]),
    ] {
        let said = doctor(stand_in(state, answer).await, &waiting).await;
        assert!(said.has("ok ", &["other 9"]), "{said:#?}");
        assert!(said.has("ok ", &["ready"]) && said.has(mark, words), "{words:?}: {said:#?}");
        assert_eq!(said.code, Some(code), "{said:#?}");
    }
    let said = doctor(stand_in("READY", (200, "", y(json!([1, 2])))).await, &[]).await;
    assert!(said.code == Some(1) && said.has("failure ", &["not ready", "warming up", "--wait"]), "{said:#?}");
}
