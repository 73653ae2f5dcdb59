//! What the process does for ONNX Runtime's sake that Rust cannot check: the one audited place that changes the
//! environment, calls into the C library and hands the runtime memory by its address.
//!
//! Decides nothing. Knows of the runtime the variable that it reads when it starts, that it frees a lot, and that it takes
//! tensors wherever they lie.

use ort::AsPointer;
use ort::memory::{Allocator, MemoryInfo};
use ort::session::builder::SessionBuilder;
use ort::value::{DynValue, TensorElementType};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap};
use std::env;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::Arc;

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
/// Whoever writes into the file, rather than putting another in its place, changes these bytes; whoever cuts it short ends
/// the process at the next read of what was cut off. So they are for what is read while a model is loaded, not later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapped {
    bytes: &'static [u8],
    file: Identity,
}

/// What tells a file from another, and from itself before it was written to: device, inode, bytes, and when it was changed.
type Identity = (u64, u64, u64, (i64, i64));

fn identity(file: &Metadata) -> Identity {
    (file.dev(), file.ino(), file.len(), (file.mtime(), file.mtime_nsec()))
}

impl Mapped {
    /// Maps a file.
    ///
    /// # Errors
    /// The operating system's; an empty file is one.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        let size = usize::try_from(metadata.len()).map_err(io::Error::other)?;
        #[expect(
            unsafe_code,
            reason = "the pages are new, can be read from end to end, and are never unmapped; that nobody writes into a \
                      model's file while it is loaded is asked of the operator"
        )]
        let bytes = unsafe {
            let start = mmap(ptr::null_mut(), size, ProtFlags::READ, MapFlags::PRIVATE, &file, 0)?;
            std::slice::from_raw_parts(start.cast(), size)
        };
        Ok(Self { bytes, file: identity(&metadata) })
    }

    /// Whether the file that is now at `path` is the one that was mapped, as it was.
    pub(super) fn is_still(self, path: &Path) -> bool {
        path.metadata().is_ok_and(|now| identity(&now) == self.file)
    }

    /// The bytes.
    pub(super) fn bytes(self) -> &'static [u8] {
        self.bytes
    }

    /// Takes its pages out of this process's memory; a later read brings back those it touches.
    pub(super) fn rest(self) {
        let start = self.bytes.as_ptr().cast_mut().cast();
        #[expect(unsafe_code, reason = "this process writes to none of these pages, so none of its words are lost")]
        let rested = unsafe { madvise(start, self.bytes.len(), Advice::LinuxDontNeed) };
        if let Err(error) = rested {
            tracing::debug!("a file's pages stay in memory: {error}");
        }
    }

    /// The weight that `part` is, which lies within these bytes, without a copy.
    ///
    /// # Errors
    /// The runtime's, where `dims` are not of so many bytes.
    pub(super) fn weight(self, part: &[u8], kind: TensorElementType, dims: &[i64]) -> ort::Result<Weight> {
        let (own, part_of) = (self.bytes.as_ptr_range(), part.as_ptr_range());
        if part_of.start < own.start || own.end < part_of.end {
            return Err(ort::Error::new("a weight outside of its file"));
        }
        let (memory, mut value) = (MemoryInfo::default(), ptr::null_mut());
        #[expect(
            unsafe_code,
            reason = "the part is mapped for as long as the process lives; the runtime only reads weights, and packs them \
                      wherever they lie, as it does with those of external data; a `Weight` gives nobody else a view of \
                      them; on a failure there is no value"
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
            Ok(Weight(Arc::new(DynValue::from_ptr(value, Some(&Allocator::default())))))
        }
    }
}

/// A weight for the runtime alone: it may lie where its type could not be read or written.
pub(super) struct Weight(Arc<DynValue>);

impl From<DynValue> for Weight {
    fn from(value: DynValue) -> Self {
        Self(Arc::new(value))
    }
}

impl Weight {
    /// Has a session take this for its initializer of that name.
    ///
    /// # Errors
    /// The runtime's.
    pub(super) fn initialize(&self, builder: SessionBuilder, name: &str) -> ort::Result<SessionBuilder> {
        Ok(builder.with_initializer(name, Arc::clone(&self.0))?)
    }
}
