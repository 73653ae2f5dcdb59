//! What ONNX Runtime itself does with the same texts on this machine, to hold what was achieved against.
//!
//! Decides how that is said. How it is measured is `offline`'s.

use super::Args;
use crate::bench::Report;
use crate::cli::ort_dylib_path;
use crate::config::Overrides;
use crate::exec::Runtime;
use crate::offline::{self, Ceiling, Options, Source};
use anyhow::Context;
use serde_json::{Value, json};
use std::time::Duration;

/// How long the ceiling is looked for.
const LIMIT: Duration = Duration::from_secs(30);

/// Opens the model where a ceiling is wanted: before any load, so that a wrong folder costs no time.
pub(super) fn open(args: &Args) -> anyhow::Result<Option<Source>> {
    let Some(folder) = args.model_dir.as_deref().filter(|_| args.ceiling) else { return Ok(None) };
    let flags = Overrides {
        onnxruntime_library: args.onnxruntime_library.clone(),
        ort_dylib_path: ort_dylib_path(),
        ..Overrides::default()
    };
    let runtime = Runtime::load(flags.library(None).as_ref())?;
    Source::open(&runtime, &args.model, folder).context("--model-dir").map(Some)
}

/// Runs the model in this process, with no server between. Blocks for about half a minute.
pub(super) fn measure(source: Source, texts: Vec<String>) -> Result<Ceiling, offline::Error> {
    eprintln!("measuring the ceiling for {} s", LIMIT.as_secs());
    offline::ceiling(&Options { limit: LIMIT, ..Options::new(source, texts) })
}

/// The share of it that was achieved.
fn achieved(ceiling: &Ceiling, report: &Report) -> f64 {
    report.throughput_rps / ceiling.rps
}

/// It and the share of it that was achieved, in a line.
pub(super) fn line(ceiling: &Ceiling, report: &Report) -> String {
    let Ceiling { rps, instances, threads, spin, budget_tokens, .. } = ceiling;
    let spinning = if *spin { ", spinning" } else { "" };
    let achieved = achieved(ceiling, report);
    format!(
        "ceiling: {rps:.1} req/s, of ONNX Runtime alone with all texts sorted (instances × threads {instances} × \
         {threads}{spinning}, {budget_tokens} tokens a batch); achieved {achieved:.3} of it"
    )
}

/// The report with both; `null` where no ceiling was asked for.
pub(super) fn joined(report: &Report, ceiling: Option<&Ceiling>) -> serde_json::Result<Value> {
    let mut all = serde_json::to_value(report)?;
    all["ceiling"] = serde_json::to_value(ceiling)?;
    if let Some(ceiling) = ceiling {
        all["ceiling"]["achieved"] = json!(achieved(ceiling, report));
    }
    Ok(all)
}
