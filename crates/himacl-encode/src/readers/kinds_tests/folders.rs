//! Folders: pictures, captions beside them, tables of their own.

use super::*;

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
