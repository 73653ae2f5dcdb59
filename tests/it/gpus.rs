//! The real program over a stand-in for NVML, scene by scene: metrics, `/stats`, log; and without NVML.

use crate::exposition::Exposition;
use crate::harness::{Server, Settings, model, program, until};
use inferneo::clock;
use serde_json::{Value, json};
use standin::Standin;
use std::process::Output;
use std::time::Duration;

#[path = "../nvml/standin.rs"]
mod standin;

const UP: &str = "inferneo_gpu_up";

fn settings(standin: &Standin) -> Settings {
    let config =
        format!("[nvml]\nperiod = \"20ms\"\n{}", model("m", "test/identity", "instances = 1\ndevice = \"cpu\""));
    Settings::new(config).flag("--nvml-library", standin.library().display())
}

async fn scrape(server: &Server) -> Exposition {
    Exposition::read(&server.metrics().await.0)
}

async fn gpus(server: &Server) -> Vec<Value> {
    server.admin().get("/stats").await.ok().json()["gpus"].as_array().unwrap().clone()
}

/// Waits until the first GPU in `/stats` is so; answers it.
async fn until_first(server: &Server, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut first = Value::Null;
    until(what, async || {
        first = gpus(server).await.first().cloned().unwrap_or_default();
        holds(&first)
    })
    .await;
    first
}

async fn until_sampled(server: &Server) -> Value {
    until_first(server, "a sample", |gpu| gpu["sampled_at"].is_string()).await
}

/// Waits until the log has a line with all of these words.
async fn until_logged(server: &Server, words: &[&str]) {
    let has = |log: String| log.lines().any(|line| words.iter().all(|word| line.contains(word)));
    until(&words.join(" "), async || has(server.log())).await;
}

const OWN: [(&str, &str); 2] = [("gpu", "0"), ("uuid", "GPU-0")];

/// The value of one of GPU 0's series.
fn value(seen: &Exposition, name: &str, more: &[(&str, &str)]) -> Option<f64> {
    seen.value(&format!("inferneo_gpu_{name}"), &[&OWN[..], more].concat())
}

#[tokio::test]
async fn a_gpu_in_order_is_shown_with_all_that_is_known_of_it() {
    let mut standin = Standin::with_gpus(1);
    let server = settings(&standin).start();
    standin.set(&[("0.process", &format!("{} 1073741824", server.pid()))]);
    let mut seen = until_first(&server, "its memory", |gpu| gpu["process_memory_bytes"].is_number()).await;
    assert!(seen["sampled_at"].take().as_str().unwrap().ends_with('Z'));
    let expected = json!({
        "index": 0, "uuid": "GPU-0", "name": "NVIDIA L4", "up": true, "device": "cuda:0",
        "utilization": 0.64, "memory_utilization": 0.12,
        "memory_used_bytes": 4_294_967_296_u64, "memory_total_bytes": 25_769_803_776_u64,
        "process_memory_bytes": 1_073_741_824, "temperature_c": 61, "power_w": 58.2, "power_limit_w": 72.0,
        "clock_sm_mhz": 2040, "clock_memory_mhz": 6251, "throttle_reasons": ["sw_power_cap"],
        "ecc_corrected": 3, "ecc_uncorrected": 0, "mig": false, "driver": "580.95.05", "sampled_at": null,
    });
    assert_eq!(seen, expected);
    let stats = server.admin().get("/stats").await.ok().json();
    assert_eq!((&stats["devices"][0]["name"], &stats["devices"][0]["gpu"]), (&json!("cpu"), &Value::Null));
    let seen = scrape(&server).await;
    for (name, expected) in [
        ("up", 1.0),
        ("utilization_ratio", 0.64),
        ("memory_utilization_ratio", 0.12),
        ("memory_used_bytes", 4_294_967_296.0),
        ("memory_total_bytes", 25_769_803_776.0),
        ("process_memory_bytes", 1_073_741_824.0),
        ("power_watts", 58.2),
        ("power_limit_watts", 72.0),
        ("temperature_celsius", 61.0),
        ("clock_sm_hertz", 2.04e9),
        ("clock_memory_hertz", 6.251e9),
        ("mig", 0.0),
    ] {
        assert_eq!(value(&seen, name, &[]), Some(expected), "{name}");
    }
    for (name, label, own, expected) in [
        ("throttle_reasons", "reason", "sw_power_cap", 1.0),
        ("throttle_reasons", "reason", "hw_slowdown", 0.0),
        ("ecc_errors", "kind", "corrected", 3.0),
        ("ecc_errors", "kind", "uncorrected", 0.0),
        ("retired_pages", "cause", "single_bit", 2.0),
        ("retired_pages", "cause", "double_bit", 1.0),
    ] {
        assert_eq!(value(&seen, name, &[(label, own)]), Some(expected), "{name} {own}");
    }
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(!ended.log.contains("WARN") && !ended.log.contains("ERROR"), "{}", ended.log);
}

#[tokio::test]
async fn what_befalls_a_gpu_is_shown_and_logged_and_so_is_its_end() {
    let mut standin = Standin::with_gpus(1);
    let server = settings(&standin).start();
    until_sampled(&server).await;
    standin.set(&[("0.memory", "25000000000 536870912 25769803776")]);
    until_logged(&server, &["WARN", "GPU is short of memory", "gpu=0", "uuid=\"GPU-0\""]).await;
    standin.set(&[("0.memory", "1000000000 536870912 25769803776")]);
    until_logged(&server, &["INFO", "GPU has memory again"]).await;
    standin.set(&[("0.reasons", "0x60")]);
    until_logged(&server, &["WARN", "GPU is throttled", "sw_thermal_slowdown,hw_thermal_slowdown"]).await;
    assert_eq!(gpus(&server).await[0]["throttle_reasons"], json!(["sw_thermal_slowdown", "hw_thermal_slowdown"]));
    standin.set(&[("0.reasons", "0")]);
    until_logged(&server, &["INFO", "throttled no longer"]).await;

    standin.set(&[("0.lost", "15")]);
    until_logged(&server, &["ERROR", "GPU lost", "uuid=\"GPU-0\"", "device=cuda:0"]).await;
    let lost = until_first(&server, "the loss", |gpu| gpu["up"] == false).await;
    assert!(lost["sampled_at"].is_string() && lost["device"] == "cuda:0");
    nothing_is_known(&lost);
    only_its_absence_is_exported(&server).await;
    standin.set(&[("0.lost", "")]);
    until_logged(&server, &["INFO", "GPU is back"]).await;
    until_first(&server, "its return", |gpu| gpu["power_w"].is_number()).await;

    standin.set(&[("epoch", "2"), ("init", "9")]);
    until_logged(&server, &["WARN", "NVML lost its driver"]).await;
    nothing_is_known(&until_first(&server, "no driver", |gpu| gpu["up"] == false).await);
    only_its_absence_is_exported(&server).await;
    standin.set(&[("init", "")]);
    until_logged(&server, &["INFO", "NVML answers again"]).await;
    until_first(&server, "the driver", |gpu| gpu["power_w"].is_number()).await;
    assert_eq!(value(&scrape(&server).await, "up", &[]), Some(1.0));
    for said in ["GPU lost", "GPU is back", "NVML lost its driver", "NVML answers again", "short of memory"] {
        assert_eq!(server.log().matches(said).count(), 1, "{said}: {}", server.log());
    }
}

fn nothing_is_known(gpu: &Value) {
    let figures = ["utilization", "memory_used_bytes", "memory_total_bytes", "temperature_c", "power_w", "mig"];
    for field in figures.into_iter().chain(["throttle_reasons", "ecc_uncorrected", "clock_sm_mhz"]) {
        assert!(gpu.get(field).is_some_and(Value::is_null), "{field}: {gpu}");
    }
}

async fn only_its_absence_is_exported(server: &Server) {
    let text = server.metrics().await.0;
    let seen = Exposition::read(&text);
    assert_eq!(seen.value(UP, &OWN), Some(0.0));
    assert!(text.lines().filter(|line| line.starts_with("inferneo_gpu_")).all(|line| line.starts_with(UP)), "{text}");
}

#[tokio::test]
async fn functions_that_an_old_library_lacks_are_said_once_and_their_values_absent() {
    let standin = Standin::old();
    let server = settings(&standin).flag("--log-level", "info,inferneo::gpu=debug").start();
    let gpu = until_sampled(&server).await;
    assert_eq!((&gpu["power_w"], &gpu["temperature_c"], &gpu["device"]), (&json!(58.2), &json!(61), &json!("cuda:0")));
    for field in ["power_limit_w", "clock_sm_mhz", "clock_memory_mhz", "throttle_reasons", "mig"] {
        assert!(gpu[field].is_null(), "{field}: {gpu}");
    }
    let seen = scrape(&server).await;
    assert_eq!(value(&seen, "power_watts", &[]), Some(58.2));
    for family in ["power_limit_watts", "clock_sm_hertz", "clock_memory_hertz", "throttle_reasons", "mig"] {
        assert_eq!(seen.types.get(&format!("inferneo_gpu_{family}")), None, "{family}");
    }
    let first = gpu["sampled_at"].clone();
    until_first(&server, "another sample", |gpu| gpu["sampled_at"] != first).await;
    let complaints = server.log().matches("NVML has no throttle reasons").count();
    assert_eq!(complaints, 1, "{}", server.log());
}

#[tokio::test]
async fn of_two_gpus_the_visible_one_is_cudas_first() {
    let standin = Standin::with_gpus(2);
    let server = settings(&standin).variable("CUDA_VISIBLE_DEVICES", "GPU-1").start();
    until_sampled(&server).await;
    let devices: Vec<_> = gpus(&server).await.iter().map(|gpu| gpu["device"].clone()).collect();
    assert_eq!(devices, [Value::Null, json!("cuda:0")]);
    assert!(server.log().contains("listed=2 visible=1"), "{}", server.log());
    let seen = scrape(&server).await;
    assert_eq!((seen.sum(UP, &[]), seen.sum("inferneo_gpu_power_watts", &[("uuid", "GPU-1")])), (2.0, 58.2));
}

#[tokio::test]
async fn unlike_gpus_are_not_guessed_apart() {
    let mut standin = Standin::with_gpus(2);
    standin.set(&[("1.name", "NVIDIA H100")]);
    let server = settings(&standin).start();
    until_sampled(&server).await;
    assert!(gpus(&server).await.iter().all(|gpu| gpu["device"].is_null()));
    until_logged(&server, &["WARN", "CUDA_DEVICE_ORDER=PCI_BUS_ID"]).await;
    let ordered = settings(&standin).variable("CUDA_DEVICE_ORDER", "PCI_BUS_ID").start();
    until_sampled(&ordered).await;
    assert_eq!(gpus(&ordered).await[1]["device"], "cuda:1");
}

#[tokio::test]
async fn of_a_gpu_in_mig_mode_the_instance_is_what_counts() {
    let mut standin = Standin::with_gpus(1);
    let instance = [("0.mig", "1"), ("0.utilization", ""), ("0.0.uuid", "MIG-a"), ("0.0.memory", "10 6 5368709120")];
    standin.set(&instance);
    let server = settings(&standin).start();
    let gpu = until_sampled(&server).await;
    let shown = ["mig", "device", "memory_used_bytes", "memory_total_bytes", "utilization", "power_w"];
    let expected = [json!(true), json!("cuda:0"), json!(10), json!(5_368_709_120_u64), Value::Null, json!(58.2)];
    assert_eq!(shown.map(|field| gpu[field].clone()), expected);
    let seen = scrape(&server).await;
    assert_eq!(value(&seen, "mig", &[]), Some(1.0));
    assert_eq!(seen.types.get("inferneo_gpu_utilization_ratio"), None);
    standin.set(&[("0.0.memory", "5368709110 6 5368709120")]);
    until_logged(&server, &["GPU is short of memory"]).await;
}

#[tokio::test]
async fn a_driver_that_hangs_keeps_nobody_waiting_not_even_the_end() {
    let mut standin = Standin::with_gpus(1);
    let server = settings(&standin).start();
    until_sampled(&server).await;
    standin.set(&[("hang", "1")]);
    until("a call that hangs", async || standin.library().with_extension("1.hung").exists()).await;
    assert_eq!(gpus(&server).await[0]["power_w"], 58.2);
    assert_eq!(value(&scrape(&server).await, "power_watts", &[]), Some(58.2), "what was seen last");
    let began = clock::now();
    server.terminate();
    let ended = server.ended().await;
    assert_eq!(ended.code, Some(0), "{}", ended.log);
    assert!(ended.log.contains("NVML does not answer") && ended.log.contains("stopped"), "{}", ended.log);
    assert!(clock::now().since(began) < Duration::from_secs(20), "not as long as a drain may take");
}

#[tokio::test]
async fn nonsense_of_a_driver_is_not_believed_and_ends_nothing() {
    let mut standin = Standin::with_gpus(3);
    let most = u32::MAX.to_string();
    standin.set(&[("1.uuid", "GPU-0"), ("count", &most), ("2.mig", "1"), ("2.instances", &most)]);
    standin.set(&[("0.process", "1 1"), ("0.processes", "4000000000"), ("0.retired", "4000000000 1")]);
    standin.set(&[("0.utilization", "101 4294967295"), ("0.temperature", &most), ("0.memory", "9 0 8")]);
    let server = settings(&standin).variable("CUDA_VISIBLE_DEVICES", "0,1").start();
    let gpu = until_sampled(&server).await;
    for field in ["utilization", "memory_utilization", "memory_used_bytes", "process_memory_bytes", "temperature_c"] {
        assert!(gpu[field].is_null(), "{field}: {gpu}");
    }
    assert_eq!((&gpu["device"], &gpu["power_w"]), (&json!("cuda:0"), &json!(58.2)));
    let uuids: Vec<_> = gpus(&server).await.iter().map(|gpu| gpu["uuid"].clone()).collect();
    assert_eq!(uuids, ["GPU-0", "GPU-2"]);
    let seen = scrape(&server).await;
    let retired = |cause| value(&seen, "retired_pages", &[("cause", cause)]);
    assert_eq!((retired("single_bit"), retired("double_bit")), (None, Some(1.0)));
    for said in ["4294967295 GPUs", "4294967295 MIG instances", "lists a GPU twice", "looking for GPUs"] {
        assert_eq!(server.log().matches(said).count(), 1, "{said}: {}", server.log());
    }
}

/// Says nothing of GPUs.
async fn is_silent(server: &Server) {
    assert!(gpus(server).await.is_empty());
    let text = server.metrics().await.0;
    assert!(!text.contains("inferneo_gpu_"), "{text}");
    assert!(!server.log().contains("WARN"), "{}", server.log());
}

#[tokio::test]
async fn where_there_is_no_gpu_none_is_invented() {
    is_silent(&settings(&Standin::with_gpus(0)).start()).await;
    let models = model("m", "test/identity", "instances = 1\ndevice = \"cpu\"");
    // Without performance monitoring no library is loaded, be it named.
    let off =
        Settings::new(&*models).flag("--nvml-library", "/no/such/nvml.so").flag("--performance-monitoring", false);
    let off = off.start();
    is_silent(&off).await;
    assert!(!off.log().contains("NVML"), "{}", off.log());
    let unnamed = Settings::new(models).start();
    let said = unnamed.log().matches("no GPU is looked for, NVML is not here").count();
    // On a machine with NVML the tests above say what is true.
    if !unnamed.log().contains("listed=") {
        assert_eq!(said, 1, "{}", unnamed.log());
        is_silent(&unnamed).await;
    }
}

#[tokio::test]
async fn a_library_that_was_named_and_does_not_load_is_exit_2() {
    let config = model("m", "test/identity", "instances = 1\ndevice = \"cpu\"");
    let by_flag = Settings::new(&*config).flag("--nvml-library", "/no/such/nvml.so").run().await;
    let by_file = Settings::new(format!("[nvml]\nlibrary = \"/no/such/nvml.so\"\n{config}")).run().await;
    // A library, but not that one.
    let other = crate::harness::cached("onnxruntime/libonnxruntime.so");
    let wrong = Settings::new(&*config).flag("--nvml-library", other.display()).run().await;
    // What no writer ever opens.
    let dir = tempfile::tempdir().unwrap();
    let pipe = dir.path().join("nvml.so");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let pipe = Settings::new(&*config).flag("--nvml-library", pipe.display()).run().await;
    for (ended, words) in [
        (pipe, ["does not load as NVML", "not a regular file"]),
        (by_flag, ["--nvml-library (INFERNEO_NVML_LIBRARY): /no/such/nvml.so does not load as NVML", "cannot open"]),
        (by_file, ["inferneo.toml:4:11: [nvml] library: /no/such/nvml.so does not load as NVML", "cannot open"]),
        (wrong, ["libonnxruntime.so does not load as NVML", "nvmlInit_v2"]),
    ] {
        assert_eq!(ended.code, Some(2), "{}", ended.log);
        assert!(words.iter().all(|word| ended.log.contains(word)), "{}", ended.log);
    }
}

#[test]
fn doctor_names_each_gpu() {
    let doctor = |arguments: &[&str]| {
        let Output { status, stdout, .. } = program().arg("doctor").args(arguments).output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap())
    };
    let mut standin = Standin::with_gpus(2);
    let library = standin.library().display().to_string();
    let (code, said) = doctor(&["--nvml-library", &library]);
    assert_eq!(code, Some(0), "{said}");
    let line = "ok       GPU 1: NVIDIA L4, GPU-1, 24576 MiB, cuda:1, driver 580.95.05, CUDA up to 13.0\n";
    assert!(said.contains(line), "{said}");
    standin.set(&[("1.name", "NVIDIA H100")]);
    let (_, said) = doctor(&["--nvml-library", &library]);
    assert!(said.contains("device not known") && said.contains("warning  GPUs of different kinds"), "{said}");
    standin.set(&[("0.uuid", ""), ("1.uuid", "")]);
    let (code, said) = doctor(&["--nvml-library", &library]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("warning  NVML is here, but lists no GPU") && said.contains("nvidia.com/gpu"), "{said}");
    let (code, said) = doctor(&["--nvml-library", "/no/such/nvml.so"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("failure  --nvml-library (INFERNEO_NVML_LIBRARY): /no/such/nvml.so"), "{said}");
}
