//! The program's settings: flags and environment over `inferneo.toml` over defaults (docs/interface.md).
//!
//! Decides what may be set and what everything defaults to. Does not know the command line's grammar
//! and does not touch what a path names; past this room no setting is checked again.

mod kind;
mod read;

#[cfg(test)]
mod tests;

use crate::document::{self, Diagnostic};
use crate::telemetry::LogFormat;
use crate::types::{CudaSettings, Device, NamedFile};
use http::uri::Authority;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What flags and their environment forms say, as they were typed. An empty value counts as absent.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--config`.
    pub config: Option<PathBuf>,
    /// `--model [NAME=]DIR`; any at all replace the file's list.
    pub models: Vec<String>,
    /// `--policies`.
    pub policies: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--admin-listen`.
    pub admin_listen: Option<String>,
    /// `--keys-file`.
    pub keys_file: Option<PathBuf>,
    /// `--device`, for every model.
    pub device: Option<String>,
    /// `--upstream`.
    pub upstream: Option<String>,
    /// `--onnxruntime-library`.
    pub onnxruntime_library: Option<PathBuf>,
    /// `ORT_DYLIB_PATH`, which counts where nothing else names the library.
    pub ort_dylib_path: Option<PathBuf>,
    /// `--nvml-library`.
    pub nvml_library: Option<PathBuf>,
    /// `--max-body-bytes`.
    pub max_body_bytes: Option<String>,
    /// `--performance-monitoring`.
    pub performance_monitoring: Option<String>,
    /// `--health-checks`.
    pub health_checks: Option<String>,
    /// `--otlp-endpoint`.
    pub otlp_endpoint: Option<String>,
    /// `--state DIR`, or `none`.
    pub state: Option<String>,
    /// `--trace`.
    pub trace: Option<PathBuf>,
    /// `--ready-file`.
    pub ready_file: Option<PathBuf>,
    /// `--log-format`.
    pub log_format: Option<String>,
    /// `--log-level`.
    pub log_level: Option<String>,
}

/// The settings of `inferneo serve`, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where the data plane listens.
    pub listen: SocketAddr,
    /// Where the admin plane listens.
    pub admin_listen: SocketAddr,
    /// The policy folder; without one the built-in policy applies.
    pub policies: Option<PathBuf>,
    /// Where requests go that are not for a model here.
    pub upstream: Option<Upstream>,
    /// The file of API keys; without one none is asked for.
    pub keys_file: Option<PathBuf>,
    /// Most bytes of a request's body, after decompression; `None` for as many as suit the models.
    pub max_body_bytes: Option<usize>,
    /// How long requests are still accepted after SIGTERM.
    pub drain_delay: Duration,
    /// How long running requests may take after that.
    pub drain_timeout: Duration,
    /// How long a client may take to send a request's head.
    pub header_timeout: Duration,
    /// How long a client may take to send a request's body.
    pub body_timeout: Duration,
    /// The ONNX Runtime library that was named; without one the loader's path is searched.
    pub onnxruntime_library: Option<NamedFile>,
    /// How GPUs are watched.
    pub nvml: Nvml,
    /// What the program watches of itself.
    pub monitoring: Monitoring,
    /// Which requests' spans go where.
    pub tracing: Tracing,
    /// Where what was learned survives a restart.
    pub state: State,
    /// Where arrivals are recorded for as long as the program runs.
    pub trace: Option<TraceFiles>,
    /// Where to write the addresses taken, once ready.
    pub ready_file: Option<PathBuf>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Which log lines are written: a level, or a list of `target=level` with one.
    pub log_level: String,
    /// The models, names unique.
    pub models: Vec<ModelConfig>,
}

/// Where what was learned survives a restart.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// In each model's own folder, where that can be written.
    #[default]
    Beside,
    /// In one folder, a file a model.
    Folder(PathBuf),
    /// Nowhere.
    None,
}

/// What the program watches of itself besides serving; each costs a little and can be turned off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Monitoring {
    /// Whether the performance of batches and devices is sampled.
    pub performance: bool,
    /// Whether idle models prove by a made-up inference that they still answer.
    pub health_checks: bool,
}

/// How GPUs are watched, where the performance of devices is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nvml {
    /// The library that was named; without one the usual one is tried.
    pub library: Option<NamedFile>,
    /// From one look to the next.
    pub period: Duration,
}

/// Files that arrivals are recorded in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceFiles {
    /// The newest of them.
    pub path: PathBuf,
    /// About how large one grows, in bytes.
    pub max_bytes: u64,
    /// How many are kept besides the newest, ≥ 1.
    pub keep: u32,
}

/// One model to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelConfig {
    /// The name callers use: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// Where it runs.
    pub device: Placement,
    /// Sessions a device, ≥ 1; where both are absent as tuned, measured or by the cores.
    pub instances: Option<u32>,
    /// Threads a session uses within an operator, ≥ 1.
    pub threads: Option<u32>,
    /// Whether threads that have nothing to do keep their cores for a while.
    pub spin: Option<bool>,
    /// Of its sessions on a GPU.
    pub cuda: CudaSettings,
}

/// Export of spans.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracing {
    /// The collector to send them to; without one none are made. Never there in a build that cannot export.
    pub otlp_endpoint: Option<Upstream>,
    /// The share of requests that is sampled, 0 to 1, of those whose caller does not say.
    pub sample_ratio: f64,
}

/// Where a model is to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// On every GPU that works, else on the CPU.
    Auto,
    /// On every GPU this process may see.
    Cuda,
    /// On these, each named once, at least one.
    On(Vec<Device>),
}

/// An HTTP server: `http://HOST[:PORT][/BASE]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// The host, with its port where one was given, as a `Host` header has it.
    pub authority: Authority,
    /// The path below which everything is asked for, without its last slash; empty for none.
    pub base: String,
}

/// Splits `[NAME=]DIR` of `--model`; without a name it is the folder's own, empty where that is no text.
/// What stands before the first `=` is a path if it has a slash.
#[must_use]
pub fn name_and_folder(text: &str) -> (&str, &str) {
    let split = text.split_once('=').filter(|(name, _)| !name.contains('/'));
    split.unwrap_or((read::file_name(Path::new(text)), text))
}

impl Overrides {
    /// The ONNX Runtime library: the flag's, else the one `written` in the file, else `ORT_DYLIB_PATH`'s.
    #[must_use]
    pub fn library(&self, written: Option<NamedFile>) -> Option<NamedFile> {
        named(self.onnxruntime_library.as_ref(), &read::flag_name("onnxruntime_library"))
            .or(written)
            .or_else(|| named(self.ort_dylib_path.as_ref(), "ORT_DYLIB_PATH"))
    }

    /// The NVML library: the flag's, else the one `written` in the file.
    #[must_use]
    pub fn nvml_library(&self, written: Option<NamedFile>) -> Option<NamedFile> {
        named(self.nvml_library.as_ref(), &read::flag_name("nvml_library")).or(written)
    }
}

fn named(path: Option<&PathBuf>, by: &str) -> Option<NamedFile> {
    let path = path.filter(|path| !path.as_os_str().is_empty())?.clone();
    Some(NamedFile { path, by: by.to_owned() })
}

impl Config {
    /// Reads the file that `--config` names, if any, and puts the flags over it.
    ///
    /// # Errors
    /// All faults of the file and of the flags.
    pub fn load(overrides: &Overrides) -> Result<Self, Vec<Diagnostic>> {
        let Some(path) = overrides.config.as_deref().filter(|path| !path.as_os_str().is_empty()) else {
            return Self::resolve(overrides, None);
        };
        let name = path.display().to_string();
        let bytes = fs::read(path)
            .map_err(|error| vec![Diagnostic::whole(&name, format!("cannot read the configuration: {error}"), None)])?;
        let text = document::decode(&name, bytes)?;
        Self::resolve(overrides, Some((path, &text)))
    }

    /// Puts the flags over a file's path and text. Relative paths in the file are relative to its
    /// folder, those of flags to the working directory.
    ///
    /// # Errors
    /// All faults of the file and of the flags.
    pub fn resolve(overrides: &Overrides, file: Option<(&Path, &str)>) -> Result<Self, Vec<Diagnostic>> {
        read::resolve(overrides, file)
    }
}
