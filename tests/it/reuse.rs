//! `[reuse] identical`: what is equal is computed once, and answered to all who asked.

use crate::harness::{Server, Settings, model, together};

/// Batches of exactly four rows, which meet however slow the machine is.
const FOUR: &str = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 4\nmax_queue_delay = '1h'\n";

fn start(reuse: &str) -> Server {
    Settings::new(model("tiny", "test/tiny_text", "instances = 1")).policy("all", &format!("{FOUR}{reuse}")).start()
}

async fn reused(server: &Server) -> f64 {
    server.metrics().await.sum("inferneo_reused_rows_total", &[])
}

#[tokio::test]
async fn equal_rows_are_computed_once_and_answered_all() {
    let texts = ["red sun", "green lake", "red sun", "red sun"];
    let (once, each) = (start("[reuse]\nidentical = true\n"), start(""));
    let shared = once.http1().embed("tiny", texts.to_vec()).await.ok();
    let own = each.http1().embed("tiny", texts.to_vec()).await.ok();
    assert_eq!(shared.json()["data"], own.json()["data"]);
    assert!(shared.header("x-inferneo-batch").starts_with("rows=4;"), "they count in full");
    assert_eq!((reused(&once).await, reused(&each).await), (2.0, 0.0));
    assert_eq!(once.metrics().await.sum("inferneo_batch_rows_sum", &[]), 4.0);
}

#[tokio::test]
async fn tenants_share_nothing() {
    let server = start("[reuse]\nidentical = true\n");
    let asked = ["a", "b", "b", "c"].map(|tenant| {
        let client = server.http1().tenant(tenant);
        async move { client.embed("tiny", "red sun").await }
    });
    for answer in together(asked).await {
        assert!(answer.ok().header("x-inferneo-batch").starts_with("rows=4;"));
    }
    assert_eq!(reused(&server).await, 1.0);
}
