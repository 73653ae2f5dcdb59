//! The composition root: what is made in which order, and what stops in which order.
//!
//! Start: signals, policies and keys, GPUs, runtime, models, workers, the monitor of GPUs, both planes, readiness.
//! Stop: probes say "not ready", the drain delay passes; then, all under one deadline, new work is refused,
//! waiting work is finished, connections are closed, workers and the monitor are joined.

mod descriptors;
mod followed;
mod gpus;
mod learned;
mod load;
mod memory;
mod nodes;
mod placement;
mod reopen;
mod sessions;
mod stop;
mod trace;
mod tuner;

pub use tuner::{Found, KeptIn, tune};

use crate::admin::Admin;
use crate::clock;
use crate::config::Config;
use crate::dispatch::{Driver, Handle, Repository};
use crate::document::Diagnostic;
use crate::exec::RuntimeError;
use crate::front::{Front, Limits, Pool, Upstream};
use crate::gpu::{self, Gpus};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::model::Registry;
use crate::offline;
use crate::readiness::Readiness;
use crate::shutdown::Signals;
use crate::telemetry::{StartError, Tracer};
use followed::{Followed, Opened};
use load::Models;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use stop::Tasks;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;

/// How often readiness is looked at while models warm up.
const WARMING: Duration = Duration::from_millis(10);

/// Why the program did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The policy folder cannot be read, or a policy file is wrong.
    #[error("{}", list(.0))]
    Policies(Vec<Diagnostic>),
    /// The keys file cannot be read, or is wrong.
    #[error("{}", list(.0))]
    Keys(Vec<Diagnostic>),
    /// ONNX Runtime cannot be loaded.
    #[error("{0}")]
    Runtime(#[from] RuntimeError),
    /// The NVML library that was named cannot be loaded.
    #[error("{0}")]
    Gpus(#[from] gpu::OpenError),
    /// A model folder is wrong.
    #[error("model `{name}`: {message}")]
    Model {
        /// The model's name.
        name: String,
        /// Names the file and what is allowed.
        message: String,
    },
    /// The file that arrivals are to be recorded in cannot be written.
    #[error("--trace (INFERNEO_TRACE) {}: it cannot be written: {source}", path.display())]
    Trace {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// What a model was measured to do cannot be kept.
    #[error(
        "{}: what is found cannot be kept there: {source}; name a folder that can be written with --state DIR",
        path.display()
    )]
    State {
        /// The file.
        path: PathBuf,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// A model cannot be measured.
    #[error("model `{name}`: {source}")]
    Tune {
        /// The model's name.
        name: String,
        /// Why not.
        source: offline::Error,
    },
    /// Spans cannot be exported.
    #[error("{0}")]
    Tracing(#[from] StartError),
    /// An address cannot be taken.
    #[error("{what} {address}: {source}")]
    Listen {
        /// Which setting named it.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The operating system's word.
        source: std::io::Error,
    },
    /// A part ended that the program cannot do without.
    #[error("{0} ended by itself: this is a fault of the program")]
    Ended(&'static str),
    /// The drain was not waited for.
    #[error("a second signal ({0}) ended the drain")]
    Interrupted(&'static str),
    /// The operating system refused something else.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Its word.
        source: std::io::Error,
    },
}

impl AppError {
    /// Whether the operator's configuration is to blame (exit code 2) rather than the run (1).
    #[must_use]
    pub fn is_configuration(&self) -> bool {
        match self {
            Self::Policies(_) | Self::Keys(_) | Self::Runtime(_) | Self::Gpus(_) => true,
            Self::Model { .. } | Self::Tracing(_) | Self::Trace { .. } | Self::State { .. } => true,
            Self::Tune { source, .. } => !matches!(source, offline::Error::Run(_) | offline::Error::Thread(_)),
            Self::Listen { .. } | Self::Ended(_) | Self::Interrupted(_) | Self::System { .. } => false,
        }
    }

    fn metrics(error: prometheus::Error) -> Self {
        Self::system("metrics")(std::io::Error::other(error))
    }

    fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

fn list(faults: &[Diagnostic]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Serves until a signal, then drains; a second signal ends the drain.
///
/// # Errors
/// Everything that keeps the program from starting, and the end of a part it cannot do without.
pub async fn serve(config: Config) -> Result<(), AppError> {
    let mut signals = Signals::install().map_err(AppError::system("signal handler"))?;
    remove_ready(&config);
    trace::check(&config)?;
    let started = clock::now();
    let metrics = Arc::new(Metrics::with_performance(config.monitoring.performance).map_err(AppError::metrics)?);
    let Some((opened, mut loaded, found)) = load(&config, &metrics, &mut signals).await? else { return Ok(()) };
    let (registry, keeper, source) = (Arc::clone(&loaded.registry), loaded.keeper.clone(), loaded.source.take());
    let readiness = Arc::new(Readiness::new(Arc::clone(&registry)));
    let ([listener, admin_listener], taken) = listen(&config).await?;
    let sites = gpus::sites(&loaded.plans);
    let (driver, handle, followed) = drive(&config, opened, loaded, Arc::clone(&metrics))?;
    let (monitor, gpus) = gpus::watch(found, config.nvml.period, sites, &handle, &metrics)?;
    let (stop, stopped) = watch::channel(false);
    let admin = Admin {
        metrics: Arc::clone(&metrics),
        readiness: Arc::clone(&readiness),
        registry: Arc::clone(&registry),
        live: Arc::clone(&followed.live),
        handle: handle.clone(),
        health_checks: config.monitoring.health_checks,
        started,
        history: Arc::default(),
        gpus,
    };
    let repository = Repository::new(handle.clone(), Arc::clone(&registry), source);
    let front = front(&config, registry, repository, followed.keys(), metrics, Arc::clone(&readiness))?;
    let mut tasks = Tasks {
        trace: trace::begin(&config, &handle, &admin.registry)?,
        tracer: front.tracer.clone(),
        driver: tokio::spawn(driver.run()),
        front: tokio::spawn(front.serve(listener, until(stopped.clone()))),
        admin: admin.spawn(admin_listener, until(stopped.clone())),
        keeper: tokio::spawn(keeper.run(handle.clone(), until(stopped))),
        watches: tokio::spawn(followed.watch()),
        monitor,
    };

    let ready = tokio::spawn(announce(Arc::clone(&readiness), config.ready_file.clone(), taken));
    let ended = end(&mut signals, &mut tasks).await;
    ready.abort();
    readiness.drain();
    tracing::info!(signal = ended.as_ref().ok(), "draining");
    let drained = tokio::select! {
        () = tasks.stop_in_order(&config, &handle, stop) => ended.map(drop),
        signal = signals.next(), if ended.is_ok() => Err(AppError::Interrupted(signal)),
    };
    remove_ready(&config);
    drained
}

/// Waits for the signal that ends the program, or for the end of a part it cannot do without.
async fn end(signals: &mut Signals, tasks: &mut Tasks) -> Result<&'static str, AppError> {
    tokio::select! {
        signal = signals.next() => Ok(signal),
        what = tasks.any_end() => Err(AppError::Ended(what)),
    }
}

/// What is there before anything runs.
type Loaded = (Opened, Models, Option<Gpus>);

/// Reads policies and keys, looks for GPUs and opens every model, off the runtime; `None` when a signal came first.
async fn load(config: &Config, metrics: &Arc<Metrics>, signals: &mut Signals) -> Result<Option<Loaded>, AppError> {
    let (config, metrics) = (config.clone(), Arc::clone(metrics));
    let loading = tokio::task::spawn_blocking(move || {
        let opened = Opened::read(&config, &metrics)?;
        let gpus = gpus::find(&config)?;
        Ok((opened, load::models(&config, gpus.as_ref(), &metrics)?, gpus))
    });
    tokio::select! {
        loaded = loading => {
            let loaded = loaded.map_err(|e| AppError::system("loading")(std::io::Error::other(e)))?;
            loaded.map(Some)
        }
        signal = signals.next() => {
            tracing::info!(signal, "stopped while loading");
            Ok(None)
        }
    }
}

/// Starts the driver under the live policies with what earlier lives learned, and has it told of policies to come and of
/// the tenants of keys.
fn drive(
    config: &Config,
    opened: Opened,
    loaded: Models,
    metrics: Arc<Metrics>,
) -> Result<(Driver, Handle, Followed), AppError> {
    let policies = Arc::clone(&opened.live.status().policies);
    let (mut driver, handle) =
        Driver::start(policies, loaded.plans, metrics).map_err(AppError::system("starting a worker"))?;
    for (model, costs) in loaded.registry.list().iter().zip(&loaded.costs) {
        learned::restore(&mut driver, model.id, &model.name, costs);
    }
    // What is read and answered may take a quarter; models and their runs need the rest.
    handle.gate().set_most(memory::limit().map_or(u64::MAX, |bytes| bytes / 4));
    if config.monitoring.health_checks {
        driver.check_health();
    }
    let followed = opened.telling(&handle);
    Ok((driver, handle, followed))
}

fn front(
    config: &Config,
    registry: Arc<Registry>,
    backend: Repository,
    keys: Option<Arc<Keys>>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
) -> Result<Front, AppError> {
    let limits = Limits {
        max_body_bytes: config.max_body_bytes,
        header_timeout: config.header_timeout,
        body_timeout: config.body_timeout,
        connections: descriptors::connections(config.upstream.is_some()),
    };
    let pool = Pool::new(offline::cores());
    let upstream = config.upstream.clone().map(|server| Upstream::new(server.authority, server.base));
    let (backend, tracer) = (Arc::new(backend), tracer(config)?);
    Ok(Front { registry, backend, metrics, readiness, tracer, limits, pool, upstream, keys })
}

/// Tells of requests, to a collector too where one is set.
fn tracer(config: &Config) -> Result<Tracer, AppError> {
    let Some(collector) = &config.tracing.otlp_endpoint else { return Ok(Tracer::default()) };
    // The path that a collector takes traces at (the OTLP specification, "OTLP/HTTP Request").
    let endpoint = format!("http://{}{}/v1/traces", collector.authority, collector.base);
    tracing::info!(endpoint, sample_ratio = config.tracing.sample_ratio, "exporting spans");
    Ok(Tracer::exporting(&endpoint, config.tracing.sample_ratio)?)
}

async fn bind(what: &'static str, address: SocketAddr) -> Result<TcpListener, AppError> {
    TcpListener::bind(address).await.map_err(|source| AppError::Listen { what, address, source })
}

/// Takes the addresses of both planes; answers which they are.
async fn listen(config: &Config) -> Result<([TcpListener; 2], [SocketAddr; 2]), AppError> {
    let data = bind("listen", config.listen).await?;
    let admin = bind("admin_listen", config.admin_listen).await?;
    let taken = [local(&data)?, local(&admin)?];
    Ok(([data, admin], taken))
}

fn local(listener: &TcpListener) -> Result<SocketAddr, AppError> {
    listener.local_addr().map_err(AppError::system("local address"))
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    drop(stopped.wait_for(|stopped| *stopped).await);
}

/// Says in the log where it listens, waits until every model is warm, and says so there and in the ready file.
async fn announce(readiness: Arc<Readiness>, file: Option<PathBuf>, [listen, admin]: [SocketAddr; 2]) {
    tracing::info!(%listen, admin_listen = %admin, "listening");
    while !readiness.is_ready() {
        sleep(WARMING).await;
    }
    tracing::info!(%listen, "ready");
    if let Some(path) = file
        && let Err(error) = write_ready(&path, listen, admin)
    {
        tracing::error!(path = %path.display(), "the ready file cannot be written: {error}");
    }
}

/// Removes the ready file, so that nobody believes an earlier run's.
fn remove_ready(config: &Config) {
    if let Some(path) = &config.ready_file
        && let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), "the ready file cannot be removed: {error}");
    }
}

/// Writes the ready file whole: a reader sees nothing or all of it.
fn write_ready(path: &Path, listen: SocketAddr, admin: SocketAddr) -> std::io::Result<()> {
    let body = serde_json::json!({
        "listen": listen.to_string(), "admin_listen": admin.to_string(), "pid": std::process::id(),
    });
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    std::fs::write(&draft, format!("{body}\n"))?;
    std::fs::rename(&draft, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn spans_that_cannot_be_exported_are_the_configurations_fault() {
        let error = Tracer::exporting("http://two words/v1/traces", 1.0).unwrap_err();
        assert!(AppError::from(error).is_configuration());
    }
}
