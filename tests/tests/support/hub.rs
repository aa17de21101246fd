//! A server on 127.0.0.1 that speaks the Hub's file API, with faults on demand.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};

pub(crate) const REPO: &str = "org/encoder";
/// The same files as a repository of datasets.
pub(crate) const DATA: &str = "org/data";
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// `hub`, `cdn` or `store`.
    pub(crate) host: &'static str,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) range: Option<String>,
    headers: Vec<String>,
}

impl Seen {
    /// The bytes asked for, of so many.
    pub(crate) fn bytes(&self, length: usize) -> Option<Range<usize>> {
        let (start, last) = self.range.as_ref()?.strip_prefix("bytes=")?.split_once('-')?;
        let end = if last.is_empty() { length } else { last.parse::<usize>().ok()? + 1 };
        Some(start.parse().ok()?..end.min(length))
    }
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// This status, with this `X-Error-Code` and these further header lines.
    Status(u16, &'static str, &'static str),
    /// The body ends after so many bytes.
    Truncate(usize),
    /// The range asked for is ignored.
    WholeFile,
    /// The range asked for is ignored, and the body ends after so many bytes.
    CutWhole(usize),
    /// Another content of the same length.
    Corrupt,
    /// Something else altogether, with status 200.
    Other(&'static str),
    /// The repository has moved: a relative redirect.
    Moved,
}

/// A fault, for the next `times` requests of `method` whose path contains `path`.
#[derive(Debug, Clone)]
struct Rule {
    method: &'static str,
    path: &'static str,
    times: usize,
    fault: Fault,
}

/// How much of contents may be sent.
#[derive(Debug, Default)]
struct Gate {
    /// Answers of earlier rounds say no more.
    round: usize,
    /// Bytes that may still be sent in this round; no bound where there is none.
    left: Option<usize>,
    sent: usize,
}

#[derive(Debug)]
struct State {
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    gate: Mutex<Gate>,
    /// What refusals say, as in JSON.
    message: Mutex<&'static str>,
    /// What every path begins with.
    prefix: &'static str,
    seen: Mutex<Vec<Seen>>,
    rules: Mutex<Vec<Rule>>,
    cdn: String,
    /// The Hub's own address, with its prefix.
    hub: String,
}

/// The server; it stops listening with the process.
pub(crate) struct FakeHub {
    pub(crate) endpoint: String,
    /// Address of the other host, which serves the files as they are, with an `ETag`.
    pub(crate) files: String,
    /// Address of a store of objects, which has the files in its buckets.
    pub(crate) store: String,
    state: Arc<State>,
}

impl FakeHub {
    /// Serves `files` as [`REPO`] at [`COMMIT`], branch `main`; .safetensors files come from a second host.
    pub(crate) fn start(files: &[(&str, Vec<u8>)]) -> Self {
        Self::below("", files)
    }

    /// The same, with the Hub below a path.
    pub(crate) fn below(prefix: &'static str, files: &[(&str, Vec<u8>)]) -> Self {
        let [hub, cdn, store] = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().unwrap());
        let files = files.iter().map(|(name, content)| ((*name).to_owned(), content.clone())).collect();
        let (endpoint, cdn_address, store_address) = (address(&hub) + prefix, address(&cdn), address(&store));
        let (seen, rules, gate) = (Mutex::default(), Mutex::default(), Mutex::default());
        let state = Arc::new(State {
            files: Mutex::new(files),
            gate,
            message: Mutex::new("said the server"),
            prefix,
            seen,
            rules,
            cdn: cdn_address.clone(),
            hub: endpoint.clone(),
        });
        for (host, listener) in [("hub", hub), ("cdn", cdn), ("store", store)] {
            let state = state.clone();
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let state = state.clone();
                    std::thread::spawn(move || state.serve(host, &stream));
                }
            });
        }
        Self { endpoint, files: cdn_address, store: store_address, state }
    }

    pub(crate) fn fail(&self, method: &'static str, path: &'static str, times: usize, fault: Fault) {
        self.state.rules.lock().unwrap().push(Rule { method, path, times, fault });
    }

    /// Changes a byte of a file, for good.
    pub(crate) fn change(&self, name: &str) {
        *self.state.files.lock().unwrap().get_mut(name).unwrap().last_mut().unwrap() ^= 1;
    }

    /// What refusals say from now on, as in JSON.
    pub(crate) fn say(&self, message: &'static str) {
        *self.state.message.lock().unwrap() = message;
    }

    /// Lets so many more bytes of large files be sent, to those that ask from now on; as many as there are where there is
    /// no bound.
    pub(crate) fn allow(&self, bytes: Option<usize>) {
        let mut gate = self.state.gate.lock().unwrap();
        (gate.round, gate.left) = (gate.round + 1, bytes);
    }

    /// Bytes of large files that have been sent.
    pub(crate) fn sent(&self) -> usize {
        self.state.gate.lock().unwrap().sent
    }

    /// The requests since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.state.seen.lock().unwrap())
    }
}

impl State {
    fn serve(&self, host: &'static str, stream: &TcpStream) {
        let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
        let Some(first) = lines.next() else { return };
        let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let value = |name: &str| {
            let named = |line: &&String| line.to_ascii_lowercase().starts_with(&format!("{name}: "));
            headers.iter().find(named).map(|line| line[name.len() + 2..].to_owned())
        };
        let mut words = first.split(' ').map(ToOwned::to_owned);
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (token, range) = (value("authorization"), value("range"));
        let fault = self.fault(&method, &path);
        let seen = Seen { host, method: method.clone(), path: path.clone(), token, range, headers };
        self.seen.lock().unwrap().push(seen.clone());
        let (status, mut head, body) = self.answer(&seen, fault.as_ref());
        if !head.to_ascii_lowercase().contains("content-length") {
            let _ = write!(head, "Content-Length: {}\r\n", body.len());
        }
        let sent = match fault {
            _ if method == "HEAD" => &[],
            Some(Fault::Truncate(length) | Fault::CutWhole(length)) => &body[..length.min(body.len())],
            _ => body.as_slice(),
        };
        let mut stream = stream;
        // A client that has gone is no failure of the server.
        let _ = stream.write_all(format!("HTTP/1.1 {status} x\r\nConnection: close\r\n{head}\r\n").as_bytes());
        let _ =
            if host != "hub" && !path.contains("list-type") { self.send(stream, sent) } else { stream.write_all(sent) };
    }

    /// Sends as the gate allows.
    fn send(&self, mut stream: &TcpStream, mut rest: &[u8]) -> std::io::Result<()> {
        let round = self.gate.lock().unwrap().round;
        while !rest.is_empty() {
            let now = {
                let mut gate = self.gate.lock().unwrap();
                if gate.round != round {
                    return Ok(());
                }
                let now = rest.len().min(1 << 16).min(gate.left.unwrap_or(usize::MAX));
                gate.left = gate.left.map(|left| left - now);
                gate.sent += now;
                now
            };
            stream.write_all(&rest[..now])?;
            rest = &rest[now..];
            if now == 0 {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        Ok(())
    }

    fn fault(&self, method: &str, path: &str) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let applies = |rule: &&mut Rule| rule.times > 0 && rule.method == method && path.contains(rule.path);
        let rule = rules.iter_mut().find(applies)?;
        rule.times -= 1;
        Some(rule.fault.clone())
    }

    /// The files below a folder, two to a page.
    fn tree(&self, rest: &str) -> (u16, String, Vec<u8>) {
        const PAGE: usize = 2;
        let (folder, query) = rest.split_once('?').unwrap_or((rest, ""));
        let below = folder.trim_start_matches('/');
        let page = query.split_once("page=").map_or(0, |(_, page)| page.parse().unwrap());
        let files = self.files.lock().unwrap();
        let inside: Vec<_> = files.iter().filter(|(name, _)| name.starts_with(below)).collect();
        let entry = |(name, content): &&(&String, &Vec<u8>)| {
            let lfs = serde_json::json!({ "oid": sha256(content), "size": content.len() });
            serde_json::json!({ "type": "file", "path": name, "size": content.len(), "oid": git_sum(content), "lfs": lfs })
        };
        let mut entries: Vec<_> = inside.iter().skip(page * PAGE).take(PAGE).map(|file| entry(&file)).collect();
        entries.push(serde_json::json!({ "type": "directory", "path": "folder", "size": 0, "oid": "0" }));
        let next = format!("{}/api/datasets/{DATA}/tree/{COMMIT}{folder}", self.hub);
        let more = inside.len() > (page + 1) * PAGE;
        let link = format!("Link: <{next}?recursive=true&page={}>; rel=\"next\"\r\n", page + 1);
        (200, if more { link } else { String::new() }, serde_json::json!(entries).to_string().into_bytes())
    }

    fn answer(&self, seen: &Seen, fault: Option<&Fault>) -> (u16, String, Vec<u8>) {
        let refuse = |status: u16, code: &str| {
            let code = if code.is_empty() { String::new() } else { format!("X-Error-Code: {code}\r\n") };
            (status, code, format!(r#"{{"error":"{}"}}"#, self.message.lock().unwrap()).into_bytes())
        };
        match fault {
            Some(Fault::Status(status, code, more)) => {
                let (status, head, body) = refuse(*status, code);
                return (status, format!("{head}{more}"), body);
            }
            Some(Fault::Other(body)) => return (200, String::new(), body.as_bytes().to_vec()),
            Some(Fault::Moved) => {
                return (307, format!("Location: {}\r\n", seen.path.replace(REPO, "org/old-name")), Vec::new());
            }
            _ => {}
        }
        if let Some(folder) = seen.path.strip_prefix(&format!("{}/api/datasets/{DATA}/tree/{COMMIT}", self.prefix)) {
            return self.tree(folder);
        }
        let files = self.files.lock().unwrap();
        if seen.host == "store" {
            return match super::store::answer(&seen.method, &seen.path, &seen.headers, &files) {
                Ok(name) => Self::object(seen, fault, &files[&name]),
                Err(answer) => answer,
            };
        }
        let path = seen.path.replace("org/old-name", REPO);
        let path = if seen.host == "hub" { path.strip_prefix(self.prefix).unwrap_or("/") } else { &path };
        if let Some(revision) = path.strip_prefix(&format!("/api/models/{REPO}/revision/")) {
            if revision != "main" && revision != COMMIT {
                return refuse(404, "RevisionNotFound");
            }
            let siblings: Vec<_> = files.keys().map(|name| serde_json::json!({ "rfilename": name })).collect();
            let info = serde_json::json!({ "sha": COMMIT, "siblings": siblings });
            return (200, String::new(), info.to_string().into_bytes());
        }
        if let Some(revision) = path.strip_prefix(&format!("/api/datasets/{DATA}/revision/")) {
            let is_known = [COMMIT, "main", "refs%2Fconvert%2Fparquet"].contains(&revision);
            let info = serde_json::json!({ "sha": COMMIT, "siblings": [] });
            let known = (200, String::new(), info.to_string().into_bytes());
            return if is_known { known } else { refuse(404, "RevisionNotFound") };
        }
        if let Some(name) = path.strip_prefix(&format!("/datasets/{DATA}/resolve/{COMMIT}/")) {
            let Some(content) = files.get(name) else { return refuse(404, "EntryNotFound") };
            let (sum, size) = (sha256(content), content.len());
            let location = format!("Location: {}/{name}?signature=1\r\n", self.cdn);
            return (302, format!("{location}X-Linked-Etag: \"{sum}\"\r\nX-Linked-Size: {size}\r\n"), Vec::new());
        }
        if let Some(name) = path.strip_prefix(&format!("/{REPO}/resolve/{COMMIT}/")) {
            let Some(content) = files.get(name) else { return refuse(404, "EntryNotFound") };
            if name.ends_with(".safetensors") {
                let (sum, size) = (sha256(content), content.len());
                let location = format!("Location: {}/{name}?signature=1\r\n", self.cdn);
                return (302, format!("{location}X-Linked-Etag: \"{sum}\"\r\nX-Linked-Size: {size}\r\n"), Vec::new());
            }
            let mut content = content.clone();
            let sum = git_sum(&content);
            if matches!(fault, Some(Fault::Corrupt)) {
                *content.last_mut().unwrap() ^= 1;
            }
            let head = format!("ETag: \"{sum}\"\r\nX-Repo-Commit: {COMMIT}\r\nContent-Length: {}\r\n", content.len());
            return (200, head, content);
        }
        if seen.host == "cdn"
            && let Some(content) = files.get(path.trim_start_matches('/').split('?').next().unwrap_or_default())
        {
            return Self::object(seen, fault, content);
        }
        refuse(if seen.token.is_some() { 404 } else { 401 }, "RepoNotFound")
    }

    /// A file as it is, or a range of it.
    fn object(seen: &Seen, fault: Option<&Fault>, content: &[u8]) -> (u16, String, Vec<u8>) {
        let mut content = content.to_vec();
        if matches!(fault, Some(Fault::Corrupt)) {
            *content.last_mut().unwrap() ^= 1;
        }
        let etag = format!("ETag: \"{}\"\r\n", &sha256(&content)[..20]);
        match seen.bytes(content.len()) {
            Some(range) if !matches!(fault, Some(Fault::WholeFile | Fault::CutWhole(_))) => {
                let (start, last, all) = (range.start, range.end - 1, content.len());
                let head = format!("Content-Range: bytes {start}-{last}/{all}\r\n{etag}");
                (206, head, content[range].to_vec())
            }
            _ => (200, etag, content),
        }
    }
}

pub(crate) fn sha256(content: &[u8]) -> String {
    hexadecimal(&Sha256::digest(content))
}

/// What Git calls a file with this content.
pub(crate) fn git_sum(content: &[u8]) -> String {
    hexadecimal(&Sha1::new_with_prefix(format!("blob {}\0", content.len())).chain_update(content).finalize())
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A .safetensors file with one f32 tensor of `values` numbers.
pub(crate) fn weights(values: usize) -> Vec<u8> {
    let data: Vec<u8> = (0..values).flat_map(|value| (value as f32).to_le_bytes()).collect();
    let tensor = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![values], &data).unwrap();
    safetensors::serialize([("weight", tensor)], None).unwrap()
}
