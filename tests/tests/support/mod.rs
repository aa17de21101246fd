//! What the end-to-end tests share: running the command, and small inputs.

#![expect(dead_code, reason = "each test file uses its own part")]

pub(crate) mod encoder;
pub(crate) mod hub;
pub(crate) mod store;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs the command under test.
pub(crate) fn himacl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
    command.args(arguments).output().expect("the binary was built with the tests")
}

/// A scratch folder with shorthands.
pub(crate) struct Scratch(tempfile::TempDir);

impl Scratch {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// As [`Self::path`], as an argument.
    pub(crate) fn arg(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes rows as a float32 npy file; returns its path as an argument.
    pub(crate) fn npy(&self, name: &str, rows: &[Vec<f32>]) -> String {
        write_npy(&self.path(name), rows);
        self.arg(name)
    }

    /// All files and folders, sorted.
    pub(crate) fn tree(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut open = vec![self.0.path().to_path_buf()];
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path.clone());
                }
                found.push(path);
            }
        }
        found.sort();
        found
    }
}

/// An npy file of any header and content.
pub(crate) fn npy_bytes(descr: &str, fortran_order: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran_order { "True" } else { "False" };
    let header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub(crate) fn write_npy(path: &Path, rows: &[Vec<f32>]) {
    let data: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    let shape = format!("({}, {})", rows.len(), rows.first().map_or(2, Vec::len));
    fs::write(path, npy_bytes("<f4", false, &shape, &data)).unwrap();
}

/// The values of a u32 npy file of one dimension.
pub(crate) fn read_u32(path: &Path) -> Vec<u32> {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..start]).unwrap();
    assert!(header.contains("'descr': '<u4', 'fortran_order': False, 'shape': ("), "{header}");
    bytes[start..].chunks_exact(4).map(|four| u32::from_le_bytes(four.try_into().unwrap())).collect()
}

/// A repeatable cloud of `rows` points of 2 coordinates in the unit square.
pub(crate) fn cloud(rows: usize, seed: u64) -> Vec<Vec<f32>> {
    points(rows, 2, seed)
}

/// A repeatable cloud of `rows` points in the unit cube of `dimension` coordinates.
pub(crate) fn points(rows: usize, dimension: usize, seed: u64) -> Vec<Vec<f32>> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u32 << 24) as f32
    };
    (0..rows).map(|_| (0..dimension).map(|_| next()).collect()).collect()
}

/// Every file below a folder with its content, by the path from there.
pub(crate) fn contents(folder: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut all = std::collections::BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                all.insert(path.strip_prefix(folder).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// Runs a command again and again, the first time (`true`) and those that go on, killing it at moments spread over the time
/// that it takes as a whole, whatever it is doing then, until it ends by itself.
pub(crate) fn kill_until_done(whole: Duration, command: impl Fn(bool) -> Command) {
    let mut kills = 0;
    for attempt in 1..200_u32 {
        let mut child = command(attempt == 1).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let share = f64::from(attempt * 37 % 100) / 100.0;
        let deadline = Instant::now() + whole.mul_f64(0.1 + 0.5 * share + 0.05 * f64::from(attempt));
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if Instant::now() > deadline => break None,
                None => sleep(Duration::from_millis(2)),
            }
        };
        if let Some(status) = status {
            assert!(status.success());
            assert!(kills >= 1, "the run ended before it could be killed");
            return;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    panic!("the run did not end in spite of {kills} tries");
}
