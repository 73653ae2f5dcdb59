//! Asking for a GPU where there is none: who is refused, who goes on, and what they are told.
//!
//! With the CPU build of ONNX Runtime, and with its GPU build. One process loads one of them, so each test
//! starts the program.

use crate::client::input;
use crate::harness::{Ended, Server, Settings, cached, folder, model, program};
use serde_json::json;
use std::fs;
use std::path::Path;

/// One model with `keys`, on the library at `library`.
fn on(library: &Path, keys: &str) -> Settings {
    Settings::new(model("identity", "test/identity", keys)).flag("--onnxruntime-library", library.display())
}

fn cpu_build() -> std::path::PathBuf {
    cached("onnxruntime/libonnxruntime.so")
}

#[cfg(target_arch = "x86_64")]
fn gpu_build() -> std::path::PathBuf {
    cached("onnxruntime-gpu/libonnxruntime.so")
}

fn refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}", ended.log);
    for word in words {
        assert!(ended.log.contains(word), "{word:?} is not in:\n{}", ended.log);
    }
    assert!(!ended.log.contains("panicked"), "{}", ended.log);
}

/// It answers, and log, metrics and stats say that it does so on the CPU because of `reason`.
async fn serves_on_the_cpu_and_says_so(server: Server, reason: &str) {
    let body = json!({"inputs": [input("x", "FP32", &[1, 4], json!([1, 2, 3, 4]))]});
    server.http1().infer("identity", body).await.ok();
    let log = server.log();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("WARN") && line.contains("cuda:0")).collect();
    let [warning] = &warnings[..] else { panic!("not one warning in:\n{log}") };
    assert!(warning.contains(reason) && warning.contains("device"), "{warning}");
    let fallback = [("model", "identity"), ("wanted", "auto"), ("device", "cpu")];
    assert_eq!(server.metrics().await.sum("inferneo_device_fallback", &fallback), 1.0);
    let stats = server.admin().get("/stats").await.ok().json();
    let stats = &stats["models"]["identity"];
    assert_eq!(stats["devices"], json!(["cpu"]));
    assert!(stats["fallback"].as_str().unwrap().contains(reason), "{stats}");
}

#[tokio::test]
async fn the_cpu_build_refuses_cuda_and_names_the_mend() {
    let library = cpu_build();
    let words = [
        "model `identity`: cuda:",
        "ONNX Runtime 1.",
        library.to_str().unwrap(),
        "is a CPU build",
        "onnxruntime-gpu",
        "auto",
    ];
    for device in ["cuda", "cuda:0", "cpu,cuda:1"] {
        refused(&on(&library, "").flag("--device", device).run().await, &words);
    }
    refused(&on(&library, "device = \"cuda:3\"").run().await, &["cuda:3: ONNX Runtime"]);
}

#[tokio::test]
async fn the_cpu_build_serves_auto_on_the_cpu_and_says_so() {
    serves_on_the_cpu_and_says_so(on(&cpu_build(), "").start(), "is a CPU build").await;
}

#[tokio::test]
async fn what_was_asked_for_is_no_fallback() {
    let server = on(&cpu_build(), "device = \"cpu:0,cpu:1\"\ninstances = 1").start();
    let stats = server.admin().get("/stats").await.ok().json();
    let stats = &stats["models"]["identity"];
    assert_eq!((&stats["devices"], &stats["fallback"]), (&json!(["cpu", "cpu:1"]), &json!(null)));
    assert!(!server.log().contains("WARN"), "{}", server.log());
    assert!(!server.metrics().await.0.contains("inferneo_device_fallback{"));
}

/// The machine may have what the GPU build needs: then these say nothing.
#[cfg(target_arch = "x86_64")]
fn has_a_gpu() -> bool {
    Path::new("/dev/nvidia0").exists()
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn the_gpu_build_refuses_cuda_and_names_what_is_missing() {
    let library = gpu_build();
    if has_a_gpu() {
        return;
    }
    let words =
        ["model `identity`: cuda:0: ONNX Runtime 1.", library.to_str().unwrap(), "libcuda.so.1", "NVIDIA driver"];
    refused(&on(&library, "device = \"cuda\"").run().await, &words);
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn the_gpu_build_serves_auto_on_the_cpu_and_says_so() {
    if !has_a_gpu() {
        serves_on_the_cpu_and_says_so(on(&gpu_build(), "").start(), "libcuda.so.1").await;
    }
}

#[cfg(target_arch = "x86_64")]
#[tokio::test]
async fn a_gpu_build_without_its_provider_says_which_file_is_missing() {
    let folder = folder();
    let alone = folder.path().join("libonnxruntime.so");
    fs::copy(gpu_build(), &alone).unwrap();
    let words = ["libonnxruntime_providers_cuda.so is missing", "onnxruntime-gpu"];
    refused(&on(&alone, "device = \"cuda\"").run().await, &words);
}

#[test]
fn doctor_tells_of_cuda_in_one_line() {
    let doctor = |library: &Path| {
        let output = program().arg("doctor").arg("--onnxruntime-library").arg(library).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<String> = said.lines().filter(|line| line.contains("  CUDA")).map(str::to_owned).collect();
        let [line] = <[String; 1]>::try_from(lines).unwrap();
        line
    };
    let line = doctor(&cpu_build());
    assert!(line.starts_with("ok ") && line.contains("CPU build") && line.contains("onnxruntime-gpu"), "{line}");
    #[cfg(target_arch = "x86_64")]
    if !has_a_gpu() {
        let line = doctor(&gpu_build());
        assert!(line.starts_with("warning ") && line.contains("libcuda.so.1"), "{line}");
    }
}
