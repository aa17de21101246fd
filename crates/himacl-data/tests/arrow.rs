//! Arrow files as writers make them, in parts and damaged.

use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Int16Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, DictionaryArray, FixedSizeListArray, Int64Array, LargeListArray,
    LargeStringArray, ListArray, NullArray, RecordBatch, StringArray, StringViewArray, StructArray,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow_schema::{DataType, Field};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use himacl_data::{Error, Table};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Rows `from..to` of a table with columns of many types, one row in five missing; categories have other values in each batch of a stream.
fn batch_of(from: usize, to: usize, views: bool, is_stream: bool) -> RecordBatch {
    let rows = || from..to;
    let shift = usize::from(is_stream);
    let some = |row: usize| !row.is_multiple_of(5);
    let number = |row: usize| Some(row as f32 / 8.0);
    let lists = || rows().map(|row| some(row).then(|| (0..row % 4).map(|at| number(row + at)).collect::<Vec<_>>()));
    let mut texts = ListBuilder::new(StringBuilder::new());
    for row in rows() {
        (0..row % 3).for_each(|at| texts.values().append_value("é".repeat(at + row % 7)));
        texts.append(some(row));
    }
    let ids: ArrayRef = Arc::new(rows().map(|row| Some(row as i64)).collect::<Int64Array>());
    let words: ArrayRef = Arc::new(rows().map(|row| some(row).then(|| format!("w{row}"))).collect::<StringArray>());
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("id", ids.clone()),
        ("word", words.clone()),
        ("flag", Arc::new(rows().map(|row| some(row).then_some(row % 2 == 0)).collect::<BooleanArray>())),
        ("list", Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(lists()))),
        (
            "long",
            Arc::new(LargeListArray::from_iter_primitive::<Int64Type, _, _>(
                rows().map(|row| Some(vec![Some(row as i64); row % 3])),
            )),
        ),
        (
            "emb",
            Arc::new(FixedSizeListArray::from_iter_primitive::<Float32Type, _, _>(
                rows().map(|row| Some([number(row), number(row + 1), number(row + 2)])),
                3,
            )),
        ),
        ("texts", Arc::new(texts.finish())),
        ("bytes", Arc::new(rows().map(|row| some(row).then(|| vec![row as u8; row % 9])).collect::<BinaryArray>())),
        ("large", Arc::new(rows().map(|row| Some("x".repeat(row % 6))).collect::<LargeStringArray>())),
        ("none", Arc::new(NullArray::new(to - from))),
        (
            "kind",
            Arc::new(DictionaryArray::<Int16Type>::new(
                rows().map(|row| some(row).then_some((row % 3) as i16)).collect(),
                Arc::new(
                    ["cat", "dog", "bird"]
                        .map(|name| format!("{name}{}", shift * from))
                        .iter()
                        .map(Some)
                        .collect::<StringArray>(),
                ),
            )),
        ),
        (
            "both",
            Arc::new(StructArray::from(vec![
                (Arc::new(Field::new("id", DataType::Int64, true)), ids),
                (Arc::new(Field::new("word", DataType::Utf8, true)), words),
            ])),
        ),
    ];
    if views {
        columns.insert(
            1,
            ("view", Arc::new(rows().map(|row| Some("long enough ".repeat(row % 4))).collect::<StringViewArray>())),
        );
    }
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn batch(from: usize, to: usize, views: bool) -> RecordBatch {
    batch_of(from, to, views, false)
}

/// The value of each row of a column of categories.
fn take(values: &ArrayRef, keys: &dyn Array) -> ArrayRef {
    let (values, keys) = (values.as_string::<i32>(), keys.as_primitive::<Int16Type>());
    Arc::new(keys.iter().map(|key| key.map(|key| values.value(key as usize))).collect::<StringArray>())
}

fn written(batches: &[RecordBatch], is_stream: bool, packed: Option<CompressionType>) -> Vec<u8> {
    let options = IpcWriteOptions::default().try_with_compression(packed).unwrap();
    let (mut out, schema) = (Vec::new(), batches[0].schema());
    if is_stream {
        let mut writer = StreamWriter::try_new_with_options(&mut out, &schema, options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(&mut out, &schema, options).unwrap();
        batches.iter().for_each(|batch| writer.write(batch).unwrap());
        writer.finish().unwrap();
    }
    out
}

const WAYS: [(bool, Option<CompressionType>); 6] = [
    (false, None),
    (true, None),
    (false, Some(CompressionType::LZ4_FRAME)),
    (true, Some(CompressionType::LZ4_FRAME)),
    (false, Some(CompressionType::ZSTD)),
    (true, Some(CompressionType::ZSTD)),
];

fn open(content: Vec<u8>) -> Result<Table<Bytes>, Error> {
    Table::open(Path::new("x.arrow"), Bytes::from(content))
}

#[test]
fn any_rows_of_any_columns_in_every_way_of_writing() {
    for views in [false, true] {
        for (is_stream, packed) in WAYS {
            let part = |from: usize, to: usize| batch_of(from, to, views, is_stream);
            let batches = [part(0, 37), part(37, 37), part(37, 100)];
            let all = concat_batches(&batches[0].schema(), &batches).unwrap();
            let table = open(written(&batches, is_stream, packed)).unwrap();
            assert_eq!((table.num_rows(), table.failure()), (100, None));
            assert_eq!(table.schema().fields(), all.schema().fields());
            let everything: Vec<usize> = (0..all.num_columns()).collect();
            for rows in [0..100, 0..0, 3..4, 30..45, 37..37, 38..99, 99..100] {
                for (columns, size) in [(&everything[..], 64), (&everything[..], 7), (&[3, 6][..], 10), (&[10], 100)] {
                    let read = table.batches(Some(columns), rows.clone(), size).unwrap();
                    let read: Vec<RecordBatch> = read.collect::<Result<_, _>>().unwrap();
                    assert!(read.iter().all(|batch| (1..=size).contains(&batch.num_rows())));
                    let expected = all.project(columns).unwrap().slice(rows.start, rows.len());
                    let read = concat_batches(&expected.schema(), &read).unwrap();
                    for (got, expected) in read.columns().iter().zip(expected.columns()) {
                        let texts = |column: &ArrayRef| match column.as_any_dictionary_opt() {
                            Some(categories) => take(categories.values(), categories.keys()),
                            None => column.clone(),
                        };
                        assert_eq!(*texts(got), *texts(expected), "{rows:?} of {columns:?}, {is_stream}, {packed:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn bytes_of_rows_are_those_of_their_columns() {
    let content = written(&[batch(0, 40, false), batch(40, 80, false)], true, None);
    let table = open(content.clone()).unwrap();
    let column = table.schema().index_of("emb").unwrap();
    let values = |content: Vec<u8>| {
        let table = open(content).unwrap();
        let read: Vec<_> = table.batches(Some(&[column]), 50..60, 100).unwrap().collect::<Result<_, _>>().unwrap();
        read[0].column(0).clone()
    };
    let ranges = table.byte_ranges(&[column], &(50..60)).unwrap();
    assert_eq!(ranges.len(), 1, "{ranges:?}");
    assert!(ranges.concat().iter().map(|range| range.end - range.start).sum::<u64>() < 40 * 3 * 4 + 100);
    // Nothing else of the bodies matters.
    let mut rest = content.clone();
    for range in table.byte_ranges(&(0..12).collect::<Vec<_>>(), &(0..80)).unwrap().concat() {
        rest[range.start as usize..range.end as usize].fill(0xFF);
    }
    for range in ranges.concat() {
        let range = range.start as usize..range.end as usize;
        rest[range.clone()].copy_from_slice(&content[range]);
    }
    assert_eq!(&*values(rest), &*values(content));
}

#[test]
fn other_files_are_told_by_what_they_are() {
    for (content, expected) in [
        (&b""[..], "the file is empty"),
        (b"FEA1\0\0\0\0", "Feather's first version"),
        (b"a text, and nothing else\n", "neither an Arrow file nor a stream"),
        (&[0xFF, 0xFF, 0xFF, 0xFF, 4, 0, 0, 0, 0, 0, 0, 0], "neither an Arrow file nor a stream"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
    ] {
        let error = open(content.to_vec()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // What is parquet in truth is read.
    let all = batch(0, 10, false).project(&[0, 1]).unwrap();
    let mut out = Vec::new();
    let mut writer = parquet::arrow::ArrowWriter::try_new(&mut out, all.schema(), None).unwrap();
    writer.write(&all).unwrap();
    writer.close().unwrap();
    assert_eq!(open(out).unwrap().num_rows(), 10);
}

/// Reads all of a table, in small batches; the rows, or the error.
fn read_all(content: Vec<u8>) -> Result<usize, Error> {
    let table = open(content)?;
    let mut rows = 0;
    for batch in table.batches(None, 0..table.num_rows(), 16)? {
        rows += batch?.num_rows();
    }
    Ok(rows)
}

#[test]
fn what_is_cut_off_gives_what_came_before() {
    let batches = [batch(0, 30, false), batch(30, 60, false), batch(60, 90, false)];
    for (is_stream, packed) in WAYS {
        let whole = written(&batches, is_stream, packed);
        let mut most = 0;
        for length in (0..whole.len()).step_by(whole.len() / 60) {
            let Ok(table) = open(whole[..length].to_vec()) else { continue };
            let rows = table.num_rows();
            assert!(rows % 30 == 0 && rows >= most, "{rows} after {most}");
            most = rows;
            if rows < 90 {
                // At the end of a message nothing tells whether more was to come.
                let at_end = table.failure().is_none();
                assert!(!at_end || is_stream, "{length} of {}", whole.len());
            }
            assert_eq!(read_all(whole[..length].to_vec()).unwrap(), rows);
        }
        assert!(most >= 60, "{most}");
    }
}

#[test]
fn damaged_files_are_errors_and_take_no_longer() {
    let mut state = 7_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for (way, (is_stream, packed)) in WAYS.into_iter().enumerate() {
        let whole = written(&[batch(0, 30, way == 1), batch(30, 60, way == 1)], is_stream, packed);
        let (begun, mut refused) = (Instant::now(), 0);
        for _ in 0..500 {
            let mut content = whole.clone();
            for _ in 0..=random(3) {
                let at = random(content.len());
                content[at] = [content[at] ^ (1 << random(8)), 0xFF, 0x7F, 0][random(4)];
            }
            match read_all(content) {
                Ok(rows) => assert!(rows <= 1 << 22, "{rows}"),
                Err(error) => {
                    refused += 1;
                    assert!(error.to_string().contains("arrow file `x.arrow`: "), "{error}");
                }
            }
        }
        assert!(refused > 20 && begun.elapsed() < Duration::from_secs(30), "{refused} in {:?}", begun.elapsed());
    }
}

#[test]
fn lengths_that_lie_are_refused() {
    let whole = written(&[batch(0, 30, false)], false, None);
    let with = |from: &[u8], to: &[u8]| {
        let mut content = whole.clone();
        let places: Vec<usize> = (0..content.len() - 8).filter(|&at| content[at..].starts_with(from)).collect();
        places.into_iter().for_each(|at| content[at..at + to.len()].copy_from_slice(to));
        content
    };
    // Rows of the batch and of its columns alike.
    let table = open(with(&30_i64.to_le_bytes(), &(1_i64 << 40).to_le_bytes())).unwrap();
    assert_eq!(table.num_rows(), 0);
    assert!(table.failure().is_some_and(|failure| failure.contains("rows")), "{:?}", table.failure());
}
