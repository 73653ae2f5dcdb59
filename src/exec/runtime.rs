//! The one ONNX Runtime of this process: where its library is looked for, and its environment.
//!
//! Decides the order of look-up (docs/interface.md). Knows no model and no session.

use super::telemetry::disable_telemetry;
use ort::LoadDynamicError;
use ort::environment::Environment;
use ort::logging::LogLevel;
use std::env;
use std::error::Error;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

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
    #[error("{source_name} names {}, which is not a file; name the ONNX Runtime library itself (libonnxruntime.so)", path.display())]
    NotAFile {
        /// Who named it.
        source_name: &'static str,
        /// What was named.
        path: PathBuf,
    },
    /// A file that somebody named does not load.
    #[error("{source_name} names {}, which does not load as ONNX Runtime: {message}; name a build of version 1.{} or newer for this machine", path.display(), ort::MINOR_VERSION)]
    DoesNotLoad {
        /// Who named it.
        source_name: &'static str,
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
    /// `named` is what the flag, `INFERNEO_ONNXRUNTIME_LIBRARY` or the configuration file says; without it
    /// `ORT_DYLIB_PATH` counts, then the loader's path.
    ///
    /// # Errors
    /// [`RuntimeError`]; a library that was named and does not load is never passed over for the next one.
    pub fn load(named: Option<&Path>) -> Result<Arc<Self>, RuntimeError> {
        static LOADED: Mutex<Option<Arc<Runtime>>> = Mutex::new(None);
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        let candidate = Candidate::choose(named, env::var_os("ORT_DYLIB_PATH").as_deref())?;
        if let Some(runtime) = &*loaded {
            let same = candidate.source_name.is_none() || candidate.path == runtime.path;
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

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }
}

/// A library to try.
#[derive(Debug, PartialEq, Eq)]
struct Candidate {
    /// Who named it; `None` for the loader's path.
    source_name: Option<&'static str>,
    path: PathBuf,
}

impl Candidate {
    fn choose(named: Option<&Path>, ort_dylib_path: Option<&OsStr>) -> Result<Self, RuntimeError> {
        let from_variable = ort_dylib_path.filter(|v| !v.is_empty()).map(Path::new);
        let (source_name, path) = match (named, from_variable) {
            (Some(path), _) => ("the configured library", path),
            (None, Some(path)) => ("ORT_DYLIB_PATH", path),
            (None, None) => {
                return Ok(Self { source_name: None, path: DEFAULT_LIBRARY.into() });
            }
        };
        // The real path, because a relative one would be tried beside the executable first.
        match path.canonicalize() {
            Ok(path) if path.is_file() => Ok(Self { source_name: Some(source_name), path }),
            _ => Err(RuntimeError::NotAFile { source_name, path: path.to_path_buf() }),
        }
    }

    fn load(self) -> Result<Runtime, RuntimeError> {
        if !disable_telemetry() {
            tracing::warn!("ONNX Runtime may record usage: set ORT_DISABLE_TELEMETRY=1 before starting");
        }
        let builder = ort::init_from(&self.path).map_err(|e| match self.source_name {
            Some(source_name) => RuntimeError::DoesNotLoad { source_name, path: self.path.clone(), message: words(&e) },
            None => RuntimeError::NotFound { message: words(&e) },
        })?;
        let path = if self.source_name.is_some() { self.path } else { mapped_library().unwrap_or(self.path) };
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

/// Passes the runtime's own messages on. Its warnings describe the graph, not the service: they are
/// for somebody who looks for them.
fn log(level: LogLevel, category: &str, _id: &str, location: &str, message: &str) {
    match level {
        LogLevel::Error | LogLevel::Fatal => tracing::error!(category, location, "onnxruntime: {message}"),
        LogLevel::Warning => tracing::debug!(category, location, "onnxruntime: {message}"),
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
mod tests {
    use super::*;

    #[test]
    fn a_named_library_beats_the_variable_and_the_loader() {
        let dir = tempfile::tempdir().unwrap();
        let (flag, variable) = (dir.path().join("a.so"), dir.path().join("b.so"));
        std::fs::write(&flag, "").unwrap();
        std::fs::write(&variable, "").unwrap();
        let chosen = |named, var| Candidate::choose(named, var).unwrap().path;
        assert_eq!(chosen(Some(flag.as_path()), Some(variable.as_os_str())), flag.canonicalize().unwrap());
        assert_eq!(chosen(None, Some(variable.as_os_str())), variable.canonicalize().unwrap());
        assert_eq!(chosen(None, Some(OsStr::new(""))), Path::new(DEFAULT_LIBRARY));
        assert_eq!(chosen(None, None), Path::new(DEFAULT_LIBRARY));
    }

    #[test]
    fn a_named_library_that_is_no_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let missing = dir.path().join("libonnxruntime.so");
        let error = Candidate::choose(Some(&missing), None).unwrap_err();
        assert!(error.to_string().contains(missing.to_str().unwrap()), "{error}");
        let error = Candidate::choose(None, Some(dir.path().as_os_str())).unwrap_err();
        assert!(error.to_string().contains("ORT_DYLIB_PATH"), "{error}");
    }

    #[test]
    fn the_version_is_read_from_the_symbol_versions() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lib.so");
        std::fs::write(&path, b"\x7fELF..\0libm.so\0VERS_1.22.3\0OrtGetApiBase\0").unwrap();
        assert_eq!(file_version(&path).as_deref(), Some("1.22.3"));
        std::fs::write(&path, b"nothing").unwrap();
        assert_eq!(file_version(&path), None);
    }
}
