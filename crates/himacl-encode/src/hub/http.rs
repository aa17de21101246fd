//! Requests with redirects, retries, and a token that only the endpoint sees.

use super::aside::{Stopped, aside};
use super::certificates;
use super::forward::Forward;
use super::proxies::Proxies;
use super::s3::{self, Asker, S3Settings, Said};
use super::settings::HubSettings;
use super::text::{SCHEME, shown, without_user};
use crate::error::Error;
use crate::error::HubError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::Read;
use std::time::{Duration, Instant};
use ureq::config::Config;
use ureq::http::header::{AUTHORIZATION, LOCATION, PROXY_AUTHORIZATION, RANGE, RETRY_AFTER};
use ureq::http::{HeaderMap, Method, Request, StatusCode, Uri};
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{ConnectProxyConnector, Connector as _, RustlsConnector, TcpConnector};
use ureq::{Agent, Body, Proxy, ProxyProtocol};

const MAX_REDIRECTS: usize = 10;
/// The longest that a single wait between attempts may be.
const MAX_WAIT: Duration = Duration::from_mins(5);
/// A server that says nothing for this long is taken for dead.
const SILENCE: Duration = Duration::from_secs(30);
/// How much of an error's body is read for its message.
const MESSAGE_BYTES: u64 = 4096;

/// An answer and the address it came from.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) url: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// Who asked, where a store of objects answered.
    pub(super) asker: Option<Asker>,
}

/// Why an attempt failed.
pub(super) enum Failure {
    /// Trying again may help.
    Passing {
        /// What to report if it does not.
        error: HubError,
        /// How long the server asks to wait.
        wait: Option<Duration>,
        /// Whether the attempt got further than the one before.
        progress: bool,
    },
    /// Trying again would not help.
    Final(Box<Error>),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Final(Box::new(error.into()))
    }
}

impl From<Stopped> for Failure {
    fn from(_: Stopped) -> Self {
        HubError::Interrupted.into()
    }
}

/// How addresses of a scheme are asked for.
#[derive(Debug, Clone)]
enum Way {
    Direct,
    /// Through a proxy, and what it is told of its user.
    Through(Agent, Option<String>),
    /// Through one that is not spoken to.
    Refused {
        address: String,
        reason: &'static str,
    },
}

impl Way {
    fn new(proxy: Option<&str>, config: &dyn Fn(Option<Proxy>) -> Config) -> Self {
        let Some(address) = proxy else { return Self::Direct };
        let refused = |reason| Self::Refused { address: without_user(address), reason };
        let Ok(proxy) = Proxy::new(address) else { return refused("it is no address of one") };
        if !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
            return refused("it speaks SOCKS, which is not spoken here");
        }
        let user = proxy.username().map(|user| format!("{user}:{}", proxy.password().unwrap_or_default()));
        let authorization = user.filter(|_| proxy.protocol() == ProxyProtocol::Http);
        let authorization = authorization.map(|user| format!("Basic {}", STANDARD.encode(user)));
        let connector =
            ().chain(Forward)
                .chain(ConnectProxyConnector::default())
                .chain(TcpConnector::default())
                .chain(RustlsConnector::default());
        let agent = Agent::with_parts(config(Some(proxy)), connector, DefaultResolver::default());
        Self::Through(agent, authorization)
    }
}

/// The HTTP client.
#[derive(Debug, Clone)]
pub(super) struct Http {
    /// Asks without a proxy.
    direct: Agent,
    /// How plain http and TLS are asked for.
    ways: [Way; 2],
    proxies: Proxies,
    endpoint: Uri,
    token: Option<String>,
    s3: S3Settings,
    retries: u32,
    first_wait: Duration,
}

impl Http {
    /// A client of the endpoint, or of `any` host.
    pub(super) fn new(settings: &HubSettings, any: bool) -> Result<Self, HubError> {
        let wrong = || HubError::Address(settings.address());
        let endpoint: Uri = settings.endpoint.parse().map_err(|_| wrong())?;
        if endpoint.authority().is_none() || !matches!(endpoint.scheme_str(), Some("http" | "https")) {
            return Err(wrong());
        }
        // Reading them takes milliseconds, and nobody needs them without TLS.
        let tls = match endpoint.scheme_str() {
            scheme if any || scheme == Some("https") => {
                TlsConfig::builder().root_certs(certificates::roots(settings.certificates.as_deref())?).build()
            }
            _ => TlsConfig::default(),
        };
        let config = |proxy: Option<Proxy>| {
            Agent::config_builder()
                .tls_config(tls.clone())
                .proxy(proxy)
                .http_status_as_error(false)
                // Redirects are followed here: the Hub tells about a file in the headers of the first answer.
                .max_redirects(0)
                .max_redirects_will_error(false)
                .timeout_connect(Some(Duration::from_secs(10)))
                .timeout_recv_response(Some(SILENCE))
                .timeout_per_read(Some(SILENCE))
                .accept_encoding("identity")
                .user_agent(concat!("himacl/", env!("CARGO_PKG_VERSION")))
                .build()
        };
        let (direct, proxies) = (config(None).new_agent(), settings.proxies.clone());
        let ways = proxies.named().map(|proxy| Way::new(proxy, &config));
        let (token, s3) = (settings.token.clone(), settings.s3.clone());
        let (retries, first_wait) = (settings.retries, settings.first_wait);
        Ok(Self { direct, ways, proxies, endpoint, token, s3, retries, first_wait })
    }

    pub(super) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Repeats `attempt` while it fails for passing reasons, with waits that double or that the server asks for.
    ///
    /// Attempts that get further than those before do not count against the limit.
    pub(super) fn retry<T>(
        &self,
        should_stop: &dyn Fn() -> bool,
        mut attempt: impl FnMut(u32) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let (mut failures, mut attempts) = (0, 0);
        loop {
            attempts += 1;
            let (error, wait, progress) = match attempt(attempts) {
                Ok(value) => return Ok(value),
                Err(Failure::Final(error)) => return Err(*error),
                Err(Failure::Passing { error, wait, progress }) => (error, wait, progress),
            };
            failures = if progress { 1 } else { failures + 1 };
            if failures > self.retries {
                return Err(error.into());
            }
            let own = self.first_wait.saturating_mul(1 << (failures - 1).min(16));
            let wait = wait.unwrap_or(own).min(MAX_WAIT);
            let what = error.to_string();
            let what = what.lines().next().unwrap_or_default();
            tracing::warn!(error = what, ?wait, "trying again");
            sleep(wait, should_stop)?;
        }
    }

    /// One request, of a `range` as the header has it, redirects followed; `until` may end it at an answer that redirects
    /// elsewhere. Objects of stores, `s3://BUCKET/KEY` with an escaped key, are asked for as [`S3Settings`] say.
    pub(super) fn send(
        &self,
        method: &Method,
        url: &str,
        range: Option<&str>,
        attempt: u32,
        should_stop: &dyn Fn() -> bool,
        mut until: impl FnMut(&Answer) -> bool,
    ) -> Result<Answer, Failure> {
        if let Some(place) = url.strip_prefix(SCHEME) {
            return self.send_to_store(method, place, range, attempt, should_stop);
        }
        let mut url: Uri = url.parse().map_err(|_| HubError::Address(url.to_owned()))?;
        for _ in 0..=MAX_REDIRECTS {
            let mut request = Request::builder().method(method.clone()).uri(url.clone());
            if let Some(token) = self.token.as_ref().filter(|_| self.is_endpoint(&url)) {
                request = request.header(AUTHORIZATION, format!("Bearer {token}"));
            }
            if let Some(range) = range {
                request = request.header(RANGE, range);
            }
            // Only a token with control characters is no header.
            let message = "the token has characters that a header cannot have".to_owned();
            let request = request
                .body(())
                .map_err(|_| HubError::Token { endpoint: without_user(&self.endpoint.to_string()), message })?;
            let answer = self.run(request, without_user(&url.to_string()), attempt, should_stop)?;
            if !answer.status.is_redirection() || until(&answer) {
                return Ok(answer);
            }
            let location = header(&answer.headers, LOCATION.as_str()).unwrap_or_default();
            url = join(&url, &location).ok_or(HubError::Protocol { url: answer.url, what: "a valid Location" })?;
        }
        Err(HubError::Protocol { url: without_user(&url.to_string()), what: "an end to its redirects" }.into())
    }

    /// One request to a store of objects. What it redirects to is for other regions, and would have to be signed for them.
    fn send_to_store(
        &self,
        method: &Method,
        place: &str,
        range: Option<&str>,
        attempt: u32,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<Answer, Failure> {
        let s3::Prepared { uri, headers, asker } = s3::prepare(&self.s3, place, method, range)?;
        let address = shown(&format!("{SCHEME}{place}"));
        let mut request = Request::builder().method(method.clone()).uri(uri);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(()).map_err(|_| HubError::Bucket {
            address: address.clone(),
            reason: "the credentials have characters that a header cannot have".to_owned(),
            hint: "check AWS_ACCESS_KEY_ID, AWS_SESSION_TOKEN and AWS_REGION".to_owned(),
        })?;
        let answer = self.run(request, address, attempt, should_stop)?;
        Ok(Answer { asker: Some(asker), ..answer })
    }

    /// One request, and the answer by the address that it is shown by.
    fn run(
        &self,
        request: Request<()>,
        url: String,
        attempt: u32,
        should_stop: &dyn Fn() -> bool,
    ) -> Result<Answer, Failure> {
        let (agent, request) = self.agent_for(request)?;
        let response = aside(should_stop, move || agent.run(request))?;
        let response = response.map_err(|error| network(&url, &error, attempt))?;
        let (parts, body) = response.into_parts();
        Ok(Answer { url, status: parts.status, headers: parts.headers, body, asker: None })
    }

    /// Who asks: through a proxy or without.
    fn agent_for(&self, mut request: Request<()>) -> Result<(Agent, Request<()>), HubError> {
        let is_tls = request.uri().scheme_str() == Some("https");
        match &self.ways[usize::from(is_tls)] {
            _ if self.proxies.is_exempt(request.uri()) => Ok((self.direct.clone(), request)),
            Way::Direct => Ok((self.direct.clone(), request)),
            Way::Refused { address, reason } => Err(HubError::Proxy { address: address.clone(), reason }),
            Way::Through(agent, authorization) => {
                let header = authorization.as_ref().filter(|_| !is_tls).and_then(|text| text.parse().ok());
                if let Some(header) = header {
                    request.headers_mut().insert(PROXY_AUTHORIZATION, header);
                }
                Ok((agent.clone(), request))
            }
        }
    }

    /// Whether an address belongs to the endpoint, and may see the token.
    fn is_endpoint(&self, url: &Uri) -> bool {
        (url.scheme(), url.authority()) == (self.endpoint.scheme(), self.endpoint.authority())
    }
}

/// Why an attempt that was answered with an unexpected status failed: for a passing reason or a final one.
///
/// `explain` names the final reasons by the status and the Hub's `X-Error-Code`.
pub(super) fn refused(
    mut answer: Answer,
    attempt: u32,
    explain: impl FnOnce(u16, &str, &str) -> Option<HubError>,
) -> Failure {
    let status = answer.status.as_u16();
    let said = said(&mut answer);
    let passing = matches!(status, 408 | 425 | 429) || status >= 500;
    let explained = match &answer.asker {
        _ if passing => None,
        Some(asker) => asker.explain(&answer.url, status, &said),
        None => explain(status, &said.code, &said.message),
    };
    if let Some(error) = explained {
        return error.into();
    }
    let message = said.message;
    let error = HubError::Status { url: answer.url, status, message, attempts: attempt };
    if passing {
        Failure::Passing { error, wait: wait_asked_for(&answer.headers), progress: false }
    } else {
        error.into()
    }
}

/// A header's text.
pub(super) fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(|value| value.trim().to_owned())
}

/// A failure of the connection.
fn network(url: &str, error: &ureq::Error, attempt: u32) -> Failure {
    let (url, reason) = (url.to_owned(), error.to_string());
    if certificates::is_refusal(error) {
        return HubError::Untrusted { url, reason }.into();
    }
    let error = HubError::Network { url, reason, attempts: attempt };
    Failure::Passing { error, wait: None, progress: false }
}

/// `Retry-After` in seconds, or the `t=` of the Hub's `RateLimit`.
fn wait_asked_for(headers: &HeaderMap) -> Option<Duration> {
    let after = header(headers, RETRY_AFTER.as_str()).and_then(|value| value.parse().ok());
    let reset = || {
        let limit = header(headers, "ratelimit")?;
        limit.split(';').find_map(|part| part.trim().strip_prefix("t=")?.parse().ok())
    };
    after.or_else(reset).map(Duration::from_secs)
}

/// What a refusal says of itself: in headers of the Hub's and of stores', in a body of JSON or XML.
fn said(answer: &mut Answer) -> Said {
    let of_header = |name: &str| header(&answer.headers, name);
    let (code, message) = (of_header("x-error-code").unwrap_or_default(), of_header("x-error-message"));
    let region = of_header("x-amz-bucket-region");
    let mut text = Vec::new();
    if message.is_none() {
        // A body that cannot be read leaves the status to speak for itself.
        let _ = answer.body.as_reader().take(MESSAGE_BYTES).read_to_end(&mut text);
    }
    if code.is_empty()
        && let Some(said) = Said::of(&String::from_utf8_lossy(&text))
    {
        // Codes of stores mean nothing where the Hub, or anybody else, was asked.
        let code = if answer.asker.is_some() { said.code } else { code };
        return Said { code, message: said.message, region: region.or(said.region) };
    }
    let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
    let message = message.unwrap_or_else(|| value["error"].as_str().unwrap_or_default().to_owned());
    Said { code, message, region }
}

/// The address that `location` means on a page at `base`.
fn join(base: &Uri, location: &str) -> Option<Uri> {
    if location.is_empty() {
        return None;
    }
    if location.starts_with("http://") || location.starts_with("https://") {
        return location.parse().ok();
    }
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let absolute = if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    absolute.parse().ok()
}

/// Sleeps, unless the caller wants to stop.
fn sleep(wait: Duration, should_stop: &dyn Fn() -> bool) -> Result<(), HubError> {
    let started = Instant::now();
    while !should_stop() {
        let rest = wait.saturating_sub(started.elapsed());
        if rest.is_zero() {
            return Ok(());
        }
        std::thread::sleep(rest.min(Duration::from_millis(100)));
    }
    Err(HubError::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_joined() {
        let base: Uri = "http://a:1/x/y?z=1".parse().unwrap();
        let joined = |location: &str| join(&base, location).map(|uri| uri.to_string());
        assert_eq!(joined("https://b/q?r=1").as_deref(), Some("https://b/q?r=1"));
        assert_eq!(joined("//b/q").as_deref(), Some("http://b/q"));
        assert_eq!(joined("/q?r").as_deref(), Some("http://a:1/q?r"));
        assert_eq!(joined("q").as_deref(), Some("http://a:1/x/q"));
        assert_eq!(joined(""), None);
    }

    /// A proxy that answers one request with `ok`, and tells what it was asked.
    fn proxy() -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = std::thread::spawn(move || {
            use std::io::{BufRead, BufReader, Write};
            let (stream, _) = listener.accept().unwrap();
            let lines = BufReader::new(&stream).lines().map(Result::unwrap).take_while(|line| !line.is_empty());
            let lines = lines.map(|line| line.to_ascii_lowercase()).collect();
            (&stream).write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").unwrap();
            lines
        });
        (address, asked)
    }

    fn client(variables: &[(&str, &str)]) -> Http {
        let found = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Http::new(&HubSettings { retries: 0, ..HubSettings::from_variables(&found) }, true).unwrap()
    }

    #[test]
    fn plain_http_is_asked_for_by_its_whole_address() {
        let (address, asked) = proxy();
        let proxy = format!("http://me:w%20d@{address}");
        let client = client(&[("HTTP_PROXY", &proxy), ("NO_PROXY", "other.test")]);
        let url = "http://host.test:81/a/b?c=d";
        let Ok(mut answer) = client.send(&Method::GET, url, None, 1, &|| false, |_| false) else { panic!("no answer") };
        let mut text = String::new();
        answer.body.as_reader().read_to_string(&mut text).unwrap();
        assert_eq!((answer.status.as_u16(), text.as_str()), (200, "ok"));
        let asked = asked.join().unwrap();
        assert_eq!(asked[0], "get http://host.test:81/a/b?c=d http/1.1");
        let basic = format!("proxy-authorization: basic {}", STANDARD.encode("me:w d").to_ascii_lowercase());
        assert!(asked.contains(&"host: host.test:81".to_owned()) && asked.contains(&basic), "{asked:?}");
    }

    #[test]
    fn exempt_hosts_are_asked_directly_and_socks_is_refused() {
        let (address, asked) = proxy();
        let client = client(&[("ALL_PROXY", "socks5://me:word@127.0.0.1:9"), ("NO_PROXY", "127.0.0.0/8")]);
        let url = format!("http://{address}/x");
        let Ok(answer) = client.send(&Method::GET, &url, None, 1, &|| false, |_| false) else { panic!("no answer") };
        assert_eq!((answer.status.as_u16(), asked.join().unwrap()[0].as_str()), (200, "get /x http/1.1"));
        let refused = client.send(&Method::GET, "https://host.test/x", None, 1, &|| false, |_| false);
        let Err(Failure::Final(error)) = refused else { panic!("not refused") };
        let error = error.to_string();
        assert!(error.contains("`socks5://127.0.0.1:9` cannot be used: it speaks SOCKS"), "{error}");
    }

    #[test]
    fn servers_say_how_long_to_wait() {
        let wait = |name: &'static str, value: &'static str| {
            wait_asked_for(&HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]))
        };
        assert_eq!(wait("retry-after", "7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("ratelimit", "\"api\";r=0;t=42"), Some(Duration::from_secs(42)));
        assert_eq!(wait("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
