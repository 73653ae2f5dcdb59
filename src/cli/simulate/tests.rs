//! Traces, costs and policies as they are given on the command line.

use super::*;
use clap::Parser;
use serde_json::{Value, json};
use std::fs;
use tempfile::TempDir;

#[derive(Debug, Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

/// A folder with the files of one question.
struct Desk(TempDir);

fn desk() -> Desk {
    let desk = Desk(tempfile::tempdir().unwrap());
    desk.save("adaptive.toml", "slo.target = '50ms'");
    desk.save("fixed.toml", "strategy = 'fixed_size'\n[match]\ntenants = ['nobody']");
    desk
}

fn model() -> Value {
    let coefficients = json!({"base": 2.0, "per_token": 0.01, "per_squared_token": 0.0});
    let costs = json!([{"busy_workers": 1, "coefficients_ms": coefficients}]);
    json!({"batchable": true, "devices": [{"device": "cpu", "workers": 2, "costs": costs}]})
}

impl Desk {
    fn save(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A trace of a hundred requests, 10 ms apart, of two tenants, with these models in its head.
    fn trace(&self, models: Value) -> String {
        let header = json!({"trace": 1, "started_at": "2026-01-02T03:04:05Z", "seconds": 1, "models": models});
        let arrival = |i: u64| {
            let items = json!([{"len": 5 + i % 40, "bytes": 40, "class": "0000000000000001"}]);
            let tenant = if i.is_multiple_of(2) { "x" } else { "y" };
            json!({"at_us": i * 10_000, "model": "m", "tenant": tenant, "items": items}).to_string()
        };
        let footer = json!({"arrivals": 100, "rows": 100, "duration_us": 1_000_000, "truncated": false});
        let mut lines = vec![header.to_string()];
        lines.extend((0..100).map(arrival));
        lines.push(footer.to_string());
        self.save("trace.jsonl", &lines.join("\n"))
    }

    fn run(&self, flags: &str) -> Result<String, String> {
        let command = format!("simulate {}", flags.replace('@', &format!("{}/", self.0.path().display())));
        let cli = Cli::try_parse_from(command.split_whitespace()).map_err(|error| error.to_string())?;
        simulated(&cli.args).map_err(|error| format!("{error:#}"))
    }

    fn json(&self, flags: &str) -> Value {
        serde_json::from_str(&self.run(&format!("--trace @trace.jsonl --json {flags}")).unwrap()).unwrap()
    }
}

#[test]
fn a_file_alone_is_tried_on_all_and_a_folder_as_it_stands() {
    let desk = desk();
    desk.trace(json!({"m": model()}));
    let figures = desk.json("--policy @fixed.toml @");
    assert!(figures[0]["policy"].as_str().unwrap().ends_with("fixed.toml"));
    assert_eq!((&figures[0]["requests"], &figures[0]["protocol"]), (&json!(100), &json!("trace")));
    // What `fixed_size` waits for does not come in time; in the folder nobody falls under it.
    let p50 = |at: usize| figures[at]["latency_ms"]["p50"].as_f64().unwrap();
    assert!(p50(0) > p50(1), "{figures}");
    assert_eq!(figures[1]["tenants"]["x"]["requests"], 50);
}

#[test]
fn baselines_stand_beside_policies_or_alone_and_are_held_to_an_slo() {
    let desk = desk();
    desk.trace(json!({"m": model()}));
    let figures = desk.json("--policy @adaptive.toml --baseline none fixed:32:60ms --baseline drop");
    let names: Vec<_> = figures.as_array().unwrap().iter().map(|f| f["policy"].as_str().unwrap()).collect();
    assert_eq!(names[1..], ["baseline none", "baseline fixed:32:60ms", "baseline drop"]);
    let good = |figures: &Value, at: usize| figures[at]["goodput_rps"].as_f64().unwrap();
    // Under the policy's 50 ms, what waits for 60 ms is late.
    assert!(good(&figures, 1) > 90.0 && good(&figures, 2) < 80.0, "{figures}");
    let alone = desk.json("--baseline fixed:32:60ms --slo 100ms");
    assert!(good(&alone, 0) > 90.0 && figures[2]["requests"] == 100, "{alone}");
}

#[test]
fn questions_are_asked_of_the_same_trace() {
    let desk = desk();
    desk.trace(json!({"m": model()}));
    let rate =
        |flags: &str| desk.json(&format!("--policy @adaptive.toml {flags}"))[0]["throughput_rps"].as_f64().unwrap();
    assert!((99.0..=100.0).contains(&rate("")));
    assert!((980.0..=1000.0).contains(&rate("--scale 10x")), "{}", rate("--scale 10x"));
    assert!((49.0..=50.0).contains(&rate("--scale 0.5")));
    let busy = |flags: &str| desk.json(&format!("--policy @adaptive.toml {flags}"))[0]["busy_ratio"].as_f64().unwrap();
    let (two, eight) = (busy("--scale 10x"), busy("--scale 10x --devices 4"));
    assert!(eight < two, "{two} {eight}");
}

#[test]
fn the_tables_tell_what_was_played() {
    let desk = desk();
    desk.trace(json!({"m": model()}));
    let text = desk.run("--trace @trace.jsonl --policy @adaptive.toml --policy @fixed.toml --devices 2").unwrap();
    assert!(
        text.starts_with("100 requests of 100 rows in 1.0 s, 100.0 a second; m: 4 workers on 2 devices\n"),
        "{text}"
    );
    for word in ["good/s", "p99 ms", "useful tokens", "refused", "tenant", " x ", " y ", "adaptive.toml"] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn the_answer_of_stats_is_as_good_as_a_trace_that_tells() {
    let desk = desk();
    desk.trace(json!({}));
    let device = json!({"device": "cpu", "busy_workers": 2, "margin": 1.1,
        "coefficients_ms": {"base": 2.0, "per_token": 0.01, "per_squared_token": 0.0},
        "points": [{"rows": 1.0, "len": 20.0, "predicted_ms": 2.2, "measured_ms": 2.1}]});
    let m = json!({"state": "ready", "workers": 2, "batchable": true, "cost_model": {"devices": [device]}});
    desk.save(
        "stats.json",
        &json!({"version": "1", "models": {"m": m, "idle": {"workers": 1, "batchable": true, "cost_model": null}}})
            .to_string(),
    );
    assert_eq!(desk.json("--policy @adaptive.toml --costs @stats.json")[0]["requests"], 100);
}

#[test]
fn what_is_wrong_is_told_with_its_mend() {
    let desk = desk();
    desk.save("broken.toml", "strategy = 'adaptve'");
    desk.save("stats.json", "{}");
    let flags = "--trace @trace.jsonl --policy @adaptive.toml";
    let mut odd = model();
    odd["devices"][0]["costs"][0]["coefficients_ms"]["base"] = json!(-1.0);
    let (mut many, mut crowded, mut none_busy) = (model(), model(), model());
    crowded["devices"][0]["workers"] = json!(1024);
    many["devices"][0]["workers"] = json!(4_000_000_000_u32);
    none_busy["devices"][0]["costs"][0]["busy_workers"] = json!(0);
    for (models, flags, words) in [
        (json!({}), flags.to_owned(), "the trace does not say what batches cost: record the trace with POST /trace"),
        (json!({"other": model()}), flags.to_owned(), "the model `m`, whose cost is not known; known: `other`"),
        (json!({"m": odd}), flags.to_owned(), "model `m`: coefficients_ms are at least 0"),
        (
            json!({"m": {"batchable": true, "devices": []}}),
            flags.to_owned(),
            "model `m`: there must be from 1 to 64 devices",
        ),
        (json!({"m": many}), flags.to_owned(), "and on each from 1 to 1024 workers"),
        (json!({"m": crowded}), format!("{flags} --devices 2"), "`m` has 2048 workers on all devices together"),
        (json!({"m": none_busy}), flags.to_owned(), "busy_workers of a cost is from 1 to 1024"),
        (
            json!({}),
            format!("{flags} --costs @stats.json"),
            "it is not what GET /stats answers: missing field `models`",
        ),
        (json!({}), format!("{flags} --scale 0"), "from 0.001x to 1000x"),
        (json!({}), format!("{flags} --noise 2"), "from 0 to 0.9"),
        (json!({}), format!("{flags} --devices 0"), "1..=64"),
        (json!({}), "--trace @absent --policy @adaptive.toml".to_owned(), "--trace "),
        (json!({}), "--trace @adaptive.toml --policy @adaptive.toml".to_owned(), "line 1: expected a header"),
        (json!({}), "--trace @trace.jsonl".to_owned(), "--policy <FILE>"),
        (json!({}), format!("{flags} --baseline fixd:32"), "none, fixed:ROWS[:DELAY], fifo:TOKENS"),
        (
            json!({}),
            "--trace @trace.jsonl --baseline drop".to_owned(),
            "drops what misses its SLO: say which with --slo",
        ),
        (json!({}), "--trace @trace.jsonl --policy @absent.toml".to_owned(), "--policy: cannot read"),
        (json!({}), "--trace @trace.jsonl --policy @broken.toml".to_owned(), "did you mean"),
    ] {
        desk.trace(models);
        let error = desk.run(&flags).unwrap_err();
        assert!(error.contains(words), "{flags}: {error}");
    }
}
