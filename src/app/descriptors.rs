//! File descriptors: how many the process may have, and how many of them are for connections.
//!
//! Decides that probes, policies and models never go without because clients hold too many.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Kept for the admin plane's connections, files, models and the runtime.
const KEPT: u64 = 256;
/// Most connections, whatever the system allows: each costs memory, too.
const MOST: u64 = 65_536;

/// Raises the process's soft limit to the hard one; answers how many connections of the data plane may
/// be open at a time. Each costs two descriptors where there is an upstream.
pub(super) fn connections(upstream: bool) -> usize {
    let allowed = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: allowed.maximum, maximum: allowed.maximum };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => allowed.maximum,
        Err(_) => allowed.current,
    };
    share(limit.unwrap_or(u64::MAX), upstream)
}

fn share(limit: u64, upstream: bool) -> usize {
    let each = if upstream { 2 } else { 1 };
    let free = limit.saturating_sub(KEPT).max(limit / 4);
    usize::try_from((free / each).clamp(1, MOST)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_for_the_rest() {
        for (limit, upstream, expected) in
            [(u64::MAX, false, 65_536), (1024, false, 768), (1024, true, 384), (128, false, 32), (0, false, 1)]
        {
            assert_eq!(share(limit, upstream), expected, "{limit}");
        }
    }
}
