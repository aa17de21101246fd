//! Sets of embeddings as people have them: each is read as the same rows, or refused by name.

mod support;

use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, Float64Builder, ListBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array,
    Int32Array, Int64Array, NullArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
    TimestampSecondArray,
};
use arrow_schema::{DataType, Field};
use himacl_data::{Embeddings, Error, write_like, write_npy_f16, write_npy_f32};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::{ROWS, lists, read};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>, compression: Compression) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let properties = WriterProperties::builder().set_compression(compression).build();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A zip archive of stored members, as `numpy.savez` writes it.
fn zip(path: &Path, members: &[(&str, Vec<u8>)]) {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let (crc, size, offset) = (crc32(content), content.len() as u32, bytes.len() as u32);
        let common = |out: &mut Vec<u8>| {
            out.extend([20, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            out.extend(crc.to_le_bytes());
            out.extend(size.to_le_bytes());
            out.extend(size.to_le_bytes());
            out.extend((name.len() as u16).to_le_bytes());
            out.extend([0, 0]);
        };
        bytes.extend(b"PK\x03\x04");
        common(&mut bytes);
        bytes.extend(name.as_bytes());
        bytes.extend(content);
        directory.extend(b"PK\x01\x02\x14\x00");
        common(&mut directory);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (start, count) = (bytes.len() as u32, members.len() as u16);
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend(count.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(start.to_le_bytes());
    bytes.extend([0, 0]);
    fs::write(path, bytes).unwrap();
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

fn npy(values: &[f32], shape: &[usize]) -> Vec<u8> {
    let folder = folder();
    let path = folder.path().join("a.npy");
    write_npy_f32(&path, values, shape).unwrap();
    fs::read(path).unwrap()
}

/// An array of any type.
fn npy_of(descr: &str, data: &[u8], shape: &[usize]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({}, {}), }}\n", shape[0], shape[1]);
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", &length[..], header.as_bytes(), data].concat()
}

#[test]
fn arrays_of_an_npz_by_their_names() {
    let folder = folder();
    let path = folder.path().join("0a.npz");
    zip(&path, &[("l14_img.npy", npy(&ROWS, &[3, 2])), ("l14_txt.npy", npy(&ROWS[..4], &[2, 2]))]);
    assert_eq!(read(&path, Some("l14_img")).unwrap(), ROWS);
    assert_eq!(read(&path, Some("l14_txt")).unwrap(), ROWS[..4]);
    for (key, said) in [(None, "`l14_img`, `l14_txt`"), (Some("b32_img"), "but no `b32_img`")] {
        let error = read(&path, key).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 30]).unwrap();
    assert!(matches!(read(&path, Some("l14_img")), Err(Error::Archive { .. })));
    fs::write(&path, b"not an archive").unwrap();
    assert!(matches!(read(&path, None), Err(Error::Archive { .. })));
}

#[test]
fn columns_of_lists() {
    let folder = folder();
    let path = folder.path().join("x.parquet");
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::ZSTD(ZstdLevel::default()),
        Compression::GZIP(GzipLevel::default()),
        Compression::BROTLI(BrotliLevel::default()),
        Compression::LZ4_RAW,
    ] {
        parquet(&path, vec![("key", keys.clone()), ("emb", lists(&[2, 2, 2]))], compression);
        assert_eq!(read(&path, None).unwrap(), ROWS, "{compression}");
        assert_eq!(read(&path, Some("emb")).unwrap(), ROWS);
    }
    let mut fixed = FixedSizeListBuilder::new(Float32Builder::new(), 2);
    for row in ROWS.chunks(2) {
        row.iter().for_each(|&value| fixed.values().append_value(value));
        fixed.append(true);
    }
    let fixed: ArrayRef = Arc::new(fixed.finish());
    parquet(&path, vec![("a", lists(&[3, 3])), ("b", fixed.slice(0, 2))], Compression::SNAPPY);
    assert_eq!(read(&path, Some("b")).unwrap(), ROWS[..4]);
    assert!(read(&path, None).unwrap_err().to_string().contains("`a`, `b`"));
    for (lengths, key, said) in [
        (&[2, 3, 1][..], None, "has 3 numbers at row 1, expected 2"),
        (&[2, 2, 2], Some("key"), "expected a list of numbers"),
        (&[2, 2, 2], Some("absent"), "but no `absent`"),
    ] {
        parquet(&path, vec![("key", keys.clone()), ("emb", lists(lengths))], Compression::SNAPPY);
        let error = read(&path, key).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn row_groups_are_read_by_themselves() {
    let folder = folder();
    let path = folder.path().join("x.parquet");
    let batch = RecordBatch::try_from_iter([("emb", lists(&[1; 6]))]).unwrap();
    let properties = WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let set = Embeddings::open(&path, None).unwrap();
    for rows in [0..6, 0..1, 1..3, 3..6, 4..5, 2..2] {
        assert_eq!(set.read_rows(rows.clone()).unwrap(), ROWS[rows]);
    }
    let groups = |rows| set.byte_ranges(rows).unwrap().pop().unwrap().1;
    let all = groups(0..6);
    assert_eq!(all.len(), 3);
    assert_eq!((groups(2..3), groups(3..5)), (all[1..2].to_vec(), all[1..].to_vec()));
}

#[test]
fn folders_of_files_are_read_in_numeric_order() {
    let folder = folder();
    for (name, row) in [("part_10.npy", 2), ("part_2.npy", 1), ("part_1.npy", 0)] {
        write_npy_f32(&folder.path().join(name), &ROWS[2 * row..2 * row + 2], &[1, 2]).unwrap();
    }
    fs::write(folder.path().join("README.md"), "notes").unwrap();
    fs::write(folder.path().join(".part_0.npy"), "hidden").unwrap();
    let set = Embeddings::open(folder.path(), None).unwrap();
    assert_eq!(set.to_vec().unwrap(), ROWS);
    let copy = folder.path().join("copy");
    write_like(&set, &set.to_tensor(&candle_core::Device::Cpu).unwrap(), &copy).unwrap();
    assert_eq!(read(&copy, None).unwrap(), ROWS);

    let tables = folder.path().join("tables");
    fs::create_dir(&tables).unwrap();
    for (name, rows) in [("b-10.parquet", &[2usize][..]), ("b-9.parquet", &[2, 2])] {
        let first = if rows.len() == 1 { 4 } else { 0 };
        let mut builder = ListBuilder::new(Float32Builder::new());
        for row in ROWS[first..first + 2 * rows.len()].chunks(2) {
            row.iter().for_each(|&value| builder.values().append_value(value));
            builder.append(true);
        }
        parquet(&tables.join(name), vec![("emb", Arc::new(builder.finish()))], Compression::SNAPPY);
    }
    assert_eq!(read(&tables, None).unwrap(), ROWS);
    let nothing = folder.path().join("nothing");
    fs::create_dir(&nothing).unwrap();
    assert!(matches!(read(&nothing, None), Err(Error::UnknownFormat(_))));
}

/// A clip-retrieval folder with one row in each of the shards named.
fn shards(root: &Path, parts: &[(&str, &[usize])]) {
    for (part, numbers) in parts {
        fs::create_dir_all(root.join(part)).unwrap();
        for &number in *numbers {
            if *part == "metadata" {
                let path = root.join(format!("metadata/metadata_{number}.parquet"));
                let caption: ArrayRef = Arc::new(StringArray::from(vec![format!("caption {number}")]));
                parquet(&path, vec![("caption", caption)], Compression::SNAPPY);
            } else {
                write_npy_f16(&root.join(format!("{part}/{part}_{number}.npy")), &[number as f32, 1.0], &[1, 2])
                    .unwrap();
            }
        }
    }
}

#[test]
fn parts_of_a_folder_need_the_same_shards() {
    let folder = folder();
    let root = |name: &str, parts: &[(&str, &[usize])]| -> PathBuf {
        let root = folder.path().join(name);
        shards(&root, parts);
        root
    };
    let good = root("good", &[("img_emb", &[0, 2, 10]), ("text_emb", &[10, 2, 0]), ("metadata", &[0, 2, 10])]);
    assert_eq!(read(&good, Some("img_emb")).unwrap(), [0.0, 1.0, 2.0, 1.0, 10.0, 1.0]);
    for (name, parts, said) in [
        (
            "a",
            &[("img_emb", &[0, 1, 3][..]), ("text_emb", &[0, 2, 3])][..],
            &["`img_emb` has no shard 2", "`text_emb` has no shard 1"][..],
        ),
        ("b", &[("img_emb", &[0, 1]), ("metadata", &[0])], &["`metadata` has no shard 1"]),
        ("c", &[("text_emb", &[0]), ("metadata", &[0, 7, 11])], &["`text_emb` has no shard 7, 11"]),
    ] {
        let root = root(name, parts);
        for (path, key) in [(root.clone(), Some(parts[0].0)), (root.join(parts[0].0), None)] {
            let error = read(&path, key).unwrap_err().to_string();
            assert!(said.iter().all(|part| error.contains(part)), "{error}");
        }
    }
    let (left, right) = (root("left", &[("img_emb", &[0, 1])]), root("right", &[("text_emb", &[0, 4])]));
    let (left, right) = (Embeddings::open(&left, None).unwrap(), Embeddings::open(&right, None).unwrap());
    let error = left.check_same_shards(&right).unwrap_err().to_string();
    assert!(error.contains("has the shards 1 and") && error.contains("has 4:"), "{error}");
    left.check_same_shards(&left).unwrap();
}

#[test]
fn empty_shards_are_no_rows() {
    let folder = folder();
    let part = folder.path().join("img_emb");
    fs::create_dir(&part).unwrap();
    write_npy_f32(&part.join("img_emb_0.npy"), &[], &[0, 2]).unwrap();
    write_npy_f32(&part.join("img_emb_1.npy"), &ROWS[..4], &[2, 2]).unwrap();
    write_npy_f16(&part.join("img_emb_2.npy"), &[], &[0]).unwrap();
    write_npy_f32(&part.join("img_emb_3.npy"), &ROWS[4..], &[1, 2]).unwrap();
    write_npy_f32(&part.join("img_emb_4.npy"), &[], &[0, 0]).unwrap();
    let set = Embeddings::open(folder.path(), None).unwrap();
    assert_eq!((set.num_rows(), set.dimension()), (3, 2));
    assert_eq!(set.to_vec().unwrap(), ROWS);
    assert_eq!(set.to_stored_tensor(&candle_core::Device::Cpu).unwrap().dims(), [3, 2]);
    let places = set.places(&[0, 2]);
    assert!(places[0].path.ends_with("img_emb_1.npy") && places[0].row == 0);
    assert!(places[1].path.ends_with("img_emb_3.npy") && places[1].row == 0);
}

#[test]
fn rows_that_are_not_finite_are_named_across_files() {
    let folder = folder();
    let part = folder.path().join("text_emb");
    fs::create_dir(&part).unwrap();
    for shard in 0..3 {
        let values: Vec<f32> = (0..12).map(|at| if at % 3 == 0 { f32::NAN } else { 1.0 }).collect();
        write_npy_f32(&part.join(format!("text_emb_{shard}.npy")), &values, &[6, 2]).unwrap();
    }
    let error = read(folder.path(), None).unwrap_err().to_string();
    assert!(error.contains("12 rows with NaN or infinite"), "{error}");
    assert_eq!(error.matches("row ").count(), 10, "ten rows are named: {error}");
    assert!(error.contains("text_emb_2.npy") && error.contains("and 2 more"), "{error}");
}

#[test]
fn metadata_of_every_kind_are_read_and_checked_at_once() {
    let folder = folder();
    shards(folder.path(), &[("img_emb", &[0, 1, 2])]);
    fs::create_dir(folder.path().join("metadata")).unwrap();
    let path = |shard: usize| folder.path().join(format!("metadata/metadata_{shard}.parquet"));
    let caption: ArrayRef = Arc::new(StringArray::from(vec![Some("a cat")]));
    let missing: ArrayRef = Arc::new(NullArray::new(1));
    parquet(&path(0), vec![("caption", missing.clone())], Compression::ZSTD(ZstdLevel::default()));
    parquet(&path(1), vec![("caption", caption.clone())], Compression::GZIP(GzipLevel::default()));
    parquet(&path(2), vec![("caption", missing)], Compression::BROTLI(BrotliLevel::default()));
    let set = Embeddings::open(folder.path(), None).unwrap();
    set.check_metadata().unwrap();
    let metadata = set.metadata().unwrap().unwrap();
    assert_eq!(metadata.text_column("caption").unwrap(), [None, Some("a cat".to_owned()), None]);
    assert_eq!(metadata.take(&[2, 1]).unwrap()[0].null_count(), 1);

    let kinds: DictionaryArray<Int32Type> = vec!["x"].into_iter().collect();
    parquet(&path(2), vec![("caption", Arc::new(kinds))], Compression::SNAPPY);
    let metadata = Embeddings::open(folder.path(), None).unwrap().metadata().unwrap().unwrap();
    assert_eq!(metadata.text_column("caption").unwrap(), [None, Some("a cat".to_owned()), Some("x".to_owned())]);

    // What pandas writes: whole numbers, of which one shard lacks some.
    let write = |widths: [ArrayRef; 3]| {
        for (shard, width) in widths.into_iter().enumerate() {
            parquet(&path(shard), vec![("width", width)], Compression::SNAPPY);
        }
        Embeddings::open(folder.path(), None).unwrap()
    };
    let whole = |value: i64| -> ArrayRef { Arc::new(Int64Array::from(vec![value])) };
    let real: ArrayRef = Arc::new(Float64Array::from(vec![None]));
    let short: ArrayRef = Arc::new(Int32Array::from(vec![7]));
    let metadata = write([whole(640), real.clone(), short.clone()]).metadata().unwrap().unwrap();
    let taken = metadata.take(&[0, 1, 2]).unwrap();
    assert_eq!(taken[0].as_primitive::<Float64Type>().iter().collect::<Vec<_>>(), [Some(640.0), None, Some(7.0)]);
    let metadata = write([whole(1 << 60), short, whole(2)]).metadata().unwrap().unwrap();
    assert_eq!(metadata.take(&[0, 1]).unwrap()[0].as_primitive::<Int64Type>().values(), &[1 << 60, 7]);
    let set = write([whole(3), real, whole((1 << 60) + 1)]);
    assert!(matches!(set.check_metadata(), Err(Error::Rounding { .. })), "a number would be rounded");
    let set = write([whole(1), caption.clone(), whole(2)]);
    assert!(matches!(set.check_metadata(), Err(Error::Columns { .. })));

    for shard in 0..3 {
        parquet(&path(shard), vec![("caption", caption.clone())], Compression::SNAPPY);
    }
    let mut file = File::options().write(true).open(path(1)).unwrap();
    file.write_all(b"PAR1 and then something else").unwrap();
    let set = Embeddings::open(folder.path(), None).unwrap();
    assert!(matches!(set.check_metadata(), Err(Error::Parquet { .. })));
}

#[test]
fn folders_of_safetensors_are_read_in_the_order_of_their_numbers() {
    let folder = folder();
    for (number, rows) in [("10", [5.0, 6.0]), ("9", [3.0, 4.0]), ("2", [1.0, 2.0])] {
        fs::write(folder.path().join(format!("part-{number}.safetensors")), safetensors(&rows)).unwrap();
    }
    assert_eq!(read(folder.path(), None).unwrap(), ROWS);
}

/// A file with one tensor, `(1, n)`.
fn safetensors(values: &[f32]) -> Vec<u8> {
    let bytes = 4 * values.len();
    let header =
        format!("{{\"emb\":{{\"dtype\":\"F32\",\"shape\":[1,{}],\"data_offsets\":[0,{bytes}]}}}}", values.len());
    let data = values.iter().flat_map(|value| value.to_le_bytes());
    (header.len() as u64).to_le_bytes().into_iter().chain(header.bytes()).chain(data).collect()
}

#[test]
fn two_sets_in_one_folder_are_not_one() {
    let folder = folder();
    let write = |name: &str| fs::write(folder.path().join(name), npy(&ROWS, &[3, 2])).unwrap();
    ["img_0.npy", "img_1.npy", "cats.npy", "dogs.npy"].into_iter().for_each(write);
    assert_eq!(read(folder.path(), None).unwrap().len(), 4 * ROWS.len());
    write("txt_1.npy");
    let error = read(folder.path(), None).unwrap_err().to_string();
    assert!(error.contains("`img_1.npy` and `txt_1.npy`: files of one number belong to different sets"), "{error}");
    fs::remove_file(folder.path().join("txt_1.npy")).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let odd = folder.path().join(std::ffi::OsStr::from_bytes(b"img_\xff2.npy"));
        fs::write(&odd, npy(&ROWS, &[3, 2])).unwrap();
        assert!(read(folder.path(), None).unwrap_err().to_string().contains("its name is not UTF-8"));
    }
}

#[test]
fn columns_beside_the_embeddings_are_categories_whatever_their_type() {
    let folder = folder();
    let path = folder.path().join("x.parquet");
    let decimals = Decimal128Array::from(vec![Some(150), Some(200), None]).with_precision_and_scale(9, 2).unwrap();
    let fine = Decimal128Array::from(vec![1_500, 2_000, 1]).with_precision_and_scale(9, 3).unwrap();
    let days = Date32Array::from(vec![0, 365, -1]);
    let seconds = TimestampSecondArray::from(vec![0, 365 * 86_400, 86_399]);
    let millis = TimestampMillisecondArray::from(vec![0, 31_536_000_000, 86_399_500]).with_timezone("UTC");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("emb", lists(&[2, 2, 2])),
        ("decimals", Arc::new(decimals)),
        ("fine", Arc::new(fine)),
        ("days", Arc::new(days)),
        ("seconds", Arc::new(seconds)),
        ("zoned", Arc::new(millis)),
        ("flags", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("short", Arc::new(Int32Array::from(vec![1, 2, 3]))),
    ];
    parquet(&path, columns, Compression::SNAPPY);
    let set = Embeddings::open(&path, None).unwrap();
    let labels = |column: &str| set.labels(column).unwrap().unwrap();
    let of = |names: [&str; 3]| names.map(|name| (!name.is_empty()).then(|| name.to_owned())).to_vec();
    assert_eq!(labels("decimals"), of(["1.5", "2", ""]));
    assert_eq!(labels("fine"), of(["1.5", "2", "0.001"]));
    assert_eq!(labels("days"), of(["1970-01-01", "1971-01-01", "1969-12-31"]));
    assert_eq!(labels("seconds"), of(["1970-01-01", "1971-01-01", "1970-01-01T23:59:59"]));
    assert_eq!(labels("zoned"), of(["1970-01-01", "1971-01-01", "1970-01-01T23:59:59.500"]));
    assert_eq!(labels("flags"), of(["true", "false", "true"]));
    assert_eq!(labels("short"), of(["1", "2", "3"]));
    assert_eq!(set.labels("absent").unwrap(), None);
    assert!(set.columns().unwrap().contains(&"flags: Boolean".to_owned()), "{:?}", set.columns());
}

#[test]
fn rows_without_a_list_are_named() {
    let folder = folder();
    let path = folder.path().join("x.parquet");
    for missing in [vec![0], vec![1, 2], vec![4]] {
        let (mut builder, mut fixed) =
            (ListBuilder::new(Float32Builder::new()), FixedSizeListBuilder::new(Float32Builder::new(), 3));
        for row in 0..5 {
            (0..3).filter(|_| !missing.contains(&row)).for_each(|_| builder.values().append_value(1.0));
            builder.append(!missing.contains(&row));
            (0..3).for_each(|_| fixed.values().append_value(1.0));
            fixed.append(!missing.contains(&row));
        }
        for column in [Arc::new(builder.finish()) as ArrayRef, Arc::new(fixed.finish())] {
            parquet(&path, vec![("emb", column)], Compression::SNAPPY);
            let error = read(&path, None).unwrap_err().to_string();
            let rows: Vec<String> = missing.iter().map(|row| format!("row {row}")).collect();
            let count = if missing.len() == 1 { "1 row" } else { "2 rows" };
            assert!(error.contains(&format!("has no list in {count}: {}\nhint: ", rows.join(", "))), "{error}");
        }
    }
    fs::write(&path, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n").unwrap();
    let error = read(&path, None).unwrap_err().to_string();
    assert!(error.contains("Git LFS pointer") && error.contains("git lfs pull"), "{error}");
}

#[test]
fn a_column_for_each_coordinate_is_told_from_lists() {
    let folder = folder();
    let path = folder.path().join("wide.parquet");
    let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0, 2.0]));
    parquet(&path, vec![("x", column.clone()), ("y", column)], Compression::SNAPPY);
    let error = read(&path, None).unwrap_err().to_string();
    assert!(
        error.contains("column `x`") && error.contains("Float64, expected a list of numbers; 2 columns"),
        "{error}"
    );
    assert!(error.contains("pandas.read_parquet"), "{error}");
    let error = read(&path, Some("emb")).unwrap_err().to_string();
    assert!(error.contains("holds `x: Float64`, `y: Float64`, but no `emb`"), "{error}");
    for (name, told) in [("x.csv", "numpy.loadtxt"), ("x.odd", "clip-retrieval")] {
        let path = folder.path().join(name);
        fs::write(&path, "1,2").unwrap();
        let error = read(&path, None).unwrap_err().to_string();
        assert!(error.contains("not in a known format\nhint: expected .npy") && error.contains(told), "{error}");
    }
}

#[test]
fn what_else_a_table_has_is_metadata_but_for_embeddings_and_files() {
    let folder = folder();
    let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![&b"x"[..], b"y", b"z"]));
    let both: ArrayRef =
        Arc::new(StructArray::from(vec![(Arc::new(Field::new("name", DataType::Utf8, true)), names.clone())]));
    let columns = |extra: Option<&'static str>| {
        let mut columns = vec![
            ("name", names.clone()),
            ("emb", lists(&[2, 2, 2])),
            ("other", lists(&[1, 2, 3])),
            ("picture", bytes.clone()),
            ("both", both.clone()),
            ("key", keys.clone()),
        ];
        columns.extend(extra.map(|extra| (extra, keys.clone())));
        columns
    };
    parquet(&folder.path().join("0.parquet"), columns(None), Compression::SNAPPY);
    let mut swapped = columns(Some("more"));
    swapped.reverse();
    parquet(&folder.path().join("1.parquet"), swapped, Compression::SNAPPY);
    for path in [folder.path().to_path_buf(), folder.path().join("0.parquet")] {
        let set = Embeddings::open(&path, Some("emb")).unwrap();
        set.check_metadata().unwrap();
        let metadata = set.metadata().unwrap().unwrap();
        let found: Vec<&str> = metadata.schema().fields().iter().map(|field| field.name().as_str()).collect();
        assert_eq!(found, ["name", "both", "key"]);
        assert_eq!(metadata.num_rows(), set.num_rows());
        let labels = metadata.labels("key").unwrap();
        let expected = ["1", "2", "3"].into_iter().cycle().take(set.num_rows());
        assert!(labels.iter().map(Option::as_deref).eq(expected.map(Some)), "{labels:?}");
        assert_eq!(metadata.text_column("name").unwrap()[set.num_rows() - 1].as_deref(), Some("c"));
    }
    let alone = folder.path().join("alone.parquet");
    parquet(&alone, vec![("emb", lists(&[2, 2, 2]))], Compression::SNAPPY);
    assert!(Embeddings::open(&alone, None).unwrap().metadata().unwrap().is_none());
}

#[test]
fn what_single_precision_cannot_tell_apart_is_refused_or_centred_first() {
    let folder = folder();
    let value = |row: usize, column: usize| ((row * 7 + column * 3) % 11) as f64 / 8.0;
    let mean = |column: usize| (0..1100).map(|row| value(row, column)).sum::<f64>() / 1100.0;
    for (offset, is_lost) in [(0.0, false), (100.0, false), (1e9, true), (-1e12, true)] {
        let rows: Vec<f64> = (0..1100).flat_map(|row| (0..2).map(move |column| offset + value(row, column))).collect();
        let data: Vec<u8> = rows.iter().flat_map(|value| value.to_le_bytes()).collect();
        let array = folder.path().join("x.npy");
        fs::write(&array, npy_of("<f8", &data, &[1100, 2])).unwrap();
        let table = folder.path().join("x.parquet");
        let mut lists = ListBuilder::new(Float64Builder::new());
        for row in rows.chunks(2) {
            lists.values().append_slice(row);
            lists.append(true);
        }
        parquet(&table, vec![("emb", Arc::new(lists.finish()))], Compression::SNAPPY);
        for path in [&array, &table] {
            assert!(read(path, None).is_ok(), "as they are they are read all the same");
            match Embeddings::open(path, None).unwrap().check_precision() {
                Ok(()) => assert!(!is_lost, "{offset}"),
                Err(error) => {
                    assert!(is_lost && matches!(error, Error::Precision { .. }), "{offset}: {error}");
                    assert!(error.to_string().contains("too far from zero, for float32"), "{error}");
                }
            }
            let centred = Embeddings::open(path, None).unwrap().to_centered_vec().unwrap();
            for (row, found) in centred.chunks(2).enumerate() {
                for (column, found) in found.iter().enumerate() {
                    let expected = value(row, column) - mean(column);
                    // At 1e12 the file itself has steps of 1e-4.
                    assert!((f64::from(*found) - expected).abs() < 2e-4, "{offset}: {found}, expected {expected}");
                }
            }
        }
        let checked = Embeddings::open(&array, None).unwrap().check_precision();
        assert_eq!(checked.is_err(), is_lost);
    }
}
