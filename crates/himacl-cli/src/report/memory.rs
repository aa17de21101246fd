//! How much memory this process used, and how much there is.

/// The largest resident size of this process so far, in bytes; `None` where the system does not tell.
pub fn peak_rss_bytes() -> Option<u64> {
    // Linux's `ru_maxrss` includes what the process that started this one held at that time; `VmHWM` does not.
    status_bytes("/proc/self/status", "VmHWM:").or_else(max_rss_bytes)
}

/// The resident size of this process now, in bytes; `None` where the system does not tell.
pub fn rss_bytes() -> Option<u64> {
    status_bytes("/proc/self/status", "VmRSS:")
}

fn max_rss_bytes() -> Option<u64> {
    // SAFETY: `rusage` is plain integers, for which all zeroes is a valid value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live, writable `rusage`, which is all that `getrusage` asks for.
    let status = unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut usage) };
    let size = u64::try_from(usage.ru_maxrss).ok()?;
    // Linux counts in KiB, macOS in bytes.
    (status == 0).then_some(if cfg!(target_os = "macos") { size } else { size * 1024 })
}

/// Memory that new work could use without swapping, in bytes; `None` where the system does not tell.
pub fn available_memory() -> Option<u64> {
    status_bytes("/proc/meminfo", "MemAvailable:")
}

/// The size on the line of `file` that begins with `name`, where it is told in kB.
fn status_bytes(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_covers_what_was_touched() {
        let block = vec![1u8; 32 << 20];
        assert_eq!(block.iter().step_by(4096).map(|&byte| u64::from(byte)).sum::<u64>(), 8192);
        for peak in [peak_rss_bytes(), max_rss_bytes()] {
            assert!(peak.is_some_and(|peak| peak > block.len() as u64));
        }
    }
}
