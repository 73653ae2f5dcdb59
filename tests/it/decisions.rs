//! `/decisions`: two tenants on two policy files behave by their own strategy, and it can be seen.

use crate::harness::{Server, Settings, model, together, until};
use serde_json::{Value, json};

const HASTY: &str = "strategy = 'latency_optimized'\n[match]\ntenants = ['hasty']";
const PATIENT: &str =
    "strategy = 'throughput_optimized'\n[match]\ntenants = ['patient']\n[batch]\nmax_queue_delay = '400ms'";

fn start() -> Server {
    let models =
        [model("text", "test/tiny_text", "instances = 1"), model("picky", "test/fails_on_negative", "instances = 1")];
    Settings::new(models.concat()).policy("default", "").policy("hasty", HASTY).policy("patient", PATIENT).start()
}

async fn decisions(server: &Server, n: usize) -> Vec<Value> {
    let list = server.admin().get(&format!("/decisions?n={n}")).await.ok().json();
    list.as_array().unwrap().clone()
}

fn of_tenant<'a>(decisions: &'a [Value], tenant: &str) -> Vec<&'a Value> {
    decisions.iter().filter(|d| d["tenants"] == json!([tenant])).collect()
}

#[tokio::test]
async fn two_tenants_behave_by_their_own_strategies() {
    let server = start();
    for tenant in ["hasty", "patient"] {
        let client = server.http1().tenant(tenant).with("x-request-id", "only-one");
        client.embed("text", "sun rain").await.ok();
    }
    let alone = decisions(&server, 10).await;
    let [hasty, patient] = &alone[..] else { panic!("{alone:?}") };
    let queued = |d: &Value| d["queue_ms"].as_f64().unwrap();
    assert_eq!((&hasty["strategy"], &hasty["policy"]), (&json!("latency_optimized"), &json!("hasty")));
    assert_eq!((&hasty["reason"], &hasty["requests"]), (&json!("idle"), &json!(["only-one"])));
    assert_eq!((&patient["strategy"], &patient["reason"]), (&json!("throughput_optimized"), &json!("delay")));
    assert!(queued(patient) >= 400.0 && queued(hasty) < queued(patient), "{hasty} {patient}");
    assert_eq!((&hasty["lengths"], &hasty["padded_length"], &hasty["tokens"]), (&json!([4]), &json!(4), &json!(4)));
    assert_eq!((&hasty["model"], &hasty["device"], &hasty["worker"]), (&json!("text"), &json!("cpu"), &json!(0)));
    assert!(hasty["best_rows"].as_u64().unwrap() >= 1, "{hasty}");
    assert!(hasty["predicted_ms"].as_f64().unwrap() > 0.0 && hasty["compute_ms"].as_f64().unwrap() > 0.0);
    assert!(hasty["at"].as_str().unwrap().ends_with('Z') && hasty["generation"] == 1);

    // Both at once: neither's rows share a batch with the other's, and neither waits by the other's rule.
    let ask = |i: usize| {
        let client = server.http2().tenant(["hasty", "patient"][i % 2]);
        async move { client.embed("text", vec!["sun"; 1 + i % 5].join(" ")).await.ok() }
    };
    together((0..32).map(ask)).await;
    let all = decisions(&server, 1000).await;
    let all = &all[2..];
    assert!(all.is_sorted_by_key(|d| d["batch"].as_u64()), "newest last, on one worker");
    for (tenant, reasons) in [("hasty", ["idle", "full", "best"]), ("patient", ["delay", "full", "best"])] {
        let own = of_tenant(all, tenant);
        assert_eq!(own.iter().map(|d| d["rows"].as_u64().unwrap()).sum::<u64>(), 16, "{tenant}");
        for d in &own {
            assert_eq!((&d["policy"], &d["outcome"]), (&json!(tenant), &json!("ok")));
            assert!(reasons.iter().any(|reason| d["reason"] == *reason), "{d}");
            let lengths: Vec<u64> = d["lengths"].as_array().unwrap().iter().map(|l| l.as_u64().unwrap()).collect();
            assert_eq!(json!(lengths.len()), d["rows"]);
            assert_eq!(
                (json!(lengths.iter().sum::<u64>()), json!(lengths.iter().max())),
                (d["tokens"].clone(), d["padded_length"].clone())
            );
        }
    }
    assert!(of_tenant(all, "patient").len() <= 4, "rows were gathered: {all:?}");
}

#[tokio::test]
async fn failed_batches_are_shown_and_a_bad_count_is_refused() {
    let server = start();
    let body = |x: i64| json!({"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [x]}]});
    server.http1().infer("picky", body(-1)).await.refusal(500, "execution_failed");
    server.http1().infer("picky", body(3)).await.ok();
    until("two decisions", async || decisions(&server, 10).await.len() == 2).await;
    let outcomes: Vec<_> = decisions(&server, 10).await.iter().map(|d| d["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failed", "ok"]);
    assert_eq!(decisions(&server, 1).await[0]["outcome"], "ok");
    let of = async |model: &str| {
        let list = server.admin().get(&format!("/decisions?model={model}&n=20")).await.ok().json();
        list.as_array().unwrap().len()
    };
    assert_eq!((of("picky").await, of("text").await), (2, 0));
    server.http1().embed("text", "sun").await.ok();
    assert_eq!((of("picky").await, of("text").await), (2, 1));
    let answer = server.admin().get("/decisions?model=pick").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["reason"]), (404, &json!("unknown_model")));
    let answer = server.admin().get("/decisions?m=5").await;
    assert_eq!((answer.status.as_u16(), &answer.json()["reason"]), (400, &json!("invalid_request")));
    for query in ["n=0", "n=1001", "n=many", "n="] {
        let answer = server.admin().get(&format!("/decisions?{query}")).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["reason"]), (400, &json!("invalid_request")));
        assert!(answer.json()["error"].as_str().unwrap().starts_with("n: expected a whole number from 1 to 1000"));
    }
}
