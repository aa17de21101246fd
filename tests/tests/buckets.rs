//! Objects in buckets: a store that checks every signature, and refuses in its own words.

mod support;

use himacl::EncodeError as Error;
use himacl::hub::{HubError, HubSettings, S3Keys, S3Settings};
use himacl::readers::{Dataset, Input, Modality, ReadError, ReadOptions, Record};
use support::hub::{FakeHub, Fault};
use support::store::{self, AWAY, OTHER_REGION, PRIVATE, PUBLIC, hub_settings as settings};
use support::{Scratch, himacl};

/// Files of a line each, some of names that must be escaped.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let names = ["data/a 1&+.txt", "data/a 10=%2F.txt", "data/a 2é#.txt", "data/b.txt", "data/deep/c.txt", "d.txt"];
    names.into_iter().map(|name| (name, format!("{name}\n").into_bytes())).collect()
}

/// The captions of an input, or why there are none.
fn read(input: &str, settings: HubSettings) -> Result<Vec<String>, Box<Error>> {
    let input = Input::find(input, settings, || false)?;
    let options = ReadOptions { modality: Modality::Text, image_column: None, caption_column: None };
    let records = Dataset::of(&input, options)?.map(|record| match record? {
        Record::Sample(sample) => Ok(sample.caption.unwrap_or_default()),
        Record::Unusable { key, reason, .. } => panic!("{key}: {reason}"),
    });
    Ok(records.collect::<Result<_, Error>>()?)
}

#[test]
fn patterns_find_objects_in_the_order_of_their_numbers() {
    let server = FakeHub::start(&files());
    let found = |pattern: &str| read(&format!("s3://{PRIVATE}/{pattern}"), settings(&server)).unwrap();
    assert_eq!(found("data/*.txt"), ["data/a 1&+.txt", "data/a 2é#.txt", "data/a 10=%2F.txt", "data/b.txt"]);
    assert!(server.seen().iter().all(|seen| seen.method == "GET"), "a list tells lengths and versions");
    assert_eq!(found("data/**/[b-c].txt"), ["data/b.txt", "data/deep/c.txt"]);
    assert_eq!(found("d{,ata/b}.t?t"), ["d.txt", "data/b.txt"]);
    server.seen();
    assert_eq!(found("{data/b,d}.txt"), ["data/b.txt", "d.txt"]);
    assert_eq!(found("data/a 10=%2F.txt"), ["data/a 10=%2F.txt"]);
    assert!(server.seen().iter().all(|seen| !seen.path.contains("list-type")), "keys are asked for by themselves");
    // Nobody else gets the token of the Hub.
    assert_eq!(found("data/b.txt").len(), 1);
    assert!(server.seen().iter().all(|seen| !seen.token.as_ref().unwrap().contains("hf_secret")));
}

#[test]
fn objects_are_resumed_and_must_stay_what_they_were() {
    let content = (0..5000).map(|line| format!("line {line}")).collect::<Vec<_>>().join("\n");
    let server = FakeHub::start(&[("long.txt", content.clone().into_bytes())]);
    let address = format!("s3://{PRIVATE}/long.*");
    server.fail("GET", "long.txt", 2, Fault::Truncate(20_000));
    server.fail("GET", "long.txt", 1, Fault::Status(503, "", "Retry-After: 0\r\n"));
    assert!(read(&address, settings(&server)).unwrap().iter().eq(content.lines()));
    let ranges: Vec<_> = server.seen().into_iter().filter_map(|seen| seen.range).collect();
    assert_eq!(ranges, ["bytes=20000-", "bytes=40000-", "bytes=40000-"]);
    let input = Input::find(&address, settings(&server), || false).unwrap();
    let before = input.fingerprint();
    server.change("long.txt");
    let options = ReadOptions { modality: Modality::Text, image_column: None, caption_column: None };
    let error = Dataset::of(&input, options).unwrap().next().unwrap().unwrap_err();
    assert!(matches!(&error, Error::Hub(HubError::Changed { url }) if url == "s3://shards/long.txt"), "{error}");
    assert_ne!(Input::find(&address, settings(&server), || false).unwrap().fingerprint(), before);
}

#[test]
fn public_buckets_want_no_credentials() {
    let server = FakeHub::start(&files());
    let nobody = HubSettings { s3: S3Settings { keys: None, ..store::settings(&server) }, ..settings(&server) };
    for pattern in ["d.txt", "*.txt"] {
        assert_eq!(read(&format!("s3://{PUBLIC}/{pattern}"), nobody.clone()).unwrap(), ["d.txt"]);
    }
    let error = read(&format!("s3://{PRIVATE}/d.txt"), nobody).unwrap_err().to_string();
    assert!(error.contains("without credentials") && error.contains("hint: set AWS_ACCESS_KEY_ID"), "{error}");
}

#[test]
fn refusals_are_told_with_what_helps() {
    let server = FakeHub::start(&files());
    let own = store::settings(&server);
    let keys = own.keys.clone().unwrap();
    let with = |keys: S3Keys| S3Settings { keys: Some(keys), ..own.clone() };
    let lent = |session: &str| with(S3Keys { session: Some(session.to_owned()), ..keys.clone() });
    let (no_secret, wrong_secret) = (String::new(), "x".repeat(40));
    let private = format!("s3://{PRIVATE}/d.txt");
    let cases = [
        ("s3://nobodys/d.txt", own.clone(), "no bucket `nobodys`", "check its name"),
        (&format!("s3://{PRIVATE}/e.txt"), own.clone(), "no such object", "a pattern"),
        (&private, lent("old"), "have expired", "set new ones"),
        (
            &private,
            with(S3Keys { id: "AKIDX".to_owned(), ..keys.clone() }),
            "does not know the key",
            "AWS_ACCESS_KEY_ID",
        ),
        (
            &private,
            with(S3Keys { secret: wrong_secret, ..keys.clone() }),
            "signature does not",
            "AWS_SECRET_ACCESS_KEY",
        ),
        (&private, with(S3Keys { secret: no_secret, ..keys.clone() }), "without the other", "set both"),
        (&private, lent("a\nb"), "characters", "AWS_SESSION_TOKEN"),
        (
            &private,
            S3Settings { region: OTHER_REGION.to_owned(), ..own.clone() },
            "is in region eu-test-1, asked was us-test-2",
            "set AWS_REGION=eu-test-1",
        ),
        (&format!("s3://{AWAY}/d.txt"), own.clone(), "region us-test-2, asked was eu-test-1", "AWS_REGION=us-test-2"),
        (&format!("s3://{PUBLIC}/d.txt"), own.clone(), "denied (AccessDenied: \"no & no\")", "s3:GetObject"),
        (
            &private,
            S3Settings { endpoint: Some("http://a b".to_owned()), ..own.clone() },
            "cannot be used",
            "AWS_ENDPOINT_URL",
        ),
    ];
    for (address, s3, reason, hint) in cases {
        for pattern in [address.to_owned(), address.replace("txt", "*")] {
            let is_list = pattern != address;
            let found = Input::find(&pattern, HubSettings { s3: s3.clone(), ..settings(&server) }, || false);
            let error = found.unwrap_err();
            if is_list && reason == "no such object" {
                assert!(matches!(&error, Error::Read(ReadError::NoFiles { .. })), "{error}");
                continue;
            }
            assert!(matches!(&error, Error::Hub(HubError::Bucket { .. })), "{error}");
            let text = error.to_string();
            let (told, help) = text.split_once("\nhint: ").unwrap();
            let bucket = address.rsplit_once('/').unwrap().0;
            assert!(told.contains(bucket) && told.contains(reason) && help.contains(hint), "{text}");
            assert!(!text.contains(store::SECRET), "{text}");
        }
    }
    assert_eq!(
        server.seen().iter().filter(|seen| seen.method == "GET" && seen.path.ends_with("d.txt")).count(),
        7,
        "no refusal is asked for twice"
    );
    for wrong in ["s3://", "s3://bucket", "s3://bucket/", "s3://bucket/data/", "s3://a{0..3}/x.txt", "s3://a:b@c/x"] {
        let error = read(wrong, settings(&server)).unwrap_err();
        assert!(matches!(*error, Error::Read(ReadError::BucketAddress(_))), "{wrong}: {error}");
    }
    let nothing = read(&format!("s3://{PRIVATE}/data/*.tar"), settings(&server)).unwrap_err();
    assert!(matches!(*nothing, Error::Read(ReadError::NoFiles { .. })), "folders' own objects are none: {nothing}");
    let offline = HubSettings { offline: true, ..settings(&server) };
    for pattern in ["d.txt", "*.txt"] {
        let error = read(&format!("s3://{PRIVATE}/{pattern}"), offline.clone()).unwrap_err();
        assert!(matches!(*error, Error::Hub(HubError::OfflineAddress(_))), "{error}");
    }
}

/// A gateway to another kind of store.
#[test]
fn addresses_of_another_scheme_are_shown_as_they_are() {
    let server = FakeHub::start(&files());
    let s3 = S3Settings { scheme: Some("gs".to_owned()), ..store::settings(&server) };
    let with = HubSettings { s3, ..settings(&server) };
    for pattern in ["data/a*.txt", "{data/b,d}.txt"] {
        let input = Input::find(&format!("gs://{PRIVATE}/{pattern}"), with.clone(), || false).unwrap();
        assert_eq!(input.name, format!("gs://{PRIVATE}/{pattern}"));
        assert!(input.files.iter().all(|file| file.starts_with(format!("gs://{PRIVATE}"))), "{input:?}");
        let plain = format!("s3://{PRIVATE}/{pattern}");
        assert_eq!(read(&input.name, with.clone()).unwrap(), read(&plain, settings(&server)).unwrap());
    }
    let error = read(&format!("gs://{PRIVATE}/d.txt"), settings(&server)).unwrap_err();
    assert!(matches!(*error, Error::Read(ReadError::Remote(_))), "{error}");
}

/// Addresses that somebody else has signed, for example.
#[test]
fn plain_addresses_of_stores_say_what_the_store_says() {
    let server = FakeHub::start(&files());
    let error = read(&format!("{}/{PRIVATE}/d.txt", server.store), settings(&server)).unwrap_err();
    let Error::Hub(HubError::Status { status: 403, message, .. }) = *error else { panic!("{error}") };
    assert_eq!(message, "no & no");
    assert!(server.seen().iter().all(|seen| seen.token.is_none()), "nothing is signed for it");
}

#[test]
fn buckets_are_written_on_a_cluster_alone() {
    let scratch = Scratch::new();
    let input = scratch.npy("x.npy", &[vec![1.0, 2.0], vec![3.0, 4.0]]);
    let out = scratch.arg("out");
    let refused = |more: &[&str], said: &[&str]| {
        let output = himacl(&[&["pair", "--y", &input], more].concat());
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && said.iter().all(|said| error.contains(said)), "{error}");
    };
    let cluster = ["hint: --ray takes addresses", "himacl.ray.pair"];
    let other = ["--x is", "`gs://bucket/x.npy`", "hint: --ray takes addresses of other stores"];
    refused(&["--x", "gs://bucket/x.npy", "-o", &out], &other);
    refused(&["--x", &input, "-o", "s3://bucket/out"], &[&["--output is"][..], &cluster].concat());
    refused(
        &["--x", &input, "-o", &out, "--work-dir", "gs://b/w"],
        &[&["--work-dir is", "gs://b/w"][..], &cluster].concat(),
    );
    let on_ray = ["--x", "s3://bucket/x.npy", "-o", "s3://bucket/out", "--ray", "auto"];
    refused(&[&on_ray[..], &["--solver", "exact"]].concat(), &["--ray and --solver"]);
    refused(&[&on_ray[..], &["--workers", "2"]].concat(), &["--workers and addresses"]);
    refused(
        &["--x", &input, "-o", &out, "--ray", "auto", "--scratch-dir", "/mnt"],
        &["--scratch-dir goes with addresses"],
    );
    assert!(!scratch.path("out").exists());
}
