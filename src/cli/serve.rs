//! `inferneo serve`: runs the sidecar.

use crate::app;
use crate::config::{Config, Overrides};
use crate::offline;
use crate::telemetry;
use clap::Args as ClapArgs;
use std::path::PathBuf;
use std::process::ExitCode;

/// Flags of `serve`; each beats its environment form, which beats `inferneo.toml`.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Settings file
    #[arg(long, value_name = "FILE", env = "INFERNEO_CONFIG", value_parser = super::path())]
    config: Option<PathBuf>,
    /// Model folder to serve; repeatable. The name defaults to the folder's
    #[arg(long, value_name = "[NAME=]DIR", env = "INFERNEO_MODEL", value_delimiter = ',')]
    model: Vec<String>,
    /// Policy folder
    #[arg(long, value_name = "DIR", env = "INFERNEO_POLICIES", value_parser = super::path())]
    policies: Option<PathBuf>,
    /// Address of the data plane [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "INFERNEO_LISTEN")]
    listen: Option<String>,
    /// Address of the admin plane [default: 127.0.0.1:9090]
    #[arg(long, value_name = "ADDR", env = "INFERNEO_ADMIN_LISTEN")]
    admin_listen: Option<String>,
    /// File of API keys; with it, a request needs one
    #[arg(long, value_name = "FILE", env = "INFERNEO_KEYS_FILE", value_parser = super::path())]
    keys_file: Option<PathBuf>,
    /// Where models run: auto, cpu, cuda, or a list such as cuda:0,cuda:1
    #[arg(long, value_name = "DEVICE", env = "INFERNEO_DEVICE")]
    device: Option<String>,
    /// Where every other path goes
    #[arg(long, value_name = "URL", env = "INFERNEO_UPSTREAM")]
    upstream: Option<String>,
    /// ONNX Runtime's shared library
    #[arg(long, value_name = "FILE", env = "INFERNEO_ONNXRUNTIME_LIBRARY", value_parser = super::path())]
    onnxruntime_library: Option<PathBuf>,
    /// NVML's shared library [default: libnvidia-ml.so.1, where there is one]
    #[arg(long, value_name = "FILE", env = "INFERNEO_NVML_LIBRARY", value_parser = super::path())]
    nvml_library: Option<PathBuf>,
    /// Most bytes of a request's body, such as 64MiB [default: 16MiB, or room for a row of the widest model]
    #[arg(long, value_name = "SIZE", env = "INFERNEO_MAX_BODY_BYTES")]
    max_body_bytes: Option<String>,
    /// Whether batches and devices are sampled: true or false [default: true]
    #[arg(long, value_name = "BOOL", env = "INFERNEO_PERFORMANCE_MONITORING")]
    performance_monitoring: Option<String>,
    /// Whether idle models are checked by a made-up inference: true or false [default: true]
    #[arg(long, value_name = "BOOL", env = "INFERNEO_HEALTH_CHECKS")]
    health_checks: Option<String>,
    /// Collector that spans are sent to, OTLP over HTTP (in a build with the feature otlp)
    #[arg(long, value_name = "URL", env = "INFERNEO_OTLP_ENDPOINT")]
    otlp_endpoint: Option<String>,
    /// Folder to keep learned costs in, or none [default: the model's own folder]
    #[arg(long, value_name = "DIR", env = "INFERNEO_STATE")]
    state: Option<String>,
    /// File that arrivals are recorded in, without payloads, for `inferneo simulate`
    #[arg(long, value_name = "FILE", env = "INFERNEO_TRACE", value_parser = super::path())]
    trace: Option<PathBuf>,
    /// File to write the addresses taken to, once ready
    #[arg(long, value_name = "PATH", env = "INFERNEO_READY_FILE", value_parser = super::path())]
    ready_file: Option<PathBuf>,
    /// Form of log lines: text or json
    #[arg(long, value_name = "FORMAT", env = "INFERNEO_LOG_FORMAT")]
    log_format: Option<String>,
    /// Which log lines: error, warn, info, debug, trace or off
    #[arg(long, value_name = "LEVEL", env = "INFERNEO_LOG_LEVEL")]
    log_level: Option<String>,
}

impl From<Args> for Overrides {
    fn from(args: Args) -> Self {
        Self {
            config: args.config,
            models: args.model,
            policies: args.policies,
            listen: args.listen,
            admin_listen: args.admin_listen,
            keys_file: args.keys_file,
            device: args.device,
            upstream: args.upstream,
            onnxruntime_library: args.onnxruntime_library,
            ort_dylib_path: super::ort_dylib_path(),
            nvml_library: args.nvml_library,
            max_body_bytes: args.max_body_bytes,
            performance_monitoring: args.performance_monitoring,
            health_checks: args.health_checks,
            otlp_endpoint: args.otlp_endpoint,
            state: args.state,
            trace: args.trace,
            ready_file: args.ready_file,
            log_format: args.log_format,
            log_level: args.log_level,
        }
    }
}

pub(super) fn run(args: Args) -> ExitCode {
    let config = match Config::load(&args.into()) {
        Ok(config) => config,
        Err(faults) => {
            for fault in faults {
                eprintln!("{fault}");
            }
            return super::bad_usage();
        }
    };
    if let Err(error) = telemetry::init(config.log_format, &config.log_level) {
        eprintln!("logging: {error}");
        return super::failed();
    }
    // The other cores are the models': on two of them a second thread only wakes for nothing, and takes turns with a model.
    let workers = (offline::cores() / 2).max(1);
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("no async runtime: {error}");
            return super::failed();
        }
    };
    let result = runtime.block_on(app::serve(config));
    // What still runs past the drain's deadline is not waited for again.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            if error.is_configuration() { super::bad_usage() } else { super::failed() }
        }
    }
}
