//! Archives: members of any name, order and number.

use super::*;

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
