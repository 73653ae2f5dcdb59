//! What the admin plane shows of policies, and waiting for it.

use crate::harness::Server;
use inferneo::clock;
use serde_json::Value;
use std::time::Duration;
use tokio::time::sleep;

/// Longest wait for a change of any kind.
const PATIENCE: Duration = Duration::from_secs(60);

/// Looks at `/policies` until `condition` holds; answers it, and how long that took.
pub(crate) async fn shown(server: &Server, what: &str, condition: impl Fn(&Value) -> bool) -> (Value, Duration) {
    let admin = server.admin();
    let start = clock::now();
    loop {
        let seen = admin.get("/policies").await.ok().json();
        if condition(&seen) {
            return (seen, clock::now().since(start));
        }
        assert!(clock::now().since(start) < PATIENCE, "no {what}: {seen:#}\n{}", server.log());
        sleep(Duration::from_millis(2)).await;
    }
}

/// `inferneo_policy_reloads_total` by outcome.
pub(crate) async fn reloads(server: &Server) -> (f64, f64) {
    let metrics = server.metrics().await;
    let count = |outcome| metrics.sum("inferneo_policy_reloads_total", &[("outcome", outcome)]);
    (count("ok"), count("failed"))
}
