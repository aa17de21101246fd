//! Archives as numpy and scipy write them, packed and not: embeddings, and candidate pairs with their costs.

use flate2::Compression;
use flate2::write::DeflateEncoder;
use himacl_data::{CandidatePairs, Embeddings, Error, read_candidates};
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// An array: its type and shape as numpy writes them, its bytes.
#[derive(Clone)]
struct Array(&'static str, String, bool, Vec<u8>);

impl Array {
    fn f32(shape: &str, values: &[f32]) -> Self {
        Self("<f4", shape.to_owned(), false, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    fn i32(values: &[i32]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self("<i4", format!("({},)", values.len()), false, bytes)
    }

    fn i64(values: &[i64]) -> Self {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        Self("<i8", format!("({},)", values.len()), false, bytes)
    }

    /// Letters of no dimension, as scipy names its formats.
    fn name(three: &str) -> Self {
        assert_eq!(three.len(), 3);
        Self("|S3", "()".to_owned(), false, three.as_bytes().to_vec())
    }

    fn npy(&self) -> Vec<u8> {
        let Self(kind, shape, is_fortran, data) = self;
        let order = if *is_fortran { "True" } else { "False" };
        let mut header = format!("{{'descr': '{kind}', 'fortran_order': {order}, 'shape': {shape}, }}");
        header += &" ".repeat((64 - (11 + header.len()) % 64) % 64);
        header.push('\n');
        let length = (header.len() as u16).to_le_bytes();
        [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), data].concat()
    }
}

/// Writes an archive: stored as by `savez`, or deflated as by `savez_compressed`; `claimed` changes what it says of sizes.
fn write(path: &Path, members: &[(&str, Array)], deflated: bool, claimed: impl Fn(u32) -> u32) {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, array) in members {
        let (content, name) = (array.npy(), format!("{name}.npy"));
        let mut sum = flate2::Crc::new();
        sum.update(&content);
        let packed = if deflated {
            let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&content).unwrap();
            encoder.finish().unwrap()
        } else {
            content.clone()
        };
        let offset = bytes.len() as u32;
        let common = |out: &mut Vec<u8>| {
            out.extend([20, 0, 0, 0, if deflated { 8 } else { 0 }, 0, 0, 0, 0, 0]);
            out.extend(sum.sum().to_le_bytes());
            out.extend((packed.len() as u32).to_le_bytes());
            out.extend(claimed(content.len() as u32).to_le_bytes());
            out.extend((name.len() as u16).to_le_bytes());
            out.extend([0, 0]);
        };
        bytes.extend(b"PK\x03\x04");
        common(&mut bytes);
        bytes.extend(name.as_bytes());
        bytes.extend(&packed);
        directory.extend(b"PK\x01\x02\x14\x00");
        common(&mut directory);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, count) = (bytes.len() as u32, (members.len() as u16).to_le_bytes());
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([count, count].concat());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    fs::write(path, bytes).unwrap();
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("a.npz")
    }

    fn rows(&self, key: Option<&str>) -> Result<Vec<f32>, Error> {
        Embeddings::open(&self.path(), key)?.to_vec()
    }

    /// The numbers in the bytes that a range of rows is said to be in, `(4, 3)`.
    fn told(&self, set: &Embeddings, range: Range<usize>, is_fortran: bool) -> Vec<f32> {
        let content = fs::read(self.path()).unwrap();
        let ranges = set.byte_ranges(range).unwrap().remove(0).1;
        let bytes: Vec<u8> =
            ranges.iter().flat_map(|range| content[range.start as usize..range.end as usize].to_vec()).collect();
        let values: Vec<f32> = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
        if is_fortran { (0..12).map(|at| values[at % 3 * 4 + at / 3]).collect() } else { values }
    }

    fn candidates(&self, members: &[(&str, Array)], deflated: bool) -> Result<CandidatePairs, Error> {
        write(&self.path(), members, deflated, |size| size);
        read_candidates(&self.path())
    }

    fn refused(&self, members: &[(&str, Array)]) -> String {
        self.candidates(members, false).unwrap_err().to_string()
    }
}

#[test]
fn rows_are_the_same_however_they_are_packed() {
    let place = Place::new();
    let rows: Vec<f32> = (0..600).map(|value| (value % 7) as f32 - 2.5).collect();
    // Column after column: value `(i, j)` is at `j * 200 + i`.
    let columns: Vec<f32> = (0..600).map(|at| rows[at % 200 * 3 + at / 200]).collect();
    let fortran = Array(/* column-major */ "<f4", "(200, 3)".to_owned(), true, Array::f32("", &columns).3);
    let quantised =
        Array("|i1", "(200, 3)".to_owned(), false, rows.iter().map(|value| (value * 2.0) as i8 as u8).collect());
    let doubled: Vec<f32> = rows.iter().map(|value| value * 2.0).collect();
    for deflated in [false, true] {
        let members = [("c", Array::f32("(200, 3)", &rows)), ("f", fortran.clone()), ("q", quantised.clone())];
        write(&place.path(), &members, deflated, |size| size);
        assert_eq!(place.rows(Some("c")).unwrap(), rows);
        assert_eq!(place.rows(Some("f")).unwrap(), rows);
        assert_eq!(place.rows(Some("q")).unwrap(), doubled);
        assert!(place.rows(None).unwrap_err().to_string().contains("`c`, `f`, `q`"));
        // What is stored is read where it lies, what is packed as a whole.
        for key in ["c", "f"] {
            let set = Embeddings::open(&place.path(), Some(key)).unwrap();
            assert_eq!(set.is_unpacked(), deflated);
            assert_eq!(set.read_rows(7..11).unwrap(), rows[21..33]);
            if !deflated {
                assert_eq!(place.told(&set, 7..11, key == "f"), rows[21..33], "{key}");
            }
        }
        // The only one there is needs no name.
        write(&place.path(), &members[..1], deflated, |size| size);
        assert_eq!(place.rows(None).unwrap(), rows);
    }
}

#[test]
fn sizes_that_are_not_true_are_refused_without_taking_the_room() {
    let place = Place::new();
    let member = [("emb", Array::f32("(4, 2)", &[1.0; 8]))];
    for (deflated, claim) in [(true, u32::MAX - 1), (true, 3), (false, u32::MAX - 1), (false, 3)] {
        write(&place.path(), &member, deflated, |_| claim);
        let error = place.rows(Some("emb")).unwrap_err();
        assert!(matches!(&error, Error::Archive { .. }), "{claim}: {error}");
    }
    // An array that says that it has more rows than there are bytes, were it not for those of the next.
    let members = [("emb", Array::f32("(5, 2)", &[1.0; 8])), ("next", Array::f32("(4, 2)", &[1.0; 8]))];
    for deflated in [true, false] {
        write(&place.path(), &members, deflated, |size| size);
        place.rows(Some("emb")).unwrap_err();
    }
}

/// `[[0, 7, 0, 1], [0, 0, 0, 0], [2, 0, 0, -3]]`, with a zero at (0, 2) that is stored.
fn stored() -> Vec<(u32, u32, f64)> {
    vec![(0, 1, 7.0), (0, 2, 0.0), (0, 3, 1.0), (2, 0, 2.0), (2, 3, -3.0)]
}

fn csr() -> Vec<(&'static str, Array)> {
    vec![
        ("indices", Array::i32(&[1, 2, 3, 0, 3])),
        ("indptr", Array::i32(&[0, 3, 3, 5])),
        ("format", Array::name("csr")),
        ("shape", Array::i64(&[3, 4])),
        ("data", Array::f32("(5,)", &[7.0, 0.0, 1.0, 2.0, -3.0])),
    ]
}

/// The same with another array in the place of one.
fn with(name: &str, array: &Array) -> Vec<(&'static str, Array)> {
    csr().into_iter().map(|(known, old)| (known, if known == name { array.clone() } else { old })).collect()
}

#[test]
fn sparse_matrices_are_their_stored_entries() {
    let place = Place::new();
    for deflated in [false, true] {
        let read = place.candidates(&csr(), deflated).unwrap();
        assert_eq!((read.sizes, read.pairs), ([3, 4], stored()));
    }
    let wide = place.candidates(&with("indptr", &Array::i64(&[0, 3, 3, 5])), true).unwrap();
    assert_eq!(wide.pairs, stored());
    let coo = [
        ("row", Array::i32(&[2, 0, 0, 2, 0])),
        ("col", Array::i32(&[3, 1, 2, 0, 3])),
        ("format", Array::name("coo")),
        ("shape", Array::i64(&[3, 4])),
        ("data", Array("<i8", "(5,)".to_owned(), false, Array::i64(&[-3, 7, 0, 2, 1]).3)),
    ];
    let mut read = place.candidates(&coo, false).unwrap();
    read.pairs.sort_by_key(|&(i, j, _)| (i, j));
    assert_eq!((read.sizes, read.pairs), ([3, 4], stored()));
}

#[test]
fn matrices_that_contradict_themselves_are_refused() {
    let place = Place::new();
    for (name, array, said) in [
        ("format", Array::name("csc"), "stored as `csc`, expected `csr` or `coo`"),
        ("shape", Array::i64(&[3, 3]), "indices beyond its shape"),
        ("shape", Array::i64(&[4, 4]), "`indptr`"),
        ("shape", Array::i64(&[i64::MAX, 4]), "`indptr`"),
        ("shape", Array::i64(&[-1, 4]), "`indptr`"),
        ("shape", Array::i64(&[3, -4]), "index -4"),
        ("shape", Array::i64(&[3, 4, 5]), "expected two sizes"),
        ("indptr", Array::i32(&[0, 3, 2, 5]), "`indptr`"),
        ("indptr", Array::i32(&[1, 3, 3, 5]), "`indptr`"),
        ("indptr", Array::i32(&[0, 3, 3, 6]), "`indptr`"),
        ("indices", Array::i32(&[1, 2, 3, -1, 3]), "index -1"),
        ("data", Array::f32("(4,)", &[1.0; 4]), "4 values"),
    ] {
        let error = place.refused(&with(name, &array));
        assert!(error.contains(said), "{name}: {error}");
    }
    let mut without = csr();
    without.remove(0);
    assert!(place.refused(&without).contains("no member `indices.npy`"));
}
