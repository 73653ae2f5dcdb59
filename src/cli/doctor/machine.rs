//! What this machine has: ONNX Runtime, and models that may or may not be safe to batch.
//!
//! Decides which of it is a warning and which a failure.

use super::{Report, gpus};
use crate::config::{Overrides, name_and_folder};
use crate::exec::{ModelFile, NoCuda, Nodes, OnnxBackend, Runtime, SessionSettings, look_for_cuda, probe, settle};
use crate::model::{Folder, Model, ModelSpec};
use crate::text::Tokenizer;
use crate::types::ModelId;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

/// Looks for ONNX Runtime and GPUs (the libraries as `flags` name them), and into `models`, each
/// `[NAME=]DIR` as `serve` takes them.
pub(super) fn examine(flags: &Overrides, models: &[String], report: &mut Report) {
    match Runtime::load(flags.library(None).as_ref()) {
        Ok(runtime) => {
            look_at_runtime(&runtime, report);
            for model in models {
                let (name, folder) = name_and_folder(model);
                if models.len() > 1 {
                    report.ok(format!("model {name} at {folder}"));
                }
                look_at_model(&runtime, Path::new(folder), report);
            }
        }
        Err(error) => report.failure(error),
    }
    gpus::examine(flags.nvml_library(None).as_ref(), report);
}

fn look_at_runtime(runtime: &Arc<Runtime>, report: &mut Report) {
    let version = runtime.version().unwrap_or("of unknown version");
    report.ok(format!("ONNX Runtime {version} at {}", runtime.path().display()));
    report.ok(format!("execution providers: {}", runtime.providers().join(", ")));
    match look_for_cuda(runtime, 0) {
        Ok(()) => report.ok("CUDA: works on cuda:0"),
        Err(why @ NoCuda::CpuBuild { .. }) => report.ok(format!("CUDA: no; {why}")),
        Err(why) => report.warning(format!("CUDA: no; {why}")),
    }
}

fn look_at_model(runtime: &Arc<Runtime>, folder: &Path, report: &mut Report) {
    let folder = match Folder::open(folder) {
        Ok(folder) => folder,
        Err(error) => return report.failure(error),
    };
    let io = match probe(runtime, folder.onnx()) {
        Ok(io) => io,
        Err(error) => return report.failure(error),
    };
    let spec = match ModelSpec::resolve(&io, &folder) {
        Ok(spec) => spec,
        Err(error) => return report.failure(error),
    };
    let tokenizer = match folder.tokenizer() {
        Ok(tokenizer) => tokenizer,
        Err(error) => return report.failure(error),
    };
    if let Some(why) = tokenizer.as_ref().and_then(Tokenizer::fails_on) {
        report.warning(format!("{}: {why}", folder.path("tokenizer.json").display()));
    }
    let (tell, told) = channel();
    let file = ModelFile::new(runtime, folder.onnx());
    let make = |spec: &ModelSpec| {
        let tell = tell.clone();
        let tell = move |nodes: &Nodes| drop(tell.send(nodes.clone()));
        Ok(Box::new(OnnxBackend::recorded(&file, spec, &SessionSettings::cpu(1), tell)?) as _)
    };
    let model = Model::new(ModelId::default(), "doctor", spec, tokenizer, 0);
    let model = match settle(model, folder.stacking(), &file, &make) {
        Ok(model) => model,
        Err(error) => return report.failure(error),
    };
    for finding in model.spec.describe(&folder) {
        match finding.warning {
            true => report.warning(finding.text),
            false => report.ok(finding.text),
        }
    }
    if let Ok(nodes) = told.try_recv() {
        let nodes: Vec<String> = nodes.iter().map(|(provider, count)| format!("{count} by {provider}")).collect();
        report.ok(format!("nodes run on the CPU: {}", nodes.join(", ")));
    }
}
