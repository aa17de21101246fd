//! Proxies as the environment names them, and the hosts that are asked without one.

use super::text::without_user;
use std::fmt;
use std::net::IpAddr;
use ureq::http::Uri;

/// Which proxy an address is asked through, if any: `HTTPS_PROXY` and `HTTP_PROXY` by its scheme, else `ALL_PROXY`, in small letters too; none for hosts
/// in `NO_PROXY`, a list of names (with the names below them), addresses, networks such as `10.0.0.0/8`, each with a port or without, or `*`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Proxies {
    http: Option<String>,
    https: Option<String>,
    exceptions: Vec<Exception>,
}

impl Proxies {
    pub(super) fn from_variables(set: &dyn Fn(&str) -> Option<String>) -> Self {
        let first = |names: &[&str]| names.iter().find_map(|name| set(name)).map(|value| value.trim().to_owned());
        let proxy = |names: &[&str]| {
            first(names).map(|proxy| if proxy.contains("://") { proxy } else { format!("http://{proxy}") })
        };
        let exceptions = first(&["no_proxy", "NO_PROXY"]).unwrap_or_default();
        let exceptions = exceptions.split([',', ' ', '\t']).filter_map(Exception::parse).collect();
        Self {
            http: proxy(&["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]),
            https: proxy(&["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"]),
            exceptions,
        }
    }

    /// The proxies of addresses with `http://` and with `https://`.
    pub(super) fn named(&self) -> [Option<&str>; 2] {
        [self.http.as_deref(), self.https.as_deref()]
    }

    /// Whether an address is asked without a proxy.
    pub(super) fn is_exempt(&self, address: &Uri) -> bool {
        let host = address.host().unwrap_or_default().trim_matches(['[', ']']).trim_end_matches('.');
        let is_tls = address.scheme_str() == Some("https");
        let port = address.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let host = host.to_ascii_lowercase();
        self.exceptions.iter().any(|exception| exception.applies(&host, port))
    }
}

impl fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [http, https] = self.named().map(|proxy| proxy.map(without_user));
        formatter.debug_struct("Proxies").field("http", &http).field("https", &https).finish_non_exhaustive()
    }
}

/// Hosts without a proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Exception {
    All,
    /// Addresses that begin with so many bits of one.
    Network(IpAddr, u32),
    /// Names that begin so.
    Beginning(String),
    /// A name and those below it, or an address.
    Host(String, Option<u16>),
}

impl Exception {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        if text.is_empty() {
            return None;
        }
        if text == "*" {
            return Some(Self::All);
        }
        if let Some((address, bits)) = text.split_once('/') {
            let address: IpAddr = address.trim_matches(['[', ']']).parse().ok()?;
            let most = if address.is_ipv4() { 32 } else { 128 };
            return bits.parse().ok().filter(|bits| *bits <= most).map(|bits| Self::Network(address, bits));
        }
        // Of an IPv6 address a port is told by brackets alone.
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, Some(port.parse().ok()?)),
            _ => (text.as_str(), None),
        };
        let host = host.trim_matches(['[', ']']);
        if let Some(beginning) = host.strip_suffix('*') {
            return Some(Self::Beginning(beginning.to_owned()));
        }
        let name = host.trim_start_matches('*').trim_start_matches('.');
        (!name.is_empty()).then(|| Self::Host(name.to_owned(), port))
    }

    fn applies(&self, host: &str, port: u16) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        match self {
            Self::All => true,
            Self::Network(network, bits) => address.is_some_and(|address| begins_alike(*network, address, *bits)),
            Self::Beginning(beginning) => host.starts_with(beginning),
            Self::Host(_, Some(only)) if *only != port => false,
            Self::Host(name, _) => match (address, name.parse::<IpAddr>()) {
                (Some(address), Ok(name)) => address == name,
                (Some(_), Err(_)) => false,
                (None, _) => host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')),
            },
        }
    }
}

fn begins_alike(a: IpAddr, b: IpAddr, bits: u32) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(32 - bits).unwrap_or(0) == 0,
        (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).checked_shr(128 - bits).unwrap_or(0) == 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(variables: &[(&str, &str)]) -> Proxies {
        let found = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        Proxies::from_variables(&found)
    }

    #[test]
    fn each_scheme_has_its_proxy() {
        let of =
            |variables: &[(&str, &str)]| proxies(variables).named().map(|proxy| proxy.unwrap_or_default().to_owned());
        assert_eq!(of(&[]), ["", ""]);
        assert_eq!(of(&[("HTTP_PROXY", "http://a"), ("HTTPS_PROXY", "http://b")]), ["http://a", "http://b"]);
        assert_eq!(of(&[("ALL_PROXY", "http://c"), ("https_proxy", " b:8 ")]), ["http://c", "http://b:8"]);
        let secret = proxies(&[("ALL_PROXY", "http://me:word@c:1")]);
        assert!(!format!("{secret:?}").contains("word"), "{secret:?}");
    }

    #[test]
    fn hosts_without_a_proxy() {
        let exempt = |list: &str, address: &str| proxies(&[("NO_PROXY", list)]).is_exempt(&address.parse().unwrap());
        for (list, address) in [
            ("*", "http://a"),
            ("localhost, 127.0.0.1", "http://127.0.0.1:8080/x"),
            ("example.com", "https://example.com"),
            ("example.com", "https://hub.Example.com."),
            (".example.com", "https://hub.example.com"),
            ("*.example.com", "https://hub.example.com"),
            ("example.com:8080", "http://example.com:8080"),
            ("example.com:443", "https://example.com"),
            ("a 10.0.0.0/8", "http://10.1.2.3"),
            ("192.168.0.0/16,x", "http://192.168.255.1:9000"),
            ("0.0.0.0/0", "http://1.2.3.4"),
            ("10.*", "http://10.9.9.9"),
            ("::1", "http://[::1]:80"),
            ("[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080"),
            ("fd00::/8", "http://[fd12::1]/"),
        ] {
            assert!(exempt(list, address), "{list}: {address}");
        }
        for (list, address) in [
            ("", "http://a"),
            ("example.com", "https://notexample.com"),
            ("example.com:8080", "http://example.com:80"),
            ("10.0.0.0/8", "http://11.0.0.1"),
            ("10.0.0.0/8", "http://10.example.com"),
            ("10.0.0.0/99", "http://10.0.0.1"),
            ("0.0.1", "http://127.0.0.1"),
            ("fd00::/8", "http://10.0.0.1"),
        ] {
            assert!(!exempt(list, address), "{list}: {address}");
        }
    }
}
