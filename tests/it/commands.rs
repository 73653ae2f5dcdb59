//! The other subcommands, as a person or a script runs them.

use crate::harness::{Settings, cached, folder, model, program};
use serde_json::Value;
use std::fs;
use std::process::Output;

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = program().args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn policy_check_says_good_with_exit_0() {
    let (code, _, said) = run(&["policy", "check", "policies"]);
    assert_eq!((code, &*said), (Some(0), "6 policy files checked: all good\n"));
}

#[test]
fn policy_check_points_at_each_fault_with_exit_1() {
    let dir = folder();
    let file = dir.path().join("mine.toml");
    fs::write(&file, "strategy = \"adaptiv\"\n[batch]\n  max_queue_dely = \"5ms\"\n").unwrap();
    let file = file.to_str().unwrap();
    let (code, _, said) = run(&["policy", "check", file]);
    assert_eq!(code, Some(1), "{said}");
    for word in [
        &format!("{file}:1:12: "),
        "strategy = \"adaptiv\"",
        "^",
        "adaptive",
        &format!("{file}:3:3: "),
        "max_queue_dely = \"5ms\"",
        "did you mean `max_queue_delay`?",
        "1 policy file checked: 2 faults",
    ] {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    // The caret stands under the fault.
    let lines: Vec<&str> = said.lines().collect();
    let shown = lines.iter().position(|line| line.contains("max_queue_dely =")).unwrap();
    assert_eq!(lines[shown].find("max_queue_dely"), lines[shown + 1].find('^'), "{said}");
}

#[test]
fn policy_check_of_nothing_readable_is_exit_2() {
    let (code, _, said) = run(&["policy", "check", "no/such/file.toml"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("no/such/file.toml"), "{said}");
    assert_eq!(run(&["policy", "check"]).0, Some(2));
}

#[test]
fn policy_show_takes_its_folder_from_the_environment_too() {
    let dir = folder();
    let show = |folder: &str| {
        let output = program().args(["policy", "show"]).env("INFERNEO_POLICIES", folder).output().unwrap();
        let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        (output.status.code(), out, err)
    };
    let path = dir.path().to_str().unwrap();
    fs::write(dir.path().join("all.toml"), "batch.max_batch_size = 7").unwrap();
    let (code, said, _) = show(path);
    assert_eq!(code, Some(0));
    assert!(said.contains("max_batch_size = 7 ") && said.contains("# all.toml:1\n"), "{said}");
    fs::write(dir.path().join("all.toml"), "batch.max_batch_size = -7").unwrap();
    let (code, said, fault) = show(path);
    assert_eq!((code, &*said), (Some(1), ""));
    assert!(fault.contains("all.toml:1:24: expected an integer from 1 to 65536"), "{fault}");
    assert_eq!(show("no/such/folder").0, Some(2));
    let (code, said, _) = show("");
    assert_eq!(code, Some(0));
    assert!(said.contains("# Built in: no policy folder is named."), "{said}");
}

#[test]
fn doctor_tells_what_it_found_one_line_each() {
    let doctor = |model: &str| run(&["doctor", "--model", cached(&format!("models/{model}")).to_str().unwrap()]);
    let (code, said, _) = doctor("minilm");
    assert_eq!(code, Some(0), "{said}");
    let marked = |line: &str| ["ok ", "warning ", "failure "].iter().any(|word| line.starts_with(word));
    assert!(said.lines().all(marked), "{said}");
    for word in ["ONNX Runtime 1.", "CPUExecutionProvider", "input_ids", "last_hidden_state", "safe to batch"] {
        assert!(said.contains(word), "{word:?} is not in:\n{said}");
    }
    let (code, said, _) = doctor("test/fixed_batch");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.lines().any(|line| line.starts_with("warning ") && line.contains("one")), "{said}");
    let (code, said, _) = run(&["doctor", "--model", "no/such/folder"]);
    assert_eq!(code, Some(1));
    assert!(said.lines().any(|line| line.starts_with("failure ") && line.contains("no/such/folder")), "{said}");
    let (code, said, _) = run(&["doctor", "--onnxruntime-library", "/no/such/library.so"]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with("failure ") && said.contains("/no/such/library.so"), "{said}");
}

#[test]
fn bench_prints_its_figures_as_json() {
    let server = Settings::new(model("tiny", "test/tiny_text", "instances = 1")).start();
    let (url, dir) = (format!("http://{}", server.data), folder());
    let texts = dir.path().join("texts.txt");
    fs::write(&texts, "red sun\ngreen lake and blue boat\n").unwrap();
    let common = ["bench", "--url", &url, "--model", "tiny", "--texts", texts.to_str().unwrap(), "--json", "-"];
    for protocol in ["openai", "v2", "v2-binary"] {
        let load = ["--protocol", protocol, "--concurrency", "4", "--duration", "1s", "--warmup", "100ms"];
        let (code, out, err) = run(&[&common[..], &load].concat());
        assert_eq!(code, Some(0), "{err}");
        let figures: Value = serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"));
        assert_eq!((&figures["protocol"], &figures["errors"]), (&protocol.into(), &0.into()), "{figures}");
        let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0);
        for key in ["requests", "duration_s", "throughput_rps", "padding_efficiency"] {
            assert!(positive(&figures[key]), "{key}: {figures}");
        }
        assert!(positive(&figures["batch"]["avg_rows"]), "{figures}");
        let latency = ["p50", "p90", "p99", "max"].map(|key| figures["latency_ms"][key].as_f64().unwrap());
        assert!(latency.is_sorted() && latency[0] > 0.0, "{figures}");
    }
}

#[test]
fn bench_holds_a_rate_and_draws_a_page_of_it() {
    let server = Settings::new(model("tiny", "test/tiny_text", "instances = 1")).start();
    let (url, dir) = (format!("http://{}", server.data), folder());
    let (page, texts) = (dir.path().join("page.html"), dir.path().join("texts.txt"));
    fs::write(&texts, "red sun\ngreen lake and blue boat\n").unwrap();
    let common = ["bench", "--url", &url, "--model", "tiny", "--json", "-", "--html", page.to_str().unwrap()];
    let load = ["--texts", texts.to_str().unwrap(), "--duration", "1s", "--warmup", "100ms", "--connections", "8"];
    let measured = |rate: &[&str]| -> Value {
        let (code, out, err) = run(&[&common[..], &load, rate].concat());
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}"))
    };
    // A seed is a plan: the same requests are counted in both runs.
    let runs = [(); 2].map(|()| measured(&["--rate", "50", "--seed", "3"]));
    assert_eq!((&runs[0]["requests"], &runs[0]["errors"]), (&runs[1]["requests"], &0.into()), "{runs:?}");
    assert_eq!(runs[0]["load"]["loop"], "open", "{}", runs[0]);
    let cores = runs[0]["generator"]["cpu_cores"].as_f64().unwrap();
    assert!(cores > 0.0 && runs[0]["generator"]["late_ms"]["p50"].is_number(), "{}", runs[0]);

    let ramp = measured(&["--rate", "20..40", "--slo", "10s"]);
    let steps = ramp["ramp"]["steps"].as_array().unwrap();
    assert_eq!(steps[0]["rate"], 20.0, "{ramp}");
    let held = steps.iter().filter(|step| step["held"] == true).filter_map(|step| step["rate"].as_f64());
    assert_eq!(ramp["ramp"]["highest_rate"].as_f64(), held.reduce(f64::max), "{ramp}");
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.matches("<svg").count() >= 4, "{page}");
    assert!(!page.contains("<script") && !page.contains("src="), "{page}");
}

#[test]
fn bench_of_a_tensor_asks_in_binary() {
    let server = Settings::new(model("tiny", "test/tiny_text", "instances = 1")).start();
    let url = format!("http://{}", server.data);
    let common = ["bench", "--url", &url, "--model", "tiny", "--json", "-", "--duration", "300ms", "--warmup", "1ms"];
    let (code, _, said) = run(&[&common[..], &["--tensor", "nothing:FP32:1x4"]].concat());
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--tensor") && said.contains("v2-binary"), "{said}");
    // The server names what it does not take.
    let (code, _, said) = run(&[&common[..], &["--protocol", "v2-binary", "--tensor", "nothing:FP32:1x4"]].concat());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("nothing"), "{said}");
}

#[test]
fn bench_of_a_tensor_without_a_shape_has_the_one_that_the_server_knows_to_run() {
    let server = Settings::new(model("affine", "test/affine", "instances = 1")).start();
    let url = format!("http://{}", server.data);
    let common = ["bench", "--url", &url, "--model", "affine", "--json", "-", "--duration", "300ms", "--warmup", "1ms"];
    let bench = |tensor: &str| run(&[&common[..], &["--protocol", "v2-binary", "--tensor", tensor]].concat());
    let (code, figures, said) = bench("x:FP32");
    assert_eq!(code, Some(0), "{said}");
    let figures: Value = serde_json::from_str(&figures).unwrap();
    assert!(figures["requests"].as_u64().unwrap() > 0 && figures["errors"] == 0, "{figures}");
    let (code, _, said) = bench("y:FP32");
    assert!(code == Some(2) && said.contains("the model has no input \"y\"; it has x"), "{code:?} {said}");
    // A scalar is sent, and what the server says of it is told.
    let (code, _, said) = bench("x:FP32:");
    assert!(code == Some(1) && said.contains("has shape [], the model takes [batch, 3]"), "{code:?} {said}");
}

#[test]
fn bench_of_nothing_that_answers_is_exit_1() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}");
    let (code, _, said) = run(&["bench", "--url", &url, "--model", "m", "--duration", "100ms"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&closed.to_string()), "{said}");
}

#[test]
fn bench_holds_what_was_achieved_against_the_ceiling() {
    let server = Settings::new(model("tiny", "test/tiny_text", "instances = 1")).start();
    let (url, dir) = (format!("http://{}", server.data), folder());
    let texts = dir.path().join("texts.txt");
    fs::write(&texts, "red sun\ngreen lake and blue boat\n").unwrap();
    let common = ["bench", "--url", &url, "--model", "tiny", "--texts", texts.to_str().unwrap(), "--ceiling"];
    let (code, _, err) = run(&[&common[..], &["--model-dir", "no/such/folder"]].concat());
    assert!(code == Some(2) && err.contains("--model-dir") && err.contains("no/such/folder"), "{err}");
    let folder = cached("models/test/tiny_text");
    let load = ["--model-dir", folder.to_str().unwrap(), "--duration", "1s", "--warmup", "100ms", "--json", "-"];
    let (code, out, err) = run(&[&common[..], &load].concat());
    assert_eq!(code, Some(0), "{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let [rps, achieved] = ["rps", "achieved"].map(|key| report["ceiling"][key].as_f64().unwrap());
    let throughput = report["throughput_rps"].as_f64().unwrap();
    assert!(rps > throughput && (achieved - throughput / rps).abs() < 1e-9, "{report}");
}
