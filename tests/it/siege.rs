//! The admin plane under siege: what happens there is nothing to those who use the data plane.

use crate::harness::{Settings, model, together, until};
use crate::watch::shown;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[tokio::test]
async fn a_besieged_admin_plane_costs_neither_the_data_plane_nor_the_probes() {
    let server = Settings::new(model("tiny_text", "test/tiny_text", "instances = 1")).start();
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count();
    let before = descriptors();
    let mut held = Vec::new();
    for _ in 0..400 {
        let mut stream = TcpStream::connect(server.admin).await.unwrap();
        // One that is closed already cannot be written to.
        drop(stream.write_all(b"PUT /strategy HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhal").await);
        held.push(stream);
    }
    let admins = [(); 8].map(|()| server.admin());
    let scrapers = admins.map(|admin| async move {
        for _ in 0..50 {
            admin.get("/metrics").await.ok();
        }
    });
    let scraped = tokio::spawn(together(scrapers));
    let client = server.http2();
    for _ in 0..50 {
        client.embed("tiny_text", "red lake").await.ok();
        assert_eq!(server.admin().get("/readyz").await.ok().json()["ready"], true);
    }
    scraped.await.unwrap();
    // 128 connections, and some for the data plane.
    until("connections to be closed", async || descriptors() < before + 160).await;
    for (method, path) in [("POST", "/metrics"), ("DELETE", "/readyz"), ("PUT", "/livez"), ("PATCH", "/metrics")] {
        assert_eq!(server.admin().send(method, path, json!({}).to_string()).await.status, 405, "{method} {path}");
    }
    // The first of hundreds, and one a minute.
    let told = server.log().matches("too many connections").count();
    assert!((1..5).contains(&told), "{}", server.log());
    // Whoever still holds a connection is not waited for.
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!ended.log.contains("panicked") && !ended.log.contains("drain_timeout"), "{}", ended.log);
}

#[tokio::test]
async fn clients_that_hold_every_connection_keep_out_neither_probes_nor_policies() {
    let settings = Settings::new(model("tiny", "test/tiny_text", "instances = 1")).policy("all", "");
    let server = settings.descriptors(160).start();
    let mut held = Vec::new();
    // Far more than there are places for, and no more than wait in the system's queue.
    for _ in 0..120 {
        held.push(TcpStream::connect(server.data).await.unwrap());
    }
    assert_eq!(server.admin().get("/livez").await.status, 200);
    std::fs::write(server.folder().join("policies/all.toml"), "# another\n").unwrap();
    shown(&server, "an edit beside a flood of connections", |seen| seen["generation"] == 2).await;
    assert!(server.log().contains("as many connections as there may be"), "{}", server.log());
    // The one that waits is answered as soon as there is a place.
    let client = server.http1();
    let waiting = tokio::spawn(async move { client.embed("tiny", "red sun").await });
    drop(held);
    waiting.await.unwrap().ok();
}
