//! Whether weights have room in memory, asked before they are read.

use super::registry::EncoderSpec;
use crate::error::EncoderError;
use std::fs;

/// Refuses weights that take more memory than there is; where the system does not say how much that is, nothing.
pub(super) fn check_room(spec: &EncoderSpec, needed: u64) -> Result<(), EncoderError> {
    enough(spec, needed, available())
}

fn enough(spec: &EncoderSpec, needed: u64, available: Option<u64>) -> Result<(), EncoderError> {
    match available {
        Some(available) if needed > available => {
            Err(EncoderError::Memory { name: spec.name.clone(), needed, available })
        }
        _ => Ok(()),
    }
}

/// Bytes that the machine has left, or the group of processes that this one belongs to.
fn available() -> Option<u64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = || {
        let (most, used) = (number("/sys/fs/cgroup/memory.max")?, number("/sys/fs/cgroup/memory.current")?);
        Some(most.saturating_sub(used))
    };
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    });
    [machine, group()].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::registry::find;

    #[test]
    fn too_large_weights_are_refused_with_figures() {
        let spec = find("qwen3-embedding-8b").unwrap();
        enough(&spec, 30 << 30, None).unwrap();
        enough(&spec, 30 << 30, Some(30 << 30)).unwrap();
        let error = enough(&spec, 30 << 30, Some(24 << 30)).unwrap_err().to_string();
        assert!(error.contains("`qwen3-embedding-8b` take 30.0 GiB") && error.contains("24.0 GiB"), "{error}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_machine_says_what_it_has() {
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }
}
