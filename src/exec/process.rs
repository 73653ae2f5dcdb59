//! What the process does for ONNX Runtime's sake that Rust cannot check: the one audited place that changes the
//! environment and calls into the C library.
//!
//! Decides nothing. Does not know the runtime: only the variable that it reads when it starts, and that it frees a lot.

use std::env;

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
