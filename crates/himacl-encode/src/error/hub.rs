//! Why something cannot be had from the Hub.

use std::path::{Path, PathBuf};

/// Why something cannot be had from the Hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubError {
    /// A repository's name that is none.
    #[error(
        "`{0}` is not the name of a repository\nhint: expected ORG/NAME, as in sentence-transformers/all-MiniLM-L6-v2"
    )]
    RepoName(String),
    /// A file's or a revision's name that would lead out of the cache.
    #[error("`{0}` is not the name of a file or revision of a repository")]
    Name(String),
    /// An address that cannot be parsed.
    #[error("`{0}` is not an address\nhint: HF_ENDPOINT looks like https://huggingface.co")]
    Address(String),
    /// Offline, and the cache has not what is needed.
    #[error(
        "`{file}` of `{repo}` (revision {revision}) is not in the cache `{}`, and HF_HUB_OFFLINE is set (or TRANSFORMERS_OFFLINE, HF_DATASETS_OFFLINE)\n\
         hint: unset it, or take the files from a folder", cache.display()
    )]
    Offline {
        /// The repository.
        repo: String,
        /// The revision asked for.
        revision: String,
        /// What is missing.
        file: String,
        /// The cache.
        cache: PathBuf,
    },
    /// Offline, and an address is asked for.
    #[error(
        "`{0}` is elsewhere, and HF_HUB_OFFLINE is set (or TRANSFORMERS_OFFLINE, HF_DATASETS_OFFLINE)\nhint: unset it, or name files on the disk"
    )]
    OfflineAddress(String),
    /// A file that is not what it was when the run began.
    #[error("{url} has changed since the run began\nhint: begin anew with what is there now")]
    Changed {
        /// The address.
        url: String,
    },
    /// A repository that wants its conditions accepted.
    #[error("access to `{repo}` is restricted{}\nhint: accept its conditions at {page}{}", said(message), token_hint(*token))]
    Gated {
        /// The repository.
        repo: String,
        /// Its page.
        page: String,
        /// What the server said.
        message: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// A token that the server does not know.
    #[error(
        "the Hub does not accept the token{}\nhint: check HF_TOKEN, or make a new one at {endpoint}/settings/tokens",
        said(message)
    )]
    Token {
        /// The server.
        endpoint: String,
        /// What the server said.
        message: String,
    },
    /// A repository that does not exist, or that may not be seen.
    #[error("there is no repository `{repo}` at {endpoint}, or it is private\nhint: check its name{}", token_hint(*token))]
    NoRepo {
        /// The repository.
        repo: String,
        /// The server.
        endpoint: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// A revision that does not exist.
    #[error("`{repo}` has no revision `{revision}`\nhint: expected a branch, a tag or a full commit")]
    NoRevision {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
    },
    /// A file that does not exist.
    #[error("`{repo}` has no file `{file}` in revision {revision}")]
    NoFile {
        /// The repository.
        repo: String,
        /// The revision.
        revision: String,
        /// The file.
        file: String,
    },
    /// A repository or folder without weights that can be read.
    #[error("`{place}` has no weights as .safetensors{}", others(found))]
    NoWeights {
        /// The repository or folder.
        place: String,
        /// Weights in other formats.
        found: Vec<String>,
    },
    /// A repository or folder with weights that change others (low-rank ones, for example).
    #[error(
        "`{place}` has an adapter (`adapter_config.json`), and those are not read: the embeddings would be those of the model without it\nhint: merge it into the weights (`merge_and_unload()` of peft) and save the model"
    )]
    Adapter {
        /// The repository or folder.
        place: String,
    },
    /// A folder that lacks a file.
    #[error("`{}` has no `{file}`\nhint: expected a folder with the files of {repo}, by the same names", folder.display())]
    NoLocalFile {
        /// The folder.
        folder: PathBuf,
        /// The file.
        file: String,
        /// The repository.
        repo: String,
    },
    /// An answer that nobody expects.
    #[error("{url} answered {status}{} ({attempts} attempts)", said(message))]
    Status {
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// What the server said.
        message: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// An answer without what the Hub's protocol promises.
    #[error("{url} answered without {what}\nhint: is HF_ENDPOINT the address of a Hub?")]
    Protocol {
        /// The address.
        url: String,
        /// What is missing.
        what: &'static str,
    },
    /// No connection.
    #[error(
        "cannot reach {url}: {reason} ({attempts} attempts)\n\
         hint: check the network, or HF_ENDPOINT; where there is none, copy the files to a folder and take them from there"
    )]
    Network {
        /// The address.
        url: String,
        /// Why not.
        reason: String,
        /// How often it was tried.
        attempts: u32,
    },
    /// A proxy that is not spoken to.
    #[error(
        "the proxy `{address}` cannot be used: {reason}\n\
         hint: HTTPS_PROXY, HTTP_PROXY or ALL_PROXY names a proxy that speaks HTTP (http://HOST:PORT), NO_PROXY the hosts that need none"
    )]
    Proxy {
        /// The proxy.
        address: String,
        /// Why not.
        reason: &'static str,
    },
    /// A server that shows a certificate of nobody known.
    #[error(
        "cannot trust {url}: {reason}\n\
         hint: where a proxy or a mirror has an authority of its own, SSL_CERT_FILE names its certificates (PEM)"
    )]
    Untrusted {
        /// The address.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Authorities that were named and cannot be read.
    #[error("certificates `{}`: {reason}\nhint: SSL_CERT_FILE, REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names them", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A transfer that ends early, again and again.
    #[error(
        "{url} ends after {got} of {expected} bytes ({attempts} attempts)\nhint: what has come is kept; the same command goes on from there"
    )]
    Truncated {
        /// The address.
        url: String,
        /// Bytes that came.
        got: u64,
        /// Bytes announced.
        expected: u64,
        /// How often it was tried.
        attempts: u32,
    },
    /// Content other than what was announced.
    #[error(
        "{url} gave content with the checksum {got}, expected {expected}\nhint: try again; if it persists, a proxy or mirror alters files"
    )]
    Checksum {
        /// The address.
        url: String,
        /// The sum of what came: SHA-256, or Git's for small files.
        got: String,
        /// The sum announced.
        expected: String,
    },
    /// A web page instead of a file.
    #[error(
        "{url} gave a web page instead of the file\nhint: a proxy or a login page may have answered in the Hub's place"
    )]
    Page {
        /// The address.
        url: String,
    },
    /// Another commit than the one asked for.
    #[error(
        "commit {expected} of `{repo}` was asked for, and the server answered with {got}\nhint: is HF_ENDPOINT the address of a Hub or a true mirror?"
    )]
    Commit {
        /// The repository.
        repo: String,
        /// The commit that came.
        got: String,
        /// The commit asked for.
        expected: String,
    },
    /// Weights that are not sound.
    #[error("weights `{}` are damaged: {problem}\nhint: remove the file and fetch it again", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The place of a file that Git LFS has not fetched.
    #[error(
        "`{}` is a Git LFS pointer, not the file itself\nhint: `git lfs pull` in the repository fetches the file, or leave it to `himacl download`",
        path.display()
    )]
    Pointer {
        /// The file.
        path: PathBuf,
    },
    /// An object of a bucket, or its list, that cannot be had.
    #[error("`{address}`: {reason}\nhint: {hint}")]
    Bucket {
        /// The address.
        address: String,
        /// Why not.
        reason: String,
        /// What helps.
        hint: String,
    },
    /// The user stopped the transfer.
    #[error("the download was interrupted\nhint: what has come is kept; the same command goes on from there")]
    Interrupted,
}

fn said(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(" (\"{message}\")") }
}

fn token_hint(token: bool) -> &'static str {
    if token { "" } else { "; then set HF_TOKEN to a token of yours, if it needs one" }
}

fn others(found: &[String]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let only_onnx = found.iter().all(|name| Path::new(name).extension().is_some_and(|extension| extension == "onnx"));
    let hint = if only_onnx {
        "ONNX is not read; take the repository that it was exported from"
    } else {
        "convert them with safetensors' convert.py, and take them from a folder"
    };
    format!(", only {}\nhint: {hint}", found.join(", "))
}
