//! How much memory the process may take.
//!
//! Decides nothing. Knows the limit of its control group and the machine's own.

use std::fs;

/// The least of both limits, in bytes; `None` where neither can be read.
pub(super) fn limit() -> Option<u64> {
    let read = |path: &str| fs::read_to_string(path).ok();
    // Inside of a container the group's own files lie at the root; `max` stands for no limit.
    let group = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    let machine = read("/proc/meminfo").and_then(|text| total(&text));
    group.into_iter().chain(machine).min()
}

/// `MemTotal` of `/proc/meminfo`, which is in KiB.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_memory_and_a_text_that_is_none_does_not() {
        assert_eq!(total("MemFree: 1 kB\nMemTotal:       24689324 kB\n"), Some(24_689_324 << 10));
        assert_eq!((total("MemTotal: 7 MB"), total("")), (None, None));
        assert!(limit().is_some_and(|bytes| bytes > 64 << 20));
    }
}
