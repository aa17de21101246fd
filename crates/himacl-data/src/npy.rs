//! The .npy format: header parser, memory-mapped matrices, writers.

use super::rows::{Bytes, ElementType, StoredRows, map_file};
use crate::error::{Error, NpyProblem};
use crate::files::write_atomic;
use half::f16;
use std::io::{self, Write};
use std::ops::Range;
use std::path::Path;
use std::slice::ChunksExact;

const SIGNATURE: &[u8; 6] = b"\x93NUMPY";

/// What an npy header says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<usize>,
    data_offset: usize,
}

impl Header {
    /// Whether the most significant byte of a number comes first, and what numbers they are.
    fn kind(&self) -> (bool, &str) {
        match self.descr.split_at_checked(1) {
            Some((">", kind)) => (true, kind),
            Some(("<" | "|" | "=", kind)) => (false, kind),
            _ => (false, self.descr.as_str()),
        }
    }
}

/// What can be read as coordinates.
const NUMBERS: &str = "float16, float32, float64 or integers";

/// Opens a matrix of numbers, of either order, without reading its values.
pub(crate) fn open_matrix(path: &Path) -> Result<StoredRows, Error> {
    let map = map_file(path)?;
    let whole = 0..map.len();
    matrix(path, Bytes::Mapped(map), whole)
}

/// The matrix of an npy file that is a part of these bytes; an empty array of any shape is no rows.
pub(crate) fn matrix(path: &Path, bytes: Bytes, part: Range<usize>) -> Result<StoredRows, Error> {
    let wrong = |problem| Error::Npy { path: path.to_path_buf(), problem };
    let start = part.start;
    let file = &bytes[part];
    let header = parse_header(file).map_err(wrong)?;
    let (big_endian, kind) = header.kind();
    let element = match kind {
        "f2" => ElementType::F16,
        "f4" => ElementType::F32,
        "f8" => ElementType::F64,
        "i1" => ElementType::I8,
        "u1" => ElementType::U8,
        "i2" => ElementType::I16,
        "u2" => ElementType::U16,
        "i4" => ElementType::I32,
        "u4" => ElementType::U32,
        "i8" => ElementType::I64,
        "u8" => ElementType::U64,
        _ => return Err(wrong(NpyProblem::ElementType { got: header.descr, expected: NUMBERS })),
    };
    let (rows, dimension) = match *header.shape.as_slice() {
        [rows, dimension] => (rows, dimension),
        [0] => (0, 0),
        _ => {
            let expected = "two dimensions (rows, coordinates)";
            return Err(wrong(NpyProblem::Shape { shape: header.shape, expected }));
        }
    };
    check_length(file, &header, element.size()).map_err(wrong)?;
    let (offset, column_major) = (start + header.data_offset, header.fortran_order);
    Ok(StoredRows { path: path.to_path_buf(), bytes, offset, element, big_endian, column_major, rows, dimension })
}

/// Reads a u32 array of one dimension, `(n,)`, a stored permutation for example.
///
/// # Errors
/// [`Error::Npy`] for any other content, [`Error::Io`].
pub fn read_npy_u32(path: &Path) -> Result<Vec<u32>, Error> {
    let map = map_file(path)?;
    let wrong = |problem| Error::Npy { path: path.to_path_buf(), problem };
    let header = parse_header(&map).map_err(wrong)?;
    if header.descr != "<u4" {
        return Err(wrong(NpyProblem::ElementType { got: header.descr, expected: "uint32 (`<u4`)" }));
    }
    if header.shape.len() != 1 {
        return Err(wrong(NpyProblem::Shape { shape: header.shape, expected: "one dimension" }));
    }
    check_length(&map, &header, 4).map_err(wrong)?;
    let bytes = &map[header.data_offset..][..4 * header.shape[0]];
    Ok(bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

/// Reads pairs of integers of any width, `(k, 2)`, known pairs for example.
///
/// # Errors
/// [`Error::Npy`] for any other content, [`Error::Io`].
pub(crate) fn read_npy_pairs(path: &Path) -> Result<Vec<(i64, i64)>, Error> {
    let map = map_file(path)?;
    let wrong = |problem| Error::Npy { path: path.to_path_buf(), problem };
    let header = parse_header(&map).map_err(wrong)?;
    let &[pairs, 2] = header.shape.as_slice() else {
        return Err(wrong(NpyProblem::Shape { shape: header.shape, expected: "(k, 2): a pair in each row" }));
    };
    let count = pairs.checked_mul(2).ok_or_else(|| wrong(NpyProblem::Header("shape")))?;
    let whole = Array { header: Header { shape: vec![count], ..header.clone() }, bytes: Bytes::Mapped(map) };
    let values = match whole.header.kind().1 {
        "b1" => Err(NpyProblem::ElementType { got: header.descr, expected: "integers" }),
        _ => whole.integers(),
    };
    let values = values.map_err(wrong)?;
    if header.fortran_order {
        let (first, second) = values.split_at(pairs);
        return Ok(first.iter().copied().zip(second.iter().copied()).collect());
    }
    Ok(values.as_chunks::<2>().0.iter().map(|&[first, second]| (first, second)).collect())
}

/// An array of one dimension, or of none, somewhere in the bytes of a file.
pub(crate) struct Array {
    header: Header,
    bytes: Bytes,
}

impl Array {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        Self::new(path, Bytes::Mapped(map_file(path)?))
    }

    pub(crate) fn new(path: &Path, bytes: Bytes) -> Result<Self, Error> {
        let header = parse_header(&bytes).map_err(|problem| Error::Npy { path: path.to_path_buf(), problem })?;
        Ok(Self { header, bytes })
    }

    /// The elements, of `size` bytes each.
    fn elements(&self, size: usize) -> Result<ChunksExact<'_, u8>, NpyProblem> {
        let &[count] = self.header.shape.as_slice() else {
            let (shape, expected) = (self.header.shape.clone(), "one dimension");
            return Err(NpyProblem::Shape { shape, expected });
        };
        check_length(&self.bytes, &self.header, size)?;
        Ok(self.bytes[self.header.data_offset..][..count * size].chunks_exact(size))
    }

    /// The numbers, of `size` bytes each, which are handed over with the least significant byte first.
    fn numbers<T>(&self, size: usize, value: impl Fn(&[u8]) -> T) -> Result<Vec<T>, NpyProblem> {
        let numbers = self.elements(size)?;
        if !self.header.kind().0 {
            return Ok(numbers.map(value).collect());
        }
        let turned = |bytes: &[u8]| {
            let mut turned = [0; 8];
            turned[..size].copy_from_slice(bytes);
            turned[..size].reverse();
            value(&turned[..size])
        };
        Ok(numbers.map(turned).collect())
    }

    /// Whole numbers of any width.
    pub(crate) fn integers(&self) -> Result<Vec<i64>, NpyProblem> {
        match self.header.kind().1 {
            "b1" | "u1" => self.numbers(1, |bytes| bytes[0].into()),
            "i1" => self.numbers(1, |bytes| (bytes[0] as i8).into()),
            "u2" => self.numbers(2, |bytes| u16::from_le_bytes(array(bytes)).into()),
            "i2" => self.numbers(2, |bytes| i16::from_le_bytes(array(bytes)).into()),
            "u4" => self.numbers(4, |bytes| u32::from_le_bytes(array(bytes)).into()),
            "i4" => self.numbers(4, |bytes| i32::from_le_bytes(array(bytes)).into()),
            // Nothing has so many items as no longer fit.
            "u8" => self.numbers(8, |bytes| u64::from_le_bytes(array(bytes)).try_into().unwrap_or(i64::MAX)),
            "i8" => self.numbers(8, |bytes| i64::from_le_bytes(array(bytes))),
            _ => Err(NpyProblem::ElementType { got: self.header.descr.clone(), expected: "integers" }),
        }
    }

    /// Whole numbers of any width as text, the largest too; texts as they are.
    pub(crate) fn labels(&self) -> Result<Vec<String>, NpyProblem> {
        let (big_endian, kind) = self.header.kind();
        if kind == "u8" {
            return self.numbers(8, |bytes| u64::from_le_bytes(array(bytes)).to_string());
        }
        let length = |letter: char| {
            kind.strip_prefix(letter)?.parse::<usize>().ok().filter(|length| (1..1 << 20).contains(length))
        };
        if let Some(length) = length('U') {
            let value = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
            let character = |bytes: &[u8; 4]| char::from_u32(value(*bytes)).unwrap_or(char::REPLACEMENT_CHARACTER);
            let text = |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(character).collect::<String>();
            return Ok(self.elements(4 * length)?.map(|bytes| text(bytes).trim_end_matches('\0').to_owned()).collect());
        }
        if let Some(length) = length('S') {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned();
            return Ok(self.elements(length)?.map(text).collect());
        }
        Ok(self.integers()?.into_iter().map(|value| value.to_string()).collect())
    }

    /// Numbers of any type.
    pub(crate) fn floats(&self) -> Result<Vec<f64>, NpyProblem> {
        match self.header.kind().1 {
            "f2" => self.numbers(2, |bytes| f16::from_le_bytes(array(bytes)).to_f64()),
            "f4" => self.numbers(4, |bytes| f32::from_le_bytes(array(bytes)).into()),
            "f8" => self.numbers(8, |bytes| f64::from_le_bytes(array(bytes))),
            _ => self.integers().map(|values| values.into_iter().map(|value| value as f64).collect()).map_err(
                |problem| match problem {
                    NpyProblem::ElementType { .. } => {
                        NpyProblem::ElementType { got: self.header.descr.clone(), expected: NUMBERS }
                    }
                    other => other,
                },
            ),
        }
    }

    /// Text of one byte a character, without its end.
    pub(crate) fn text(&self) -> String {
        let bytes = &self.bytes[self.header.data_offset.min(self.bytes.len())..];
        bytes.iter().filter(|&&byte| byte != 0).map(|&byte| char::from(byte)).take(32).collect()
    }
}

/// The bytes of one number, cut out by its size.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("a chunk of the size of the number")
}

/// Writes f32 values of the given shape, row-major, atomically.
///
/// # Errors
/// [`Error::Io`].
///
/// # Panics
/// If the shape's product is not the number of values.
pub fn write_npy_f32(path: &Path, values: &[f32], shape: &[usize]) -> Result<(), Error> {
    write(path, "'<f4'", values, shape, f32::to_le_bytes)
}

/// Writes values of the given shape as f16, row-major, atomically; rounds to nearest.
///
/// # Errors
/// [`Error::Overflow`] for a value beyond the range of f16 (65504), [`Error::Io`].
///
/// # Panics
/// If the shape's product is not the number of values.
pub fn write_npy_f16(path: &Path, values: &[f32], shape: &[usize]) -> Result<(), Error> {
    check_f16(path, values, shape.last().copied().unwrap_or(1))?;
    write(path, "'<f2'", values, shape, |value| f16::from_f32(value).to_le_bytes())
}

/// Refuses values that f16 would turn into infinities.
pub(crate) fn check_f16(path: &Path, values: &[f32], dimension: usize) -> Result<(), Error> {
    let overflows = |&value: &f32| value.is_finite() && !f16::from_f32(value).is_finite();
    match values.iter().position(overflows) {
        None => Ok(()),
        Some(at) => {
            let (row, column, value) = (at / dimension, at % dimension, values[at]);
            Err(Error::Overflow { path: path.to_path_buf(), row, column, value, format: "float16" })
        }
    }
}

/// Writes u32 values of one dimension, atomically.
///
/// # Errors
/// [`Error::Io`].
pub fn write_npy_u32(path: &Path, values: &[u32]) -> Result<(), Error> {
    write(path, "'<u4'", values, &[values.len()], u32::to_le_bytes)
}

/// Writes 128-bit ids as pairs of u64, atomically: numpy's structured type `u8,u8`.
///
/// # Errors
/// [`Error::Io`].
pub fn write_npy_uids(path: &Path, values: &[(u64, u64)]) -> Result<(), Error> {
    write(path, "[('f0', '<u8'), ('f1', '<u8')]", values, &[values.len()], |(high, low)| {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.to_le_bytes());
        bytes[8..].copy_from_slice(&low.to_le_bytes());
        bytes
    })
}

fn write<T: Copy, const N: usize>(
    path: &Path,
    descr: &str,
    values: &[T],
    shape: &[usize],
    bytes: impl Fn(T) -> [u8; N],
) -> Result<(), Error> {
    assert_eq!(values.len(), shape.iter().product::<usize>(), "values for shape {shape:?}");
    write_atomic(path, |out| {
        write_header(out, descr, shape)?;
        values.iter().try_for_each(|&value| out.write_all(&bytes(value)))
    })
}

/// `descr` as Python writes it: a number's in quotes, a structured type's as a list.
fn write_header(out: &mut dyn Write, descr: &str, shape: &[usize]) -> io::Result<()> {
    // As Python writes a tuple, which some readers match literally: `(3, 2)`, but `(3,)`.
    let mut dimensions = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    if shape.len() == 1 {
        dimensions.push(',');
    }
    let mut header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': ({dimensions}), }}");
    // Ten bytes precede the header; the data begins at a multiple of 64, after a newline.
    let padding = 63 - (10 + header.len()) % 64;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    out.write_all(SIGNATURE)?;
    out.write_all(&[1, 0])?;
    out.write_all(&(header.len() as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())
}

fn check_length(bytes: &[u8], header: &Header, element_size: usize) -> Result<(), NpyProblem> {
    let values = header.shape.iter().try_fold(element_size, |product, &size| product.checked_mul(size));
    let expected = values.and_then(|size| size.checked_add(header.data_offset)).ok_or(NpyProblem::Header("shape"))?;
    if bytes.len() < expected {
        return Err(NpyProblem::Truncated { got: bytes.len() as u64, expected: expected as u64 });
    }
    // numpy.save appends to an open file; the first array alone would be read.
    if bytes[expected..].starts_with(SIGNATURE) {
        return Err(NpyProblem::SecondArray);
    }
    Ok(())
}

fn parse_header(bytes: &[u8]) -> Result<Header, NpyProblem> {
    let truncated = |expected: usize| NpyProblem::Truncated { got: bytes.len() as u64, expected: expected as u64 };
    if !bytes.starts_with(SIGNATURE) {
        return Err(if SIGNATURE.starts_with(bytes) { truncated(10) } else { NpyProblem::Signature });
    }
    let (&[major, minor], rest) = bytes[6..].split_first_chunk().ok_or(truncated(10))?;
    let (length, start) = match (major, minor) {
        (1, 0) => (usize::from(u16::from_le_bytes(*rest.first_chunk().ok_or(truncated(10))?)), 10),
        (2 | 3, 0) => (u32::from_le_bytes(*rest.first_chunk().ok_or(truncated(12))?) as usize, 12),
        _ => return Err(NpyProblem::Version(major, minor)),
    };
    let header = bytes.get(start..start + length).ok_or(truncated(start + length))?;
    let header = std::str::from_utf8(header).map_err(|_| NpyProblem::Header("text"))?;

    // A structured type's descr is a list, which is no number either way: it is reported as it stands.
    let descr = field(header, "descr").ok_or(NpyProblem::Header("descr"))?;
    let descr = match descr.strip_prefix(['\'', '"']) {
        Some(quoted) => quoted.split(['\'', '"']).next().unwrap_or_default(),
        None => descr.split(", 'fortran_order'").next().unwrap_or(descr).trim_end(),
    };
    let fortran_order = match field(header, "fortran_order") {
        Some(value) if value.starts_with("False") => false,
        Some(value) if value.starts_with("True") => true,
        _ => return Err(NpyProblem::Header("fortran_order")),
    };
    let shape = field(header, "shape").and_then(parse_shape).ok_or(NpyProblem::Header("shape"))?;
    Ok(Header { descr: descr.to_owned(), fortran_order, shape, data_offset: start + length })
}

/// The text after `'name':`.
fn field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let quoted = [format!("'{name}'"), format!("\"{name}\"")];
    let at = quoted.iter().find_map(|key| header.find(key.as_str()).map(|at| at + key.len()))?;
    Some(header[at..].trim_start().strip_prefix(':')?.trim_start())
}

fn parse_shape(text: &str) -> Option<Vec<usize>> {
    let inside = text.strip_prefix('(')?.split_once(')')?.0;
    // Python 2 wrote long integers as `10L`.
    let sizes = inside.split(',').map(|size| size.trim().trim_end_matches('L')).filter(|size| !size.is_empty());
    sizes.map(|size| size.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([1, 0]);
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn problem(bytes: &[u8]) -> NpyProblem {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        match open_matrix(&path).unwrap_err() {
            Error::Npy { problem, .. } => problem,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let values = [1.0, -2.5, 0.0, 65504.0, 3.0, 0.125];
        for (element, write) in
            [(ElementType::F32, write_npy_f32 as fn(_, _, _) -> _), (ElementType::F16, write_npy_f16)]
        {
            write(&path, &values, &[3, 2]).unwrap();
            let rows = open_matrix(&path).unwrap();
            assert_eq!((rows.rows, rows.dimension, rows.element, rows.offset % 64), (3, 2, element, 0));
            let mut read = [0.0; 6];
            rows.decode(&mut read).refuse(&path).unwrap();
            assert_eq!(read, values);
        }
        write_npy_u32(&path, &[7, u32::MAX]).unwrap();
        assert_eq!(read_npy_u32(&path).unwrap(), [7, u32::MAX]);
        let error = write_npy_f16(&path, &[0.0, 1.0, 2.0, 70000.0], &[2, 2]).unwrap_err();
        assert!(matches!(error, Error::Overflow { row: 1, column: 1, .. }));
        assert_eq!(read_npy_u32(&path).unwrap(), [7, u32::MAX], "a refused write leaves the file alone");
    }

    #[test]
    fn headers_are_numpys_own() {
        let header = |shape: &[usize]| {
            let mut bytes = Vec::new();
            write_header(&mut bytes, "'<f2'", shape).unwrap();
            assert_eq!(bytes.len() % 64, 0);
            String::from_utf8(bytes[10..].to_vec()).unwrap().trim_end().to_owned()
        };
        assert_eq!(header(&[3, 2]), "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 2), }");
        assert_eq!(header(&[3]), "{'descr': '<f2', 'fortran_order': False, 'shape': (3,), }");
    }

    #[test]
    fn doubles_and_later_versions_are_read() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), }\n";
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([2, 0]);
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(0.5f64.to_le_bytes());
        bytes.extend((-4f64).to_le_bytes());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::fs::write(&path, bytes).unwrap();
        let mut read = [0.0; 2];
        open_matrix(&path).unwrap().decode(&mut read).refuse(&path).unwrap();
        assert_eq!(read, [0.5, -4.0]);
    }

    #[test]
    fn every_kind_of_number_in_every_order_is_read() {
        /// The bytes of a number, the most significant last.
        type Encode = fn(f32) -> Vec<u8>;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let expected = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0_f32];
        let kinds: [(&str, Encode); 11] = [
            ("f2", |value| f16::from_f32(value).to_le_bytes().to_vec()),
            ("f4", |value| value.to_le_bytes().to_vec()),
            ("f8", |value| f64::from(value).to_le_bytes().to_vec()),
            ("i1", |value| vec![value as u8]),
            ("u1", |value| vec![value as u8]),
            ("i2", |value| (value as i16).to_le_bytes().to_vec()),
            ("u2", |value| (value as u16).to_le_bytes().to_vec()),
            ("i4", |value| (value as i32).to_le_bytes().to_vec()),
            ("u4", |value| (value as u32).to_le_bytes().to_vec()),
            ("i8", |value| (value as i64).to_le_bytes().to_vec()),
            ("u8", |value| (value as u64).to_le_bytes().to_vec()),
        ];
        for (kind, encode) in kinds {
            for (order, fortran) in [("<", false), ("<", true), (">", false), (">", true)] {
                // By columns: 1 4, 2 5, 3 6.
                let values = if fortran { [1.0, 4.0, 2.0, 5.0, 3.0, 6.0] } else { expected };
                let number = |value: &f32| {
                    let mut bytes = encode(*value);
                    if order == ">" {
                        bytes.reverse();
                    }
                    bytes
                };
                let data: Vec<u8> = values.iter().flat_map(number).collect();
                let python = if fortran { "True" } else { "False" };
                let header = format!("{{'descr': '{order}{kind}', 'fortran_order': {python}, 'shape': (2, 3), }}");
                std::fs::write(&path, file(&header, &data)).unwrap();
                let mut read = [0.0; 6];
                open_matrix(&path).unwrap().decode(&mut read).refuse(&path).unwrap();
                assert_eq!(read, expected, "{order}{kind}, Fortran order: {python}");
            }
        }
        let header = "{'descr': '|i1', 'fortran_order': False, 'shape': (1, 2), }";
        std::fs::write(&path, file(header, &[255, 128])).unwrap();
        let mut read = [0.0; 2];
        open_matrix(&path).unwrap().decode(&mut read).refuse(&path).unwrap();
        assert_eq!(read, [-1.0, -128.0]);
    }

    #[test]
    fn pairs_of_any_width_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let read = |descr: &str, shape: &str, data: &[u8]| {
            let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}");
            std::fs::write(&path, file(&header, data)).unwrap();
            read_npy_pairs(&path)
        };
        let of = |bytes: &[&[u8]]| bytes.concat();
        assert_eq!(read("'|u1'", "(2, 2)", &[1, 2, 3, 255]).unwrap(), [(1, 2), (3, 255)]);
        let long = [7i64, -1, 0, 1 << 40].map(i64::to_le_bytes);
        assert_eq!(read("'<i8'", "(2, 2)", &of(&long.each_ref().map(|b| &b[..]))).unwrap(), [(7, -1), (0, 1 << 40)]);
        let short = [7i32, -1].map(i32::to_le_bytes);
        assert_eq!(read("'<i4'", "(1, 2)", &of(&short.each_ref().map(|b| &b[..]))).unwrap(), [(7, -1)]);
        assert_eq!(read("'<u8'", "(1, 2)", &[255; 16]).unwrap(), [(i64::MAX, i64::MAX)]);
        let columns = "{'descr': '<u2', 'fortran_order': True, 'shape': (3, 2), }";
        std::fs::write(&path, file(columns, &[1, 0, 2, 0, 3, 0, 7, 0, 8, 0, 9, 0])).unwrap();
        assert_eq!(read_npy_pairs(&path).unwrap(), [(1, 7), (2, 8), (3, 9)]);
        assert_eq!(read("'>i4'", "(1, 2)", &[0, 0, 0, 7, 255, 255, 255, 255]).unwrap(), [(7, -1)]);
        for (descr, shape, data) in [("'<f4'", "(1, 2)", 8), ("'<i4'", "(2, 3)", 24), ("'<i4'", "(2, 2)", 15)] {
            assert!(matches!(read(descr, shape, &vec![0; data]), Err(Error::Npy { .. })), "{descr} {shape}");
        }
    }

    #[test]
    fn one_value_an_item_in_any_order_and_as_text() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let open = |descr: &str, data: &[u8]| {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (2,), }}");
            std::fs::write(&path, file(&header, data)).unwrap();
            Array::open(&path).unwrap()
        };
        assert_eq!(open(">i2", &[0, 7, 255, 254]).integers().unwrap(), [7, -2]);
        let doubles = [1.5f64, -2.0].map(f64::to_be_bytes).concat();
        assert_eq!(open(">f8", &doubles).floats().unwrap(), [1.5, -2.0]);
        let hashes = [u64::MAX, 3].map(u64::to_be_bytes).concat();
        assert_eq!(open(">u8", &hashes).labels().unwrap(), [u64::MAX.to_string(), "3".to_owned()]);
        assert_eq!(open("|S3", b"en\0fra").labels().unwrap(), ["en", "fra"]);
        let letters: Vec<u32> = "d\u{e9}\0e\0\0".chars().map(u32::from).collect();
        for (order, bytes) in [("<", u32::to_le_bytes as fn(u32) -> [u8; 4]), (">", u32::to_be_bytes)] {
            let data: Vec<u8> = letters.iter().flat_map(|&letter| bytes(letter)).collect();
            assert_eq!(open(&format!("{order}U3"), &data).labels().unwrap(), ["d\u{e9}", "e"]);
        }
        for wrong in ["|U0", "|O", "<M8[D]"] {
            assert!(matches!(open(wrong, &[0; 16]).labels(), Err(NpyProblem::ElementType { .. })), "{wrong}");
        }
    }

    #[test]
    fn what_git_has_in_the_place_of_an_array_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        std::fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n").unwrap();
        let error = open_matrix(&path).unwrap_err().to_string();
        assert!(error.contains("a.npy` is a Git LFS pointer") && error.contains("\nhint: `git lfs pull`"), "{error}");
    }

    #[test]
    fn each_malformation_has_its_problem() {
        assert_eq!(problem(b"PK\x03\x04 a zip file"), NpyProblem::Signature);
        assert_eq!(problem(b"\x93NUMPY\x09\x00\x00\x00"), NpyProblem::Version(9, 0));
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }";
        assert_eq!(problem(&file(good, &[0; 15])), NpyProblem::Truncated { got: 84, expected: 85 });
        let twice = [file(good, &[0; 16]), file(good, &[0; 16])].concat();
        assert_eq!(problem(&twice), NpyProblem::SecondArray);
        assert!(matches!(problem(&file(good, &[])[..40]), NpyProblem::Truncated { .. }));
        assert_eq!(problem(&file(&good.replace("descr", "type"), &[0; 16])), NpyProblem::Header("descr"));
        let huge = good.replace("(2, 2)", "(9223372036854775807, 9223372036854775807)");
        assert_eq!(problem(&file(&huge, &[0; 16])), NpyProblem::Header("shape"));
        let shape = problem(&file(&good.replace("(2, 2)", "(4,)"), &[0; 16]));
        assert!(matches!(shape, NpyProblem::Shape { shape, .. } if shape == [4]));
        for (descr, got) in [("'<c8'", "<c8"), ("'|V2'", "|V2"), ("[('a', '<f4')]", "[('a', '<f4')]")] {
            let element = problem(&file(&good.replace("'<f4'", descr), &[0; 16]));
            assert!(matches!(element, NpyProblem::ElementType { got: found, .. } if found == got));
        }
    }
}
