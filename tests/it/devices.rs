//! Several devices of one model: parts of the CPU, each with sessions of its own.

use crate::harness::{Settings, model, together};
use serde_json::json;
use std::collections::BTreeSet;

#[tokio::test]
async fn a_model_on_two_devices_uses_both_and_answers_as_on_one() {
    let models = model("both", "test/tiny_text", "device = 'cpu:0,cpu:1'\ninstances = 1")
        + &*model("one", "test/tiny_text", "device = 'cpu'\ninstances = 1");
    let server = Settings::new(models).policy("all", "dynamic_batching = false").start();
    let (client, admin) = (server.http2(), server.admin());
    let ask = |i: usize| {
        let (client, text) = (client.clone(), vec!["sun"; 1 + i % 8].join(" "));
        async move {
            let on = async |name| client.embed(name, text.as_str()).await.ok().vectors().remove(0);
            let (both, one) = (on("both").await, on("one").await);
            assert!(both.iter().zip(&one).all(|(a, b)| (a - b).abs() < 1e-5), "{both:?} is not {one:?}");
        }
    };
    together((0..64).map(ask)).await;

    let decisions = admin.get("/decisions?n=1000&model=both").await.ok().json();
    let decisions = decisions.as_array().unwrap();
    let used: BTreeSet<&str> = decisions.iter().map(|d| d["device"].as_str().unwrap()).collect();
    assert_eq!((decisions.len(), used), (64, BTreeSet::from(["cpu", "cpu:1"])));

    let stats = admin.get("/stats").await.ok().json();
    let fine = json!({"memory_scarce": false, "throttled": false});
    for (device, name, workers) in [(0, "cpu", 2), (1, "cpu:1", 1)] {
        let device = &stats["devices"][device];
        assert_eq!(
            (&device["name"], &device["workers"], &device["ready"]),
            (&json!(name), &json!(workers), &json!(workers))
        );
        assert_eq!(device["condition"], fine);
    }
    assert_eq!(stats["models"]["both"]["cost_model"]["devices"].as_array().unwrap().len(), 2);

    let metrics = server.metrics().await;
    for device in ["cpu", "cpu:1"] {
        let labels = [("model", "both"), ("device", device)];
        assert!(metrics.sum("inferneo_device_busy_seconds_total", &labels) > 0.0, "{device}");
        assert_eq!(metrics.sum("inferneo_device_condition", &[("device", device)]), 0.0);
    }
}

#[tokio::test]
async fn by_default_the_devices_of_a_model_divide_the_cores() {
    let server = Settings::new(model("both", "test/tiny_text", "device = 'cpu:0,cpu:1'")).start();
    let stats = server.admin().get("/stats").await.ok().json();
    let cores = std::thread::available_parallelism().unwrap().get();
    let each = (cores / 2).clamp(1, 4);
    assert_eq!(stats["models"]["both"]["workers"], json!(2 * each));
    for device in 0..2 {
        assert_eq!(stats["devices"][device]["workers"], json!(each));
    }
}
