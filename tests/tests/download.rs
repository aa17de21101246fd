//! `himacl download` from a local Hub: killed, behind a proxy, below a path, and what it says.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write, copy};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;
use support::Scratch;
use support::hub::{COMMIT, FakeHub, Fault, REPO, weights};

/// The command, with nothing of this machine's own settings.
fn download(endpoint: &str, scratch: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_himacl-under-test"));
    command.args(["download", "--repo", REPO, "--family", "vit"]).env_clear();
    command.env("HF_ENDPOINT", endpoint).env("HF_HOME", scratch.path("home")).env("NO_COLOR", "1");
    command
}

fn run(command: &mut Command) -> (Output, String) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    (output, stderr)
}

/// A repository whose weights are in parts.
fn sharded() -> Vec<(&'static str, Vec<u8>)> {
    let names =
        ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"];
    let map: serde_json::Map<_, _> = names.iter().map(|name| ((*name).to_owned(), (*name).into())).collect();
    let index = serde_json::json!({ "weight_map": map }).to_string();
    let preparation = br#"{"size": 8}"#.to_vec();
    let mut files = vec![
        ("config.json", b"{}".to_vec()),
        ("preprocessor_config.json", preparation),
        ("model.safetensors.index.json", index.into_bytes()),
    ];
    files.extend(names.iter().zip(1..).map(|(name, part)| (*name, weights(200_000 + part))));
    files
}

/// Bytes of large files that are on the disk, and the length of each that is not complete.
fn on_disk(scratch: &Scratch) -> (usize, BTreeMap<String, usize>) {
    let blobs = scratch.path("home/hub/models--org--encoder/blobs");
    let Ok(entries) = fs::read_dir(blobs) else { return Default::default() };
    let files: Vec<(String, usize)> = entries
        .filter_map(|entry| {
            let entry = entry.unwrap();
            // A file may be renamed while the folder is read.
            let length = entry.metadata().ok()?.len() as usize;
            Some((entry.file_name().into_string().unwrap(), length))
        })
        .filter(|(name, _)| name.trim_end_matches(".incomplete").len() == 64)
        .collect();
    let whole = files.iter().map(|(_, length)| length).sum();
    (whole, files.into_iter().filter(|(name, length)| *length > 0 && name.ends_with(".incomplete")).collect())
}

/// Killed five times, it asks for no byte twice that it has.
#[test]
fn kills_cost_no_byte_twice() {
    let (files, scratch) = (sharded(), Scratch::new());
    let server = FakeHub::start(&files);
    let size: usize = files.iter().filter(|(name, _)| name.ends_with(".safetensors")).map(|(_, data)| data.len()).sum();
    let mut resumed = Vec::new();
    for kill in 1..=5 {
        // Parts end and begin between these; what has been sent is written before the next byte may come.
        let step = size / 6 + 7 * kill;
        server.allow(Some(step));
        let already = on_disk(&scratch).0;
        let mut child = download(&server.endpoint, &scratch).stderr(Stdio::null()).spawn().unwrap();
        while on_disk(&scratch).0 < already + step {
            assert!(child.try_wait().unwrap().is_none(), "it waits for the server");
            sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let (_, partial) = on_disk(&scratch);
        assert_eq!(partial.len(), 1, "one file at a time: {partial:?}");
        resumed.extend(partial.into_values().map(|length| format!("bytes={length}-")));
    }
    server.allow(None);
    let (output, stderr) = run(&mut download(&server.endpoint, &scratch));
    assert!(output.status.success(), "{stderr}");
    assert_eq!(server.sent(), size, "every byte once");
    let asked: Vec<_> = server.seen().into_iter().filter(|seen| seen.host == "cdn").collect();
    let ranges: Vec<_> = asked.iter().filter_map(|seen| seen.range.clone()).collect();
    assert_eq!(ranges, resumed, "each goes on where the disk ends");
    assert_eq!(asked.len(), 3 + 5, "each part from its beginning, once: {asked:?}");
    let folder = scratch.path("home/hub/models--org--encoder/snapshots").join(COMMIT);
    for (name, content) in &files {
        assert!(fs::read(folder.join(name)).unwrap() == *content, "{name}");
    }
}

fn plain() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("config.json", b"{}".to_vec()),
        ("preprocessor_config.json", b"{}".to_vec()),
        ("model.safetensors", weights(100)),
    ]
}

#[test]
fn a_hub_may_be_below_a_path() {
    let (server, scratch) = (FakeHub::below("/mirror/hf", &plain()), Scratch::new());
    let (output, stderr) = run(&mut download(&format!("{}/", server.endpoint), &scratch));
    assert!(output.status.success(), "{stderr}");
    let folder = String::from_utf8(output.stdout).unwrap();
    assert!(Path::new(folder.trim()).join("model.safetensors").is_file());
}

/// A proxy that passes plain http on, counts the requests, and opens no tunnels, as most do to other ports than 443.
fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (format!("http://{}", listener.local_addr().unwrap()), Arc::new(AtomicUsize::new(0)));
    let requests = count.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let requests = requests.clone();
            std::thread::spawn(move || pass_on(&client, &requests));
        }
    });
    (address, count)
}

fn pass_on(client: &TcpStream, requests: &AtomicUsize) {
    let mut reader = BufReader::new(client.try_clone().unwrap());
    let (mut server, mut first) = (None, String::new());
    while reader.read_line(&mut first).is_ok_and(|bytes| bytes > 0) {
        let (mut head, mut line) = (String::new(), String::new());
        while reader.read_line(&mut line).unwrap() > 2 {
            head.push_str(&std::mem::take(&mut line));
        }
        let Some((method, place)) = first.split_once(" http://") else {
            let mut client = client;
            client.write_all(b"HTTP/1.1 403 no tunnels\r\nContent-Length: 0\r\n\r\n").unwrap();
            return;
        };
        requests.fetch_add(1, Ordering::SeqCst);
        let (target, path) = place.split_once('/').unwrap();
        let server = server.get_or_insert_with(|| {
            let server = TcpStream::connect(target).unwrap();
            let (mut from, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = copy(&mut from, &mut back);
                let _ = back.shutdown(std::net::Shutdown::Both);
            });
            server
        });
        server.write_all(format!("{method} /{path}{head}\r\n").as_bytes()).unwrap();
        first.clear();
    }
}

#[test]
fn proxies_are_used_as_the_environment_says() {
    let server = FakeHub::start(&plain());
    let (address, requests) = proxy();
    for (variable, exception, used) in [
        ("HTTP_PROXY", "", true),
        ("http_proxy", "", true),
        ("ALL_PROXY", "", true),
        ("HTTP_PROXY", "127.0.0.1", false),
    ] {
        let scratch = Scratch::new();
        let mut command = download(&server.endpoint, &scratch);
        let (output, stderr) = run(command.env(variable, &address).env("NO_PROXY", exception));
        assert!(output.status.success(), "{variable}: {stderr}");
        assert_eq!(requests.swap(0, Ordering::SeqCst) > 0, used, "{variable}, NO_PROXY={exception}");
    }
}

#[test]
fn nothing_of_a_server_or_a_secret_reaches_the_terminal() {
    let (server, scratch) = (FakeHub::start(&plain()), Scratch::new());
    server.fail("GET", "/api/models", 1, Fault::Status(403, "", ""));
    server.say("\\u001b]0;mine\\u0007\\u001b[31m");
    let (output, stderr) = run(&mut download(&server.endpoint, &scratch));
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains(r"\u{1b}]0;mine\u{7}") && !stderr.contains('\u{1b}'), "{stderr:?}");

    let secret = server.endpoint.replace("http://", "http://me:hunter2@");
    for faults in 0..2 {
        let scratch = Scratch::new();
        server.fail("GET", "/api/models", faults, Fault::Status(404, "RepoNotFound", ""));
        let (_, stderr) = run(&mut download(&secret, &scratch));
        assert!(stderr.contains("127.0.0.1") && !stderr.contains("hunter2"), "{stderr}");
    }
}
