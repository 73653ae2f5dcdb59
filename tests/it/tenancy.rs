//! Tenants through the whole program: what each may send, and who goes next when all wait.
//!
//! Who goes next is read off `/decisions`. Rows pile up under a policy that never fills its batch; a change of the
//! whole folder at once then lets all of them go under the policies to be tested, whatever the machine's speed.

use crate::client::{Answer, Client};
use crate::harness::{Server, Settings, folder, model, together, until};
use inferneo::clock;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;
use tokio::task::JoinHandle;

/// Rows wait for ever.
const PILE: &str = "strategy = 'fixed_size'\n[batch]\nmax_batch_size = 2000\nmax_queue_delay = '1h'\n";

fn tiny() -> Settings {
    Settings::new(model("tiny", "test/tiny_text", "instances = 1"))
}

/// A server where rows pile up.
struct Pile {
    server: Server,
    dir: TempDir,
    /// Rows sent so far.
    rows: usize,
    answers: Vec<JoinHandle<Answer>>,
}

/// One batch that ran.
#[derive(Debug)]
struct Ran {
    policy: String,
    rows: u64,
    tenants: Vec<String>,
    requests: Vec<String>,
}

impl Pile {
    fn start(settings: Settings) -> Self {
        let dir = folder();
        write(&dir.path().join("piling"), &[("all", PILE)]);
        symlink("piling", dir.path().join("policies")).unwrap();
        let server = settings.flag("--policies", dir.path().join("policies").display()).start();
        Self { server, dir, rows: 0, answers: Vec::new() }
    }

    /// Has a client send so many rows, and waits until they wait.
    async fn wait(&mut self, client: Client, rows: usize) {
        self.rows += rows;
        self.answers.push(tokio::spawn(async move { client.embed("tiny", vec!["red sun"; rows]).await }));
        until("rows that wait", async || {
            self.server.metrics().await.sum("inferneo_queue_rows", &[]) == self.rows as f64
        })
        .await;
    }

    /// Puts other policies in place, all at once; answers the batches in their order once every row has run.
    async fn release(self, policies: &[(&str, &str)]) -> Vec<Ran> {
        write(&self.dir.path().join("running"), policies);
        symlink("running", self.dir.path().join("next")).unwrap();
        fs::rename(self.dir.path().join("next"), self.dir.path().join("policies")).unwrap();
        for answer in self.answers {
            answer.await.unwrap().ok();
        }
        let words = |list: &Value| list.as_array().unwrap().iter().map(|word| word.as_str().unwrap().into()).collect();
        let decisions = self.server.admin().get("/decisions?n=1000").await.ok().json();
        let ran = decisions.as_array().unwrap().iter().map(|batch| Ran {
            policy: batch["policy"].as_str().unwrap().to_owned(),
            rows: batch["rows"].as_u64().unwrap(),
            tenants: words(&batch["tenants"]),
            requests: words(&batch["requests"]),
        });
        let ran: Vec<Ran> = ran.collect();
        assert_eq!(ran.iter().map(|batch| batch.rows).sum::<u64>(), self.rows as u64);
        ran
    }
}

fn write(folder: &Path, policies: &[(&str, &str)]) {
    fs::create_dir(folder).unwrap();
    policies.iter().for_each(|(name, text)| fs::write(folder.join(format!("{name}.toml")), text).unwrap());
}

/// How many of these batches are of a tenant.
fn of_tenant(ran: &[Ran], tenant: &str) -> usize {
    ran.iter().filter(|batch| batch.tenants == [tenant]).count()
}

/// A policy of a tenant whose batches hold so many rows.
fn policy(tenants: &str, rows: usize, weight: &str) -> String {
    format!(
        "strategy = 'fixed_size'\n[match]\ntenants = [{tenants}]\n[batch]\nmax_batch_size = {rows}\n\
         [tenancy]\nweight = {weight}\n"
    )
}

#[tokio::test]
async fn who_waits_is_served_by_weight() {
    let mut pile = Pile::start(tiny());
    for tenant in ["light", "heavy"] {
        pile.wait(pile.server.http2().tenant(tenant), 240).await;
    }
    let (light, heavy) = (policy("'light'", 4, "1.0"), policy("'heavy'", 4, "3.0"));
    let ran = pile.release(&[("light", &light), ("heavy", &heavy)]).await;
    // The heavy one is done after eighty batches, of which twenty were the other's.
    let heavy = of_tenant(&ran[..60], "heavy");
    assert!((40..=50).contains(&heavy), "{heavy} of the first 60 batches");
    assert_eq!(of_tenant(&ran[..60], "light"), 60 - heavy);
}

#[tokio::test]
async fn a_flood_of_bulk_work_does_not_keep_people_waiting() {
    let mut pile = Pile::start(tiny());
    pile.wait(pile.server.http2().tenant("indexer"), 600).await;
    pile.wait(pile.server.http1().tenant("web"), 8).await;
    let bulk = "strategy = 'throughput_optimized'\n[match]\ntenants = ['indexer']\n[batch]\nmax_batch_size = 16\n";
    let quick = "strategy = 'latency_optimized'\n[match]\ntenants = ['web']\n[tenancy]\nweight = 4.0\n";
    let ran = pile.release(&[("bulk", bulk), ("interactive", quick)]).await;
    let last = ran.iter().rposition(|batch| batch.policy == "interactive").unwrap();
    let between = ran[..last].iter().filter(|batch| batch.policy == "bulk").count();
    let quick = ran.iter().filter(|batch| batch.policy == "interactive").count();
    assert!(between <= quick + 1, "{between} bulk batches before the last of {quick} interactive ones");
    assert!(ran.len() > 30, "all of the bulk had to run too: {}", ran.len());
    assert!(ran.iter().all(|batch| batch.tenants.len() == 1), "lanes never share a batch");
}

#[tokio::test]
async fn tenants_that_nobody_names_are_as_one() {
    let mut pile = Pile::start(tiny());
    for tenant in ["made-up-1", "made-up-2", "made-up-3", "", "acme"] {
        let client = pile.server.http2();
        pile.wait(if tenant.is_empty() { client } else { client.tenant(tenant) }, 40).await;
    }
    let all = policy("'acme', '*'", 1, "1.0").replace("fixed_size", "coalescing");
    let ran = pile.release(&[("all", &all)]).await;
    let acme = of_tenant(&ran[..60], "acme");
    assert!((25..=35).contains(&acme), "{acme} of the first 60 rows");
}

#[tokio::test]
async fn a_key_gives_its_tenant_an_account() {
    // Of `alpha`, `beta` and `gamma`; the first two stand for one tenant.
    let keys = [
        ("8ed3f6ad685b959ead7022518e1af76cd816f8e8ec7ccdda1ed4018e8f2223f8", "acme"),
        ("f44e64e75f3948e9f73f8dfa94721c4ce8cbb4f265c4790c702b2d41cfbf2753", "acme"),
        ("be9d587defa1f0c09ef49eb17e206983a5f8f8289e4281860bd0ee5a19592c67", "bulk"),
    ];
    let dir = folder();
    let file = dir.path().join("keys.toml");
    let text = keys.map(|(sha256, tenant)| format!("[[key]]\nsha256 = '{sha256}'\ntenant = '{tenant}'\n"));
    fs::write(&file, text.concat()).unwrap();
    let mut pile = Pile::start(tiny().flag("--keys-file", file.display()));
    for (key, rows) in [("gamma", 200), ("alpha", 20), ("beta", 20)] {
        pile.wait(pile.server.http2().key(key), rows).await;
    }
    let ran = pile.release(&[("all", "strategy = 'coalescing'\n[batch]\nmax_batch_size = 1\n")]).await;
    let acme = of_tenant(&ran[..60], "acme");
    assert!((25..=35).contains(&acme), "{acme} of the first 60 rows");
    assert_eq!(of_tenant(&ran[..100], "acme"), 40);
}

#[tokio::test]
async fn urgent_levels_go_first_whoever_asks() {
    let mut pile = Pile::start(tiny());
    // From the header and, of the fourth, from v2's parameter.
    for (id, tenant, level) in [("last", "a", "3"), ("middle", "b", "0"), ("first", "a", "1")] {
        let client = pile.server.http2().tenant(tenant).with("x-request-id", id).with("x-inferneo-priority", level);
        pile.wait(client, 10).await;
    }
    let client = pile.server.http1().tenant("b").with("x-request-id", "v2");
    let body = json!({
        "inputs": [crate::client::input("text", "BYTES", &[5], json!(["red sun", "red sun", "red sun", "red sun", "red sun"]))],
        "parameters": {"priority": 1},
    });
    pile.answers.push(tokio::spawn(async move { client.infer("tiny", body).await }));
    pile.rows += 5;
    let rows = pile.rows as f64;
    let server = &pile.server;
    until("rows that wait", async || server.metrics().await.sum("inferneo_queue_rows", &[]) == rows).await;
    // With this target a level is a minute: nothing rises while the machine is slow.
    let text = format!("{}[slo]\ntarget = '60s'\n", policy("'a', 'b'", 1, "1.0").replace("fixed_size", "coalescing"));
    let ran = pile.release(&[("all", &text)]).await;
    let ids: Vec<&str> = ran.iter().map(|batch| &*batch.requests[0]).collect();
    let (urgent, rest) = ids.split_at(15);
    assert!(urgent.iter().all(|id| ["first", "v2"].contains(id)), "{ids:?}");
    assert!(rest.iter().eq(["middle"; 10].iter().chain(&["last"; 10])), "{ids:?}");
}

#[tokio::test]
async fn a_rate_limit_is_the_tenants_own() {
    let limited = "[match]\ntenants = ['acme', 'other']\n[tenancy]\nrate_limit = '5/s'\n";
    let server = tiny().policy("limited", limited).start();
    let acme = [server.http1(), server.http2()].map(|client| client.tenant("acme"));
    // More than it may ever send at once is not worth another try, and costs it nothing.
    acme[0].embed("tiny", vec!["sun"; 6]).await.refusal(413, "too_large");
    acme[1].infer_texts("tiny", &["sun"; 6]).await.refusal(413, "too_large");
    let started = clock::now();
    let ask = |i: usize| {
        let client = acme[i % 2].clone();
        async move { if i < 20 { client.embed("tiny", "sun").await } else { client.infer_texts("tiny", &["sun"]).await } }
    };
    let (mut answered, mut refused) = (0, 0);
    for answer in together((0..40).map(ask)).await {
        match answer.status.as_u16() {
            200 => answered += 1,
            _ => {
                assert!(answer.refusal(429, "rate_limited").contains("tenancy.rate_limit"));
                assert_eq!(answer.header("retry-after"), "1");
                refused += 1;
            }
        }
    }
    let seconds = clock::now().since(started).as_secs_f64();
    assert!(answered >= 5 && f64::from(answered) <= 5.0 + 5.0 * seconds, "{answered} answered in {seconds} s");
    // Nobody else pays, neither under the same file nor under another.
    server.http1().tenant("other").embed("tiny", vec!["sun"; 5]).await.ok();
    server.http1().embed("tiny", vec!["sun"; 40]).await.ok();
    until("room again", async || acme[0].embed("tiny", "sun").await.status == 200).await;
    let metrics = server.metrics().await;
    let counted = metrics.sum("inferneo_requests_total", &[("tenant", "acme"), ("outcome", "rate_limited")]);
    assert!(counted >= f64::from(refused), "{counted} of {refused}");
}

#[tokio::test]
async fn a_cap_on_waiting_rows_is_the_tenants_own() {
    let capped = "[match]\ntenants = ['acme', 'other']\n[tenancy]\nmax_waiting_rows = 4\n";
    let server = tiny().policy("capped", &format!("{PILE}{capped}")).start();
    let waits = |tenant: &str, rows: usize| {
        let client = server.http2().tenant(tenant);
        tokio::spawn(async move { client.embed("tiny", vec!["sun"; rows]).await })
    };
    let waiting = async |rows: f64| server.metrics().await.sum("inferneo_queue_rows", &[]) == rows;
    let held = [waits("acme", 3)];
    until("three rows", async || waiting(3.0).await).await;
    let acme = server.http1().tenant("acme");
    assert!(acme.embed("tiny", vec!["sun"; 2]).await.refusal(429, "rate_limited").contains("max_waiting_rows"));
    acme.infer_texts("tiny", &["sun"; 2]).await.refusal(429, "rate_limited");
    acme.embed("tiny", vec!["sun"; 5]).await.refusal(413, "too_large");
    acme.infer_texts("tiny", &["sun"; 5]).await.refusal(413, "too_large");
    let more = [waits("acme", 1), waits("other", 4)];
    until("all that may wait", async || waiting(8.0).await).await;
    acme.embed("tiny", "sun").await.refusal(429, "rate_limited");
    // Who goes away makes room.
    held.iter().for_each(JoinHandle::abort);
    until("room", async || waiting(5.0).await).await;
    let again = waits("acme", 3);
    until("rows in their place", async || waiting(8.0).await).await;
    more.iter().chain([&again]).for_each(JoinHandle::abort);
}
