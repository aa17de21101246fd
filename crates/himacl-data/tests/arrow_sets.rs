//! Sets of embeddings, candidates and metadata in Arrow files.

mod support;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use himacl_data::Embeddings;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use support::{ROWS, lists, read};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn arrow(path: &Path, columns: Vec<(&str, ArrayRef)>, packed: Option<CompressionType>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(n, c)| (n, c, true))).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(packed).unwrap();
    let file = File::create(path).unwrap();
    let mut writer = StreamWriter::try_new_with_options(file, &batch.schema(), options).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

#[test]
fn arrow_files_are_read_as_parquet_is() {
    let folder = folder();
    let keys: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    for (number, packed) in
        [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)].into_iter().enumerate()
    {
        let path = folder.path().join(format!("{number}.{}", ["arrow", "feather", "ipc"][number]));
        arrow(&path, vec![("key", keys.clone()), ("emb", lists(&[2, 2, 2]))], packed);
        let set = Embeddings::open(&path, None).unwrap();
        assert_eq!((set.num_rows(), set.dimension(), set.to_vec().unwrap()), (3, 2, ROWS.to_vec()));
        assert_eq!(set.read_rows(1..3).unwrap(), ROWS[2..]);
        assert_eq!(set.labels("key").unwrap().unwrap()[2].as_deref(), Some("3"));
        assert_eq!(set.columns().unwrap()[0], "key: Int64");
    }
    let set = Embeddings::open(folder.path(), Some("emb")).unwrap();
    assert_eq!(set.to_vec().unwrap(), ROWS.repeat(3));
    assert_eq!(set.read_rows(2..7).unwrap(), [&ROWS[4..], &ROWS, &ROWS[..2]].concat());
    let path = folder.path().join("x.arrow");
    arrow(&path, vec![("emb", lists(&[2, 1, 3]))], None);
    assert!(read(&path, None).unwrap_err().to_string().contains("1 numbers at row 1, expected 2"));
    // A set that ends before its time would pair other rows.
    arrow(&path, vec![("emb", lists(&[2, 2, 2]))], None);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() - 30]).unwrap();
    let error = read(&path, None).unwrap_err().to_string();
    assert!(error.contains("x.arrow") && error.contains("breaks off in message 0"), "{error}");
}

#[test]
fn candidates_and_tables_of_metadata_in_arrow_files() {
    let folder = folder();
    let path = folder.path().join("c.feather");
    let numbers = |values: [i64; 3]| -> ArrayRef { Arc::new(Int64Array::from(values.to_vec())) };
    let cost: ArrayRef = Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5]));
    arrow(
        &path,
        vec![("cost", cost), ("j", numbers([2, 0, 1])), ("x", numbers([9; 3])), ("i", numbers([0, 1, 2]))],
        None,
    );
    let found = himacl_data::read_candidates(&path).unwrap();
    assert_eq!((found.sizes, found.pairs), ([3, 3], vec![(0, 2, 0.5), (1, 0, 1.5), (2, 1, 2.5)]));
    let table = himacl_data::Metadata::open(&path).unwrap();
    assert_eq!(table.labels("x").unwrap(), vec![Some("9".to_owned()); 3]);
}

#[test]
fn folders_that_datasets_has_saved() {
    let folder = folder();
    for (name, rows) in [("data-00000-of-00002.arrow", &[2_usize, 2][..]), ("data-00001-of-00002.arrow", &[2])] {
        arrow(&folder.path().join(name), vec![("emb", lists(rows))], None);
    }
    fs::write(folder.path().join("cache-0.arrow"), "not looked at").unwrap();
    fs::write(folder.path().join("dataset_info.json"), "{}").unwrap();
    let state =
        r#"{"_data_files": [{"filename": "data-00000-of-00002.arrow"}, {"filename": "data-00001-of-00002.arrow"}]}"#;
    fs::write(folder.path().join("state.json"), state).unwrap();
    assert_eq!(read(folder.path(), None).unwrap(), [&ROWS[..4], &ROWS[..2]].concat());
    let parts = tempfile::tempdir().unwrap();
    fs::write(parts.path().join("dataset_dict.json"), r#"{"splits": ["train", "test"]}"#).unwrap();
    let error = read(parts.path(), None).unwrap_err().to_string();
    assert!(error.contains("the parts `train`, `test` of a dataset\nhint: name the folder of one"), "{error}");
}
