//! `inferneo doctor`: what was found on this machine, one line each, and the mend.
//!
//! Decides what counts as a warning and what as a failure. Changes nothing.

use crate::config::name_and_folder;
use crate::exec::{
    Difference, NoCuda, Nodes, OnnxBackend, Runtime, SessionSettings, differences, look_for_cuda, probe,
};
use crate::model::{Datatype, Folder, Model, ModelSpec};
use crate::types::{ModelId, NamedFile};
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::channel;

/// Looks for ONNX Runtime (`library` as configured), and into `models`, each `[NAME=]DIR` as `serve` takes
/// them; prints one line a fact. Exit code 1 when anything failed; warnings do not count.
#[must_use]
pub(super) fn run(library: Option<&NamedFile>, models: &[String]) -> ExitCode {
    let mut report = Report::default();
    match Runtime::load(library) {
        Ok(runtime) => {
            look_at_runtime(&runtime, &mut report);
            for model in models.iter().filter(|model| !model.is_empty()) {
                let (name, folder) = name_and_folder(model);
                if models.len() > 1 {
                    report.ok(format!("model {name} at {folder}"));
                }
                look_at_model(&runtime, Path::new(folder), &mut report);
            }
        }
        Err(error) => report.failure(error),
    }
    ExitCode::from(u8::from(report.failed))
}

fn look_at_runtime(runtime: &Runtime, report: &mut Report) {
    let version = runtime.version().unwrap_or("of unknown version");
    report.ok(format!("ONNX Runtime {version} at {}", runtime.path().display()));
    report.ok(format!("execution providers: {}", runtime.providers().join(", ")));
    match look_for_cuda(runtime, 0) {
        Ok(()) => report.ok("CUDA: works on cuda:0"),
        Err(why @ NoCuda::CpuBuild { .. }) => report.ok(format!("CUDA: no; {why}")),
        Err(why) => report.warning(format!("CUDA: no; {why}")),
    }
}

fn look_at_model(runtime: &Runtime, folder: &Path, report: &mut Report) {
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
    let backend = match OnnxBackend::recorded(runtime, folder.onnx(), &spec, &SessionSettings::cpu(1), tell) {
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

/// Lines on standard output.
#[derive(Debug, Default)]
struct Report {
    failed: bool,
}

impl Report {
    fn ok(&mut self, text: impl Display) {
        println!("ok       {text}");
    }

    fn warning(&mut self, text: impl Display) {
        println!("warning  {text}");
    }

    fn failure(&mut self, text: impl Display) {
        self.failed = true;
        println!("failure  {text}");
    }
}
