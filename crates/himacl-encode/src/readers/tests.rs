//! One small dataset in every format gives the same samples.

use super::*;
use arrow_array::{ArrayRef, BinaryArray, RecordBatch, StringArray, StructArray};
use arrow_schema::{DataType, Field};
use image::{DynamicImage, ImageFormat};
use parquet::arrow::ArrowWriter;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn options(modality: Modality) -> ReadOptions {
    ReadOptions { modality, image_column: None, caption_column: None }
}

fn read(path: &Path, modality: Modality) -> Vec<Record> {
    Dataset::open(vec![path.to_path_buf()], options(modality)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn png(width: u32) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(width, 1, image::Rgb([width as u8, 0, 0]))
        .write_to(&mut bytes, ImageFormat::Png)
        .unwrap();
    bytes.into_inner()
}

/// Key, width of the picture and caption, or why there is none.
type Brief = (String, Result<(Option<u32>, Option<String>), String>);

fn brief(record: &Record) -> Brief {
    match record {
        Record::Unusable { key, reason, .. } => (key.clone(), Err(reason.clone())),
        Record::Sample(sample) => {
            let width = sample.image.as_ref().map(|image| decode_image(&image.bytes().unwrap()).unwrap().width());
            (sample.key.clone(), Ok((width, sample.caption.clone())))
        }
    }
}

fn expected(key: &str, width: u32, caption: &str) -> Brief {
    (key.to_owned(), Ok((Some(width), Some(caption.to_owned()))))
}

/// Every format resumes anywhere: passing over k records gives the records from k on.
fn check_skipping(files: &[PathBuf], modality: Modality) {
    let open = || Dataset::open(files.to_vec(), options(modality)).unwrap();
    let all: Vec<Record> = open().collect::<Result<_, _>>().unwrap();
    for count in 0..=all.len() + 1 {
        let mut dataset = open();
        dataset.skip_records(count as u64).unwrap();
        let rest: Vec<Record> = dataset.collect::<Result<_, _>>().unwrap();
        assert_eq!(rest, all[count.min(all.len())..], "after {count}");
    }
}

#[test]
fn folders() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("b.png", &png(2));
    write("b.txt", b"two\n");
    write("a.PNG", &png(1));
    write("a.json", br#"{"caption": "one", "url": "x"}"#);
    write("deep/c.png", &png(3));
    write("README.txt", b"no sample where pictures are wanted");
    write(".hidden.png", b"");
    let found: Vec<_> = read(folder.path(), Modality::Both).iter().map(brief).collect();
    assert_eq!(found[..2], [expected("a", 1, "one"), expected("b", 2, "two")]);
    assert!(found[2].1.as_ref().unwrap_err().contains("no caption: there is neither `deep/c.txt`"), "{found:?}");
    assert_eq!(read(folder.path(), Modality::Image).len(), 3);
    let texts = read(folder.path(), Modality::Text);
    assert_eq!(texts.iter().map(|record| brief(record).0).collect::<Vec<_>>(), ["README", "a", "b", "deep/c"]);
    check_skipping(&[folder.path().to_path_buf()], Modality::Both);
}

fn tar_file(path: &Path, members: &[(&str, Vec<u8>)]) {
    let mut builder = tar::Builder::new(File::create(path).unwrap());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    builder.finish().unwrap();
}

#[test]
fn webdataset_shards() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let long = format!("{}/000002", "folder".repeat(40));
    tar_file(
        &path("0.tar"),
        &[
            ("./000000.png", png(1)),
            ("./000000.txt", b"one".to_vec()),
            ("./000000.json", br#"{"caption": "not this"}"#.to_vec()),
            ("000001.json", br#"{"caption": "two"}"#.to_vec()),
            ("000001.seg.png", png(9)),
            ("000001.webp", png(2)),
            (&format!("{long}.png"), png(3)),
            (&format!("{long}.txt"), b"three".to_vec()),
        ],
    );
    tar_file(&path("1.tar"), &[("000003.png", png(4)), ("000003.txt", vec![0xFF, 0xFE])]);
    let files = expand_input(path("{0..1}.tar").to_str().unwrap()).unwrap();
    let dataset = Dataset::open(files.clone(), options(Modality::Both)).unwrap();
    let found: Vec<_> = dataset.map(|record| brief(&record.unwrap())).collect();
    let three = [expected("000000", 1, "one"), expected("000001", 2, "two"), expected(&long, 3, "three")];
    assert_eq!(found[..3], three);
    assert!(found[3].1.as_ref().is_err_and(|reason| reason.contains("not UTF-8")));
    check_skipping(&files, Modality::Both);
    // The broken caption is no matter where only pictures are wanted.
    assert!(read(&path("1.tar"), Modality::Image).iter().all(|record| matches!(record, Record::Sample(_))));
}

#[test]
fn names_in_another_encoding_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.tar");
    let mut builder = tar::Builder::new(File::create(&path).unwrap());
    // In Latin-1 `é1.txt`, `à1.txt`, and one whose long name needs a header of its own.
    let long = [&[b'a'; 150][..], b"\xE8.txt"].concat();
    for (name, content) in [(&b"\xE91.txt"[..], "one"), (b"\xE01.txt", "two"), (&long, "three")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        let name = std::os::unix::ffi::OsStrExt::from_bytes(name);
        builder.append_data::<&std::ffi::OsStr, _>(&mut header, name, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap();
    let found: Vec<_> = read(&path, Modality::Text).iter().map(brief).collect();
    let caption = |text: &str| Ok((None, Some(text.to_owned())));
    let long = format!("{}\\xE8", "a".repeat(150));
    let expected = [("\\xE91", "one"), ("\\xE01", "two"), (&long, "three")];
    assert_eq!(found, expected.map(|(key, text)| (key.to_owned(), caption(text))));
}

#[test]
fn what_comes_before_a_cut_is_used_and_the_shard_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (cut, whole) = (folder.path().join("0.tar"), folder.path().join("1.tar"));
    tar_file(&cut, &[("0.txt", b"zero".to_vec()), ("1.txt", b"one".to_vec()), ("2.txt", vec![b'x'; 5000])]);
    tar_file(&whole, &[("3.txt", b"three".to_vec())]);
    let bytes = fs::read(&cut).unwrap();
    // In the content of 2, in its header, in what fills up the block of 1, behind the header of 1.
    for (length, before) in [(5 * 512 + 100, 3), (4 * 512 + 100, 2), (3 * 512 + 100, 2), (3 * 512, 2)] {
        fs::write(&cut, &bytes[..length]).unwrap();
        let files = [cut.clone(), whole.clone()];
        let records = Dataset::open(files.to_vec(), options(Modality::Text)).unwrap();
        let found: Vec<_> = records.map(|record| brief(&record.unwrap())).collect();
        assert_eq!(found.len(), before + 2, "{length}: {found:?}");
        assert_eq!(found[0].1, Ok((None, Some("zero".to_owned()))));
        assert!(found[before].0.ends_with("0.tar"), "{found:?}");
        let reason = found[before].1.as_ref().unwrap_err();
        assert!(reason.contains("cut off") && reason.contains("what came before"), "{reason}");
        assert_eq!(found[before + 1].0, "3");
        check_skipping(&files, Modality::Text);
    }
    fs::write(&cut, "").unwrap();
    assert!(brief(&read(&cut, Modality::Text)[0]).1.unwrap_err().contains("empty"));
    fs::write(&cut, "<html>".repeat(200)).unwrap();
    assert!(brief(&read(&cut, Modality::Text)[0]).1.unwrap_err().contains("no header of a tar"));
}

#[test]
fn what_comes_before_the_cut_of_a_packed_table_is_used() {
    use flate2::{Compression, write::GzEncoder};
    type Line<'a> = &'a dyn Fn(u64) -> String;
    let folder = tempfile::tempdir().unwrap();
    // Letters that do not pack well, so that many rows come before the cut.
    let caption = |row: u64| format!("{row} {:x}", (row + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let formats: [(&str, &str, Line<'_>); 5] = [
        ("a.jsonl", "", &|row| format!("{{\"caption\": \"{}\"}}\n", caption(row))),
        ("a.csv", "title\n", &|row| format!("\"{}\"\n", caption(row))),
        ("a.tsv", "id\ttitle\n", &|row| format!("{row}\t\"{}\"\n", caption(row))),
        ("lines.csv", "title,x\n", &|row| format!("\"{}\n\",1\n", caption(row))),
        ("a.txt", "", &|row| caption(row) + "\n"),
    ];
    for (name, head, line) in formats {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let text = head.to_owned() + &(0..20_000).map(line).collect::<String>();
        std::io::Write::write_all(&mut packed, text.as_bytes()).unwrap();
        let packed = packed.finish().unwrap();
        let path = folder.path().join(format!("{name}.gz"));
        fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        let found = read(&path, Modality::Text);
        let (last, rows) = found.split_last().unwrap();
        assert!(
            matches!(last, Record::Unusable { reason, is_rest: true, .. } if reason.contains("cannot be unpacked"))
        );
        assert!(rows.len() > 5_000 && rows.len() < 15_000, "{name}: {}", rows.len());
        let (whole, odd): (Vec<_>, Vec<_>) = rows.iter().partition(|row| matches!(row, Record::Sample(_)));
        assert!(odd.len() <= 1, "{name}: {odd:?}");
        for (row, record) in whole.iter().enumerate() {
            let (_, found) = brief(record);
            assert_eq!(found.unwrap().1.unwrap().trim_end(), caption(row as u64), "{name}");
        }
        for count in [rows.len() - 1, rows.len(), rows.len() + 1] {
            let mut dataset = Dataset::open(vec![path.clone()], options(Modality::Text)).unwrap();
            dataset.skip_records(count as u64).unwrap();
            assert_eq!(dataset.map(Result::unwrap).collect::<Vec<_>>(), found[count..], "{name}");
        }
    }
}

#[test]
fn tables_and_lines_of_json() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("pictures")).unwrap();
    for width in 1..=3 {
        fs::write(folder.path().join(format!("pictures/{width}.png")), png(width)).unwrap();
    }
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let rows = [expected("0", 1, "one"), expected("1", 2, "two, with \"quotes\"\nand a second line")];
    let tsv = write(
        "a.csv",
        "filepath\ttitle\npictures/1.png\tone\npictures/2.png\t\"two, with \"\"quotes\"\"\nand a second line\"\n",
    );
    let csv = write(
        "b.csv",
        "\u{feff}title,filepath,x\none,pictures/1.png,\n\"two, with \"\"quotes\"\"\nand a second line\",pictures/2.png,\nshort row\n",
    );
    let json = write(
        "c.jsonl",
        "{\"filepath\": \"pictures/1.png\", \"title\": \"one\"}\n{\"filepath\": \"pictures/2.png\", \"title\": \"two, with \\\"quotes\\\"\\nand a second line\"}\nnot json\n",
    );
    for (path, count) in [(&tsv, 2), (&csv, 3), (&json, 3)] {
        let found: Vec<_> = read(path, Modality::Both).iter().map(brief).collect();
        assert_eq!((&found[..2], found.len()), (&rows[..], count), "{}", path.display());
        assert!(found[2..].iter().all(|(key, found)| key == "2" && found.is_err()));
        check_skipping(&[path.clone(), path.clone()], Modality::Both);
    }
    let missing = write("d.tsv", "url\tTEXT\nx\ty\n");
    let error = Dataset::open(vec![missing.clone()], options(Modality::Both)).unwrap_err().to_string();
    assert!(error.contains("no picture column") && error.contains("`url`, `TEXT`"), "{error}");
    assert_eq!(read(&missing, Modality::Text).len(), 1);
    let wrong = write("e.jsonl", "{\"a\": \"b\"}\n");
    assert!(Dataset::open(vec![wrong], options(Modality::Text)).is_err());
    // One object costs itself alone, wherever it stands.
    let one = "{\"source\": \"x\"}\n";
    let good = "{\"title\": \"one\"}\n";
    for text in [format!("{one}{good}"), format!("{good}{one}"), format!("[]\n\n{one}{one}{good}")] {
        let found = read(&write("f.jsonl", &text), Modality::Text);
        assert_eq!(found.iter().filter(|record| matches!(record, Record::Sample(_))).count(), 1, "{text}");
    }
    let (first, second) = (write("g.jsonl", good), write("h.jsonl", &one.repeat(200)));
    let found: Vec<_> = Dataset::open(vec![first, second], options(Modality::Text)).unwrap().collect();
    assert_eq!(found.len(), 201);
}

#[test]
fn parquet_with_bytes_paths_and_structs() {
    bytes_paths_and_structs("parquet");
}

#[test]
fn arrow_with_bytes_paths_and_structs() {
    bytes_paths_and_structs("arrow");
}

/// Writes a table in groups or batches of two rows, in the format that its name says.
pub(super) fn write_table(path: &Path, batch: &RecordBatch) {
    let file = File::create(path).unwrap();
    if path.extension().is_some_and(|ending| ending == "arrow") {
        let mut writer = arrow_ipc::writer::StreamWriter::try_new(file, &batch.schema()).unwrap();
        let parts = (0..batch.num_rows()).step_by(2);
        parts.for_each(|row| writer.write(&batch.slice(row, 2.min(batch.num_rows() - row))).unwrap());
        return writer.finish().unwrap();
    }
    let properties =
        parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(2)).build();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
}

fn bytes_paths_and_structs(ending: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("3.png"), png(3)).unwrap();
    let captions: ArrayRef = Arc::new(StringArray::from(vec![Some("one"), None, Some("three")]));
    let (one, two) = (png(1), png(2));
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(one.as_slice()), Some(two.as_slice()), None]));
    let paths: ArrayRef = Arc::new(StringArray::from(vec![None, Some("two"), Some("3.png")]));
    let fields = |name: &str, kind: DataType| Arc::new(Field::new(name, kind, true));
    let both: ArrayRef = Arc::new(StructArray::from(vec![
        (fields("bytes", DataType::Binary), bytes.clone()),
        (fields("path", DataType::Utf8), paths.clone()),
    ]));
    let write = |name: &str, columns: Vec<(&str, ArrayRef)>| {
        let path = folder.path().join(name).with_extension(ending);
        let columns = columns.into_iter().map(|(name, column)| (name, column, true));
        write_table(&path, &RecordBatch::try_from_iter_with_nullable(columns).unwrap());
        path
    };
    let hub = write("hub", vec![("image", both), ("caption", captions.clone())]);
    let found: Vec<_> = read(&hub, Modality::Both).iter().map(brief).collect();
    let no_caption = ("1".to_owned(), Err("no caption: column `caption` is empty".to_owned()));
    assert_eq!(found, [expected("0", 1, "one"), no_caption, expected("2", 3, "three")]);
    let plain = write("plain", vec![("jpg", bytes), ("text", captions.clone()), ("key", captions.clone())]);
    let found: Vec<_> = read(&plain, Modality::Image).iter().map(brief).collect();
    assert_eq!(found[0].0, "one");
    assert_eq!(found[2].1, Err("no picture: column `jpg` is empty".to_owned()));
    // Bytes that repeat come as categories.
    let categories: ArrayRef = Arc::new(arrow_array::DictionaryArray::new(
        arrow_array::Int32Array::from(vec![1, 0, 1]),
        Arc::new(BinaryArray::from(vec![two.as_slice(), one.as_slice()])),
    ));
    let none: ArrayRef = Arc::new(StringArray::from(vec![None::<&str>; 3]));
    let both: ArrayRef = Arc::new(StructArray::from(vec![
        (fields("bytes", categories.data_type().clone()), categories.clone()),
        (fields("path", DataType::Utf8), none),
    ]));
    for column in [categories, both] {
        let file = write("categories", vec![("image", column), ("Caption", captions.clone())]);
        let found: Vec<_> = read(&file, Modality::Both).iter().map(brief).collect();
        assert_eq!([&found[0], &found[2]], [&expected("0", 1, "one"), &expected("2", 1, "three")]);
    }
    // A column without any value is one of nulls, or of NaN.
    let nulls: ArrayRef = Arc::new(arrow_array::NullArray::new(3));
    let missing: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![Some(f64::NAN), None, Some(7.0)]));
    for (name, captions) in [("nulls", nulls.clone()), ("nan", missing)] {
        let empty = write(name, vec![("caption", captions), ("key", nulls.clone())]);
        let dataset = Dataset::open(vec![hub.clone(), empty], options(Modality::Text)).unwrap();
        let found: Vec<_> = dataset.map(|record| brief(&record.unwrap())).collect();
        assert_eq!(found[3], ("3".to_owned(), Err("no caption: column `caption` is empty".to_owned())));
        assert_eq!((found.len(), found[5].1.is_ok()), (6, name == "nan"));
    }
    for file in [&hub, &plain] {
        check_skipping(&[file.clone(), file.clone()], Modality::Both);
        check_skipping(std::slice::from_ref(file), Modality::Text);
    }
    let numbers: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![1.0, 2.0, 3.0]));
    let wrong = write("wrong", vec![("image", numbers), ("caption", captions)]);
    let error = Dataset::open(vec![wrong], options(Modality::Both)).unwrap_err().to_string();
    assert!(error.contains("column `image`") && error.contains("Float64"), "{error}");
}

#[test]
fn formats_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.txt", "b.tsv", "c.zip"].map(|name| folder.path().join(name));
    paths.iter().for_each(|path| fs::write(path, "title\n").unwrap());
    let open = |files: &[PathBuf], modality| {
        Dataset::open(files.to_vec(), options(modality)).map(drop).unwrap_err().to_string()
    };
    assert!(open(&paths[..2], Modality::Text).contains("all files of a dataset have one format"));
    let zipped = open(&paths[2..], Modality::Text);
    assert!(zipped.contains("expected a folder, or files ending in") && zipped.contains("unpack it"), "{zipped}");
    let arrow = folder.path().join("d.arrow");
    fs::write(&arrow, "").unwrap();
    assert!(open(&[arrow], Modality::Text).contains("the file is empty"));
    assert!(open(&paths[..1], Modality::Both).contains("ask for texts alone"));
}

#[test]
fn pictures_of_every_kind() {
    let encode = |image: &DynamicImage, format| {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let gray16 = DynamicImage::ImageLuma16(image::ImageBuffer::from_pixel(3, 2, image::Luma([0x8080])));
    let decoded = decode_image(&encode(&gray16, ImageFormat::Png)).unwrap();
    assert_eq!(decoded.to_rgb8().get_pixel(0, 0).0, [0x80; 3]);
    let alpha = DynamicImage::ImageRgba8(image::ImageBuffer::from_pixel(3, 2, image::Rgba([10, 20, 30, 40])));
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        let decoded = decode_image(&encode(&alpha, format)).unwrap();
        assert_eq!(decoded.to_rgba8().get_pixel(0, 0).0, [10, 20, 30, 40], "alpha is left to the encoder's background");
    }
    let rgb =
        DynamicImage::ImageRgb8(image::ImageBuffer::from_fn(48, 32, |x, y| image::Rgb([x as u8 * 5, y as u8 * 7, 99])));
    let jpeg = encode(&rgb, ImageFormat::Jpeg);
    assert_eq!(decode_image(&jpeg).unwrap().width(), 48);
    for length in [0, 2, 20, jpeg.len() / 2, jpeg.len() - 2] {
        decode_image(&jpeg[..length]).expect_err("truncated");
    }
    let png = encode(&rgb, ImageFormat::Png);
    decode_image(&png[..png.len() / 2]).expect_err("truncated");
    assert!(decode_image(b"<svg></svg>").unwrap_err().contains("neither JPEG"));
    let pointer = decode_image(b"version https://git-lfs.github.com/spec/v1\noid").unwrap_err();
    assert!(pointer.contains("LFS pointer"), "{pointer}");
    assert!(decode_image(b"\0\0\0\x1cftypheic\0\0\0\0").unwrap_err().contains("AVIF or HEIC"));
    let formats = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp];
    for format in formats.into_iter().chain([ImageFormat::Tiff]) {
        let mut bytes = encode(&rgb, format);
        // What others append: a second picture, a film, an editor's notes.
        bytes.extend(b"\xff\xd8\xff\xda more \xff\xd9\xff\xda and more");
        assert_eq!(decode_image(&bytes).unwrap().height(), 32, "{format:?}");
    }
}

/// An EXIF segment with one orientation, put behind the start marker.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend([0xFF, 0xE1]);
    bytes.extend((exif.len() as u16 + 2).to_be_bytes());
    bytes.extend(exif);
    bytes.extend(&jpeg[2..]);
    bytes
}

#[test]
fn pictures_are_turned_upright() {
    // Left half black, right half white, and wider than high.
    let image = image::RgbImage::from_fn(32, 16, |x, _| image::Rgb([if x < 16 { 0 } else { 255 }; 3]));
    let mut jpeg = Cursor::new(Vec::new());
    image.write_to(&mut jpeg, ImageFormat::Jpeg).unwrap();
    let jpeg = jpeg.into_inner();
    // Orientation 6 is turned by 90 degrees clockwise, 8 the other way, 3 upside down: where white ends up.
    for (orientation, size, white) in
        [(1, (32, 16), (28, 8)), (3, (32, 16), (4, 8)), (6, (16, 32), (8, 28)), (8, (16, 32), (8, 4))]
    {
        let decoded = decode_image(&with_orientation(&jpeg, orientation)).unwrap().to_rgb8();
        assert_eq!(decoded.dimensions(), size, "{orientation}");
        assert!(decoded.get_pixel(white.0, white.1)[0] > 250, "{orientation}");
    }
}

/// Headers of a few bytes that promise pictures of many pixels.
fn giants() -> Vec<(&'static str, Vec<u8>)> {
    let (side, wide) = (40_000u32, 40_000u16);
    let small = |format| {
        let mut bytes = Cursor::new(Vec::new());
        image::RgbImage::new(16, 16).write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    };
    let mut png = small(ImageFormat::Png);
    png[16..20].copy_from_slice(&side.to_be_bytes());
    png[20..24].copy_from_slice(&side.to_be_bytes());
    let mut crc = flate2::Crc::new();
    crc.update(&png[12..29]);
    let sum = crc.sum().to_be_bytes();
    png[29..33].copy_from_slice(&sum);
    let mut gif = small(ImageFormat::Gif);
    gif[6..8].copy_from_slice(&wide.to_le_bytes());
    gif[8..10].copy_from_slice(&wide.to_le_bytes());
    let mut jpeg = small(ImageFormat::Jpeg);
    let frame = jpeg.windows(2).position(|two| two == [0xFF, 0xC0]).unwrap();
    jpeg[frame + 5..frame + 7].copy_from_slice(&wide.to_be_bytes());
    jpeg[frame + 7..frame + 9].copy_from_slice(&wide.to_be_bytes());
    let mut bmp = small(ImageFormat::Bmp);
    bmp[18..22].copy_from_slice(&side.to_le_bytes());
    bmp[22..26].copy_from_slice(&side.to_le_bytes());
    // Lossless WebP: 14 bits of width and of height behind its mark, 16,384 a side at most.
    let mut webp = small(ImageFormat::WebP);
    assert_eq!(webp[20], 0x2F);
    let bits = u32::from_le_bytes(webp[21..25].try_into().unwrap());
    webp[21..25].copy_from_slice(&(bits | 0x0FFF_FFFF).to_le_bytes());
    let mut tiff = small(ImageFormat::Tiff);
    let directory = u32::from_le_bytes(tiff[4..8].try_into().unwrap()) as usize;
    for place in [directory + 2, directory + 14] {
        let kind = u16::from_le_bytes([tiff[place], tiff[place + 1]]);
        assert!(kind == 256 || kind == 257, "width and height come first");
        tiff[place + 2] = 4;
        tiff[place + 8..place + 12].copy_from_slice(&side.to_le_bytes());
    }
    vec![("png", png), ("gif", gif), ("jpeg", jpeg), ("bmp", bmp), ("webp", webp), ("tiff", tiff)]
}

#[test]
fn pictures_that_are_too_large_are_refused_by_their_headers() {
    for (name, bytes) in giants() {
        let error = decode_image(&bytes).unwrap_err();
        // The decoders of WebP and TIFF compare what a file says of its size in several places first.
        let refusals = ["pixels", "limit", "inconsistent"];
        assert!(refusals.iter().any(|said| error.to_lowercase().contains(said)), "{name}: {error}");
    }
}
