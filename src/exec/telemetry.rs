//! Keeps ONNX Runtime from recording usage: the one audited place that changes the environment.
//!
//! Decides nothing. Does not know the runtime: only the variable that it reads when it starts.

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
