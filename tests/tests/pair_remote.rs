//! `himacl pair` of sets that are elsewhere: they are fetched, and paired as those on the disk are.

mod support;

use arrow_array::builder::{FixedSizeListBuilder, Float32Builder};
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::hub::{COMMIT, DATA, FakeHub, Fault, Seen};
use support::{Scratch, contents, himacl, kill_until_done, npy_bytes, points, store};

/// Rows of a shard, and their coordinates.
const ROWS: usize = 60;
const DIMENSION: usize = 5;

/// What `datasets` lists of the files that it has saved.
const SAVED: &str =
    r#"{"_data_files": [{"filename": "data-00000-of-00002.arrow"}, {"filename": "data-00001-of-00002.arrow"}]}"#;

fn npy(rows: &[Vec<f32>]) -> Vec<u8> {
    let data: Vec<u8> = rows.iter().flatten().flat_map(|value| value.to_le_bytes()).collect();
    npy_bytes("<f4", false, &format!("({}, {})", rows.len(), rows[0].len()), &data)
}

/// A column `embedding` beside one of texts.
fn batch(rows: &[Vec<f32>]) -> RecordBatch {
    let mut lists = FixedSizeListBuilder::new(Float32Builder::new(), DIMENSION as i32);
    for row in rows {
        lists.values().append_slice(row);
        lists.append(true);
    }
    let texts: ArrayRef = Arc::new((0..rows.len()).map(|row| Some(format!("text {row}"))).collect::<StringArray>());
    RecordBatch::try_from_iter([("caption", texts), ("embedding", Arc::new(lists.finish()))]).unwrap()
}

fn stream(rows: &[Vec<f32>]) -> Vec<u8> {
    let (batch, mut out) = (batch(rows), Vec::new());
    let mut writer = StreamWriter::try_new(&mut out, &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
    out
}

fn table(batch: &RecordBatch) -> Vec<u8> {
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    out
}

fn captions(shard: usize) -> Vec<u8> {
    let texts = (0..ROWS).map(|row| Some(format!("caption {shard}-{row}"))).collect::<StringArray>();
    table(&RecordBatch::try_from_iter([("caption", Arc::new(texts) as ArrayRef)]).unwrap())
}

/// Sets in every layout; the numbers of shards are in another order as text.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let shard = |seed| points(ROWS, DIMENSION, seed);
    vec![
        ("x/part-2.npy", npy(&shard(2))),
        ("x/part-10.npy", npy(&shard(10))),
        ("x/notes.txt", b"no embeddings".to_vec()),
        ("x/deep/part-3.npy", npy(&shard(3))),
        ("y.npy", npy(&points(2 * ROWS, DIMENSION, 7))),
        ("narrow.npy", npy(&points(2 * ROWS, DIMENSION - 1, 7))),
        ("table/train-2.parquet", table(&batch(&shard(22)))),
        ("table/train-10.parquet", table(&batch(&shard(23)))),
        ("table/test-2.parquet", table(&batch(&shard(24)))),
        ("saved/data-00000-of-00002.arrow", stream(&shard(41))),
        ("saved/data-00001-of-00002.arrow", stream(&shard(42))),
        ("saved/cache-7.arrow", b"not looked at".to_vec()),
        ("saved/dataset_info.json", b"{}".to_vec()),
        ("saved/state.json", SAVED.into()),
        ("clip/img_emb/img_emb_2.npy", npy(&shard(31))),
        ("clip/img_emb/img_emb_10.npy", npy(&shard(32))),
        ("clip/text_emb/text_emb_2.npy", npy(&shard(33))),
        ("clip/text_emb/text_emb_10.npy", npy(&shard(34))),
        ("clip/metadata/metadata_2.parquet", captions(2)),
        ("clip/metadata/metadata_10.parquet", captions(10)),
    ]
}

struct Place {
    scratch: Scratch,
    server: FakeHub,
}

impl Place {
    fn new(files: &[(&'static str, Vec<u8>)]) -> Self {
        let place = Self { scratch: Scratch::new(), server: FakeHub::start(files) };
        for (name, content) in files {
            let path = place.scratch.path("input").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        place
    }

    fn command(&self, x: &str, y: &str, output: &str, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
        command.args(["pair", "--device", "cpu", "--x", x, "--y", y, "-o", &self.scratch.arg(output)]).args(more);
        command.env("HF_ENDPOINT", &self.server.endpoint).env("HF_HOME", self.scratch.path("hf"));
        command.env("AWS_ACCESS_KEY_ID", store::ID).env("AWS_SECRET_ACCESS_KEY", store::SECRET);
        command.env("AWS_SESSION_TOKEN", store::SESSION).env("AWS_REGION", store::REGION);
        command.env("AWS_ENDPOINT_URL_S3", &self.server.store).env_remove("HF_TOKEN").env_remove("HF_HUB_OFFLINE");
        command
    }

    fn pair(&self, x: &str, y: &str, output: &str, more: &[&str]) -> Output {
        self.command(x, y, output, more).output().unwrap()
    }

    fn local(&self, name: &str) -> String {
        self.scratch.path("input").join(name).to_str().unwrap().to_owned()
    }

    /// What a run leaves that is the same wherever its inputs were.
    fn results(&self, output: &str) -> Vec<(String, Vec<u8>)> {
        let all = contents(&self.scratch.path(output)).into_iter();
        let all = all.map(|(path, bytes)| (path.to_str().unwrap().to_owned(), bytes));
        all.filter(|(path, _)| ![".himacl.toml", "config.toml", "summary.json"].contains(&path.as_str())).collect()
    }

    /// The requests of bodies since the last call.
    fn bodies(&self) -> Vec<Seen> {
        let is_body = |seen: &Seen| seen.method == "GET" && seen.host != "hub" && !seen.path.contains("list-type");
        self.server.seen().into_iter().filter(is_body).collect()
    }
}

fn message(run: &Output) -> String {
    String::from_utf8_lossy(&run.stderr).into_owned()
}

fn succeeded(run: &Output) {
    assert_eq!(run.status.code(), Some(0), "{}", message(run));
}

/// The message of a run that was refused before anything was written.
fn refused(place: &Place, run: &Output, output: &str) -> String {
    let error = message(run);
    assert_eq!(run.status.code(), Some(2), "{error}");
    assert!(!place.scratch.path(output).exists(), "{error}");
    assert!(!error.contains(".himacl-fetched"), "{error}");
    error
}

#[test]
fn sets_from_elsewhere_are_paired_as_those_on_the_disk() {
    let place = Place::new(&files());
    let (url, hub) = (&place.server.files, format!("hf://datasets/{DATA}"));
    let cases: [(&str, &str, &[String], &[&str]); 6] = [
        ("x", "y.npy", &["s3://shards/x".to_owned(), "s3://shards/x/".to_owned(), format!("{hub}/x")], &[]),
        ("x", "y.npy", &[format!("{url}/x/part-{{2,10}}.npy?signature=1"), "s3://shards/x/part-*.npy".to_owned()], &[]),
        (
            "clip/img_emb",
            "clip/text_emb",
            &["s3://shards/clip/img_emb".to_owned(), format!("{hub}@main/clip/img_emb")],
            &["--center"],
        ),
        ("saved", "y.npy", &["s3://shards/saved".to_owned(), format!("{hub}/saved")], &["--x-key", "embedding"]),
        ("clip", "y.npy", &["s3://shards/clip".to_owned(), format!("{hub}/clip")], &["--x-key", "text_emb"]),
        (
            "table/test-2.parquet",
            "x/part-2.npy",
            &[format!("{hub}@{COMMIT}/table/test-2.parquet"), format!("{url}/table/test-2.parquet")],
            &["--x-key", "embedding", "--max-memory", "0.5", "--external", "--block-rows", "20"],
        ),
    ];
    for (case, (x, y, addresses, more)) in cases.into_iter().enumerate() {
        let local = format!("local-{case}");
        succeeded(&place.pair(&place.local(x), &place.local(y), &local, more));
        for (at, address) in addresses.iter().enumerate() {
            let output = format!("out-{case}-{at}");
            // The other side in the same store, at an address, or here.
            let other = match at {
                0 => format!("s3://shards/{y}"),
                1 if y == "y.npy" => format!("{url}/{y}"),
                _ => place.local(y),
            };
            let run = place.pair(address, &other, &output, more);
            succeeded(&run);
            assert!(message(&run).contains("fetching `"), "{}", message(&run));
            assert!(place.results(&output) == place.results(&local), "{address}");
            assert!(!place.scratch.path(&output).join(".himacl-fetched").exists());
            let config = fs::read_to_string(place.scratch.path(&output).join("config.toml")).unwrap();
            let config: toml::Table = config.parse().unwrap();
            let name = config["x"].as_str().unwrap();
            assert!(name.contains("://") && !name.contains("signature"), "{name}");
            assert!(!name.starts_with("hf") || name.contains(COMMIT), "{name}");
        }
    }
    // The files of a pattern on the Hub are one set, and stay in its cache.
    let train = format!("{hub}/table/train-*.parquet");
    succeeded(&place.pair(&train, &place.local("y.npy"), "train", &["--x-key", "embedding"]));
    place.bodies();
    succeeded(&place.pair(&train, &place.local("y.npy"), "again", &["--x-key", "embedding"]));
    assert_eq!(place.bodies().len(), 0);
    assert!(place.results("train") == place.results("again"));
    let snapshot = place.scratch.path("hf/hub/datasets--org--data/snapshots").join(COMMIT);
    assert!(snapshot.join("table/train-10.parquet").is_file() && !snapshot.join("x/deep").exists());
}

/// Waits until a process has got so far, then stops it as Ctrl-C does.
fn stop_when(mut child: Child, reached: impl Fn() -> bool) -> Output {
    for _ in 0..2000 {
        if reached() || child.try_wait().unwrap().is_some() {
            break;
        }
        sleep(Duration::from_millis(5));
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    child.wait_with_output().unwrap()
}

fn length(folder: &Path) -> u64 {
    contents(folder).values().map(|bytes| bytes.len() as u64).sum()
}

#[test]
fn a_download_that_was_interrupted_goes_on() {
    const BOUND: usize = 200_000;
    let many = || points(20_000, DIMENSION, 5);
    let few = || points(300, DIMENSION, 6);
    let place = Place::new(&[("x/a-1.npy", npy(&few())), ("x/a-2.npy", npy(&many())), ("y.npy", npy(&few()))]);
    let (x, y) = ("s3://shards/x", place.local("y.npy"));
    let more = ["--quality", "fast", "--certify", "none"];
    succeeded(&place.pair(&place.local("x"), &y, "local", &more));
    let fetched = place.scratch.path("out/.himacl-fetched");

    place.server.allow(Some(BOUND));
    let child = place.command(x, &y, "out", &more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stopped = stop_when(child, || fetched.is_dir() && length(&fetched) + 1024 >= BOUND as u64);
    assert_eq!(stopped.status.code(), Some(1), "{}", message(&stopped));
    let said = String::from_utf8_lossy(&stopped.stdout).into_owned();
    assert!(said.contains("interrupted: go on with --resume"), "{said}");
    let got = length(&fetched);
    assert!(got > BOUND as u64 / 2, "{got}");

    // The rest comes, and the first file does not come again.
    place.server.allow(None);
    place.bodies();
    succeeded(&place.pair(x, &y, "out", &[&more[..], &["--resume"]].concat()));
    let bodies = place.bodies();
    let start = got - npy(&few()).len() as u64;
    assert!(bodies.len() == 1 && bodies[0].range.as_deref() == Some(&format!("bytes={start}-")), "{bodies:?}");
    assert!(place.results("out") == place.results("local"));

    // A finished run is told from what the store says alone; another version is refused, before anything is fetched.
    let again = place.pair(x, &y, "out", &[&more[..], &["--resume"]].concat());
    succeeded(&again);
    assert!(String::from_utf8_lossy(&again.stdout).contains("is finished already"));
    place.server.change("x/a-1.npy");
    let changed = place.pair(x, &y, "out", &[&more[..], &["--resume"]].concat());
    let error = message(&changed);
    assert!(changed.status.code() == Some(2) && error.contains("--x is not what it was"), "{error}");
    assert!(place.bodies().is_empty());
    assert!(place.results("out") == place.results("local"));
}

#[test]
fn what_has_come_of_another_version_is_not_taken() {
    const BOUND: usize = 100_000;
    let place = Place::new(&[("x.npy", npy(&points(20_000, 2, 5))), ("y.npy", npy(&points(300, 2, 6)))]);
    let (x, y) = (format!("{}/x.npy", place.server.files), place.local("y.npy"));
    let more = ["--quality", "fast", "--certify", "none"];
    let fetched = place.scratch.path("out/.himacl-fetched");
    place.server.allow(Some(BOUND));
    let child = place.command(&x, &y, "out", &more).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let stopped = stop_when(child, || fetched.is_dir() && length(&fetched) > 0);
    assert_eq!(stopped.status.code(), Some(1), "{}", message(&stopped));
    place.server.allow(None);
    place.server.change("x.npy");
    place.bodies();
    succeeded(&place.pair(&x, &y, "out", &more));
    assert!(place.bodies().iter().all(|seen| seen.range.is_none()), "from the start");
    // As though the changed file had been here.
    let path = place.scratch.path("input/x.npy");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    succeeded(&place.pair(&place.local("x.npy"), &y, "local", &more));
    assert!(place.results("out") == place.results("local"));
}

#[test]
fn transfers_that_break_off_are_taken_up_within_a_run() {
    let place = Place::new(&files());
    let y = place.local("y.npy");
    succeeded(&place.pair(&place.local("x"), &y, "local", &[]));
    place.server.fail("GET", "x/part-10.npy", 1, Fault::Truncate(500));
    place.server.fail("GET", "x/part-10.npy", 1, Fault::Status(503, "", "Retry-After: 0\r\n"));
    succeeded(&place.pair("s3://shards/x", &y, "out", &[]));
    let ranges: Vec<_> = place.bodies().into_iter().filter_map(|seen| seen.range).collect();
    assert_eq!(ranges, ["bytes=500-", "bytes=500-"]);
    assert!(place.results("out") == place.results("local"));
}

#[test]
fn what_cannot_be_had_is_told_by_its_address() {
    let place = Place::new(&files());
    let (url, y) = (&place.server.files, place.local("y.npy"));
    let hub = format!("hf://datasets/{DATA}");
    for (x, said) in [
        ("s3://nobodys/x".to_owned(), "no bucket `nobodys`"),
        ("s3://open.data/y.npy".to_owned(), "denied (AccessDenied"),
        ("s3://shards/z.npy".to_owned(), "s3://shards/z.npy`: there is no such object"),
        ("s3://shards/z".to_owned(), "`s3://shards/z/` names no file"),
        ("s3://shards/clip".to_owned(), "`s3://shards/clip` holds `img_emb`, `text_emb`"),
        ("s3://shards/clip/metadata".to_owned(), "`s3://shards/clip/metadata/metadata_2.parquet`"),
        (format!("{hub}/z.npy"), "z.npy` names no file"),
        ("hf://datasets/org/none/x".to_owned(), "org/none"),
        (format!("{hub}/table"), "/table` has `test-2.parquet` and `train-2.parquet`"),
        (format!("{url}/z.npy"), "/z.npy answered 401"),
        (format!("{url}/x/notes.txt"), "/x/notes.txt` is not in a known format"),
        (format!("{url}/narrow.npy"), "/narrow.npy` has 4 coordinates"),
        ("gs://bucket/x.npy".to_owned(), "sets are read from s3://, https:// and hf://datasets/ alone"),
    ] {
        let error = refused(&place, &place.pair(&x, &y, "out", &[]), "out");
        assert!(error.contains(said), "{x}: {error}");
    }
    // Objects that may be listed and not read.
    place.server.fail("GET", "shards/x/part-2", 1, Fault::Status(403, "", ""));
    let error = refused(&place, &place.pair("s3://shards/x", &y, "out", &[]), "out");
    assert!(error.contains("s3://shards/x/part-2.npy"), "{error}");
    // A disk that is too small.
    place.server.fail("HEAD", "y.npy", 1, Fault::Status(200, "", "Content-Length: 900000000000000\r\n"));
    let error = refused(&place, &place.pair(&format!("{url}/y.npy"), &y, "out", &[]), "out");
    assert!(error.contains("no space for what is to be fetched") && error.contains("--work-dir"), "{error}");
    // What is wrong with the arguments comes to light before anything is fetched.
    place.bodies();
    for (more, said) in [
        (&["--solver", "sinkhorn", "--rank", "3"][..], "--rank does not apply"),
        (&["--external", "--solver", "exact"], "--external and --solver"),
        (&["--warm-start", "s3://shards/w"], "--x and --y alone may be one"),
        (&["--forbidden", "https://host/f.npy"], "--forbidden is an address"),
    ] {
        let error = refused(&place, &place.pair("s3://shards/x", &y, "out", more), "out");
        assert!(error.contains(said), "{error}");
    }
    assert!(place.bodies().is_empty());
}

#[test]
fn temporary_files_may_be_on_another_disk() {
    let place = Place::new(&files());
    let (work, y) = (place.scratch.arg("disk"), place.local("y.npy"));
    let run = place.pair("s3://shards/x", &y, "out", &["--work-dir", &work, "--progress", "json"]);
    succeeded(&run);
    assert!(message(&run).contains("\"task\":\"fetch\",\"unit\":\"bytes\""), "{}", message(&run));
    assert!(!place.scratch.path("out/.himacl-fetched").exists());
    assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
}

#[test]
fn a_run_from_elsewhere_that_is_killed_again_and_again_ends_with_the_same_bytes() {
    let place = Place::new(&[("x.npy", npy(&points(3000, 5, 1))), ("y.npy", npy(&points(3000, 5, 2)))]);
    let more = ["--external", "--block-rows", "500", "--certify", "sampled:200"];
    let started = Instant::now();
    succeeded(&place.pair(&place.local("x.npy"), &place.local("y.npy"), "local", &more));
    kill_until_done(started.elapsed().max(Duration::from_millis(200)), |first| {
        let resume: &[&str] = if first { &[] } else { &["--resume"] };
        let hub = format!("hf://datasets/{DATA}/y.npy");
        place.command("s3://shards/x.npy", &hub, "killed", &[&more[..], resume].concat())
    });
    assert!(place.results("killed") == place.results("local"));
    // What reads embeddings of a pairing wants them here.
    let out = place.scratch.arg("killed");
    let explored = himacl(&["explore", "--pairs", &out, "-o", &place.scratch.arg("page.html")]);
    let error = message(&explored);
    assert!(explored.status.code() == Some(2) && error.contains("`s3://shards/x.npy`"), "{error}");
    assert!(error.contains("hint: ") && error.contains("fetch the file first"), "{error}");
}
