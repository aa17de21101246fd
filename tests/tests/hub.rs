//! The Hub client against a local server that speaks the Hub's file API.

mod support;

use himacl::EncodeError as Error;
use himacl::hub::{Event, Files, Hub, HubError, HubSettings, Open, Proxies, S3Settings, Snapshot};
use std::cell::{Cell, RefCell};
use std::fs;
use std::time::Duration;
use support::Scratch;
use support::hub::{COMMIT, FakeHub, Fault, REPO, git_sum, sha256, weights};

const VALUES: usize = 100_000;

fn server() -> FakeHub {
    FakeHub::start(&[
        ("config.json", br#"{"hidden_size": 4}"#.to_vec()),
        ("1_Pooling/config.json", b"{}".to_vec()),
        ("model.safetensors", weights(VALUES)),
        ("onnx/model.onnx", b"not wanted".to_vec()),
    ])
}

fn settings(server: &FakeHub, scratch: &Scratch) -> HubSettings {
    let cache = scratch.path("cache");
    let (endpoint, first_wait) = (server.endpoint.clone(), Duration::from_millis(1));
    HubSettings {
        endpoint,
        cache,
        token: None,
        certificates: None,
        proxies: Proxies::default(),
        s3: S3Settings::default(),
        offline: false,
        retries: 5,
        first_wait,
    }
}

fn fetch(settings: &HubSettings, revision: &str) -> Result<Snapshot, Box<Error>> {
    Ok(Hub::new(settings.clone()).unwrap().fetch(REPO, revision, &Files::ENCODER, &|_| (), &|| false)?)
}

fn refusal(settings: &HubSettings, revision: &str) -> HubError {
    match *fetch(settings, revision).unwrap_err() {
        Error::Hub(error) => error,
        other => panic!("{other}"),
    }
}

fn check(snapshot: &Snapshot) {
    assert_eq!(snapshot.commit.as_deref(), Some(COMMIT));
    assert_eq!(fs::read(snapshot.folder.join("model.safetensors")).unwrap(), weights(VALUES));
    assert_eq!(fs::read(snapshot.folder.join("1_Pooling/config.json")).unwrap(), b"{}");
    assert!(snapshot.folder.join("config.json").is_file());
    assert!(!snapshot.folder.join("onnx").exists());
}

#[test]
fn cold_then_cached_then_offline() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = settings(&server, &scratch);
    let offline = HubSettings { offline: true, ..settings.clone() };
    assert!(matches!(refusal(&offline, "main"), HubError::Offline { file, .. } if file == "model.safetensors"));
    assert!(server.seen().is_empty(), "offline means that nothing is sent");

    let snapshot = fetch(&settings, "main").unwrap();
    check(&snapshot);
    assert!(server.seen().iter().any(|seen| seen.host == "cdn"));
    // What other programs expect: a link to a blob named by its sum, and the branch's commit.
    let root = settings.cache.join("models--org--encoder");
    let blob = fs::canonicalize(root.join("blobs").join(sha256(&weights(VALUES)))).unwrap();
    assert_eq!(fs::canonicalize(snapshot.folder.join("model.safetensors")).unwrap(), blob);
    assert_eq!(fs::read_to_string(root.join("refs/main")).unwrap(), COMMIT);
    assert_eq!(snapshot.folder, root.join("snapshots").join(COMMIT));
    assert!(fs::read_dir(root.join("blobs")).unwrap().all(|entry| entry.unwrap().path().extension().is_none()));

    check(&fetch(&settings, "main").unwrap());
    let seen = server.seen();
    assert_eq!(seen.len(), 1, "a branch is looked up, nothing is fetched again: {seen:?}");
    check(&fetch(&settings, COMMIT).unwrap());
    check(&fetch(&offline, "main").unwrap());
    check(&fetch(&offline, COMMIT).unwrap());
    assert!(server.seen().is_empty(), "a commit never changes");
}

#[test]
fn without_a_network_the_cache_serves() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = settings(&server, &scratch);
    check(&fetch(&settings, "main").unwrap());
    // A port that nobody listens on.
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let cut = HubSettings { endpoint: format!("http://{nobody}"), retries: 1, ..settings };
    check(&fetch(&cut, "main").unwrap());
    let cold = HubSettings { cache: scratch.path("empty"), ..cut };
    let error = refusal(&cold, "main");
    assert!(matches!(error, HubError::Network { attempts: 2, .. }), "{error}");
    assert!(error.to_string().contains("take them from there"), "{error}");
}

#[test]
fn refusals_say_what_to_do() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = settings(&server, &scratch);
    assert!(matches!(refusal(&settings, "v9"), HubError::NoRevision { revision, .. } if revision == "v9"));
    let hub = Hub::new(settings.clone()).unwrap();
    let error = hub.fetch("org/other", "main", &Files::ENCODER, &|_| (), &|| false).unwrap_err().to_string();
    assert!(error.contains("no repository `org/other`") && error.contains("HF_TOKEN"), "{error}");
    let named = Files::Named(vec!["model.safetensors".to_owned(), "absent.json".to_owned()]);
    let error = hub.fetch(REPO, "main", &named, &|_| (), &|| false).unwrap_err();
    assert!(matches!(error, Error::Hub(HubError::NoFile { ref file, .. }) if file == "absent.json"), "{error}");

    server.fail("HEAD", "model.safetensors", 1, Fault::Status(401, "GatedRepo", "X-Error-Message: Ask first.\r\n"));
    let error = refusal(&settings, "main").to_string();
    assert!(error.contains("(\"Ask first.\")") && error.contains(&format!("{}/{REPO}", server.endpoint)), "{error}");
    server.fail("HEAD", "model.safetensors", 1, Fault::Status(403, "GatedRepo", ""));
    assert!(matches!(refusal(&settings, "main"), HubError::Gated { token: false, .. }));
    let with_token = HubSettings { token: Some("hf_wrong".to_owned()), ..settings.clone() };
    server.fail("GET", "/api/models", 1, Fault::Status(401, "", ""));
    assert!(matches!(refusal(&with_token, "main"), HubError::Token { message, .. } if message == "said the server"));
    server.fail("HEAD", "model.safetensors", 1, Fault::Status(404, "EntryNotFound", ""));
    assert!(matches!(refusal(&settings, "main"), HubError::NoFile { .. }));

    let relative = HubSettings { endpoint: "huggingface.co".to_owned(), ..settings };
    assert!(matches!(Hub::new(relative), Err(HubError::Address(_))));
}

#[test]
fn busy_and_broken_servers_are_asked_again() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = settings(&server, &scratch);
    server.fail("GET", "/api/models", 1, Fault::Status(429, "", "Retry-After: 0\r\n"));
    server.fail("GET", "/api/models", 2, Fault::Status(500, "", ""));
    server.fail("HEAD", "model.safetensors", 1, Fault::Status(503, "", ""));
    server.fail("GET", "model.safetensors", 1, Fault::Status(504, "", ""));
    check(&fetch(&settings, "main").unwrap());
    assert_eq!(server.seen().iter().filter(|seen| seen.path.contains("/api/models")).count(), 4);

    server.fail("GET", "/api/models", 100, Fault::Status(500, "", ""));
    let cold = HubSettings { cache: scratch.path("cold"), ..settings };
    let error = refusal(&cold, "main");
    assert!(matches!(error, HubError::Status { status: 500, attempts: 6, .. }), "{error}");
    assert_eq!(server.seen().len(), 6, "one attempt and five retries");
}

#[test]
fn a_truncated_body_goes_on_where_it_ended() {
    let (server, scratch) = (server(), Scratch::new());
    server.fail("GET", "/model.safetensors?", 2, Fault::Truncate(150_000));
    let events = RefCell::new(Vec::new());
    let hub = Hub::new(settings(&server, &scratch)).unwrap();
    let observe = |event: Event<'_>| {
        events.borrow_mut().push(match event {
            Event::Started { file, done, total } => format!("{file} {done} {total:?}"),
            Event::Advanced(_) => return,
            Event::Finished => "finished".to_owned(),
        });
    };
    check(&hub.fetch(REPO, "main", &Files::ENCODER, &observe, &|| false).unwrap());
    let ranges: Vec<_> = server.seen().into_iter().filter(|seen| seen.host == "cdn").map(|seen| seen.range).collect();
    assert_eq!(ranges, [None, Some("bytes=150000-".to_owned()), Some("bytes=300000-".to_owned())]);
    let size = weights(VALUES).len();
    assert!(events.borrow().contains(&format!("model.safetensors 300000 Some({size})")), "{events:?}");
}

#[test]
fn a_transfer_that_never_ends_well_is_kept_for_the_next_command() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = HubSettings { retries: 1, ..settings(&server, &scratch) };
    // Each attempt gets nothing beyond the first 1,000 bytes.
    server.fail("GET", "/model.safetensors?", 1, Fault::Truncate(1000));
    server.fail("GET", "/model.safetensors?", 1, Fault::Truncate(0));
    let error = refusal(&settings, "main");
    assert!(matches!(error, HubError::Truncated { got: 1000, .. } | HubError::Network { .. }), "{error}");
    server.seen();
    check(&fetch(&settings, "main").unwrap());
    let resumed = server.seen().into_iter().find(|seen| seen.host == "cdn").unwrap();
    assert_eq!(resumed.range.as_deref(), Some("bytes=1000-"));
}

#[test]
fn a_server_without_ranges_starts_over() {
    let (server, scratch) = (server(), Scratch::new());
    server.fail("GET", "/model.safetensors?", 1, Fault::Truncate(1000));
    server.fail("GET", "/model.safetensors?", 1, Fault::WholeFile);
    check(&fetch(&settings(&server, &scratch), "main").unwrap());
}

#[test]
fn a_server_without_ranges_that_never_ends_well_is_given_up() {
    let (server, scratch) = (server(), Scratch::new());
    server.fail("GET", "/model.safetensors?", 1000, Fault::CutWhole(1000));
    let error = refusal(&settings(&server, &scratch), "main");
    assert!(matches!(error, HubError::Truncated { .. } | HubError::Network { .. }), "{error}");
    assert_eq!(server.seen().iter().filter(|seen| seen.host == "cdn").count(), 6, "one attempt and five retries");
}

#[test]
fn altered_content_is_refused() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = settings(&server, &scratch);
    server.fail("GET", "/model.safetensors?", 1, Fault::Corrupt);
    let error = refusal(&settings, "main");
    assert!(matches!(error, HubError::Checksum { .. }), "{error}");
    check(&fetch(&settings, "main").unwrap());

    // A damaged beginning from an earlier command: found by the sum, fetched once more from the start.
    let other = HubSettings { cache: scratch.path("other"), ..settings };
    let blobs = other.cache.join("models--org--encoder/blobs");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(format!("{}.incomplete", sha256(&weights(VALUES)))), [7; 5000]).unwrap();
    check(&fetch(&other, "main").unwrap());
}

#[test]
fn weights_with_a_wrong_header_are_refused() {
    let mut broken = weights(10);
    broken.truncate(60);
    let (server, scratch) = (FakeHub::start(&[("model.safetensors", broken)]), Scratch::new());
    let error = refusal(&settings(&server, &scratch), "main");
    assert!(matches!(error, HubError::Weights { .. }), "{error}");
    let snapshot = settings(&server, &scratch).cache.join("models--org--encoder/snapshots");
    assert!(!snapshot.exists(), "damaged weights never become part of a snapshot");
}

#[test]
fn a_link_in_a_shared_cache_is_not_written_through() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = settings(&server, &scratch);
    let root = settings.cache.join("models--org--encoder");
    let locks = settings.cache.join(".locks/models--org--encoder");
    fs::create_dir_all(root.join("blobs")).unwrap();
    fs::create_dir_all(&locks).unwrap();
    let sum = sha256(&weights(VALUES));
    let partial = |sum: &str| root.join("blobs").join(format!("{sum}.incomplete"));
    let mine = scratch.path("mine");
    fs::write(&mine, "mine").unwrap();
    std::os::unix::fs::symlink(&mine, partial(&sum)).unwrap();
    fs::hard_link(&mine, partial(&git_sum(b"{}"))).unwrap();
    std::os::unix::fs::symlink(scratch.path("absent"), locks.join(format!("{sum}.lock"))).unwrap();
    check(&fetch(&settings, "main").unwrap());
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    assert!(!scratch.path("absent").exists());
    assert!(root.join("blobs").join(&sum).symlink_metadata().unwrap().is_file());
}

#[test]
fn small_files_are_checked_too() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = settings(&server, &scratch);
    let blobs = settings.cache.join("models--org--encoder/blobs");
    let is_empty = || fs::read_dir(&blobs).unwrap().next().is_none();
    server.fail("GET", "1_Pooling/config.json", 1, Fault::Corrupt);
    let error = refusal(&settings, "main");
    assert!(matches!(&error, HubError::Checksum { expected, .. } if *expected == git_sum(b"{}")), "{error}");
    assert!(is_empty());
    // A page in place of a file whose sum is known, and of one of which only a mirror's own name is.
    let page = "<!DOCTYPE html><p>Please log in";
    for head in [None, Some("ETag: \"5f-1a2b\"\r\nContent-Length: 31\r\n")] {
        if let Some(head) = head {
            server.fail("HEAD", "1_Pooling/config.json", 1, Fault::Status(200, "", head));
        }
        server.fail("GET", "1_Pooling/config.json", 1, Fault::Other(page));
        let error = refusal(&settings, "main");
        assert!(matches!(error, HubError::Page { .. }), "{error}");
        assert!(is_empty(), "{head:?}");
    }
    check(&fetch(&settings, "main").unwrap());
}

#[test]
fn another_commit_is_refused() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = settings(&server, &scratch);
    let other = r#"{"sha": "ffffffffffffffffffffffffffffffffffffffff", "siblings": []}"#;
    server.fail("GET", "/api/models", 1, Fault::Other(other));
    let error = refusal(&settings, COMMIT);
    assert!(matches!(&error, HubError::Commit { expected, .. } if expected == COMMIT), "{error}");
    assert!(error.to_string().contains("answered with ffffffff"), "{error}");
    let head = "ETag: \"0123\"\r\nX-Repo-Commit: ffffffffffffffffffffffffffffffffffffffff\r\n";
    server.fail("HEAD", "1_Pooling/config.json", 1, Fault::Status(200, "", head));
    let error = refusal(&settings, "main");
    assert!(matches!(error, HubError::Commit { .. }), "{error}");
    check(&fetch(&settings, &COMMIT.to_ascii_uppercase()).unwrap());
}

#[test]
fn redirects_are_followed_and_the_token_stays_home() {
    let (server, scratch) = (server(), Scratch::new());
    let settings = HubSettings { token: Some("hf_secret".to_owned()), ..settings(&server, &scratch) };
    server.fail("GET", "/api/models/org/encoder", 1, Fault::Moved);
    server.fail("HEAD", "/org/encoder/resolve", 9, Fault::Moved);
    check(&fetch(&settings, "main").unwrap());
    let seen = server.seen();
    assert!(seen.iter().any(|seen| seen.path.contains("org/old-name/resolve")), "{seen:?}");
    for request in &seen {
        let expected = (request.host == "hub").then_some("Bearer hf_secret");
        assert_eq!(request.token.as_deref(), expected, "{request:?}");
    }
    assert!(seen.iter().any(|seen| seen.host == "cdn" && seen.method == "GET"));
}

/// What decides an embedding is fetched, wherever it is, or missed by name.
#[test]
fn a_text_encoder_is_fetched_as_a_whole() {
    let modules = br#"[{"path": "", "type": "sentence_transformers.models.Transformer"},
        {"path": "pooling", "type": "sentence_transformers.models.Pooling"}]"#;
    let mut files = vec![
        ("config.json", b"{}".to_vec()),
        ("modules.json", modules.to_vec()),
        ("pooling/config.json", b"{}".to_vec()),
        ("tokenizer.json", b"{}".to_vec()),
        ("model.safetensors", weights(10)),
    ];
    let text = Files::Encoder(Open { pictures: false, tokens: true, pooling: true });
    let fetch = |settings: &HubSettings| {
        Hub::new(settings.clone()).unwrap().fetch(REPO, COMMIT, &text, &|_| (), &|| false).map_err(Box::new)
    };
    let (server, scratch) = (FakeHub::start(&files), Scratch::new());
    let settings = settings(&server, &scratch);
    let offline = HubSettings { offline: true, ..settings.clone() };
    let folder = fetch(&settings).unwrap().folder;
    fetch(&offline).unwrap();
    for file in ["pooling/config.json", "modules.json", "tokenizer.json", "config.json"] {
        fs::remove_file(folder.join(file)).unwrap();
        let error = fetch(&offline).unwrap_err();
        assert!(matches!(&*error, Error::Hub(HubError::Offline { file: missing, .. }) if missing == file), "{error}");
        fetch(&settings).unwrap();
        assert!(folder.join(file).is_file(), "{file} is fetched, though the weights are there");
    }
    files.remove(2);
    let (server, scratch) = (FakeHub::start(&files), Scratch::new());
    let settings = self::settings(&server, &scratch);
    let error = fetch(&settings).unwrap_err();
    assert!(matches!(&*error, Error::Hub(HubError::NoFile { file, .. }) if file == "pooling/config.json"), "{error}");
}

#[test]
fn a_stop_does_not_wait_for_a_silent_server() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let scratch = Scratch::new();
    let server = server();
    let settings = settings(&server, &scratch);
    let fetch = |endpoint: String, should_stop: &dyn Fn() -> bool| {
        let hub = Hub::new(HubSettings { endpoint, ..settings.clone() }).unwrap();
        hub.fetch(REPO, "main", &Files::ENCODER, &|_| (), should_stop).unwrap_err()
    };
    let asked = Cell::new(0);
    let error = fetch(format!("http://{}", silent.local_addr().unwrap()), &|| asked.replace(asked.get() + 1) > 3);
    assert!(matches!(error, Error::Hub(HubError::Interrupted)), "before any answer: {error}");

    let partial =
        settings.cache.join("models--org--encoder/blobs").join(format!("{}.incomplete", sha256(&weights(VALUES))));
    let length = || fs::metadata(&partial).map_or(0, |found| found.len());
    server.allow(Some(1000));
    let error = fetch(server.endpoint.clone(), &|| length() == 1000);
    assert!(matches!(error, Error::Hub(HubError::Interrupted)), "within a body: {error}");
    assert_eq!(length(), 1000, "what has come is kept");

    server.fail("GET", "/api/models", 1, Fault::Status(429, "", "Retry-After: 200\r\n"));
    server.seen();
    let (busy, asked) = (Cell::new(false), Cell::new(0));
    let error = fetch(server.endpoint.clone(), &|| {
        busy.set(busy.get() || !server.seen().is_empty());
        busy.get() && asked.replace(asked.get() + 1) > 10
    });
    assert!(matches!(error, Error::Hub(HubError::Interrupted)), "while it is busy: {error}");
}
