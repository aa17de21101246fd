//! Tables: packed, without a header, of objects.

use super::*;

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
    for name in ["p.csv", "p.jsonl", "p.txt", "p.tar", "p.parquet", "p.arrow"] {
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

/// Captions in a table whose format its name tells, in groups of two.
fn table(folder: &Folder, name: &str, captions: &[&str]) -> PathBuf {
    let path = folder.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let column: arrow_array::ArrayRef = std::sync::Arc::new(arrow_array::StringArray::from(captions.to_vec()));
    let batch = arrow_array::RecordBatch::try_from_iter([("caption", column)]).unwrap();
    crate::readers::tests::write_table(&path, &batch);
    path
}

#[test]
fn a_table_that_cannot_be_opened_costs_itself_alone() {
    let folder = Folder::new();
    for ending in ["parquet", "arrow"] {
        let files = ["0", "1", "2"].map(|name| table(&folder, &format!("{name}.{ending}"), &["one", "two", "three"]));
        let damage = |file: &PathBuf| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, [b"no table", &bytes[8..bytes.len() - 8]].concat()).unwrap();
        };
        for place in [1, 0] {
            damage(&files[place]);
            let open = || Dataset::open(files.to_vec(), options(Modality::Text)).unwrap();
            let all: Vec<Record> = open().collect::<Result<_, _>>().unwrap();
            let is_rest = |record: &&Record| match record {
                Record::Unusable { key, reason, is_rest } => {
                    assert!(*is_rest && key.ends_with(ending) && reason.contains(" file `"), "{key}: {reason}");
                    true
                }
                Record::Sample(_) => false,
            };
            assert_eq!((all.len(), all.iter().filter(is_rest).count()), (if place == 1 { 7 } else { 5 }, 2 - place));
            for count in 0..=all.len() {
                let mut dataset = open();
                dataset.skip_records(count as u64).unwrap();
                assert_eq!(dataset.collect::<Result<Vec<Record>, _>>().unwrap(), all[count..], "after {count}");
            }
        }
        // Alone it is all that there is; a column that one of several lacks is a wrong input.
        let alone = Dataset::open(vec![files[0].clone()], options(Modality::Text)).unwrap_err().to_string();
        assert!(alone.contains(&format!("0.{ending}")), "{alone}");
        let other = ReadOptions { caption_column: Some("name".to_owned()), ..options(Modality::Text) };
        let error = Dataset::open(files.to_vec(), other).unwrap_err().to_string();
        assert!(error.contains("no caption column"), "{error}");
    }
}

#[test]
fn arrow_files_that_end_before_their_time() {
    let folder = Folder::new();
    let path = table(&folder, "a.arrow", &["one", "two", "three", "four", "five"]);
    let whole = fs::read(&path).unwrap();
    assert_eq!(captions(&path).unwrap().len(), 5);
    // The fifth caption, and the mark of the end.
    let cut = folder.write("cut.arrow", &whole[..whole.len() - 40]);
    let found = read(&cut, Modality::Text).unwrap();
    assert_eq!(found.len(), 5);
    assert!(found[..4].iter().all(|(_, found)| found.is_ok()), "{found:?}");
    let (key, reason) = (&found[4].0, found[4].1.as_ref().unwrap_err());
    assert!(key.ends_with("cut.arrow") && reason.contains("breaks off in message 2"), "{key}: {reason}");
    assert!(reason.contains("what came before is used"), "{reason}");
}

#[test]
fn folders_that_datasets_has_saved_are_their_files() {
    let folder = Folder::new();
    table(&folder, "set/data-00000-of-00002.arrow", &["one", "two"]);
    table(&folder, "set/data-00001-of-00002.arrow", &["three"]);
    folder.write("set/cache-7.arrow", "not looked at");
    folder.write("set/dataset_info.json", "{}");
    let state =
        r#"{"_data_files": [{"filename": "data-00000-of-00002.arrow"}, {"filename": "data-00001-of-00002.arrow"}]}"#;
    folder.write("set/state.json", state);
    let files = expand_input(folder.path("set").to_str().unwrap()).unwrap();
    let dataset = Dataset::open(files, options(Modality::Text)).unwrap();
    let found: Vec<Brief> = dataset.map(|record| brief(record.unwrap())).collect();
    assert!(found.iter().all(|(_, found)| found.is_ok()) && found.len() == 3, "{found:?}");
    folder.write("dataset_dict.json", r#"{"splits": ["set", "test"]}"#);
    let error = expand_input(folder.path("").to_str().unwrap()).unwrap_err().to_string();
    assert!(error.contains("the parts `set`, `test` of a dataset"), "{error}");
}

#[test]
fn tables_of_a_folder_may_be_arrow() {
    let folder = Folder::new();
    for width in [3, 4] {
        folder.write(&format!("{width}.png"), picture(width, ImageFormat::Png));
    }
    let column = |texts: [&str; 2]| -> arrow_array::ArrayRef {
        std::sync::Arc::new(arrow_array::StringArray::from(texts.to_vec()))
    };
    let columns = [("file_name", column(["4.png", "3.png"])), ("text", column(["four", "three"]))];
    let batch = arrow_array::RecordBatch::try_from_iter(columns).unwrap();
    crate::readers::tests::write_table(&folder.path("metadata.arrow"), &batch);
    let found = read(&folder.path(""), Modality::Both).unwrap();
    let expected = [(4, "four"), (3, "three")].map(|(width, text)| Ok((Some(width), Some(text.to_owned()))));
    assert!(found.iter().map(|(_, found)| found).eq(expected.iter()), "{found:?}");
}
