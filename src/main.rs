//! The `inferneo` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    // Before any second thread, or it has no effect; a failure is logged when the runtime is loaded.
    let _off = inferneo::exec::disable_telemetry();
    inferneo::cli::main()
}
