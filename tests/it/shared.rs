//! One server for every test that needs no settings of its own: MiniLM and the test models, a policy
//! a tenant.
//!
//! Tests do not disturb each other: each keeps to tenants or models of its own wherever it counts
//! rows or batches.

use crate::harness::{Server, Settings, model};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// Test models, served under their own names.
const TEST_MODELS: [&str; 12] = [
    "affine",
    "bytes_echo",
    "fails_on_negative",
    "fixed_batch",
    "fp16_half",
    "identity",
    "int_ops",
    "masked",
    "maskless",
    "tiny_classifier",
    "tiny_text",
    "two_inputs",
];

/// Names under which `tiny_text` is served again, so that each has metrics and a queue of its own.
const OF_THEIR_OWN: [&str; 6] = ["fixed", "coalesced", "throughput", "alone", "budget", "small-queue"];

/// Policies by name. A delay of a minute is as good as for ever: what waits for it is waited for in vain.
const POLICIES: [(&str, &str); 12] = [
    ("adaptive", ""),
    ("mixed", "strategy = 'adaptive'\n[match]\ntenants = ['mixed']"),
    ("alone", "dynamic_batching = false\n[match]\ntenants = ['alone']"),
    (
        "pair",
        "strategy = 'fixed_size'\n[match]\ntenants = ['pair']\n[batch]\nmax_batch_size = 2\nmax_queue_delay = '60s'",
    ),
    (
        "gather",
        "strategy = 'fixed_size'\n[match]\ntenants = ['gather']\n[batch]\nmax_batch_size = 4\nmax_queue_delay = '300ms'",
    ),
    (
        "fixed_size",
        "strategy = 'fixed_size'\n[match]\ntenants = ['fixed_size']\n[batch]\nmax_batch_size = 16\nmax_queue_delay = '60s'",
    ),
    ("coalescing", "strategy = 'coalescing'\n[match]\ntenants = ['coalescing']\n[batch]\nmax_queue_delay = '500ms'"),
    (
        "throughput_optimized",
        "strategy = 'throughput_optimized'\n[match]\ntenants = ['throughput_optimized']\n[batch]\nmax_queue_delay = '500ms'",
    ),
    ("latency_optimized", "strategy = 'latency_optimized'\n[match]\ntenants = ['latency_optimized']"),
    ("budget", "[match]\ntenants = ['budget']\n[batch]\nmax_batch_tokens = 8"),
    (
        "patient",
        "strategy = 'fixed_size'\n[match]\ntenants = ['patient']\n[batch]\nmax_queue_delay = '60s'\n[slo]\non_predicted_miss = 'serve'",
    ),
    (
        "small_queue",
        "strategy = 'fixed_size'\n[match]\nmodels = ['small-queue']\n[batch]\nmax_batch_size = 4\nmax_queue_delay = '60s'\n[queue]\nmax_rows = 4",
    ),
];

/// The server, started by the first who asks.
pub(crate) fn shared() -> &'static Server {
    static SHARED: OnceLock<(Server, Child)> = OnceLock::new();
    &SHARED.get_or_init(start).0
}

fn start() -> (Server, Child) {
    let tiny = |name: &&str| model(name, "test/tiny_text", "instances = 1");
    let models = std::iter::once(model("minilm", "minilm", ""))
        .chain(TEST_MODELS.iter().map(|name| model(name, &format!("test/{name}"), "instances = 1")))
        .chain(OF_THEIR_OWN.iter().map(tiny));
    let settings = Settings::new(models.collect::<String>());
    let server = POLICIES.iter().fold(settings, |settings, (name, text)| settings.policy(name, text)).start();
    let guard = guard(&server);
    (server, guard)
}

/// A static is never dropped, so a shell ends the server: once this process is gone, however it went,
/// the shell's input ends.
fn guard(server: &Server) -> Child {
    let script = "trap '' INT; read -r _; kill -KILL \"$1\"; rm -rf \"$2\"";
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "guard", &server.pid().to_string()]).arg(server.folder());
    shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}
