//! Whether this process can run models on a GPU and, where it cannot, why and what to do about it.
//!
//! Decides how that is found out: by making a session there, which is what will be done. Does not know
//! what is to be placed where.

use super::onnx::try_out;
use super::runtime::Runtime;
use super::session::SessionSettings;
use crate::types::{CudaSettings, Device};
use ort::ep::{self, ExecutionProvider};
use ort::util::preload_dylib;
use std::error::Error;
use std::path::PathBuf;

/// The provider's own library, which the runtime loads from beside itself.
const PROVIDER: &str = "libonnxruntime_providers_cuda.so";
/// The driver's library.
const DRIVER: &str = "libcuda.so.1";
/// Libraries that may be missing beside the one that the runtime stumbles over: it names one at a time.
const OFTEN_MISSING: [&str; 2] = ["libcudnn.so.9", DRIVER];

/// `y = Abs(x)` of one number, in ONNX's protobuf form: IR version 8, opset 17.
const TINY: &[u8] =
    b"\x08\x08:2\n\x0b\n\x01x\x12\x01y\"\x03Abs\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01\
    b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x02\x10\x11";

/// Why no model can run on a GPU. Every message names the runtime's library and the mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCuda {
    /// The library was built for the CPU alone.
    #[error(
        "{runtime} is a CPU build: install the GPU build of ONNX Runtime (pip package onnxruntime-gpu) and name its \
         library with --onnxruntime-library"
    )]
    CpuBuild {
        /// The library, in words.
        runtime: String,
    },
    /// The library was built for CUDA, but came without its provider.
    #[error(
        "{runtime} was built for CUDA, but {} is missing: keep all libraries of the pip package onnxruntime-gpu in one \
         folder",
        path.display()
    )]
    NoProvider {
        /// The library, in words.
        runtime: String,
        /// Where the provider's own library was looked for.
        path: PathBuf,
    },
    /// A library that CUDA needs is missing, there is no such GPU, or it does not work.
    #[error("{runtime} cannot use GPU {gpu}: {}", findings.join("; "))]
    DoesNotWork {
        /// The library, in words.
        runtime: String,
        /// The GPU's number.
        gpu: u32,
        /// What is wrong, each with its mend.
        findings: Vec<String>,
    },
}

/// Tries a GPU out on a model of one number. The first time takes as long as CUDA needs to start, which the
/// first session would take otherwise.
///
/// # Errors
/// [`NoCuda`]: what is missing, and the mend.
pub fn look_for_cuda(runtime: &Runtime, gpu: u32) -> Result<(), NoCuda> {
    let version = runtime.version().unwrap_or("of unknown version");
    let words = format!("ONNX Runtime {version} at {}", runtime.path().display());
    // A runtime that cannot list its providers is asked to use one all the same.
    if !ep::CUDA::is_available().unwrap_or(true) {
        return Err(NoCuda::CpuBuild { runtime: words });
    }
    let provider = runtime.path().with_file_name(PROVIDER);
    if runtime.path().is_absolute() && !provider.is_file() {
        return Err(NoCuda::NoProvider { runtime: words, path: provider });
    }
    let settings =
        SessionSettings { device: Device::Cuda(gpu), threads: 1, spin: false, cuda: CudaSettings::default() };
    try_out(runtime, TINY, &settings).map_err(|said| {
        let missing = OFTEN_MISSING.iter().filter_map(|library| Some((*library, load(library)?)));
        NoCuda::DoesNotWork { runtime: words, gpu, findings: findings(&said, missing) }
    })
}

/// Loads a library as the provider would; answers the loader's words where it cannot.
fn load(library: &str) -> Option<String> {
    let error = preload_dylib(library).err()?;
    Some(error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

/// What went wrong, and each library that is `missing` too, with what can be done.
fn findings<'a>(said: &str, missing: impl Iterator<Item = (&'a str, String)>) -> Vec<String> {
    // The loader's own words come last; before them stand those of everyone who passed them on.
    let said = said.rsplit("with error: ").next().unwrap_or_default().trim();
    let others = missing.filter(|(library, _)| !said.contains(library)).map(|(_, words)| words);
    std::iter::once(said.to_owned()).chain(others).map(|words| format!("{words} ({})", mend(&words))).collect()
}

/// What an operator can do about it.
fn mend(said: &str) -> &'static str {
    let about = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if about(&[DRIVER]) {
        "there is no NVIDIA driver: install it on the machine, and let the container have a GPU"
    } else if about(&["libcudnn"]) {
        "install cuDNN 9, for example with pip install 'onnxruntime-gpu[cuda,cudnn]', and put its folder on \
         LD_LIBRARY_PATH"
    } else if about(&["cannot open shared object file"]) {
        "install the CUDA runtime of that version, for example with pip install 'onnxruntime-gpu[cuda,cudnn]', and put \
         its folders on LD_LIBRARY_PATH"
    } else if about(&["CUDA failure 35", "CUDA failure 36", "insufficient"]) {
        "the NVIDIA driver is older than this CUDA: update it"
    } else if about(&["CUDA failure 100", "no CUDA-capable device"]) {
        "there is no GPU: let the container have one, and look at CUDA_VISIBLE_DEVICES"
    } else if about(&["CUDA failure 101", "invalid device ordinal", "Invalid device"]) {
        "there is no GPU of this number: nvidia-smi lists them, and CUDA_VISIBLE_DEVICES renumbers them"
    } else if about(&["out of memory", "Failed to allocate"]) {
        "the GPU's memory is full: see in nvidia-smi who uses it"
    } else {
        "see whether nvidia-smi finds the GPU, and whether driver, CUDA and cuDNN are of the versions that this ONNX \
         Runtime was built for"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(said: &str, missing: &[(&str, &str)]) -> String {
        let missing = missing.iter().map(|(library, words)| (*library, (*words).to_owned()));
        findings(said, missing).join("; ")
    }

    #[test]
    fn every_missing_library_is_named_once_with_its_mend() {
        let said = "provider_bridge_ort.cc:2043 Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library /x/\
                    libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file\n";
        let driver = (DRIVER, "libcuda.so.1: cannot open shared object file");
        let told = found(said, &[("libcudnn.so.9", "libcudnn.so.9: cannot open shared object file"), driver]);
        assert!(
            told.starts_with("libcublasLt.so.13: cannot open shared object file (install the CUDA runtime"),
            "{told}"
        );
        assert!(told.contains("libcudnn.so.9: cannot open shared object file (install cuDNN 9"), "{told}");
        assert!(told.contains("(there is no NVIDIA driver"), "{told}");
        let told = found("Failed to load library y with error: libcuda.so.1: cannot open", &[driver]);
        assert_eq!(told.matches("libcuda.so.1").count(), 1, "{told}");
    }

    #[test]
    fn what_cuda_says_has_a_mend() {
        for (said, mend) in [
            ("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version", "update it"),
            ("CUDA failure 100: no CUDA-capable device is detected", "CUDA_VISIBLE_DEVICES"),
            ("CUDA failure 101: invalid device ordinal ; GPU=9", "no GPU of this number"),
            ("CUDA failure 2: out of memory ; GPU=0", "memory is full"),
            ("something new", "nvidia-smi"),
        ] {
            assert!(found(said, &[]).contains(mend), "{said}");
        }
    }
}
