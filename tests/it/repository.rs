//! A model is unloaded and loaded while its clients go on asking.

use crate::harness::{Settings, model, together, until};
use serde_json::json;

#[tokio::test]
async fn an_unloaded_model_refuses_and_a_loaded_one_answers_as_before() {
    let models = ["one", "two"].map(|name| model(name, "test/tiny_text", "instances = 1")).concat();
    let server = Settings::new(models).start();
    let client = server.http1();
    let before = client.embed("one", "red sun").await.ok().vectors();
    for _ in 0..3 {
        let ask = |_| {
            let client = server.http2();
            async move { client.embed("one", "green lake").await }
        };
        let (asked, unloaded) =
            tokio::join!(together((0..16).map(ask)), client.post("/v2/repository/models/one/unload", json!({})));
        unloaded.ok();
        // Each was in time or was not; none is lost.
        for answer in asked {
            if answer.status != 200 {
                answer.refusal(503, "not_ready");
            }
        }
        client.embed("one", "red sun").await.refusal(503, "not_ready");
        client.embed("two", "red sun").await.ok();
        assert_eq!(server.admin().get("/readyz").await.status, 200);
        until("the session's end", async || {
            let stats = server.admin().get("/stats").await.ok().json();
            stats["models"]["one"]["state"] == "unloaded" && stats["devices"][0]["workers"] == 1
        })
        .await;
        client.post("/v2/repository/models/one/load", json!({})).await.ok();
        assert_eq!(client.embed("one", "red sun").await.ok().vectors(), before);
    }
    client.post("/v2/repository/models/none/load", json!({})).await.refusal(404, "unknown_model");
}
