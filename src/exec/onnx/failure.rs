//! The runtime's errors, sorted by what can be done about them.
//!
//! Decides by code and words: the runtime gives most of its errors one code, and names what failed
//! (`CUDA failure 2: out of memory ; GPU=0 ; …`, `CUBLAS failure 3: …`, `BFCArena::AllocateRawInternal …`).

use crate::exec::Failure;
use ort::ErrorCode;

/// The device had no room: fewer rows may fit.
const MEMORY: [&str; 9] = [
    "Failed to allocate memory",
    "Available memory of",
    "bad_alloc",
    "out of memory",
    "OUT_OF_MEMORY",
    "ALLOC_FAILED",
    "ALLOCATION_FAILED",
    "cudaErrorMemoryAllocation",
    "BFCArena",
];
/// The device, or a library on it, failed.
const DEVICE: [&str; 8] = [
    "CUDA failure",
    "CUDA error",
    "CUDNN failure",
    "CUDNN_FE failure",
    "CUBLAS failure",
    "CUFFT failure",
    "CURAND failure",
    "device-side assert",
];
/// Refusals of one call, after which the device still works: the input is to blame, or the model.
const REFUSALS: [&str; 11] = [
    "invalid argument",
    "invalid configuration argument",
    "invalid device function",
    "no kernel image",
    "too many resources requested",
    "operation not supported",
    "_INVALID_VALUE",
    "_BAD_PARAM",
    "_NOT_SUPPORTED",
    "_ARCH_MISMATCH",
    "_INVALID_SIZE",
];

/// Sorts a runtime error.
pub(super) fn classify(error: &ort::Error) -> Failure {
    sort(error.message(), error.code() == ErrorCode::DeviceReset)
}

fn sort(message: &str, device_reset: bool) -> Failure {
    let mentions = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if mentions(&MEMORY) {
        Failure::OutOfMemory(message.into())
    } else if device_reset || (mentions(&DEVICE) && !mentions(&REFUSALS)) {
        Failure::DeviceLost(message.into())
    } else {
        Failure::Failed(message.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the CUDA provider words its errors.
    fn call(failure: &str) -> String {
        format!(
            "Non-zero status code returned while running MatMul node. Name:'m' Status Message: cuda_call.cc:121 {failure} \
             ; GPU=0 ; hostname=h ; file=f.cc ; line=9 ; expr=cudaMemcpyAsync(d, s, n, k, t);"
        )
    }

    #[test]
    fn a_full_device_is_told_from_a_lost_one() {
        for memory in [
            "bfc_arena.cc:376 onnxruntime::BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9",
            "bfc_arena.cc:347 Available memory of 0 is smaller than requested bytes of 9",
            "CUDA failure 2: out of memory",
            "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED",
            "CUDNN failure 4003: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
            "std::bad_alloc",
        ] {
            assert!(matches!(sort(&call(memory), false), Failure::OutOfMemory(_)), "{memory}");
        }
        for lost in [
            "CUDA failure 700: an illegal memory access was encountered",
            "CUDA failure 719: unspecified launch failure",
            "CUDA failure 214: uncorrectable ECC error encountered",
            "CUDA failure 46: CUDA-capable device(s) is/are busy or unavailable",
            "CUBLAS failure 13: CUBLAS_STATUS_EXECUTION_FAILED",
            "CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED",
            "CUDA failure 710: device-side assert triggered",
        ] {
            assert!(matches!(sort(&call(lost), false), Failure::DeviceLost(_)), "{lost}");
        }
        assert!(matches!(sort("gone", true), Failure::DeviceLost(_)));
    }

    #[test]
    fn what_a_call_is_refused_for_is_a_failure_of_its_batch() {
        for failed in [
            "CUDA failure 9: invalid configuration argument",
            "CUDA failure 209: no kernel image is available for execution on the device",
            "CUBLAS failure 7: CUBLAS_STATUS_INVALID_VALUE",
            "CUDNN failure 3000: CUDNN_STATUS_NOT_SUPPORTED",
            "Got invalid dimensions for input: x",
        ] {
            assert!(matches!(sort(&call(failed), false), Failure::Failed(_)), "{failed}");
        }
    }
}
