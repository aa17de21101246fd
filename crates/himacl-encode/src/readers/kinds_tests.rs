//! Inputs of the kinds that people have: everything seen is used, or is told.

use super::*;
use flate2::Compression;
use flate2::write::GzEncoder;
use image::ImageFormat;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

fn options(modality: Modality) -> ReadOptions {
    ReadOptions { modality, image_column: None, caption_column: None }
}

/// Key, and the picture's width and caption, or why there is none.
type Brief = (String, Result<(Option<u32>, Option<String>), String>);

fn read_with(path: &Path, options: &ReadOptions) -> Result<Vec<Brief>, String> {
    let open = || Dataset::open(vec![path.to_path_buf()], options.clone()).map_err(|error| error.to_string());
    let all: Vec<Record> = open()?.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    // Every reader resumes anywhere.
    for count in 0..=all.len() {
        let mut dataset = open()?;
        dataset.skip_records(count as u64).map_err(|error| error.to_string())?;
        let rest: Vec<Record> = dataset.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
        assert_eq!(rest, all[count..], "after {count}");
    }
    Ok(all.into_iter().map(brief).collect())
}

fn brief(record: Record) -> Brief {
    match record {
        Record::Unusable { key, reason, .. } => (key, Err(reason)),
        Record::Sample(Sample { key, image, caption, .. }) => {
            let width = image.map(|image| image.decode_with(|_, image| image.width()).unwrap());
            (key, Ok((width, caption)))
        }
    }
}

fn read(path: &Path, modality: Modality) -> Result<Vec<Brief>, String> {
    read_with(path, &options(modality))
}

fn captions(path: &Path) -> Result<Vec<String>, String> {
    read(path, Modality::Text)?.into_iter().map(|(_, found)| Ok(found?.1.unwrap_or_default())).collect()
}

fn picture(width: u32, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::from_pixel(width, 2, image::Rgb([9, 8, 7])).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = GzEncoder::new(Vec::new(), Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

fn tar_bytes(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, content) in members {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, content.as_slice()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn text(content: &str) -> Vec<u8> {
    content.as_bytes().to_vec()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }
}

#[test]
fn tables_packed_with_gzip_are_known_by_their_content() {
    let folder = Folder::new();
    let tar = tar_bytes(&[("a.txt", text("one")), ("b.txt", text("two"))]);
    for (name, content) in [
        ("a.tsv.gz", text("x\ttitle\n1\tone\n2\ttwo\n")),
        ("b.csv", text("title\none\ntwo\n")),
        ("c.jsonl.gz", text("{\"title\": \"one\"}\n{\"title\": \"two\"}\n")),
        ("d.txt", text("one\ntwo\n")),
        ("e.tar.gz", tar.clone()),
        ("f.tgz", tar.clone()),
        ("g.tar", tar.clone()),
    ] {
        assert_eq!(captions(&folder.write(name, gzip(&content))).unwrap(), ["one", "two"], "{name}");
        // Misnamed the other way round, and in two parts.
        assert_eq!(captions(&folder.write(name, &content)).unwrap(), ["one", "two"], "{name}");
    }
    let parts = [gzip(b"one\n"), gzip(b"two\n")].concat();
    assert_eq!(captions(&folder.write("parts.txt.gz", parts)).unwrap(), ["one", "two"]);
    assert_eq!(captions(&folder.write("dos.txt", "one\r\ntwo\r\n")).unwrap(), ["one", "two"]);
    let error = captions(&folder.write("mac.txt", "one\rtwo\r")).unwrap_err();
    assert!(error.contains("line 1 has carriage returns inside"), "{error}");
    for (name, head, tool) in [
        ("a.tsv.zst", &b"\x28\xb5\x2f\xfd\x00"[..], "zstd -d"),
        ("b.jsonl", b"BZh91AY&SYxxxx", "bunzip2"),
        ("c.txt.xz", b"\xfd7zXZ\x00\x00", "unxz"),
        ("d.tar", b"\x28\xb5\x2f\xfd\x00", "zstd -d"),
    ] {
        let error = captions(&folder.write(name, head)).unwrap_err();
        assert!(error.contains("packed") && error.contains(tool), "{name}: {error}");
    }
    let error = captions(&folder.write("u.csv", b"\xff\xfet\0i\0")).unwrap_err();
    assert!(error.contains("UTF-16"), "{error}");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    for name in ["p.csv", "p.jsonl", "p.txt", "p.tar", "p.parquet"] {
        let error = captions(&folder.write(name, pointer)).unwrap_err();
        assert!(error.contains("Git LFS pointer") && error.contains("git lfs pull"), "{name}: {error}");
    }
    let beside = folder.write("beside/a.txt", pointer);
    assert!(captions(beside.parent().unwrap()).unwrap_err().contains("Git LFS pointer"));
    let cut = gzip(&tar);
    let found = read(&folder.write("cut.tar.gz", &cut[..cut.len() - 20]), Modality::Text).unwrap();
    assert!(found.last().unwrap().1.as_ref().unwrap_err().contains("unpacked"), "{found:?}");
}

#[test]
fn packed_files_with_zeros_behind_and_without_a_whole_header() {
    let folder = Folder::new();
    for zeros in [1, 9, 512, 200_000] {
        let padding = vec![0; zeros];
        let padded = [gzip(b"one\ntwo"), padding.clone()].concat();
        assert_eq!(captions(&folder.write("padded.txt.gz", padded)).unwrap(), ["one", "two"], "{zeros}");
        let parts = [gzip(b"one\n"), padding.clone(), gzip(b"two"), padding].concat();
        assert_eq!(captions(&folder.write("parts.txt.gz", parts)).unwrap(), ["one", "two"], "{zeros}");
    }
    let dirty = folder.write("dirty.txt.gz", [gzip(b"one\ntwo\n"), b"and more".to_vec()].concat());
    assert!(read(&dirty, Modality::Text).unwrap()[2].1.as_ref().unwrap_err().contains("unpacked"));
    let packed = gzip(b"title,url\none,x\n");
    let error = captions(&folder.write("cut.csv.gz", &packed[..14])).unwrap_err();
    assert!(error.contains("cannot be unpacked further") && !error.contains("column"), "{error}");
}

#[test]
fn headerless_tables_are_read_by_number() {
    let folder = Folder::new();
    let rows = "a cat\thttps://x/1.jpg\na dog\thttps://x/2.jpg\n";
    let cc3m = folder.write("cc3m.tsv", rows);
    assert_eq!(captions(&cc3m).unwrap(), ["a cat", "a dog"]);
    let swapped = folder.write("swapped.tsv", "https://x/1.jpg\ta cat\n");
    assert_eq!(captions(&swapped).unwrap(), ["a cat"]);
    let plain = folder.write("plain.csv", "7,a cat\n8,a dog\n");
    let error = captions(&plain).unwrap_err();
    assert!(error.contains("no caption column: it has `7`, `a cat`") && error.contains("by its number"), "{error}");
    let second = ReadOptions { caption_column: Some("2".to_owned()), ..options(Modality::Text) };
    assert_eq!(read_with(&plain, &second).unwrap()[0].1, Ok((None, Some("a cat".to_owned()))));
    for (name, content) in [
        ("usual.csv", "id,caption\n7,a cat\n"),
        ("asked.csv", "nr,Caption\n7,a cat\n"),
        ("others.csv", "id,beschreibung,label\n7,a cat,x\n"),
    ] {
        let found = read_with(&folder.write(name, content), &second).unwrap();
        assert_eq!(found.len(), 1, "{name}: a line of names is no caption");
        assert_eq!(found[0].1.as_ref().unwrap().1.as_deref(), Some("a cat"), "{name}");
    }
    for content in [
        "un chat,a cat\nun chien,a dog\n",
        "Go.\tVa !\tCC\nGo.\tMarche.\tCC\n",
        "hello,Bonjour\nthanks,Merci.\n",
        "dog,un chien\ncat.,un chat\n",
        "Inception,film\n1984,book\n",
        "path,un sentier\n7,sept\n",
        "7,text\n8,a dog\n",
    ] {
        let found = read_with(&folder.write("words.csv", content), &second).unwrap();
        assert_eq!(found.len(), 2, "{content}: the first line is no header");
    }
    for names in ["text,title", "nan,caption", "inf,caption"] {
        let found = read_with(&folder.write("names.csv", format!("{names}\nzwei,drei\n")), &second).unwrap();
        assert_eq!(found.len(), 1, "{names}");
        assert_eq!(found[0].1, Ok((None, Some("drei".to_owned()))), "{names}");
    }
    assert!(read(&cc3m, Modality::Both).unwrap_err().contains("no picture column"));
    let cased = folder.write("cased.csv", "ID,Caption\n7,a cat\n");
    assert_eq!(read(&cased, Modality::Text).unwrap(), [("7".to_owned(), Ok((None, Some("a cat".to_owned()))))]);
}

#[test]
fn objects_with_lists_numbers_and_nothing() {
    let folder = Folder::new();
    let path = folder.write(
        "a.json",
        r#"[{"captions": ["first", "second"]}, {"caption": 7, "x": NaN}, {"caption": null, "url": "u"}]"#,
    );
    let found = read(&path, Modality::Text).unwrap();
    assert_eq!(found[0].1, Ok((None, Some("first".to_owned()))));
    assert_eq!(found[1].1, Ok((None, Some("7".to_owned()))));
    assert_eq!(found[2].1, Err("no caption: the object has `caption`, `url`".to_owned()));
    let endless = folder.write("b.txt", "x".repeat(3 << 20) + "\nshort\n");
    let found = read(&endless, Modality::Text).unwrap();
    assert!(found[0].1.as_ref().unwrap_err().contains("at most"), "a caption of 3 MiB");
    assert_eq!(found[1].1, Ok((None, Some("short".to_owned()))));
}

#[test]
fn every_picture_of_a_folder_is_used_or_told() {
    let folder = Folder::new();
    for (name, width, format) in [
        ("pics/a.JPG", 1, ImageFormat::Jpeg),
        ("pics/a.png", 2, ImageFormat::Png),
        ("pics/b.jfif", 3, ImageFormat::Jpeg),
        ("pics/c.jpe", 4, ImageFormat::Jpeg),
        ("pics/d.bmp", 5, ImageFormat::Bmp),
        ("pics/e.tif", 6, ImageFormat::Tiff),
        ("pics/f.TIFF", 7, ImageFormat::Tiff),
        ("pics/f10.png", 9, ImageFormat::Png),
        ("pics/f9.png", 8, ImageFormat::Png),
        ("pics/no-ending", 10, ImageFormat::WebP),
        ("pics/z.jpg_large", 11, ImageFormat::Jpeg),
    ] {
        folder.write(name, picture(width, format));
    }
    for name in ["pics/._a.JPG", "pics/.DS_Store", "__MACOSX/x.jpg", "pics/Thumbs.db", "pics/notes.md"] {
        folder.write(name, "nothing");
    }
    folder.write("pics/g.avif", "");
    folder.write("pics/h.heic", "");
    let found = read(folder.0.path(), Modality::Image).unwrap();
    let (used, told): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, found)| found.is_ok());
    let widths: Vec<u32> = used.iter().map(|(_, found)| found.as_ref().unwrap().0.unwrap()).collect();
    assert_eq!(widths, (1..=11).collect::<Vec<_>>(), "by name, numbers by their value");
    assert_eq!([&used[0].0, &used[1].0], ["pics/a", "pics/a.png"], "two pictures of one name have two keys");
    assert_eq!(told.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["pics/g.avif", "pics/h.heic"]);
    assert!(told[0].1.as_ref().unwrap_err().contains(".avif pictures are not read"));
    folder.write("pics/a.txt", "both");
    assert_eq!(read(folder.0.path(), Modality::Both).unwrap().iter().filter(|(_, found)| found.is_ok()).count(), 2);
}

#[cfg(unix)]
#[test]
fn odd_names_and_links_neither_vanish_nor_repeat() {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    let folder = Folder::new();
    let bytes = picture(3, ImageFormat::Png);
    folder.write("a/x.png", &bytes);
    for name in [&b"b\xff.png"[..], b"b\xfe.png"] {
        fs::write(folder.0.path().join(std::ffi::OsStr::from_bytes(name)), &bytes).unwrap();
    }
    symlink(folder.0.path(), folder.path("a/again")).unwrap();
    symlink("/dev/zero", folder.path("zero.png")).unwrap();
    symlink("nowhere", folder.path("gone.png")).unwrap();
    symlink("/dev/zero", folder.path("zero.txt")).unwrap();
    let records = Dataset::open(vec![folder.0.path().to_path_buf()], options(Modality::Image)).unwrap();
    let keys: Vec<String> = records
        .map(|record| match record.unwrap() {
            Record::Sample(sample) => match sample.image.unwrap().decode_with(|_, image| image.width()) {
                Ok(width) => format!("{} {width}", sample.key),
                Err(reason) => format!("{}: {}", sample.key, reason.rsplit(": ").next().unwrap()),
            },
            Record::Unusable { key, reason, .. } => format!("{key}: {reason}"),
        })
        .collect();
    assert_eq!(keys[..2], ["b\\xFE 3", "b\\xFF 3"]);
    assert!(keys[2].starts_with("gone: ") && keys[3] == "zero: not a regular file", "{keys:?}");
    assert_eq!(keys[4..], ["a/x 3"]);
    let texts = read(folder.0.path(), Modality::Text).unwrap();
    let zero = texts.iter().find(|(key, _)| key == "zero").unwrap();
    assert!(zero.1.as_ref().unwrap_err().contains("not a regular file"), "{texts:?}");
}

#[test]
fn a_folders_own_table_has_its_captions() {
    let rows = [("0.png", 1, "zero"), ("deep/1.png", 2, "one")];
    let jsonl =
        rows.map(|(name, _, caption)| format!("{{\"file_name\": \"{name}\", \"text\": \"{caption}\"}}\n")).concat();
    let csv = rows.map(|(name, _, caption)| format!("{name},{caption}\n")).concat();
    for (table, content) in [("metadata.jsonl", jsonl), ("metadata.csv", format!("file_name,text\n{csv}gone.png,\n"))] {
        let folder = Folder::new();
        for (name, width, _) in rows {
            folder.write(name, picture(width, ImageFormat::Png));
        }
        folder.write("other.png", picture(3, ImageFormat::Png));
        folder.write(table, content);
        let found = read(folder.0.path(), Modality::Both).unwrap();
        let good = rows.map(|(name, width, caption)| (name.to_owned(), Ok((Some(width), Some(caption.to_owned())))));
        assert_eq!(found[..2], good, "{table}");
        let told: Vec<&str> = found[2..].iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(told, if table == "metadata.csv" { vec!["gone.png", "other"] } else { vec!["other"] });
        assert!(found[2..].iter().all(|(_, found)| found.as_ref().unwrap_err().contains("no caption")));
        let (pictures, texts) = (Modality::Image, Modality::Text);
        let used = |modality| {
            read(folder.0.path(), modality)
                .unwrap()
                .iter()
                .filter(|(key, found)| key != "gone.png" && found.is_ok())
                .count()
        };
        if table == "metadata.jsonl" {
            assert_eq!((used(pictures), used(texts)), (3, 2));
        }
    }
    let folder = Folder::new();
    folder.write("metadata.csv", "city,population\nx,1\n");
    folder.write("a.png", picture(1, ImageFormat::Png));
    assert_eq!(read(folder.0.path(), Modality::Image).unwrap().len(), 1, "a table of something else");
}

#[test]
fn a_folder_of_shards_names_the_patterns() {
    let folder = Folder::new();
    folder.write("ds/00000.tar", tar_bytes(&[("a.txt", text("a"))]));
    folder.write("ds/00000.parquet", "");
    folder.write("ds/00000_stats.json", "{}");
    folder.write("ds/README.md", "");
    for modality in [Modality::Text, Modality::Image, Modality::Both] {
        let error = read(folder.0.path(), modality).unwrap_err();
        for part in ["1 .tar", "1 .parquet", "1 .json", "1 .md", "ds/*.tar'", "ds/*.parquet'"] {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    let mixed = expand_input(folder.path("ds/*").to_str().unwrap()).unwrap();
    let error = Dataset::open(mixed, options(Modality::Text)).unwrap_err().to_string();
    assert!(error.contains("such as *.tar") || error.contains("known format"), "{error}");
    fs::create_dir(folder.path("empty")).unwrap();
    assert!(read(&folder.path("empty"), Modality::Image).unwrap_err().contains("no files"));
}

fn shard(members: &[(&str, Vec<u8>)]) -> (Folder, PathBuf) {
    let folder = Folder::new();
    let path = folder.write("s.tar", tar_bytes(members));
    (folder, path)
}

#[test]
fn keys_with_dots_name_what_was_found() {
    let jpg = |width| picture(width, ImageFormat::Jpeg);
    let (_folder, path) = shard(&[
        ("d.v1/1.0.jpg", jpg(1)),
        ("d.v1/1.0.txt", text("a")),
        ("d.v1/1.5.jpg", jpg(2)),
        ("d.v1/1.5.txt", text("b")),
        ("d.v1/plain.jpg", jpg(3)),
        ("d.v1/plain.txt", text("c")),
    ]);
    let found = read(&path, Modality::Both).unwrap();
    assert_eq!(found.len(), 2);
    let reason = found[0].1.as_ref().unwrap_err();
    for part in ["key `d.v1/1`", "`0.jpg`, `0.txt`, `5.jpg`, `5.txt`", "--image-column"] {
        assert!(reason.contains(part), "{reason}");
    }
    assert_eq!(found[1], ("d.v1/plain".to_owned(), Ok((Some(3), Some("c".to_owned())))));
    let asked = ReadOptions {
        image_column: Some("5.jpg".into()),
        caption_column: Some("5.txt".into()),
        ..options(Modality::Both)
    };
    assert_eq!(read_with(&path, &asked).unwrap()[0].1, Ok((Some(2), Some("b".to_owned()))));
}

#[test]
fn members_by_any_name_and_in_any_order() {
    let png = |width| picture(width, ImageFormat::Png);
    let pair = |width, caption: &str| Ok((Some(width), Some(caption.to_owned())));
    let (_folder, path) = shard(&[
        ("0.input.png", png(1)),
        ("0.output.txt", text("a")),
        ("1.input.png", png(2)),
        ("1.output.txt", text("b")),
    ]);
    assert_eq!(read(&path, Modality::Both).unwrap(), [("0".to_owned(), pair(1, "a")), ("1".to_owned(), pair(2, "b"))]);
    let (_folder, path) = shard(&[("0.input.png", png(1)), ("0.mask.png", png(2)), ("0.txt", text("a"))]);
    assert!(read(&path, Modality::Both).unwrap()[0].1.as_ref().unwrap_err().contains("`input.png`, `mask.png`"));
    // All pictures, then all captions.
    let (_folder, path) = shard(&[
        ("0.png", png(1)),
        ("1.png", png(2)),
        ("1.txt", text("b")),
        ("0.txt", text("a")),
        ("._0.png", text("")),
    ]);
    assert_eq!(read(&path, Modality::Both).unwrap(), [("0".to_owned(), pair(1, "a")), ("1".to_owned(), pair(2, "b"))]);
    // Where others are called so by it alone, a mask is no picture.
    let (_folder, path) =
        shard(&[("0.png", png(1)), ("0.txt", text("a")), ("1.mask.png", png(2)), ("1.txt", text("b"))]);
    assert!(read(&path, Modality::Both).unwrap()[1].1.is_err());
    // A field that is asked for is no other text.
    let json = text(r#"{"short": "s", "list": ["l", "m"]}"#);
    let (_folder, path) = shard(&[("0.png", png(1)), ("0.txt", text("a")), ("0.json", json)]);
    let asked = |name: &str| {
        let asked = ReadOptions { caption_column: Some(name.to_owned()), ..options(Modality::Both) };
        read_with(&path, &asked).unwrap().remove(0).1
    };
    assert_eq!([asked("short"), asked("list"), asked("txt")], [pair(1, "s"), pair(1, "l"), pair(1, "a")]);
    assert!(asked("absent").unwrap_err().contains("has `list`, `short`"));
}

#[test]
fn captions_with_the_whole_name_of_their_picture() {
    let folder = Folder::new();
    let png = |width| picture(width, ImageFormat::Png);
    for (name, width) in [("a.png", 1), ("b.PNG", 2), ("c.png", 3), ("c.webp", 4), ("d.png", 5), ("e.png", 6)] {
        folder.write(name, png(width));
    }
    for (name, caption) in [
        ("a.png.txt", "a"),
        ("b.PNG.json", r#"{"Caption": "b"}"#),
        ("c.png.txt", "c, png"),
        ("c.webp.txt", "c, webp"),
        ("d.txt", "not this"),
        ("d.png.txt", "d"),
        ("e.caption", "e"),
    ] {
        folder.write(name, caption);
    }
    let expected: Vec<(u32, String)> = [(1, "a"), (2, "b"), (3, "c, png"), (4, "c, webp"), (5, "d"), (6, "e")]
        .map(|(width, caption)| (width, caption.to_owned()))
        .to_vec();
    let used = |found: Vec<Brief>| -> Vec<(u32, String)> {
        found
            .into_iter()
            .map(|(_, found)| found.unwrap())
            .map(|(width, text)| (width.unwrap(), text.unwrap()))
            .collect()
    };
    assert_eq!(used(read(folder.0.path(), Modality::Both).unwrap()), expected);
    let texts = captions(folder.0.path()).unwrap();
    assert_eq!(texts, expected.iter().map(|(_, caption)| caption.clone()).collect::<Vec<_>>());
    let (_folder, path) =
        shard(&[("a.png", png(1)), ("a.caption", text("a")), ("b.png", png(2)), ("b.Caption", text("b"))]);
    assert_eq!(used(read(&path, Modality::Both).unwrap()), [(1, "a".to_owned()), (2, "b".to_owned())]);
    let (_folder, path) = shard(&[("a.png", png(1)), ("a.png.txt", text("a"))]);
    assert_eq!(used(read(&path, Modality::Both).unwrap()), [(1, "a".to_owned())]);
}

#[test]
fn notes_of_downloaders_leave_captions_as_they_are() {
    let folder = Folder::new();
    folder.write("a.png", picture(1, ImageFormat::Png));
    folder.write("a.txt", "a");
    let caption = |column: Option<&str>| {
        let asked = ReadOptions { caption_column: column.map(str::to_owned), ..options(Modality::Both) };
        let found = read_with(folder.0.path(), &asked).unwrap();
        assert_eq!(found.len(), 1);
        found[0].1.clone().unwrap().1.unwrap()
    };
    for notes in [r#"{"id": 7, "extension": "png"}"#, r#"{"title": "IMG_7"}"#] {
        folder.write("a.png.json", notes);
        assert_eq!(caption(None), "a", "{notes}");
        assert_eq!(caption(Some("description")), "a", "{notes}");
    }
    folder.write("a.png.json", r#"{"description": "d"}"#);
    assert_eq!(caption(Some("description")), "d", "what is asked for");
    folder.write("a.png.txt", "own");
    assert_eq!(caption(None), "own");
}

#[test]
fn names_whose_marks_are_written_otherwise() {
    // `é` as one character, and as a letter with a mark.
    let (one, two) = ("caf\u{e9}", "cafe\u{301}");
    let png = |width| picture(width, ImageFormat::Png);
    let good = |width, caption: &str| Ok((Some(width), Some(caption.to_owned())));
    for (image, caption) in [(one, two), (two, one), (one, one)] {
        let folder = Folder::new();
        folder.write(&format!("{image}.png"), png(2));
        folder.write(&format!("{caption}.txt"), "c");
        assert_eq!(read(folder.0.path(), Modality::Both).unwrap(), [(image.to_owned(), good(2, "c"))]);
        let (_folder, path) = shard(&[(&format!("{image}.png"), png(2)), (&format!("{caption}.txt"), text("c"))]);
        assert_eq!(read(&path, Modality::Both).unwrap(), [(image.to_owned(), good(2, "c"))]);
        let folder = Folder::new();
        folder.write(&format!("{image}.png"), png(2));
        let table = folder.write("t.csv", format!("filepath,title\n{caption}.png,c\n"));
        assert_eq!(read(&table, Modality::Both).unwrap(), [("0".to_owned(), good(2, "c"))]);
    }
    // Two pictures, each with its own.
    let folder = Folder::new();
    for (name, width) in [(one, 1), (two, 2)] {
        folder.write(&format!("{name}.png"), png(width));
        folder.write(&format!("{name}.txt"), name);
    }
    let found = read(folder.0.path(), Modality::Both).unwrap();
    assert_eq!(found, [(two.to_owned(), good(2, two)), (one.to_owned(), good(1, one))]);
    let names = |ending: &str| [one, two].map(|name| format!("{name}.{ending}"));
    let ([png_one, png_two], [txt_one, txt_two]) = (names("png"), names("txt"));
    let members = [(&*png_one, png(1)), (&png_two, png(2)), (&txt_two, text(two)), (&txt_one, text(one))];
    let (_folder, path) = shard(&members);
    let found = read(&path, Modality::Both).unwrap();
    assert_eq!(found, [(one.to_owned(), good(1, one)), (two.to_owned(), good(2, two))]);
}

#[test]
fn pictures_inside_of_objects_and_as_base64() {
    use base64::Engine as _;
    let folder = Folder::new();
    let png = picture(7, ImageFormat::Png);
    let code = base64::engine::general_purpose::STANDARD.encode(&png);
    folder.write("p/7.png", &png);
    let lines = [
        r#"{"image": {"path": "p/7.png"}, "Caption": "c"}"#.to_owned(),
        r#"{"image": {"bytes": null, "path": "p/7.png"}, "caption": "c"}"#.to_owned(),
        format!(r#"{{"image": {{"bytes": "{code}", "path": "elsewhere.png"}}, "TEXT": "c"}}"#),
        format!(r#"{{"image": "{code}", "text": "c"}}"#),
        format!(r#"{{"image": "data:image/png;base64,{code}", "text": "c"}}"#),
    ];
    let good = Ok((Some(7), Some("c".to_owned())));
    let jsonl = folder.write("a.jsonl", lines.join("\n"));
    assert!(read(&jsonl, Modality::Both).unwrap().iter().all(|(_, found)| *found == good));
    let csv = folder.write("a.csv", format!("image,caption\n{code},c\np/7.png,c\n"));
    let tsv = folder.write("a.tsv", format!("1\t{code}\tc\n"));
    let by_number = ReadOptions {
        image_column: Some("2".to_owned()),
        caption_column: Some("3".to_owned()),
        ..options(Modality::Both)
    };
    let found = [read(&csv, Modality::Both).unwrap(), read_with(&tsv, &by_number).unwrap()].concat();
    assert_eq!(found.len(), 3);
    assert!(found.iter().all(|(_, found)| *found == good), "{found:?}");
}

#[test]
fn tables_of_a_folder_are_used_or_named() {
    let folder_with = |table: &str, content: &str| {
        let folder = Folder::new();
        folder.write("a.png", picture(1, ImageFormat::Png));
        folder.write(table, content);
        folder
    };
    for (table, content) in [
        ("metadata.csv", "image,text\na.png,c\n"),
        ("metadata.csv", "File_Name,Caption\na.png,c\n"),
        ("metadata.tsv", "file_name\ttext\na.png\tc\n"),
        ("metadata.jsonl", r#"{"filename": "a.png", "TEXT": "c"}"#),
    ] {
        let folder = folder_with(table, content);
        let expected = [("a.png".to_owned(), Ok((Some(1), Some("c".to_owned()))))];
        assert_eq!(read(folder.0.path(), Modality::Both).unwrap(), expected, "{content}");
        assert_eq!(captions(folder.0.path()).unwrap()[0], "c", "{content}");
    }
    let folder = folder_with("metadata.csv", "city,population\nx,1\n");
    let found = read(folder.0.path(), Modality::Both).unwrap();
    let reason = found[0].1.as_ref().unwrap_err();
    assert!(reason.contains("metadata.csv` has no picture column: it has `city`, `population`"), "{reason}");
}

#[test]
fn tables_of_other_makes_leave_a_folder_as_it_is() {
    let pair = |caption: &str| Ok((Some(1), Some(caption.to_owned())));
    for (name, table, content) in [
        ("train/a.png", "metadata.csv", text("filename,label\na.png,0\n")),
        ("a.png", "metadata.csv", text("image,dx\na,nv\n")),
        ("a.png", "metadata.csv", text("image,label\na,nv\n")),
        ("a.png", "metadata.csv", text("path,text\n/old/a.png,c\n")),
        ("a.png", "metadata.tsv", text("city\tpopulation\nx\t1\n")),
        ("a.png", "metadata.tsv", text("file_name\tx\na.png\t1\n")),
        ("a.png", "metadata.tsv", b"\xff\xfet\0i\0".to_vec()),
        ("a.png", "metadata.tsv", text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")),
        ("a.png", "metadata.tsv", b"\x28\xb5\x2f\xfd\0".to_vec()),
    ] {
        let folder = Folder::new();
        folder.write(name, picture(1, ImageFormat::Png));
        folder.write(&name.replace(".png", ".txt"), "beside");
        folder.write(table, &content);
        let key = name.trim_end_matches(".png").to_owned();
        assert_eq!(read(folder.0.path(), Modality::Both).unwrap(), [(key, pair("beside"))], "{table}: {content:?}");
    }
    let folder = Folder::new();
    for (number, name) in ["a", "b"].into_iter().enumerate() {
        folder.write(&format!("{name}.png"), picture(number as u32 + 1, ImageFormat::Png));
    }
    folder.write("metadata.csv", "path,text\nb.png,b\na.png,a\n");
    let keys = |modality| -> Vec<String> {
        read(folder.0.path(), modality).unwrap().into_iter().map(|(key, _)| key).collect()
    };
    assert_eq!(keys(Modality::Image), ["a", "b"], "pictures alone come by their names");
    assert_eq!(keys(Modality::Both), ["b.png", "a.png"]);
    for other in ["metadata.csv", "metadata.tsv"] {
        let folder = Folder::new();
        folder.write("a.png", picture(1, ImageFormat::Png));
        folder.write(other, "city,population\nx,1\n");
        folder.write("metadata.jsonl", r#"{"file_name": "a.png", "text": "c"}"#);
        assert_eq!(read(folder.0.path(), Modality::Both).unwrap(), [("a.png".to_owned(), pair("c"))], "{other}");
    }
}

#[test]
fn repeated_keys_are_told() {
    let jpg = |width| picture(width, ImageFormat::Jpeg);
    let (_folder, path) = shard(&[
        ("a.jpg", jpg(1)),
        ("a.txt", text("one")),
        ("a.jpg", jpg(2)),
        ("a.txt", text("two")),
        ("b.jpg", jpg(3)),
        ("b.txt", text("b")),
        ("a.jpg", jpg(4)),
    ]);
    let found = read(&path, Modality::Both).unwrap();
    let keys: Vec<_> = found.iter().map(|(key, found)| (key.as_str(), found.is_ok())).collect();
    assert_eq!(keys, [("a", true), ("a", false), ("b", true), ("a", false)]);
    assert_eq!(found[0].1, Ok((Some(1), Some("one".to_owned()))));
    assert!(found[1].1.as_ref().unwrap_err().contains("key `a` is repeated"));
}

/// A header of 512 bytes for a member of `size` bytes.
fn header(name: &str, kind: u8, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_path(name).unwrap();
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(512), 0);
    padded
}

#[test]
fn archives_of_every_make() {
    let folder = Folder::new();
    let (a, b) = (tar_bytes(&[("a.txt", text("a"))]), tar_bytes(&[("b.txt", text("b"))]));
    assert_eq!(captions(&folder.write("two.tar", [a.clone(), b.clone()].concat())).unwrap(), ["a", "b"]);
    assert_eq!(captions(&folder.write("endless.tar", &a[..1024])).unwrap(), ["a"], "without the end mark");

    let mut link = header("c.txt", b'1', 0);
    link.set_link_name("a.txt").unwrap();
    link.set_cksum();
    let linked = [&a[..1024], link.as_bytes()].concat();
    assert_eq!(captions(&folder.write("linked.tar", linked)).unwrap(), ["a", "a"]);
    let symlink = [&a[..1024], header("d.txt", b'2', 0).as_bytes()].concat();
    let found = read(&folder.write("symlink.tar", symlink), Modality::Text).unwrap();
    assert!(found[1].1.as_ref().unwrap_err().contains("symbolic link"), "{found:?}");

    // GNU's sparse members: `x` at 0 and `y` at 600, zeros between.
    let mut sparse = header("s.txt", b'S', 2);
    let gnu = sparse.as_gnu_mut().unwrap();
    for (piece, (offset, length)) in
        gnu.sparse.iter_mut().zip([("00000000000", "00000000001"), ("00000001130", "00000000001")])
    {
        piece.offset[..11].copy_from_slice(offset.as_bytes());
        piece.numbytes[..11].copy_from_slice(length.as_bytes());
    }
    gnu.realsize[..11].copy_from_slice(b"00000001131");
    sparse.set_cksum();
    let expected = format!("x{}y", "\0".repeat(599));
    let gnu = [sparse.as_bytes(), &*padded(b"xy"), &b].concat();
    assert_eq!(captions(&folder.write("gnu.tar", gnu)).unwrap(), [expected.clone(), "b".to_owned()]);
    // The same as pax has it, the map in front of the content or in the header.
    let record = |text: &str| {
        let length = (text.len() + 3..text.len() + 9)
            .find(|length| length.to_string().len() + text.len() + 2 == *length)
            .unwrap();
        format!("{length} {text}\n")
    };
    let common = record("GNU.sparse.name=s.txt") + &record("GNU.sparse.realsize=601");
    let one = common.clone() + &record("GNU.sparse.major=1") + &record("GNU.sparse.minor=0");
    let map = padded(b"2\n0\n1\n600\n1\n");
    let content = [map, padded(b"xy")].concat();
    let zero = common + &record("GNU.sparse.map=0,1,600,1");
    for (name, pax, content, size) in [("one.tar", one, content, 514), ("zero.tar", zero, padded(b"xy"), 2)] {
        let extension = header("pax", b'x', pax.len() as u64);
        let member = header("GNUSparseFile.0/s.txt", b'0', size);
        let bytes = [extension.as_bytes(), &*padded(pax.as_bytes()), member.as_bytes(), &content, &b].concat();
        assert_eq!(captions(&folder.write(name, bytes)).unwrap(), [expected.clone(), "b".to_owned()], "{name}");
    }
}

#[test]
fn archives_that_promise_too_much() {
    let folder = Folder::new();
    let b = tar_bytes(&[("b.txt", text("b"))]);
    // Eight gigabytes of nothing: a member, a name, a header of pax, a sparse member.
    let size = 8u64 << 30;
    let file = |name: &str, head: &[u8], length: u64| {
        let path = folder.write(name, head);
        let file = fs::File::options().write(true).open(&path).unwrap();
        file.set_len(head.len() as u64 + length).unwrap();
        drop(file);
        path
    };
    let found = read(&file("member.tar", header("a.txt", b'0', size).as_bytes(), size), Modality::Text).unwrap();
    assert!(found[0].1.as_ref().unwrap_err().contains("read at most"), "{found:?}");
    for kind in [b'L', b'x'] {
        let path = file("extension.tar", header("a", kind, size).as_bytes(), size);
        let mut whole = fs::File::options().append(true).open(&path).unwrap();
        whole.write_all(&b).unwrap();
        let found = read(&path, Modality::Text).unwrap();
        assert!(found[0].1.as_ref().unwrap_err().contains("longer than 1 MiB"), "{found:?}");
    }
    let mut sparse = header("s.txt", b'S', 0);
    sparse.as_gnu_mut().unwrap().realsize[..11].copy_from_slice(b"77777777777");
    sparse.set_cksum();
    let found = read(&folder.write("sparse.tar", sparse.as_bytes()), Modality::Text).unwrap();
    assert!(found[0].1.as_ref().unwrap_err().contains("read at most"), "{found:?}");
    // A bomb: zeros that pack to a thousandth.
    let bomb = gzip(&[header("a.png", b'0', 64 << 20).as_bytes(), &vec![0; 64 << 20][..]].concat());
    let found = Dataset::open(vec![folder.write("bomb.tar.gz", bomb)], options(Modality::Image)).unwrap();
    assert_eq!(found.count(), 1);
}
