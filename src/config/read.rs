//! Reads the file and puts the flags over it, key by key.

use super::kind::{self, Kind};
use super::{Config, LogFormat, ModelConfig, Monitoring, Nvml, Overrides, Placement, State, TraceFiles, Tracing};
use crate::document::{Diagnostic, Document, Table};
use crate::telemetry;
use crate::types::{ArenaExtend, ConvSearch, CudaSettings, NamedFile};
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The shortest time a client may be given.
const SHORTEST: Duration = Duration::from_millis(1);
/// The shortest time between two looks at GPUs: NVML itself samples no faster.
const SHORTEST_PERIOD: Duration = Duration::from_millis(20);
/// The share of requests whose spans are exported where neither caller nor operator says: enough to see
/// what is usual, at a hundredth of the price.
const SAMPLE_RATIO: f64 = 0.01;
/// How large a file of a trace grows, the least that may be asked for, and how many are kept besides the newest.
const TRACE_BYTES: u64 = 64 << 20;
const LEAST_TRACE_BYTES: u64 = 64 << 10;
const TRACES_KEPT: u32 = 4;
const MOST_TRACES_KEPT: u32 = 1000;
/// Most sessions of a model, and most threads of a session.
const MOST_WORKERS: u32 = 1024;

pub(super) fn resolve(overrides: &Overrides, file: Option<(&Path, &str)>) -> Result<Config, Vec<Diagnostic>> {
    let (path, text) = file.unwrap_or((Path::new(""), ""));
    let document = Document::parse(path.display().to_string(), text);
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut flag_faults = Vec::new();
    let config = Reader { root: document.root(), folder, faults: &mut flag_faults }.config(overrides);
    let mut faults = document.finish(()).err().unwrap_or_default();
    faults.extend(flag_faults);
    if faults.is_empty() {
        faults = contradictions(&config);
    }
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

/// Finds settings that cannot go together.
fn contradictions(config: &Config) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    if config.listen == config.admin_listen && config.listen.port() != 0 {
        let message = format!("the data and the admin plane cannot both listen on {}", config.listen);
        faults.push(Diagnostic::whole("admin_listen (--admin-listen)", message, Some("another port, or 0".into())));
    }
    if config.models.is_empty() && config.upstream.is_none() {
        let help = "name a model with --model DIR or [[model]], or an upstream";
        faults.push(Diagnostic::whole("model (--model)", "there is nothing to serve", Some(help.into())));
    }
    faults
}

/// The file being read, and the faults of flags.
struct Reader<'d, 'f> {
    root: Table<'d>,
    folder: &'f Path,
    faults: &'f mut Vec<Diagnostic>,
}

impl Reader<'_, '_> {
    /// All settings; a default stands in for each that is at fault.
    fn config(&mut self, flags: &Overrides) -> Config {
        let mut http = self.root.table("http");
        let mut onnxruntime = self.root.table("onnxruntime");
        let library = path(&mut onnxruntime, "library", self.folder);
        let library = library.map(|path| NamedFile { path, by: onnxruntime.source("library") });
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let seconds = Duration::from_secs;
        Config {
            listen: self.text("listen", &kind::ADDRESS, flags.listen.as_deref()).unwrap_or(local(8080)),
            admin_listen: self
                .text("admin_listen", &kind::ADDRESS, flags.admin_listen.as_deref())
                .unwrap_or(local(9090)),
            policies: self.path("policies", flags.policies.as_deref()),
            upstream: self.text("upstream", &kind::UPSTREAM, flags.upstream.as_deref()),
            keys_file: self.keys_file(flags),
            max_body_bytes: self.max_body_bytes(flags.max_body_bytes.as_deref()),
            drain_delay: self.root.duration("drain_delay", Duration::ZERO).unwrap_or(Duration::ZERO),
            drain_timeout: self.root.duration("drain_timeout", Duration::ZERO).unwrap_or(seconds(30)),
            header_timeout: http.duration("header_timeout", SHORTEST).unwrap_or(seconds(10)),
            body_timeout: http.duration("body_timeout", SHORTEST).unwrap_or(seconds(30)),
            onnxruntime_library: flags.library(library),
            nvml: self.nvml(flags),
            monitoring: self.monitoring(flags),
            tracing: self.tracing(flags),
            state: self.state(flags.state.as_deref()),
            trace: self.trace(flags),
            ready_file: self.path("ready_file", flags.ready_file.as_deref()),
            log_format: self
                .text("log_format", &kind::LOG_FORMAT, flags.log_format.as_deref())
                .unwrap_or(LogFormat::Text),
            log_level: self
                .text("log_level", &kind::LOG_LEVEL, flags.log_level.as_deref())
                .unwrap_or_else(|| "info".to_owned()),
            models: self.models(flags),
        }
    }

    /// A key of the file's top level, or the flag of the same name over it.
    fn text<T>(&mut self, key: &str, kind: &Kind<T>, flag: Option<&str>) -> Option<T> {
        let written = self.root.parsed(key, kind.expected, kind.parse);
        let flagged = flag.filter(|text| !text.is_empty()).and_then(|text| self.flag(key, kind, text));
        flagged.or(written)
    }

    fn flag<T>(&mut self, key: &str, kind: &Kind<T>, text: &str) -> Option<T> {
        let value = (kind.parse)(text);
        if value.is_none() {
            self.flag_fault(key, format!("expected {}, found {text:?}", kind.expected), None);
        }
        value
    }

    fn flag_fault(&mut self, key: &str, message: String, help: Option<&str>) {
        self.faults.push(Diagnostic::whole(&flag_name(key), message, help.map(str::to_owned)));
    }

    fn max_body_bytes(&mut self, flag: Option<&str>) -> Option<usize> {
        const KEY: &str = "max_body_bytes";
        let written = self.root.bytes(KEY);
        let flagged = flag.filter(|text| !text.is_empty()).and_then(|text| self.flag(KEY, &kind::BYTES, text));
        flagged.or(written).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn path(&mut self, key: &str, flag: Option<&Path>) -> Option<PathBuf> {
        let written = path(&mut self.root, key, self.folder);
        given(flag).or(written)
    }

    fn keys_file(&mut self, flags: &Overrides) -> Option<PathBuf> {
        let written = path(&mut self.root.table("auth"), "keys_file", self.folder);
        given(flags.keys_file.as_deref()).or(written)
    }

    /// `none`, or a folder; without the key, beside each model.
    fn state(&mut self, flag: Option<&str>) -> State {
        let written = self.root.string("state");
        let flag = flag.filter(|text| !text.is_empty());
        match (flag, written.as_deref()) {
            (Some("none"), _) => State::None,
            (Some(folder), _) => State::Folder(PathBuf::from(folder)),
            (None, Some("none")) => State::None,
            (None, Some(folder)) => State::Folder(self.folder.join(folder)),
            (None, None) => State::Beside,
        }
    }

    fn nvml(&mut self, flags: &Overrides) -> Nvml {
        let mut table = self.root.table("nvml");
        // A name without a slash is the loader's to find.
        let written = table.string("library").map(|text| match text.contains('/') {
            true => self.folder.join(text),
            false => PathBuf::from(text),
        });
        let written = written.map(|path| NamedFile { path, by: table.source("library") });
        let period = table.duration("period", SHORTEST_PERIOD).unwrap_or(Duration::from_secs(1));
        Nvml { library: flags.nvml_library(written), period }
    }

    fn monitoring(&mut self, flags: &Overrides) -> Monitoring {
        let mut table = self.root.table("monitoring");
        let mut switch = |key: &str, flag_key: &str, flag: Option<&str>| {
            let written = table.boolean(key);
            let named = flag.filter(|text| !text.is_empty());
            let flagged = named.and_then(|text| self.flag(flag_key, &kind::BOOLEAN, text));
            flagged.or(written).unwrap_or(true)
        };
        Monitoring {
            performance: switch("performance", "performance_monitoring", flags.performance_monitoring.as_deref()),
            health_checks: switch("health_checks", "health_checks", flags.health_checks.as_deref()),
        }
    }

    fn tracing(&mut self, flags: &Overrides) -> Tracing {
        let mut table = self.root.table("tracing");
        let kind = &kind::OTLP_ENDPOINT;
        let written = table.parsed("otlp_endpoint", kind.expected, kind.parse);
        let ratio = table.number("sample_ratio").unwrap_or(SAMPLE_RATIO);
        if !(0.0..=1.0).contains(&ratio) {
            table.fault("sample_ratio", format!("expected a number from 0 to 1, found {ratio}"), None);
        } else if table.has("sample_ratio") && !telemetry::HAS_OTLP {
            table.fault("sample_ratio", format!("expected {}", kind.expected), None);
        }
        let flag = flags.otlp_endpoint.as_deref().filter(|text| !text.is_empty());
        let flagged = flag.and_then(|text| self.flag("otlp_endpoint", kind, text));
        Tracing { otlp_endpoint: flagged.or(written), sample_ratio: ratio }
    }

    /// `trace = "FILE"`, or a table of it with bounds.
    fn trace(&mut self, flags: &Overrides) -> Option<TraceFiles> {
        let flag = given(flags.trace.as_deref());
        if self.root.peek("trace").is_some() {
            let path = path(&mut self.root, "trace", self.folder);
            return flag.or(path).map(|path| TraceFiles { path, max_bytes: TRACE_BYTES, keep: TRACES_KEPT });
        }
        let mut table = self.root.table("trace");
        let written = path(&mut table, "file", self.folder);
        let max_bytes = table.bytes("max_bytes").unwrap_or(TRACE_BYTES);
        if max_bytes < LEAST_TRACE_BYTES {
            table.fault("max_bytes", format!("expected at least {LEAST_TRACE_BYTES}, found {max_bytes}"), None);
        }
        let keep = table.u32("keep", 1..=MOST_TRACES_KEPT).unwrap_or(TRACES_KEPT);
        if flag.is_none() && !table.has("file") && ["max_bytes", "keep"].iter().any(|key| table.has(key)) {
            table.missing("file", "the file that arrivals are recorded in");
        }
        flag.or(written).map(|path| TraceFiles { path, max_bytes, keep })
    }

    fn models(&mut self, flags: &Overrides) -> Vec<ModelConfig> {
        let general = self.root.parsed("device", kind::DEVICE.expected, kind::DEVICE.parse).unwrap_or(Placement::Auto);
        let named = flags.device.as_deref().filter(|text| !text.is_empty());
        let flag = named.and_then(|text| self.flag("device", &kind::DEVICE, text));
        let mut names = BTreeSet::new();
        let mut written = Vec::new();
        for mut table in self.root.tables("model") {
            written.extend(model_of_table(&mut table, self.folder, flag.as_ref(), &general, &mut names));
        }
        let mut given = flags.models.iter().filter(|text| !text.is_empty()).peekable();
        if given.peek().is_none() {
            return written;
        }
        let device = flag.unwrap_or(general);
        let mut names = BTreeSet::new();
        given.filter_map(|text| self.model_of_flag(text, device.clone(), &mut names)).collect()
    }

    fn model_of_flag(&mut self, text: &str, device: Placement, names: &mut BTreeSet<String>) -> Option<ModelConfig> {
        let (name, folder) = super::name_and_folder(text);
        let path = PathBuf::from(folder);
        let Some(name) = (kind::MODEL_NAME.parse)(name) else {
            let message = format!("expected {} before DIR in {text:?}", kind::MODEL_NAME.expected);
            self.flag_fault("model", message, Some("[NAME=]DIR; without NAME, the folder's own name"));
            return None;
        };
        if folder.is_empty() || !names.insert(name.clone()) {
            let wrong = if folder.is_empty() { "names no folder" } else { "repeats a model's name" };
            self.flag_fault("model", format!("{text:?} {wrong}"), Some("[NAME=]DIR, each name once"));
            return None;
        }
        Some(ModelConfig {
            name,
            path,
            device,
            instances: None,
            threads: None,
            spin: None,
            cuda: CudaSettings::default(),
        })
    }
}

/// One `[[model]]`. The flag's device beats the table's, which beats the general one.
fn model_of_table(
    table: &mut Table<'_>,
    folder: &Path,
    flag: Option<&Placement>,
    general: &Placement,
    names: &mut BTreeSet<String>,
) -> Option<ModelConfig> {
    let is_upstream = table.has("upstream");
    table.not_yet_supported("upstream");
    let named = table.parsed("name", kind::MODEL_NAME.expected, kind::MODEL_NAME.parse);
    let path = path(table, "path", folder);
    let device = table.parsed("device", kind::DEVICE.expected, kind::DEVICE.parse);
    let instances = table.u32("instances", 1..=MOST_WORKERS);
    let threads = table.u32("threads", 1..=MOST_WORKERS);
    let spin = table.boolean("spin");
    let cuda = cuda(&mut table.table("cuda"));
    if !table.has("path") && !is_upstream {
        table.missing("path", "the model's folder");
    }
    let path = path?;
    let name = if table.has("name") { named? } else { name_of_folder(table, &path)? };
    if !names.insert(name.clone()) {
        let key = if table.has("name") { "name" } else { "path" };
        table.fault(key, format!("another model is named {name}"), Some("each model has a name of its own".into()));
        return None;
    }
    let device = flag.cloned().or(device).unwrap_or_else(|| general.clone());
    Some(ModelConfig { name, path, device, instances, threads, spin, cuda })
}

/// `[model.cuda]`.
fn cuda(table: &mut Table<'_>) -> CudaSettings {
    // A captured graph reads its inputs where they lay when it was captured: it needs them to stay there.
    table.not_yet_supported("graph");
    let arena = [("power_of_two", ArenaExtend::PowerOfTwo), ("same_as_requested", ArenaExtend::SameAsRequested)];
    let searches = [
        ("heuristic", ConvSearch::Heuristic),
        ("exhaustive", ConvSearch::Exhaustive),
        ("default", ConvSearch::Default),
    ];
    CudaSettings {
        memory_limit: table.bytes("memory_limit"),
        arena_extend: table.choice("arena_extend", &arena).unwrap_or_default(),
        conv_search: table.choice("cudnn_conv_search", &searches).unwrap_or_default(),
        tf32: table.boolean("tf32").unwrap_or_default(),
    }
}

fn name_of_folder(table: &Table<'_>, path: &Path) -> Option<String> {
    let name = (kind::MODEL_NAME.parse)(file_name(path));
    if name.is_none() {
        let help = format!("give the model a `name`: {}", kind::MODEL_NAME.expected);
        table.fault("path", "this folder's name cannot name a model", Some(help));
    }
    name
}

/// How messages call the flag of a key.
pub(super) fn flag_name(key: &str) -> String {
    format!("--{} (INFERNEO_{})", key.replace('_', "-"), key.to_uppercase())
}

/// The last component of a path, empty where it has none that is text.
pub(super) fn file_name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

fn path(table: &mut Table<'_>, key: &str, folder: &Path) -> Option<PathBuf> {
    table.string(key).map(|text| folder.join(text))
}

fn given(path: Option<&Path>) -> Option<PathBuf> {
    path.filter(|path| !path.as_os_str().is_empty()).map(Path::to_owned)
}
