//! The one ONNX Runtime of this process: its library and its environment.
//!
//! Decides what loads and under which settings. Knows no flag or variable that named the library, no model
//! and no session.

use super::process::disable_telemetry;
use crate::types::{NamedFile, locked};
use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;
use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The name the loader is asked for when nothing was named.
const DEFAULT_LIBRARY: &str = "libonnxruntime.so";

/// A loaded ONNX Runtime. Lives as long as the process: its environment can be made only once.
#[derive(Debug)]
pub struct Runtime {
    environment: Environment,
    path: PathBuf,
    version: Option<String>,
}

/// Why ONNX Runtime is not there. Every message names the path and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuntimeError {
    /// A file that somebody named does not exist or is not a file.
    #[error("{by} names {}, which is not a file; name the ONNX Runtime library itself (libonnxruntime.so)", path.display())]
    NotAFile {
        /// Who named it.
        by: String,
        /// What was named.
        path: PathBuf,
    },
    /// A file that somebody named does not load.
    #[error("{by} names {}, which does not load as ONNX Runtime: {message}; name a build of version 1.{} or newer for this machine", path.display(), ort::MINOR_VERSION)]
    DoesNotLoad {
        /// Who named it.
        by: String,
        /// What was named.
        path: PathBuf,
        /// The loader's words.
        message: String,
    },
    /// Nothing was named and the loader knows no library.
    #[error(
        "no ONNX Runtime found: {DEFAULT_LIBRARY} is not on the loader's path ({message}); name the library with --onnxruntime-library, INFERNEO_ONNXRUNTIME_LIBRARY, [onnxruntime] library or ORT_DYLIB_PATH"
    )]
    NotFound {
        /// The loader's words.
        message: String,
    },
    /// Another library was loaded before.
    #[error("ONNX Runtime is already loaded from {}; one process can load only one", path.display())]
    AlreadyLoaded {
        /// The one in use.
        path: PathBuf,
    },
    /// The library loaded but did not start.
    #[error("ONNX Runtime at {} does not start: {message}", path.display())]
    Environment {
        /// The library.
        path: PathBuf,
        /// The runtime's words.
        message: String,
    },
}

impl Runtime {
    /// Loads ONNX Runtime, or returns the one this process already has.
    ///
    /// `named` is the operator's choice; without one the loader's path is searched.
    ///
    /// # Errors
    /// [`RuntimeError`]; a library that was named and does not load is never passed over for the next one.
    pub fn load(named: Option<&NamedFile>) -> Result<Arc<Self>, RuntimeError> {
        static LOADED: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);
        let mut loaded = locked(&LOADED);
        let candidate = Candidate::choose(named)?;
        if let Some(runtime) = &*loaded {
            let same = candidate.named_by.is_none() || candidate.path == runtime.path;
            return if same {
                Ok(runtime.clone())
            } else {
                Err(RuntimeError::AlreadyLoaded { path: runtime.path.clone() })
            };
        }
        let runtime = Arc::new(candidate.load()?);
        *loaded = Some(runtime.clone());
        Ok(runtime)
    }

    /// The library's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library's version, where its file tells.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Names of the execution providers that have a device here, in the runtime's order.
    #[must_use]
    pub fn providers(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.environment.devices().filter_map(|d| d.ep().ok().map(str::to_owned)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What sessions are made in.
    #[must_use]
    pub fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// A library to try.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    /// Who named it; `None` for the loader's path.
    named_by: Option<String>,
    path: PathBuf,
}

impl Candidate {
    fn choose(named: Option<&NamedFile>) -> Result<Self, RuntimeError> {
        let Some(NamedFile { path, by }) = named else {
            return Ok(Self { named_by: None, path: DEFAULT_LIBRARY.into() });
        };
        // The real path, because a relative one would be tried beside the executable first.
        match path.canonicalize() {
            Ok(path) if path.is_file() => Ok(Self { named_by: Some(by.clone()), path }),
            _ => Err(RuntimeError::NotAFile { by: by.clone(), path: path.clone() }),
        }
    }

    fn load(self) -> Result<Runtime, RuntimeError> {
        if !disable_telemetry() {
            tracing::warn!("ONNX Runtime may record usage: set ORT_DISABLE_TELEMETRY=1 before starting");
        }
        let builder = ort::init_from(&self.path).map_err(|e| match self.named_by.clone() {
            Some(by) => RuntimeError::DoesNotLoad { by, path: self.path.clone(), message: words(&e) },
            None => RuntimeError::NotFound { message: words(&e) },
        })?;
        let path = if self.named_by.is_some() { self.path } else { mapped_library().unwrap_or(self.path) };
        let environment = builder
            .with_name("inferneo")
            .with_telemetry(false)
            .with_logger(Arc::new(log))
            .build()
            .map_err(|e| RuntimeError::Environment { path: path.clone(), message: e.to_string() })?;
        environment.set_log_level(LogLevel::Warning);
        let version = file_version(&path);
        Ok(Runtime { environment, path, version })
    }
}

/// The loader's own reason where it has one: the wrapper around it only says that it failed.
fn words(error: &LoadDynamicError) -> String {
    match error {
        LoadDynamicError::Dlopen { error, .. } => error.source().map_or_else(|| error.to_string(), ToString::to_string),
        other => other.to_string(),
    }
}

/// Passes the runtime's own messages on. Its warnings describe the graph, not the service, and its errors
/// quote a request's values: they are for somebody who looks for them. An error that ends a run comes back
/// from that run, and is reported where it is known which request it was.
fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Fatal => tracing::error!(category, location, "onnxruntime: {message}"),
        LogLevel::Error | LogLevel::Warning => tracing::debug!(category, location, "onnxruntime: {message}"),
        LogLevel::Info | LogLevel::Verbose => tracing::trace!(category, location, "onnxruntime: {message}"),
    }
}

/// The file behind the library that the loader found by name.
fn mapped_library() -> Option<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let line = maps.lines().find(|l| l.contains("/libonnxruntime.so"))?;
    line.find('/').map(|start| PathBuf::from(&line[start..]))
}

/// The version in the library's symbol versions (`VERS_1.22.0`), which ELF keeps near the file's start.
fn file_version(path: &Path) -> Option<String> {
    const MARK: &[u8] = b"VERS_";
    let mut head = Vec::new();
    File::open(path).ok()?.take(4 << 20).read_to_end(&mut head).ok()?;
    let start = head.windows(MARK.len()).position(|w| w == MARK)? + MARK.len();
    let digits = head[start..].iter().take_while(|b| b.is_ascii_digit() || **b == b'.');
    String::from_utf8(digits.copied().collect()).ok().filter(|v| !v.is_empty())
}

#[cfg(test)]
mod tests;
