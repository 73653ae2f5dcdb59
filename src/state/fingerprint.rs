//! What something was learned on: the model's file, the runtime, the device and how it is shared.
//!
//! Decides what has to be the same for it to hold again.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::path::Path;

/// How much of each end of a model's file is read: what differs between two models shows there, and a file of
/// gigabytes does not hold the start up.
const END: u64 = 1 << 20;

/// What something was learned on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// The model's file.
    pub model: ModelPrint,
    /// ONNX Runtime's version.
    pub runtime: String,
    /// The device's name, such as `cpu`.
    pub device: String,
    /// What computes: the processor and how many cores of it, or the GPU's id.
    pub processor: String,
    /// Sessions on the device.
    pub instances: usize,
    /// Threads of each.
    pub threads: usize,
    /// Whether those spin when idle; left out where not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub spin: bool,
}

/// Where a model runs, whatever its sessions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The model's file.
    pub model: ModelPrint,
    /// ONNX Runtime's version.
    pub runtime: String,
    /// The device's name.
    pub device: String,
    /// What computes.
    pub processor: String,
}

/// A model's file, as far as it can be told from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrint {
    /// Its size.
    pub bytes: u64,
    /// Of its first and last MiB, in hexadecimal.
    pub sha256: String,
}

impl Fingerprint {
    /// What differs, in words; `None` where nothing does.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Option<&'static str> {
        let sessions = [
            (self.instances != other.instances, "the number of instances"),
            (self.threads != other.threads, "the number of threads"),
            (self.spin != other.spin, "whether threads spin"),
        ];
        self.machine().differs(&other.machine()).or_else(|| first(sessions))
    }

    /// Where it was, without the sessions.
    #[must_use]
    pub fn machine(&self) -> Machine {
        let Self { model, runtime, device, processor, .. } = self.clone();
        Machine { model, runtime, device, processor }
    }
}

impl Machine {
    /// What differs, in words; `None` where nothing does.
    #[must_use]
    pub fn differs(&self, other: &Self) -> Option<&'static str> {
        first([
            (self.model != other.model, "the model's file"),
            (self.runtime != other.runtime, "the version of ONNX Runtime"),
            (self.device != other.device, "the device"),
            (self.processor != other.processor, "the processor"),
        ])
    }

    /// The same with sessions.
    #[must_use]
    pub fn with(self, instances: usize, threads: usize, spin: bool) -> Fingerprint {
        let Self { model, runtime, device, processor } = self;
        Fingerprint { model, runtime, device, processor, instances, threads, spin }
    }
}

fn first(found: impl IntoIterator<Item = (bool, &'static str)>) -> Option<&'static str> {
    found.into_iter().find(|(differs, _)| *differs).map(|(_, what)| what)
}

/// Looks at a model's file.
///
/// # Errors
/// The operating system's, when it cannot be read.
pub fn model_print(path: &Path) -> Result<ModelPrint> {
    let mut file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut ends = Vec::new();
    Read::by_ref(&mut file).take(END).read_to_end(&mut ends)?;
    file.seek(SeekFrom::Start(bytes.saturating_sub(END)))?;
    file.take(END).read_to_end(&mut ends)?;
    let sha256 = Sha256::digest(&ends).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(ModelPrint { bytes, sha256 })
}

/// This machine's processor, with the cores that this process may use of it.
#[must_use]
pub fn processor(cores: usize) -> String {
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = known.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name));
    format!("{}, {cores} cores", name.map_or(std::env::consts::ARCH, str::trim))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_are_told_apart_by_size_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let print = |bytes: &[u8]| {
            let path = folder.path().join("model.onnx");
            std::fs::write(&path, bytes).unwrap();
            model_print(&path).unwrap()
        };
        let first = print(b"abc");
        assert_eq!(first, print(b"abc"));
        assert_ne!(first, print(b"abd"));
        assert_ne!(first, print(b"abcabc"));
        let mut long = vec![0; 3 << 20];
        let zeros = print(&long);
        *long.last_mut().unwrap() = 1;
        assert_ne!(zeros, print(&long));
    }

    #[test]
    fn what_differs_has_a_name() {
        let model = ModelPrint { bytes: 3, sha256: "00".into() };
        let (runtime, device, processor) = ("1.23".to_owned(), "cpu".to_owned(), processor(2));
        let on = Machine { model, runtime, device, processor }.with(2, 1, false);
        assert_eq!(on.differs(&on.clone()), None);
        assert_eq!(on.differs(&Fingerprint { threads: 2, ..on.clone() }), Some("the number of threads"));
        assert_eq!(on.differs(&Fingerprint { spin: true, ..on.clone() }), Some("whether threads spin"));
        assert_eq!(on.machine().with(2, 1, false), on);
        assert!(!serde_json::to_string(&on).unwrap().contains("spin"), "files of before are as good");
        assert_eq!(
            on.differs(&Fingerprint { runtime: "1.24".into(), ..on.clone() }),
            Some("the version of ONNX Runtime")
        );
    }
}
