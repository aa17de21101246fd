//! Whether the disk has room for what a run leaves: that is not to come to light after hours of work.

use crate::error::Error;
use himacl::data::Embeddings;
use hiref_external::local::free_bytes;
use std::fs;
use std::path::Path;

/// What every run leaves besides: settings, figures, the head of a table.
const ALWAYS: u64 = 1 << 14;

/// Bytes that the results take at least: permutation.npy, and, where each item has a partner and no pair is left out, indices and costs,
/// which hardly pack, the pairing for a warm start, and the metadata, which are written as they are.
pub(super) fn least_bytes(sides: [&Embeddings; 2], is_whole: bool, has_potentials: bool) -> u64 {
    let [n, m] = sides.map(|side| side.num_rows() as u64);
    let pairs = if is_whole { n.min(m) } else { 0 };
    let metadata = |side: &Embeddings| {
        let files = side.metadata_files().iter().filter_map(|path| fs::metadata(path).ok());
        // Of the larger side a part; other writers may pack less.
        files.map(|file| file.len()).sum::<u64>() / 2 * pairs / (side.num_rows() as u64).max(1)
    };
    let potentials = if has_potentials { 4 * (n + m) } else { 0 };
    least_bytes_of(n) + 8 * pairs + potentials + sides.map(metadata).iter().sum::<u64>()
}

/// The same of any matching of so many x.
pub(super) fn least_bytes_of(num_x: u64) -> u64 {
    ALWAYS + 4 * num_x
}

/// Refuses a disk with less room.
pub(super) fn check(output: &Path, needed: u64) -> Result<(), Error> {
    match free_bytes(output).filter(|&free| free < needed) {
        Some(free) => Err(Error::NoRoom { path: output.to_path_buf(), free, needed }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use himacl::data::write_npy_f32;

    #[test]
    fn room_is_asked_for_before_work() {
        let folder = tempfile::tempdir().unwrap();
        let side = |rows: usize| {
            let path = folder.path().join(format!("{rows}.npy"));
            write_npy_f32(&path, &vec![1.0; rows], &[rows, 1]).unwrap();
            Embeddings::open(&path, None).unwrap()
        };
        let (x, y) = (side(1000), side(400));
        assert_eq!(least_bytes([&x, &y], true, false), ALWAYS + 4 * 1000 + 8 * 400);
        assert_eq!(least_bytes([&x, &y], true, true), ALWAYS + 4 * 1000 + 8 * 400 + 4 * 1400);
        assert_eq!(least_bytes([&x, &y], false, false), ALWAYS + 4 * 1000);
        let output = folder.path().join("out/deep");
        check(&output, 1).unwrap();
        let error = check(&output, u64::MAX).unwrap_err().to_string();
        assert!(error.contains("no space for the results in") && error.contains("\nhint: free some space"), "{error}");
    }
}
