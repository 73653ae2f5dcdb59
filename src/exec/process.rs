//! What the process does for ONNX Runtime's sake that Rust cannot check: the one audited place that changes the
//! environment, calls into the C library and hands the runtime memory by its address.
//!
//! Decides nothing. Knows of the runtime the variable that it reads when it starts, that it frees a lot, and that it takes
//! tensors wherever they lie.

use ort::AsPointer;
use ort::memory::{Allocator, MemoryInfo};
use ort::value::{DynValue, TensorElementType};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};
use std::env;
use std::fs::File;
use std::io;
use std::path::Path;
use std::ptr::{self, NonNull};

/// The variable ONNX Runtime reads before it opens its telemetry database.
const VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

/// Tells ONNX Runtime, through this process's environment, not to record usage.
///
/// Microsoft's builds open a database in the user's cache folder while they start, before the API
/// that switches telemetry off can be called; only this variable prevents it. The environment may be
/// changed only while no other thread can read it, so this belongs at the start of `main`: it does
/// nothing once the process has a second thread. Returns whether telemetry is off.
#[must_use = "false means the variable is not set and could not be set"]
pub fn disable_telemetry() -> bool {
    if env::var_os(VARIABLE).is_some_and(|v| v != "0" && !v.is_empty()) {
        return true;
    }
    if !single_threaded() {
        return false;
    }
    #[expect(
        unsafe_code,
        reason = "this is the only thread, as checked above, so nobody reads the environment meanwhile"
    )]
    unsafe {
        env::set_var(VARIABLE, "1");
    }
    true
}

/// Whether the calling thread is the only one; false where that cannot be told.
fn single_threaded() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}

/// Gives memory that was freed back to the system.
///
/// To make a session, the runtime reads the whole file into many small allocations, and frees them. The C library keeps
/// such memory for this process, of which nothing else ever needs as much: over 100 MB for a model of 90 MB. Takes some
/// milliseconds, in which other threads' allocations may wait.
pub(super) fn return_free_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    #[expect(unsafe_code, reason = "`malloc_trim` takes a number and may be called at any time from any thread")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// A file's bytes, which take memory only while somebody reads them; mapped for as long as the process lives.
///
/// Whoever cuts the file short in place, rather than putting another in its place, ends the process at the next read of
/// what was cut off.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapped(&'static [u8]);

impl Mapped {
    /// Maps a file.
    ///
    /// # Errors
    /// The operating system's; an empty file is one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        #[expect(
            unsafe_code,
            reason = "the pages are new, can be read from end to end, and are never unmapped or written"
        )]
        unsafe {
            let start = mmap(ptr::null_mut(), size, ProtFlags::READ, MapFlags::PRIVATE, &file, 0)?;
            Ok(Self(std::slice::from_raw_parts(start.cast(), size)))
        }
    }

    /// Whether the file that is now at `path` is as long as the one that was mapped from there.
    pub(super) fn is_whole(self, path: &Path) -> bool {
        path.metadata().is_ok_and(|now| usize::try_from(now.len()) == Ok(self.0.len()))
    }

    /// The bytes.
    pub(super) fn bytes(self) -> &'static [u8] {
        self.0
    }

    /// Takes its pages out of this process's memory; a later read brings back those it touches.
    pub(super) fn rest(self) {
        let start = self.0.as_ptr().cast_mut().cast();
        #[expect(unsafe_code, reason = "nobody writes to these pages, so each comes back as it was, from the file")]
        let rested = unsafe { madvise(start, self.0.len(), Advice::LinuxDontNeed) };
        if let Err(error) = rested {
            tracing::debug!("a file's pages stay in memory: {error}");
        }
    }

    /// A tensor of `part`, which lies within these bytes, without a copy; elements need not be aligned.
    ///
    /// # Errors
    /// The runtime's, where `dims` are not of so many bytes.
    pub(super) fn tensor(self, part: &[u8], kind: TensorElementType, dims: &[i64]) -> ort::Result<DynValue> {
        if !self.0.as_ptr_range().contains(&part.as_ptr()) || self.0.as_ptr_range().end < part.as_ptr_range().end {
            return Err(ort::Error::new("a tensor outside of its file"));
        }
        let (memory, mut value) = (MemoryInfo::default(), ptr::null_mut());
        #[expect(
            unsafe_code,
            reason = "the part is mapped for as long as the process lives, the runtime only reads weights, and on a \
                      failure there is no value"
        )]
        unsafe {
            let status = (ort::api().CreateTensorWithDataAsOrtValue)(
                memory.ptr(),
                part.as_ptr().cast_mut().cast(),
                part.len(),
                dims.as_ptr(),
                dims.len(),
                kind.into(),
                &mut value,
            );
            ort::Error::result_from_status(status)?;
            let value = NonNull::new(value).ok_or_else(|| ort::Error::new("the runtime made no tensor"))?;
            Ok(DynValue::from_ptr(value, Some(&Allocator::default())))
        }
    }
}
