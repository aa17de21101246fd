//! Arrays in .npz archives: zip files of npy files.

use super::npy;
use super::rows::{Bytes, StoredRows, map_file};
use crate::error::Error;
use flate2::read::DeflateDecoder;
use memmap2::Mmap;
use std::io::{Cursor, Read};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use zip::{CompressionMethod, ZipArchive};

/// Bytes that one array may be unpacked to.
const MOST_BYTES: u64 = 1 << 40;

/// Opens the array `key`, or the only one there is; returns its name too. A stored array is read where it lies, a deflated one is unpacked
/// into memory.
pub(crate) fn open_matrix(path: &Path, key: Option<&str>) -> Result<(StoredRows, String), Error> {
    let wrong = |problem: String| Error::Archive { path: path.to_path_buf(), problem };
    let map = map_file(path)?;
    let archive = ZipArchive::new(Cursor::new(&map[..])).map_err(|error| wrong(error.to_string()))?;
    let mut available: Vec<String> =
        archive.file_names().flatten().filter_map(|name| Some(name.strip_suffix(".npy")?.to_owned())).collect();
    available.sort();
    let name = match (key, available.as_slice()) {
        (Some(key), _) => available.iter().find(|name| *name == key),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    let Some(name) = name.cloned() else {
        return Err(Error::Key { path: path.to_path_buf(), key: key.map(ToOwned::to_owned), available });
    };
    let (bytes, part) = member(path, &map, &name)?;
    Ok((npy::matrix(path, bytes, part)?, name))
}

/// Opens the array `name`, of one dimension or none.
pub(crate) fn open_array(path: &Path, name: &str) -> Result<npy::Array, Error> {
    let (bytes, part) = member(path, &map_file(path)?, name)?;
    let bytes = match bytes {
        Bytes::Mapped(map) => Bytes::Unpacked(Arc::from(&map[part])),
        unpacked @ Bytes::Unpacked(_) => unpacked,
    };
    npy::Array::new(path, bytes)
}

/// One array: bytes, and which of them are its npy file.
fn member(path: &Path, map: &Arc<Mmap>, name: &str) -> Result<(Bytes, Range<usize>), Error> {
    let wrong = |problem: String| Error::Archive { path: path.to_path_buf(), problem };
    let mut archive = ZipArchive::new(Cursor::new(&map[..])).map_err(|error| wrong(error.to_string()))?;
    let index =
        archive.index_for_name(&format!("{name}.npy")).ok_or_else(|| wrong(format!("no member `{name}.npy`")))?;
    let member = archive.by_index_raw(index).map_err(|error| wrong(error.to_string()))?;
    let (method, size) = (member.compression(), member.size());
    if size > MOST_BYTES {
        return Err(wrong(format!("`{name}` says that it has {size} bytes, expected at most {MOST_BYTES}")));
    }
    // What the archive says of its size is not to be trusted.
    let packed = member.compressed_size().min(map.len() as u64);
    if method == CompressionMethod::STORE {
        let start = member.data_start().and_then(|start| usize::try_from(start).ok());
        let end = start.and_then(|start| start.checked_add(packed as usize)).filter(|&end| end <= map.len());
        return match (start, end) {
            (Some(start), Some(end)) if packed == size => Ok((Bytes::Mapped(map.clone()), start..end)),
            _ => Err(wrong(format!("`{name}` has {packed} bytes, expected {size}"))),
        };
    }
    // No more room than its packed bytes could need.
    let room = size.min(packed.saturating_mul(1032)) as usize;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(room).map_err(|error| wrong(format!("`{name}`: {error}")))?;
    if method != CompressionMethod::DEFLATE {
        return Err(wrong(format!("`{name}` is packed by {method}, expected numpy's own ways: stored or deflated")));
    }
    let got = DeflateDecoder::new(member).take(size + 1).read_to_end(&mut bytes);
    let got = got.map_err(|error| wrong(format!("`{name}`: {error}")))?;
    if got as u64 != size {
        return Err(wrong(format!("`{name}` has {got} bytes, expected {size}")));
    }
    Ok((Bytes::Unpacked(Arc::from(bytes)), 0..got))
}
