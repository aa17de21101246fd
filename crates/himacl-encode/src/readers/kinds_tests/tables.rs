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
