//! Datasets that are elsewhere: addresses and repositories of the Hub, fetched file by file.

mod support;

use himacl::EncodeError as Error;
use himacl::hub::{HubError, HubSettings};
use himacl::readers::{Dataset, Input, Modality, ReadError, ReadOptions, Record};
use std::fmt::Write as _;
use std::fs;
use std::process::{Command, Output};
use support::encoder::{words, write_tiny_bert};
use support::hub::{COMMIT, DATA, FakeHub, Fault};
use support::store::{self, hub_settings as settings};
use support::{Scratch, contents};

/// A shard of captions, 1 KiB each.
fn tar(first: usize, count: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for index in first..first + count {
        let word = |place: usize| words()[(index * 7 + place * place) % words().len()];
        let text = (0..=index * 31 % 9).map(word).collect::<Vec<_>>().join(" ");
        let mut header = vec![0_u8; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, &format!("{index:05}.txt"));
        put(100, "0000644\x000000000\x000000000\x00");
        put(124, &format!("{:011o}\x0000000000000\x00        0", text.len()));
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        all.extend(header);
        all.extend(text.as_bytes());
        all.resize(all.len().next_multiple_of(512), 0);
    }
    all.resize(all.len() + 1024, 0);
    all
}

/// Four shards, the third of them empty but for its end, and tables.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let csv = "key,title,filepath\nk0,a cat,/etc/hostname\nk1,the moon,cat.png\n";
    vec![
        ("data/00.tar", tar(0, 40)),
        ("data/01.tar", tar(40, 30)),
        ("data/02.tar", tar(0, 0)),
        ("data/03.tar", tar(70, 50)),
        ("data/10.tar", tar(120, 5)),
        ("tables/a.csv", csv.as_bytes().to_vec()),
        ("tables/a.jsonl", b"{\"caption\": \"<a cat>\", \"image\": \"cat.png\"}\n{\"caption\": \"x\"}\n".to_vec()),
        ("tables/deep/b.txt", b"one\ntwo\n".to_vec()),
    ]
}

fn find(server: &FakeHub, input: &str) -> Result<Input, Box<Error>> {
    Ok(Input::find(input, settings(server), || false)?)
}

/// The captions of an input, or why there are none.
fn read(input: &Input, modality: Modality) -> Result<Vec<String>, Box<Error>> {
    let options = ReadOptions { modality, image_column: None, caption_column: None };
    let records = Dataset::of(input, options)?.map(|record| match record? {
        Record::Sample(sample) => Ok(sample.caption.unwrap_or_default()),
        Record::Unusable { reason, .. } => Ok(format!("({reason})")),
    });
    Ok(records.collect::<Result<_, Error>>()?)
}

fn local(names: &[&str]) -> Vec<String> {
    let scratch = Scratch::new();
    let files = files();
    let paths = names.iter().map(|name| {
        let path = scratch.path(&name.replace('/', "-"));
        fs::write(&path, &files.iter().find(|(known, _)| known == name).unwrap().1).unwrap();
        path
    });
    let options = ReadOptions { modality: Modality::Text, image_column: None, caption_column: None };
    let caption = |record: Result<Record, Error>| match record.unwrap() {
        Record::Sample(sample) => sample.caption.unwrap_or_default(),
        Record::Unusable { key, reason, .. } => panic!("{key}: {reason}"),
    };
    Dataset::open(paths.collect(), options).unwrap().map(caption).collect()
}

#[test]
fn addresses_read_as_files_do() {
    let server = FakeHub::start(&files());
    let input = find(&server, &format!("{}/data/0{{0..3}}.tar?signature=secret", server.files)).unwrap();
    assert!(!input.name.contains("secret") && input.name.ends_with("/data/0{0..3}.tar"), "{}", input.name);
    assert!(server.seen().iter().all(|seen| seen.method == "HEAD"), "described, not fetched");
    let expected = local(&["data/00.tar", "data/01.tar", "data/02.tar", "data/03.tar"]);
    assert_eq!(read(&input, Modality::Text).unwrap(), expected);
    let seen = server.seen();
    assert_eq!(seen.iter().filter(|seen| seen.method == "GET").count(), 4, "each file once: {seen:?}");
    assert!(seen.iter().all(|seen| seen.token.is_none()), "the token is the Hub's");
    for (name, captions) in
        [("a.csv", ["a cat", "the moon"]), ("a.jsonl", ["<a cat>", "x"]), ("deep/b.txt", ["one", "two"])]
    {
        let input = find(&server, &format!("{}/tables/{name}", server.files)).unwrap();
        assert_eq!(read(&input, Modality::Text).unwrap(), captions);
    }
}

#[test]
fn paths_in_a_table_that_is_fetched_lead_nowhere() {
    let server = FakeHub::start(&files());
    for name in ["a.csv", "a.jsonl"] {
        let input = find(&server, &format!("{}/tables/{name}", server.files)).unwrap();
        let records = read(&input, Modality::Image).unwrap();
        assert!(records[0].contains("paths in a table that is fetched are not followed"), "{records:?}");
    }
}

#[test]
fn repositories_of_datasets_are_listed_and_pinned() {
    let server = FakeHub::start(&files());
    let input = find(&server, &format!("hf://datasets/{DATA}/data/*.tar")).unwrap();
    assert_eq!(input.name, format!("hf://datasets/{DATA}@{COMMIT}/data/*.tar"));
    let names: Vec<_> = input.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["00.tar", "01.tar", "02.tar", "03.tar", "10.tar"], "over several pages");
    let names = ["data/00.tar", "data/01.tar", "data/02.tar", "data/03.tar", "data/10.tar"];
    assert_eq!(read(&input, Modality::Text).unwrap(), local(&names));
    let seen = server.seen();
    assert!(seen.iter().any(|seen| seen.host == "cdn") && seen.iter().any(|seen| seen.host == "hub"));
    for seen in &seen {
        assert_eq!(seen.token.is_some(), seen.host == "hub", "{seen:?}");
    }
    for (place, expected) in [
        (format!("@{COMMIT}/data/{{01,10}}.tar"), "01.tar 10.tar"),
        ("@refs/convert/parquet/tables/**/*.txt".to_owned(), "b.txt"),
        ("/tables/*.csv".to_owned(), "a.csv"),
    ] {
        let input = find(&server, &format!("hf://datasets/{DATA}{place}")).unwrap();
        let names: Vec<_> = input.files.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names.join(" "), expected, "{place}");
    }
    let refusal = |input: &str| find(&server, input).unwrap_err();
    let error = refusal(&format!("hf://datasets/{DATA}@v9/data/*.tar"));
    assert!(matches!(*error, Error::Hub(HubError::NoRevision { .. })), "{error}");
    let error = refusal(&format!("hf://datasets/{DATA}/data/{{00,77}}.tar"));
    assert!(matches!(&*error, Error::Read(ReadError::NoFiles { input }) if input.ends_with("data/77.tar")), "{error}");
    for wrong in [
        "hf://org/data/x.tar",
        "hf://datasets/org",
        "hf://datasets/org/data",
        "hf://datasets/../x/y.tar",
        "hf://datasets/org/data@/x",
    ] {
        let error = refusal(wrong);
        assert!(matches!(*error, Error::Read(ReadError::HubAddress(_)) | Error::Hub(_)), "{wrong}: {error}");
    }
    assert!(refusal("gs://bucket/{0..3}.tar").to_string().contains("hint: `himacl embed` reads s3://"));
    server.fail("GET", "resolve", 100, Fault::Corrupt);
    server.fail("GET", "/data/00.tar", 100, Fault::Corrupt);
    let input = find(&server, &format!("hf://datasets/{DATA}/data/00.tar")).unwrap();
    let error = read(&input, Modality::Text).unwrap_err();
    assert!(matches!(*error, Error::Hub(HubError::Checksum { .. })), "{error}");
}

#[test]
fn what_servers_do_wrong() {
    let server = FakeHub::start(&files());
    let address = format!("{}/data/{{00,01}}.tar", server.files);
    let expected = local(&["data/00.tar", "data/01.tar"]);
    let refusal = |error: Box<Error>| match *error {
        Error::Hub(error) => error,
        Error::Read(ReadError::Unreachable(error)) => *error,
        other => panic!("{other}"),
    };
    // A shard that is not there is named before anything is fetched.
    let error = refusal(find(&server, &format!("{}/data/{{00..05}}.tar", server.files)).unwrap_err());
    assert!(matches!(&error, HubError::Status { url, status: 401, .. } if url.ends_with("/data/04.tar")), "{error}");
    server.fail("HEAD", "01.tar", 1, Fault::Status(404, "", ""));
    let error = refusal(find(&server, &address).unwrap_err());
    assert!(matches!(&error, HubError::Status { url, status: 404, .. } if url.ends_with("/data/01.tar")), "{error}");
    // A signature for GET alone.
    server.fail("HEAD", "/data/", 2, Fault::Status(403, "", ""));
    let input = find(&server, &address).unwrap();
    // A body that breaks off goes on from where it did, by ranges or from the start.
    server.seen();
    server.fail("GET", "00.tar", 3, Fault::Truncate(7000));
    server.fail("GET", "01.tar", 1, Fault::CutWhole(5000));
    server.fail("GET", "01.tar", 1, Fault::WholeFile);
    server.fail("GET", "01.tar", 1, Fault::Status(503, "", "Retry-After: 0\r\n"));
    assert_eq!(read(&input, Modality::Text).unwrap(), expected);
    let ranges: Vec<_> =
        server.seen().into_iter().filter(|seen| seen.path.contains("00.tar")).map(|seen| seen.range).collect();
    let asked = [None, Some("bytes=7000-"), Some("bytes=14000-"), Some("bytes=21000-")];
    assert_eq!(ranges.iter().map(|range| range.as_deref()).collect::<Vec<_>>(), asked);
    // One that always does, without ranges, is given up.
    server.fail("GET", "01.tar", usize::MAX, Fault::CutWhole(5000));
    let error = refusal(read(&input, Modality::Text).unwrap_err());
    let named = |url: &str| url.ends_with("01.tar");
    assert!(matches!(&error, HubError::Truncated { url, .. } | HubError::Network { url, .. } if named(url)), "{error}");
    // Another content than the one that was described.
    let server = FakeHub::start(&files());
    let input = find(&server, &format!("{}/data/00.tar", server.files)).unwrap();
    let before = input.fingerprint();
    server.fail("GET", "00.tar", 1, Fault::Corrupt);
    let error = refusal(read(&input, Modality::Text).unwrap_err());
    assert!(matches!(&error, HubError::Changed { url } if url.ends_with("00.tar")), "{error}");
    server.fail("HEAD", "00.tar", 1, Fault::Corrupt);
    assert_ne!(find(&server, &format!("{}/data/00.tar", server.files)).unwrap().fingerprint(), before);
    let offline = HubSettings { offline: true, ..settings(&server) };
    for input in [&format!("{}/data/00.tar", server.files), "hf://datasets/org/data/x.tar"] {
        let Err(Error::Hub(error)) = Input::find(input, offline.clone(), || false) else { panic!("{input}") };
        assert!(matches!(error, HubError::OfflineAddress(_)), "{error}");
    }
}

struct Place {
    scratch: Scratch,
    server: FakeHub,
}

impl Place {
    fn embed(&self, input: &str, output: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
        command.args(["embed", "--encoder", "all-minilm-l6-v2", "--local", &self.scratch.arg("encoder")]);
        command.args(["--input", input, "-o", &self.scratch.arg(output), "--batch-size", "8", "--shard-size", "25"]);
        command.args(more).env("HF_ENDPOINT", &self.server.endpoint).env("HF_HOME", self.scratch.path("hf"));
        command.env("AWS_ACCESS_KEY_ID", store::ID).env("AWS_SECRET_ACCESS_KEY", store::SECRET);
        command.env("AWS_SESSION_TOKEN", store::SESSION).env("AWS_REGION", store::REGION);
        command.env("AWS_ENDPOINT_URL_S3", &self.server.store);
        command.env_remove("HF_TOKEN").env_remove("HF_HUB_OFFLINE").output().unwrap()
    }

    /// Embeddings, done marks, and metadata, in which the shards' addresses are.
    fn results(&self, output: &str) -> String {
        let mut all = String::new();
        for kind in ["text_emb", "stats", "metadata"] {
            for (path, bytes) in contents(&self.scratch.path(&format!("{output}/{kind}"))) {
                let _ = writeln!(all, "{kind}/{} {}", path.display(), support::hub::sha256(&bytes));
            }
        }
        all
    }
}

#[test]
fn a_run_that_broke_off_in_a_shard_goes_on_there() {
    goes_on(|server| format!("{}/data/0{{0..3}}.tar", server.files), "");
}

#[test]
fn a_run_that_broke_off_in_an_object_goes_on_there() {
    goes_on(|_| "s3://shards/data/0?.tar".to_owned(), "/shards");
}

/// Breaks a run off and resumes it; requests are for paths that begin with `bucket`.
fn goes_on(address: impl Fn(&FakeHub) -> String, bucket: &str) {
    let place = Place { scratch: Scratch::new(), server: FakeHub::start(&files()) };
    write_tiny_bert(&place.scratch.path("encoder"));
    for (name, content) in files() {
        let path = place.scratch.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let (address, pattern) = (address(&place.server), place.scratch.arg("data/0{0..3}.tar"));
    let succeeded = |output: &Output| assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    succeeded(&place.embed(&address, "whole", &[]));
    succeeded(&place.embed(&pattern, "local", &[]));
    let whole = place.results("whole");
    // Captions have no path of a picture: nothing tells a shard that was fetched from one on the disk.
    assert_eq!(whole, place.results("local"));

    // The last shard is not to be had: what came before is kept.
    place.server.fail("GET", "03.tar", 1, Fault::Status(410, "", ""));
    let output = place.embed(&address, "broken", &[]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("/data/03.tar answered 410"), "{error}");
    let done = contents(&place.scratch.path("broken/stats")).len();
    assert_eq!(done, 2, "70 samples in two whole shards of 25");
    // Files that have ended are not fetched again: the 50 samples end within the second.
    place.server.seen();
    succeeded(&place.embed(&address, "broken", &["--resume"]));
    let seen = place.server.seen().into_iter().filter(|seen| seen.method == "GET" && !seen.path.contains("list-type"));
    let fetched: Vec<_> = seen.map(|seen| seen.path).collect();
    assert_eq!(fetched, ["01.tar", "02.tar", "03.tar"].map(|name| format!("{bucket}/data/{name}")));
    assert_eq!(place.results("broken"), whole);

    // What has changed since is refused, before anything is fetched.
    fs::remove_file(place.scratch.path("broken/summary.json")).unwrap();
    place.server.change("data/02.tar");
    let output = place.embed(&address, "broken", &["--resume"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && error.contains("--input"), "{error}");
    assert_eq!(place.results("broken"), whole);
}

#[test]
fn an_unreachable_dataset_is_no_missing_encoder() {
    let server = FakeHub::start(&files());
    let once = HubSettings { retries: 0, ..settings(&server) };
    // Nobody listens there.
    let error = Input::find("http://127.0.0.1:9/data/00.tar", once, || false).unwrap_err();
    assert!(matches!(&error, Error::Read(ReadError::Unreachable(_))), "{error}");
    assert_eq!(error.kind(), himacl::ErrorKind::Network);
    let error = error.to_string();
    assert!(error.starts_with("cannot reach http://127.0.0.1:9/data/00.tar"), "{error}");
    assert!(error.contains("a resumed run") && !error.contains("HF_ENDPOINT"), "{error}");
    assert_eq!(error.matches("hint: ").count(), 1, "{error}");
}
