//! API keys through the whole program: who is let in, as whom, and what a change of the file does.

use crate::client::{Client, input};
use crate::harness::{Server, Settings, folder, model, program, until};
use axum::Router;
use axum::extract::Request;
use serde_json::json;
use std::fs;
use std::process::{Command, Output};
use tempfile::TempDir;
use tokio::net::TcpListener;

/// `printf %s KEY | sha256sum` of three keys, and for whom each stands.
const KEYS: [(&str, &str, &str); 3] = [
    ("alpha", "8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8", "acme"),
    ("beta", "f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753", "acme"),
    ("gamma", "be9d587defa1f0c09ef49eb17e206983a5f8f8289e4281860bd0ee5a19592c67", "bulk"),
];

/// A keys file of these keys.
fn keys(wanted: &[&str]) -> String {
    let listed = KEYS.iter().filter(|(key, ..)| wanted.contains(key));
    listed.map(|(_, sha256, tenant)| format!("[[key]]\nsha256 = \"{sha256}\"\ntenant = \"{tenant}\"\n")).collect()
}

/// A server that asks for keys, and the folder of its `keys.toml`.
fn guarded(settings: Settings, wanted: &[&str]) -> (Server, TempDir) {
    let dir = folder();
    let file = dir.path().join("keys.toml");
    fs::write(&file, keys(wanted)).unwrap();
    (settings.variable("INFERNEO_KEYS_FILE", file.to_str().unwrap()).start(), dir)
}

fn tiny() -> Settings {
    Settings::new(model("tiny", "test/tiny_text", "instances = 1"))
}

/// Every way to ask for an inference.
async fn statuses(client: &Client) -> Vec<u16> {
    let texts = json!({"inputs": [input("text", "BYTES", &[1], json!(["sun"]))]});
    let answers = [client.embed("tiny", "sun").await, client.infer("tiny", texts).await];
    answers.iter().map(|answer| answer.status.as_u16()).collect()
}

async fn run(mut command: Command) -> (Option<i32>, String) {
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let Output { status, stdout, stderr } = output;
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test]
async fn a_key_is_the_tenant_and_without_one_there_is_nothing() {
    let acme = "[match]\ntenants = ['acme']\n";
    let (server, _keys) = guarded(tiny().policy("acme", acme).policy("all", ""), &["alpha", "beta"]);
    for client in [server.http1(), server.http2()] {
        for key in ["alpha", "beta"] {
            // As clients of OpenAI's API say it; the other header is not asked.
            let answer = client.clone().key(key).tenant("bulk").embed("tiny", "sun").await.ok();
            assert_eq!(answer.batch().policy, "acme");
        }
        for stranger in [client.clone(), client.clone().tenant("acme"), client.clone().key("gamma")] {
            for path in ["/v1/models", "/v1/models/tiny", "/v2", "/v2/models/tiny", "/v2/models/tiny/stats"] {
                let answer = stranger.get(path).await;
                answer.refusal(401, "unauthenticated");
                assert_eq!(answer.header("www-authenticate"), "Bearer");
            }
            stranger.post("/v2/repository/models/tiny/unload", json!({})).await.refusal(401, "unauthenticated");
            stranger.post("/v2/models/tiny/infer", json!({})).await.refusal(401, "unauthenticated");
            let answer = stranger.embed("tiny", "sun").await;
            answer.refusal(401, "unauthenticated");
            assert_eq!(answer.json()["error"]["type"], "authentication_error");
        }
        for path in ["/v2/health/live", "/v2/health/ready"] {
            client.get(path).await.ok();
        }
    }
    let counted = server.metrics().await;
    let refused = |tenant| [("outcome", "unauthenticated"), ("tenant", tenant)];
    assert_eq!(counted.sum("inferneo_requests_total", &refused("default")), 12.0);
    assert_eq!(counted.sum("inferneo_requests_total", &refused("acme")), 0.0);
    assert_eq!(counted.sum("inferneo_requests_total", &[("outcome", "ok"), ("tenant", "acme")]), 4.0);
    // The admin plane, whose listener is not for callers, asks for nothing.
    server.admin().get("/stats").await.ok();
}

#[tokio::test]
async fn a_change_of_the_file_holds_at_once_and_a_bad_one_changes_nothing() {
    let (server, dir) = guarded(tiny(), &["alpha"]);
    let file = dir.path().join("keys.toml");
    let (alpha, beta) = (server.http1().key("alpha"), server.http2().key("beta"));
    assert_eq!((statuses(&alpha).await, statuses(&beta).await), (vec![200, 200], vec![401, 401]));
    fs::write(&file, keys(&["alpha", "beta", "gamma"])).unwrap();
    until("a key that is new", async || statuses(&beta).await == [200, 200]).await;
    // A tenant that only a key names has a label of its own, and an account.
    server.http1().key("gamma").embed("tiny", "sun").await.ok();
    assert_eq!(server.metrics().await.sum("inferneo_requests_total", &[("tenant", "bulk")]), 1.0);
    fs::write(&file, "[[key]]\nsha256 = \"sk-very-secret\"\ntenant = \"acme\"\n").unwrap();
    let refused = async || server.metrics().await.sum("inferneo_keys_last_reload_ok", &[]) == 0.0;
    until("a refusal", refused).await;
    assert_eq!((statuses(&alpha).await, statuses(&beta).await), (vec![200, 200], vec![200, 200]));
    // As an editor saves it; one key is gone.
    fs::write(dir.path().join("draft"), keys(&["beta"])).unwrap();
    fs::rename(dir.path().join("draft"), &file).unwrap();
    until("a key that is gone", async || statuses(&alpha).await == [401, 401]).await;
    assert_eq!(statuses(&beta).await, [200, 200]);
    let metrics = server.metrics().await;
    let reloads = |outcome| metrics.sum("inferneo_keys_reloads_total", &[("outcome", outcome)]);
    assert_eq!((reloads("ok"), reloads("failed")), (2.0, 1.0));
    assert_eq!(metrics.sum("inferneo_keys_last_reload_ok", &[]), 1.0);
    let log = server.log();
    assert!(log.contains("keys.toml:2:10: expected a SHA-256: 64 hexadecimal digits"), "{log}");
    for secret in ["alpha", "beta", "gamma", "sk-very-secret"] {
        assert!(!log.contains(secret), "{log}");
    }
}

#[tokio::test]
async fn what_is_passed_to_the_upstream_keeps_its_authorization() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = listener.local_addr().unwrap();
    let tell = async |request: Request| {
        let said = |name| request.headers().get(name).map_or("none", |value| value.to_str().unwrap());
        format!("{} as {}", said("authorization"), said("x-inferneo-tenant"))
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(tell)).await });
    let (server, _keys) = guarded(tiny().flag("--upstream", format!("http://{upstream}")), &["alpha"]);
    let client = server.http1();
    assert_eq!(client.get("/any").await.ok().text(), "none as none");
    let theirs = client.clone().with("authorization", "Basic YTpi").tenant("t");
    assert_eq!(theirs.post("/v1/chat/completions", json!({})).await.ok().text(), "Basic YTpi as t");
    assert_eq!(client.key("alpha").get("/any").await.ok().text(), "Bearer alpha as none");
}

#[tokio::test]
async fn a_keys_file_that_cannot_be_used_is_exit_2_and_never_shown() {
    let dir = folder();
    let file = dir.path().join("keys.toml");
    let start = |file: &str| tiny().flag("--keys-file", file).run();
    let missing = start("no/such/keys.toml").await;
    assert_eq!(missing.code, Some(2));
    assert!(missing.log.contains("no/such/keys.toml: the keys cannot be read"), "{}", missing.log);
    fs::write(&file, format!("{}[[key]]\nsha256 = sk-very-secret\n", keys(&["alpha"]))).unwrap();
    let bad = start(file.to_str().unwrap()).await;
    assert_eq!(bad.code, Some(2));
    assert!(bad.log.contains("keys.toml:5:") && !bad.log.contains("sk-very-secret"), "{}", bad.log);
}

#[tokio::test]
async fn bench_and_doctor_bring_a_key() {
    let (server, _keys) = guarded(tiny(), &["alpha"]);
    let url = format!("http://{}", server.data);
    let command = |arguments: &[&str], key: &str| {
        let mut command = program();
        command.args(arguments).args(["--url", &url]).env("INFERNEO_API_KEY", key);
        command
    };
    let bench = ["bench", "--model", "tiny", "--duration", "200ms", "--warmup", "1ms", "--concurrency", "2"];
    for (key, code) in [("alpha", 0), ("gamma", 1)] {
        let (ended, said) = run(command(&bench, key)).await;
        assert_eq!(ended, Some(code), "{said}");
        assert!(!said.contains("alpha") && !said.contains("gamma"), "{said}");
    }
    // A probe has no key, and says what it can.
    for (key, code, words) in [
        ("alpha", 0, "model tiny infers"),
        ("gamma", 1, "401 unauthenticated: the API key is not known"),
        ("", 0, "the server asks for an API key"),
    ] {
        let (ended, said) = run(command(&["doctor"], key)).await;
        assert_eq!(ended, Some(code), "{said}");
        assert!(said.contains(words) && said.contains("ready"), "{said}");
    }
    let flag = ["doctor", "--api-key", "alpha"];
    let (ended, said) = run(command(&flag, "gamma")).await;
    assert_eq!(ended, Some(0), "the flag goes first: {said}");
}
