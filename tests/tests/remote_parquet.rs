//! Parquet tables that are elsewhere: of those whose server has ranges the chosen columns come, and nothing else.

mod support;

use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use himacl::EncodeError as Error;
use himacl::hub::{HubError, HubSettings};
use himacl::readers::{Dataset, ImageSource, Input, Modality, ReadError, ReadOptions, Record};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaDataReader;
use parquet::file::properties::WriterProperties;
use std::ops::Range;
use std::sync::Arc;
use support::hub::{DATA, FakeHub, Fault, Seen};
use support::store;

const GROUPS: usize = 4;
/// Rows of a row group, which a batch of rows does not divide.
const ROWS: usize = 90;
const PICTURE_BYTES: usize = 2000;
/// So much of a file's end is looked at first.
const TAIL: usize = 1 << 16;

fn picture(row: usize) -> Vec<u8> {
    (0..PICTURE_BYTES).map(|place| (row * 31 + place * place % 251) as u8).collect()
}

fn caption(row: usize) -> String {
    format!("caption {row}: {}", "word ".repeat(row * 7 % 23))
}

/// Columns `key`, `caption`, `image`, `title` of rows from `first` on, of which `image` is by far the largest.
fn batch(first: usize) -> RecordBatch {
    let text = |text: &dyn Fn(usize) -> String| -> ArrayRef {
        Arc::new((first..first + GROUPS * ROWS).map(|row| Some(text(row))).collect::<StringArray>())
    };
    let images: ArrayRef =
        Arc::new((first..first + GROUPS * ROWS).map(|row| Some(picture(row))).collect::<BinaryArray>());
    let columns = [
        ("key", text(&|row| format!("key {row}"))),
        ("caption", text(&caption)),
        ("image", images),
        ("title", text(&|row| format!("title {row}"))),
    ];
    RecordBatch::try_from_iter(columns).unwrap()
}

fn table(first: usize) -> Vec<u8> {
    let batch = batch(first);
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(ROWS))
        .set_compression(Compression::UNCOMPRESSED)
        .set_dictionary_enabled(false)
        .build();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    out
}

fn settings(server: &FakeHub) -> HubSettings {
    HubSettings { token: None, ..store::hub_settings(server) }
}

fn open(server: &FakeHub, input: &str, modality: Modality, caption_column: &str) -> Dataset {
    let input = Input::find(input, settings(server), || false).unwrap();
    let options = ReadOptions { modality, image_column: None, caption_column: Some(caption_column.to_owned()) };
    Dataset::of(&input, options).unwrap()
}

/// Compares what comes with the rows from `first` on; how many there are, or what ends them.
fn check(dataset: Dataset, first: usize) -> Result<usize, Box<Error>> {
    let mut row = first;
    for record in dataset {
        let Record::Sample(sample) = record? else { panic!("row {row} cannot be used") };
        assert_eq!((sample.key, sample.caption), (format!("key {row}"), Some(caption(row))));
        if let Some(image) = sample.image {
            assert!(matches!(image, ImageSource::Bytes(bytes) if bytes == picture(row)));
        }
        row += 1;
    }
    Ok(row - first)
}

/// The ranges of bodies that were asked for, checked for having been asked for once.
fn ranges(server: &FakeHub, length: usize) -> Vec<Range<usize>> {
    let asked = |seen: Seen| {
        (seen.method == "GET" && seen.host != "hub" && !seen.path.contains("list-type"))
            .then(|| seen.bytes(length).unwrap())
    };
    let ranges: Vec<_> = server.seen().into_iter().filter_map(asked).collect();
    // The file's end comes first, and is met again where a range goes on into it.
    let tail = length - TAIL;
    let mut sorted: Vec<_> = ranges.iter().filter(|range| range.start != tail).cloned().collect();
    sorted.sort_by_key(|range| range.start);
    assert!(sorted.is_sorted_by(|a, b| a.end <= b.start), "{sorted:?}");
    assert!(sorted.iter().all(|range| range.start < tail), "{sorted:?}");
    ranges
}

#[test]
fn the_chosen_columns_come_and_no_byte_of_others() {
    let content = table(0);
    let server = FakeHub::start(&[("data/a.parquet", content.clone())]);
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&bytes::Bytes::from(content.clone())).unwrap();
    for input in [
        format!("{}/data/a.parquet", server.files),
        format!("hf://datasets/{DATA}/data/*.parquet"),
        "s3://shards/data/*.parquet".to_owned(),
    ] {
        let sent = server.sent();
        assert_eq!(check(open(&server, &input, Modality::Text, "caption"), 0).unwrap(), GROUPS * ROWS);
        // `key` and `caption` are side by side: a range for each row group before the file's end, in order.
        let tail = content.len() - TAIL..content.len();
        let columns = metadata.row_groups().iter().map(|group| {
            let (start, _) = group.column(0).byte_range();
            let (last, length) = group.column(1).byte_range();
            start as usize..(last + length) as usize
        });
        let outside = columns.filter(|range| range.start < tail.start);
        let expected: Vec<_> = std::iter::once(tail.clone()).chain(outside).collect();
        assert_eq!(ranges(&server, content.len()), expected, "{input}");
        let bytes: usize = expected.iter().map(Range::len).sum();
        assert_eq!(server.sent() - sent, bytes);
        assert!(bytes < content.len() / 6, "{bytes} of {}", content.len());
    }
}

#[test]
fn arrow_tables_come_whole() {
    let (batch, mut content) = (batch(0), Vec::new());
    let mut writer = StreamWriter::try_new(&mut content, &batch.schema()).unwrap();
    (0..GROUPS).for_each(|group| writer.write(&batch.slice(group * ROWS, ROWS)).unwrap());
    writer.finish().unwrap();
    drop(writer);
    let server = FakeHub::start(&[("data/a.arrow", content.clone()), ("data/b.arrow", b"no table".to_vec())]);
    for input in [
        format!("{}/data/a.arrow", server.files),
        format!("hf://datasets/{DATA}/data/a*.arrow"),
        "s3://shards/data/a*.arrow".to_owned(),
    ] {
        assert_eq!(check(open(&server, &input, Modality::Both, "caption"), 0).unwrap(), GROUPS * ROWS, "{input}");
    }
    // One of several that is no table costs itself alone.
    let records: Vec<Record> =
        open(&server, "s3://shards/data/*.arrow", Modality::Text, "caption").collect::<Result<_, _>>().unwrap();
    assert_eq!(records.len(), GROUPS * ROWS + 1);
    let last = &records[GROUPS * ROWS];
    assert!(
        matches!(last, Record::Unusable { key, is_rest: true, .. } if key == "s3://shards/data/b.arrow"),
        "{last:?}"
    );
}

#[test]
fn columns_apart_come_apart_and_all_of_them_once() {
    let content = table(0);
    let server = FakeHub::start(&[("a.parquet", content.clone())]);
    let input = format!("{}/a.parquet", server.files);
    let mut dataset = open(&server, &input, Modality::Text, "title");
    let Some(Ok(Record::Sample(sample))) = dataset.next() else { panic!("there is a row") };
    assert_eq!((sample.key.as_str(), sample.caption.as_deref()), ("key 0", Some("title 0")));
    assert_eq!(dataset.count(), GROUPS * ROWS - 1);
    let asked = ranges(&server, content.len()).len();
    // The end of the file, and two columns apart in each group, of which the last one is in that end.
    assert_eq!(asked, 2 * GROUPS, "{asked}");
    let sent = server.sent();
    assert_eq!(check(open(&server, &input, Modality::Both, "caption"), 0).unwrap(), GROUPS * ROWS);
    ranges(&server, content.len());
    assert!(server.sent() - sent < content.len() + TAIL);
}

#[test]
fn row_groups_that_are_passed_over_do_not_come() {
    let content = table(0);
    let server = FakeHub::start(&[("a.parquet", content.clone())]);
    let mut dataset = open(&server, &format!("{}/a.parquet", server.files), Modality::Both, "caption");
    dataset.skip_records((2 * ROWS + 10) as u64).unwrap();
    assert_eq!(check(dataset, 2 * ROWS + 10).unwrap(), 2 * ROWS - 10);
    let early: Vec<_> =
        ranges(&server, content.len()).into_iter().filter(|range| range.start < content.len() / 4).collect();
    // The first group may have been under way when the others were asked for.
    assert!(early.len() <= 1, "{early:?}");
}

#[test]
fn several_tables_follow_one_another() {
    let (a, b) = (table(0), table(GROUPS * ROWS));
    let server = FakeHub::start(&[("t-2.parquet", a), ("t-10.parquet", b)]);
    let input = format!("{}/t-{{2,10}}.parquet", server.files);
    assert_eq!(check(open(&server, &input, Modality::Both, "caption"), 0).unwrap(), 2 * GROUPS * ROWS);
}

#[test]
fn parts_are_resumed_and_whole_files_do_as_well() {
    let content = table(0);
    let server = FakeHub::start(&[("a.parquet", content.clone())]);
    let input = format!("{}/a.parquet", server.files);
    let read = || check(open(&server, &input, Modality::Both, "caption"), 0);
    // Bodies that break off, and answers that are to be waited out.
    server.fail("GET", "a.parquet", 2, Fault::Truncate(5000));
    server.fail("GET", "a.parquet", 1, Fault::Status(503, "", "Retry-After: 0\r\n"));
    server.fail("GET", "a.parquet", 1, Fault::Truncate(7));
    assert_eq!(read().unwrap(), GROUPS * ROWS);
    let asked = ranges_with_repeats(&server, content.len());
    let tail = content.len() - TAIL;
    assert_eq!(asked[..4], [tail, tail + 5000, tail + 10_000, tail + 10_000].map(|start| start..content.len()));
    // A server without ranges.
    server.fail("GET", "a.parquet", usize::MAX, Fault::WholeFile);
    assert_eq!(read().unwrap(), GROUPS * ROWS);
}

fn ranges_with_repeats(server: &FakeHub, length: usize) -> Vec<Range<usize>> {
    server.seen().iter().filter(|seen| seen.method == "GET").map(|seen| seen.bytes(length).unwrap()).collect()
}

#[test]
fn what_cannot_be_had_ends_the_run_and_skips_nothing() {
    let content = table(0);
    let refusal = |fault: Fault| {
        let server = FakeHub::start(&[("a.parquet", content.clone())]);
        let mut dataset = open(&server, &format!("{}/a.parquet", server.files), Modality::Both, "caption");
        dataset.begin().unwrap();
        // The first row group has come, or is on its way.
        let first = dataset.next().unwrap();
        assert!(matches!(first, Ok(Record::Sample(_))));
        server.fail("GET", "a.parquet", usize::MAX, fault);
        match *check_from(dataset, 1).unwrap_err() {
            Error::Hub(error) => error,
            Error::Read(ReadError::Unreachable(error)) => *error,
            other => panic!("{other}"),
        }
    };
    let error = refusal(Fault::Status(410, "", ""));
    assert!(matches!(&error, HubError::Status { status: 410, url, .. } if url.ends_with("a.parquet")), "{error}");
    let error = refusal(Fault::Corrupt);
    assert!(matches!(&error, HubError::Changed { url } if url.ends_with("a.parquet")), "{error}");
    let error = refusal(Fault::Truncate(0));
    assert!(matches!(&error, HubError::Truncated { .. } | HubError::Network { .. }), "{error}");
}

fn check_from(dataset: Dataset, first: usize) -> Result<usize, Box<Error>> {
    let read = check(dataset, first)?;
    panic!("{read} rows were read to the end");
}
