//! NVML's library: found, loaded, and asked which GPUs there are.
//!
//! Decides what it means that there is none. Does not look at how the GPUs are.

use super::sample::{Reader, Trouble, need};
use super::visible::{Environment, Visible, visible};
use crate::types::NamedFile;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml, cuda_driver_version_major, cuda_driver_version_minor};
use std::path::{Path, PathBuf};

/// The library's usual name, looked for on the loader's path.
const USUAL: &str = "libnvidia-ml.so.1";
/// No machine has more GPUs; a count above it is an error of the driver's.
const MOST_GPUS: u32 = 256;
/// As above, for the MIG instances of a GPU.
const MOST_INSTANCES: u32 = 64;

/// A GPU, by what does not change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gpu {
    /// NVML's number, by the order of the PCI bus.
    pub index: u32,
    /// `GPU-…`.
    pub uuid: String,
    /// Such as `NVIDIA L4`.
    pub name: Option<String>,
    /// All of its memory, in bytes.
    pub memory_total: Option<u64>,
    /// Whether it is divided into MIG instances.
    pub mig: Option<bool>,
    /// Those that can be seen from here.
    pub instances: Vec<Instance>,
}

/// A MIG instance of a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// NVML's number within its GPU.
    pub index: u32,
    /// `MIG-…`.
    pub uuid: String,
}

/// The library that was named does not load.
#[derive(Debug, thiserror::Error)]
#[error("{by}: {} does not load as NVML: {message}", path.display())]
pub struct OpenError {
    path: PathBuf,
    by: String,
    message: String,
}

/// NVML as it was found at the start.
#[derive(Debug)]
pub struct Gpus {
    pub(super) path: PathBuf,
    /// `None`: it loads, but there is no driver behind it.
    pub(super) session: Option<Session>,
    pub(super) environment: Environment,
}

/// Loads NVML: the library that was named, else the usual one; `None` where that is not here.
///
/// # Errors
/// When the one that was named does not load: no other is tried.
pub fn open(library: Option<&NamedFile>, environment: Environment) -> Result<Option<Gpus>, OpenError> {
    let path = library.map_or_else(|| PathBuf::from(USUAL), |named| named.path.clone());
    if let Some(NamedFile { by, .. }) = library
        && is_no_file(&path)
    {
        return Err(OpenError { path, by: by.clone(), message: "it is not a regular file".to_owned() });
    }
    // Said first, so that the log of a start that a driver holds up ends with it.
    tracing::info!(library = %path.display(), "looking for GPUs");
    let session = match Session::open(&path) {
        Ok(session) => Some(session),
        Err(error @ (NvmlError::LibloadingError(_) | NvmlError::FailedToLoadSymbol(_))) => match library {
            Some(named) => return Err(OpenError { path, by: named.by.clone(), message: error.to_string() }),
            None => {
                tracing::info!("no GPU is looked for, NVML is not here: {error}");
                return Ok(None);
            }
        },
        Err(error) => {
            tracing::warn!(library = %path.display(), "NVML does not start: {error}");
            None
        }
    };
    Ok(Some(Gpus { path, session, environment }))
}

/// Whether a path leads to what the loader must not open: it would wait at a pipe for ever. A bare name is
/// looked for on the loader's path.
fn is_no_file(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().contains(&b'/') && path.metadata().is_ok_and(|found| !found.is_file())
}

impl Gpus {
    /// The GPUs that NVML lists; CUDA need not see them all.
    #[must_use]
    pub fn list(&self) -> &[Gpu] {
        self.session.as_ref().map_or(&[], |session| &session.gpus)
    }

    /// What CUDA will see of them.
    #[must_use]
    pub fn visible(&self) -> Visible {
        self.session.as_ref().map(|session| visible(&session.gpus, &self.environment)).unwrap_or_default()
    }

    /// How many devices CUDA will see; `None` where that is not known.
    #[must_use]
    pub fn count(&self) -> Option<u32> {
        self.visible().count
    }

    /// The driver's version, such as `580.95.05`.
    #[must_use]
    pub fn driver(&self) -> Option<&str> {
        self.session.as_ref()?.driver.as_deref()
    }

    /// The highest version of CUDA that the driver runs, such as `13.0`.
    #[must_use]
    pub fn cuda(&self) -> Option<&str> {
        self.session.as_ref()?.cuda.as_deref()
    }
}

/// NVML, initialised, with the GPUs it listed.
#[derive(Debug)]
pub(super) struct Session {
    nvml: Nvml,
    pub(super) gpus: Vec<Gpu>,
    pub(super) driver: Option<String>,
    cuda: Option<String>,
    /// A GPU is lost that could not be asked who it is.
    pub(super) misses_some: bool,
    /// A GPU did not answer when it was asked that.
    pub(super) refuses_some: bool,
}

impl Session {
    pub(super) fn open(path: &Path) -> Result<Self, NvmlError> {
        let nvml = Nvml::builder().lib_path(path.as_os_str()).init()?;
        let driver = nvml.sys_driver_version().ok();
        let version = nvml.sys_cuda_driver_version().ok();
        let cuda = version.map(|v| format!("{}.{}", cuda_driver_version_major(v), cuda_driver_version_minor(v)));
        let mut session = Self { nvml, gpus: Vec::new(), driver, cuda, misses_some: false, refuses_some: false };
        for index in 0..at_most(MOST_GPUS, "GPUs", session.nvml.device_count()?) {
            match session.device(index).and_then(|device| describe(index, &device)) {
                Ok(gpu) => session.gpus.push(gpu),
                Err(Trouble::Driver(error)) => return Err(error),
                Err(Trouble::Lost(_)) => session.misses_some = true,
                Err(Trouble::Silent(error)) => {
                    tracing::debug!(gpu = index, "NVML does not say which it is: {error}");
                    session.refuses_some = true;
                }
            }
        }
        Ok(session)
    }

    /// The GPU that NVML has under a number now.
    pub(super) fn device(&self, index: u32) -> Result<Device<'_>, Trouble> {
        need(self.nvml.device_by_index(index))
    }
}

/// A count that NVML gives, as far as it can be believed.
fn at_most(most: u32, what: &str, count: u32) -> u32 {
    if count > most {
        tracing::warn!("NVML counts {count} {what}, which cannot be: only the first {most} are looked at");
    }
    count.min(most)
}

fn describe(index: u32, device: &Device<'_>) -> Result<Gpu, Trouble> {
    let mut reader = Reader::default();
    let uuid = need(device.uuid())?;
    let mig = reader.value("MIG mode", device.mig_mode())?.map(|mode| mode.current != 0);
    let mut instances = Vec::new();
    if mig == Some(true) {
        let most = reader.value("MIG instances", device.mig_device_count())?.unwrap_or_default();
        for at in 0..at_most(MOST_INSTANCES, "MIG instances of a GPU", most) {
            // Numbers without an instance lie between those with one.
            let Ok(instance) = device.mig_device_by_index(at) else { continue };
            let uuid = reader.value("UUID of an instance", instance.uuid())?;
            instances.extend(uuid.map(|uuid| Instance { index: at, uuid }));
        }
    }
    Ok(Gpu {
        index,
        uuid,
        name: reader.value("name", device.name())?,
        memory_total: reader.value("memory", device.memory_info())?.map(|memory| memory.total),
        mig,
        instances,
    })
}
