//! What this machine has: ONNX Runtime, and models that may or may not be safe to batch.
//!
//! Decides which of it is a warning and which a failure.

use super::{Report, gpus};
use crate::config::{Overrides, name_and_folder};
use crate::exec::{
    Difference, ModelFile, NoCuda, Nodes, OnnxBackend, Runtime, SessionSettings, differences, look_for_cuda, probe,
};
use crate::model::{Datatype, Folder, Model, ModelSpec};
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
    for finding in spec.describe(&folder) {
        match finding.warning {
            true => report.warning(finding.text),
            false => report.ok(finding.text),
        }
    }
    let tokenizer = match folder.tokenizer() {
        Ok(tokenizer) => tokenizer,
        Err(error) => return report.failure(error),
    };
    let (tell, told) = channel();
    let tell = move |nodes: &Nodes| drop(tell.send(nodes.clone()));
    let file = ModelFile::new(runtime, folder.onnx());
    let backend = match OnnxBackend::recorded(&file, &spec, &SessionSettings::cpu(1), tell) {
        Ok(backend) => Box::new(backend),
        Err(error) => return report.failure(error),
    };
    if spec.batchable {
        let model = Arc::new(Model::new(ModelId::default(), "doctor", spec, tokenizer, 0));
        match differences(&model, backend) {
            Ok(found) => {
                let stacks = judge(&model.spec, "other rows", found.stacked, UNSTACKABLE, report);
                if let Some(padded) = found.padded.filter(|_| stacks) {
                    judge(&model.spec, "longer rows, padded to their length,", padded, UNPADDABLE, report);
                }
            }
            Err(error) => report.warning(format!("whether it is safe to batch is not known: made-up input: {error}")),
        }
    }
    if let Ok(nodes) = told.try_recv() {
        let nodes: Vec<String> = nodes.iter().map(|(provider, count)| format!("{count} by {provider}")).collect();
        report.ok(format!("nodes run on the CPU: {}", nodes.join(", ")));
    }
}

const UNSTACKABLE: &str = "not safe to batch (dynamic quantisation does this): set dynamic_batching = false in its policy, \
                           or export it with static quantisation";
const UNPADDABLE: &str = "not safe to pad: set [batching] exact = true in model.toml";

/// Reports and returns whether a row that is `with` others answers as it does alone, within rounding.
fn judge(spec: &ModelSpec, with: &str, found: Difference, mend: &str, report: &mut Report) -> bool {
    let half = |d| matches!(d, Datatype::Fp16 | Datatype::Bf16);
    let coarse = spec.inputs.iter().chain(&spec.outputs).any(|tensor| half(tensor.datatype));
    let tolerance = if coarse { 1e-2 } else { 1e-4 };
    let difference = format!("a row with {with} differs by at most {:.1e} from the row alone", found.absolute);
    let same = found.absolute <= tolerance * found.magnitude.max(1.0);
    match same {
        true => report.ok(format!("safe to batch: {difference}")),
        false => report.warning(format!("{difference}: {mend}")),
    }
    same
}
