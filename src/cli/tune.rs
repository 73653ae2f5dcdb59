//! `inferneo tune`: which sessions serve a model best on this machine.
//!
//! Decides the form of what is said. What is measured is `offline`'s, what is kept of it `app`'s.

use super::{failed, ort_dylib_path, path};
use crate::app::{self, AppError, Found};
use crate::bench;
use crate::config::{Config, ModelConfig, Overrides, Placement};
use crate::exec::Runtime;
use crate::offline::{Candidate, Tried, Tuning};
use crate::types::Device;
use anyhow::Context;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measures how many sessions, of how many threads, serve a model best on this machine's CPU, and keeps that and what
/// batches cost for the next start of `serve`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Settings file: its models are tuned, each after the other
    #[arg(long, value_name = "FILE", env = "INFERNEO_CONFIG", value_parser = path())]
    config: Option<PathBuf>,
    /// Model folder; repeatable. The name defaults to the folder's
    #[arg(long, value_name = "[NAME=]DIR", env = "INFERNEO_MODEL", value_delimiter = ',')]
    model: Vec<String>,
    /// UTF-8 file of texts like those that will come, one a line [default: shipped mixed-length texts]
    #[arg(long, value_name = "FILE", env = "INFERNEO_TUNE_TEXTS", value_parser = path())]
    texts: Option<PathBuf>,
    /// How long a model is measured, from 1s on
    #[arg(long, value_name = "DURATION", env = "INFERNEO_TUNE_BUDGET", default_value = "45s", value_parser = budget)]
    budget: Duration,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE", env = "INFERNEO_ONNXRUNTIME_LIBRARY", value_parser = path())]
    onnxruntime_library: Option<PathBuf>,
    /// Folder to keep what was found in, or none: as `serve` is told [default: the model's own folder]
    #[arg(long, value_name = "DIR", env = "INFERNEO_STATE")]
    state: Option<String>,
    /// Writes what was found as JSON; `-` writes it to stdout instead of the tables
    #[arg(long, value_name = "FILE", env = "INFERNEO_TUNE_JSON", value_parser = path())]
    json: Option<PathBuf>,
}

fn budget(word: &str) -> Result<Duration, String> {
    let wanted = "a whole number and its unit is wanted, from 1s to 24h, for example 45s or 2m";
    crate::document::duration(word, Duration::from_secs(1)).ok_or_else(|| wanted.to_owned())
}

/// Tunes every model. Exit code 2 where the model, the settings or the folder of what is kept is to blame, 1 where the
/// model could not be run.
#[must_use]
pub(super) fn run(args: Args) -> ExitCode {
    let overrides = Overrides {
        config: args.config,
        models: args.model,
        onnxruntime_library: args.onnxruntime_library,
        ort_dylib_path: ort_dylib_path(),
        state: args.state,
        ..Overrides::default()
    };
    let found = Config::load(&overrides)
        .map_err(|faults| refused(&faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
        .and_then(|config| tune(&config, args.texts.as_deref(), args.budget));
    let found = match found {
        Ok(found) => found,
        Err(code) => return code,
    };
    match show(&found, args.json.as_deref()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("inferneo tune: {error:#}");
            failed()
        }
    }
}

fn refused(message: &str) -> ExitCode {
    eprintln!("inferneo tune: {message}");
    super::bad_usage()
}

/// A model's settings, and what was found.
type Models = Vec<(ModelConfig, Found)>;

fn tune(config: &Config, texts: Option<&Path>, budget: Duration) -> Result<Models, ExitCode> {
    if config.models.is_empty() {
        return Err(refused("no model is named; name its folder with --model [NAME=]DIR"));
    }
    if let Some(model) = config.models.iter().find(|model| !on_cpu(&model.device)) {
        let name = &model.name;
        return Err(refused(&format!(
            "model `{name}` runs on GPUs: only sessions on the CPU are tuned; a GPU gets two unless `instances` says otherwise"
        )));
    }
    let texts = match texts {
        None => bench::parse_texts(bench::SHIPPED_TEXTS),
        Some(path) => bench::read_texts(path).map_err(|error| refused(&error.to_string()))?,
    };
    let code = |error: AppError| {
        eprintln!("inferneo tune: {error}");
        if error.is_configuration() { super::bad_usage() } else { failed() }
    };
    let runtime = Runtime::load(config.onnxruntime_library.as_ref()).map_err(|error| code(error.into()))?;
    let each = |model: &ModelConfig| {
        eprintln!("tuning {} for {}", model.name, crate::document::duration_as_text(budget));
        let found = app::tune(&runtime, model, &config.state, texts.clone(), budget).map_err(code)?;
        Ok((model.clone(), found))
    };
    config.models.iter().map(each).collect()
}

fn on_cpu(device: &Placement) -> bool {
    match device {
        Placement::Auto => true,
        Placement::Cuda => false,
        Placement::On(devices) => devices.iter().any(|device| matches!(device, Device::Cpu(_))),
    }
}

fn show(found: &Models, json: Option<&Path>) -> anyhow::Result<()> {
    let to_stdout = json == Some(Path::new("-"));
    if !to_stdout {
        for (model, found) in found {
            println!("{}", told(model, found));
        }
    }
    let Some(path) = json else { return Ok(()) };
    let models: Vec<Value> = found.iter().map(|(model, found)| as_json(model, found)).collect();
    let text = serde_json::to_string_pretty(&json!({ "models": models }))? + "\n";
    if to_stdout {
        print!("{text}");
        return Ok(());
    }
    std::fs::write(path, text).with_context(|| format!("--json {}", path.display()))
}

fn as_json(model: &ModelConfig, Found { tuning, kept_in }: &Found) -> Value {
    let Tuning { chosen, candidates, tried, .. } = tuning;
    json!({ "model": model.name, "chosen": chosen, "candidates": candidates, "tried": tried, "kept_in": kept_in })
}

/// What was tried and what was chosen of it.
fn told(model: &ModelConfig, Found { tuning, kept_in }: &Found) -> String {
    let chosen = tuning.chosen;
    let mut lines = vec![
        format!("{}: instances × threads", model.name),
        table(tuning),
        format!("chosen: {chosen} (of those within 3 % of the most rows/s, the quickest with one short row)"),
    ];
    match kept_in {
        Some(files) => lines.push(format!(
            "kept in {} and {}: the next start of `serve` on this machine goes by it",
            files.tuning.display(),
            files.costs.display()
        )),
        None => lines.push("kept nowhere, as `--state none` says".to_owned()),
    }
    if model.instances.or(model.threads).is_some() {
        lines.push("`instances` or `threads` of its [[model]] is set: that counts, not this".to_owned());
    }
    lines.join("\n")
}

fn table(tuning: &Tuning) -> String {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["", "tokens a batch", "rows/s", "useful tokens", "one short row", "measured"]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for tried in &tuning.tried {
        table.add_row(row(tried, &tuning.candidates));
    }
    table.trim_fmt()
}

fn row(tried: &Tried, candidates: &[Candidate]) -> [String; 6] {
    let own = |one: &&Candidate| one.layout == tried.layout && one.budget_tokens == tried.budget_tokens;
    let measured = match tried.passes {
        0 => "at a glance".to_owned(),
        passes => format!("{passes} times"),
    };
    [
        tried.layout.to_string(),
        tried.budget_tokens.to_string(),
        format!("{:.1}", tried.rps),
        format!("{:.1} %", tried.padding_efficiency * 100.0),
        candidates.iter().find(own).map_or_else(|| "–".to_owned(), |one| format!("{:.2} ms", one.short_row_ms)),
        measured,
    ]
}
