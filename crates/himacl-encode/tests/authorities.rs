//! A Hub or a proxy with an authority of its own.

use himacl_encode::Error;
use himacl_encode::hub::{Files, Hub, HubError, HubSettings, Proxies, S3Settings};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// Serves one repository with `config.json` alone over TLS; returns its address and how many have connected.
fn server() -> (String, Arc<AtomicUsize>) {
    let chain = vec![CertificateDer::from_pem_file(certificate("server.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(certificate("server-key.pem")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://{}", listener.local_addr().unwrap());
    let connected = Arc::new(AtomicUsize::new(0));
    let count = connected.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            // A client that does not trust this server hangs up.
            let _ = answer(ServerConnection::new(config.clone()).unwrap(), stream);
        }
    });
    (address, connected)
}

fn answer(connection: ServerConnection, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(StreamOwned::new(connection, stream));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let body = if first.contains("/api/models/") {
        format!(r#"{{"sha": "{COMMIT}", "siblings": [{{"rfilename": "config.json"}}]}}"#)
    } else {
        "{}".to_owned()
    };
    let content = if first.starts_with("HEAD") { "" } else { body.as_str() };
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nConnection: close\r\nETag: \"0123\"\r\nContent-Length: {}\r\n\r\n{content}",
        body.len()
    )?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn fetch(endpoint: &str, certificates: Option<PathBuf>) -> Result<PathBuf, HubError> {
    let folder = tempfile::tempdir().unwrap();
    let settings = HubSettings {
        endpoint: endpoint.to_owned(),
        cache: folder.path().to_path_buf(),
        token: None,
        certificates,
        proxies: Proxies::default(),
        s3: S3Settings::default(),
        offline: false,
        retries: 5,
        first_wait: Duration::from_millis(1),
    };
    let fetched = Hub::new(settings).map_err(Error::from).and_then(|hub| {
        hub.fetch("org/encoder", "main", &Files::Named(vec!["config.json".to_owned()]), &|_| (), &|| false)
    });
    match fetched {
        Ok(snapshot) => Ok(snapshot.folder),
        Err(Error::Hub(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn an_authority_is_known_once_it_is_named() {
    let (endpoint, connected) = server();
    fetch(&endpoint, Some(certificate("authority.pem"))).unwrap();
    connected.store(0, Ordering::SeqCst);
    let error = fetch(&endpoint, None).unwrap_err();
    assert!(matches!(error, HubError::Untrusted { .. }), "{error}");
    assert!(error.to_string().contains("SSL_CERT_FILE"), "{error}");
    assert_eq!(connected.load(Ordering::SeqCst), 1, "another attempt would fail, too");
}

#[test]
fn a_server_without_tls_is_not_asked_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
    });
    let error = fetch(&endpoint, None).unwrap_err();
    assert!(matches!(error, HubError::Untrusted { .. }), "{error}");
    server.join().unwrap();
}

#[test]
fn authorities_that_cannot_be_read_are_refused_at_once() {
    for path in [certificate("absent.pem"), certificate("server-key.pem"), certificate("")] {
        let error = fetch("https://127.0.0.1:1", Some(path)).unwrap_err();
        assert!(matches!(error, HubError::Certificates { .. }), "{error}");
    }
}
