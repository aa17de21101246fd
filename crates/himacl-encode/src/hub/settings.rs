//! Where the Hub and its cache are: the environment variables, in one place.

use super::proxies::Proxies;
use super::s3::S3Settings;
use super::text::without_user;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The public Hub.
const ENDPOINT: &str = "https://huggingface.co";

/// Where the Hub and its cache are, and how patient to be.
///
/// | variable | meaning | without it |
/// |---|---|---|
/// | `HF_ENDPOINT` | address of the Hub or a mirror | `https://huggingface.co` |
/// | `HF_HOME` | folder of the cache and the token | `$XDG_CACHE_HOME/huggingface`, `~/.cache/huggingface` |
/// | `HF_HUB_CACHE`, formerly `HUGGINGFACE_HUB_CACHE` | folder of the cache alone | `$HF_HOME/hub` |
/// | `HF_TOKEN`, formerly `HUGGING_FACE_HUB_TOKEN` | token for private and gated repositories | the file `$HF_HOME/token`, which `hf auth login` writes |
/// | `SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`, `CURL_CA_BUNDLE` | authorities to trust, as PEM | the system's, else Mozilla's |
/// | `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY`, `NO_PROXY` | proxies that speak HTTP, and hosts that are asked without | none |
/// | `HF_HUB_OFFLINE`, or `TRANSFORMERS_OFFLINE`, `HF_DATASETS_OFFLINE` | `1`, `on`, `yes` or `true`: never use the network | off |
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Address without a trailing slash.
    pub endpoint: String,
    /// The folder that holds `models--ORG--NAME`.
    pub cache: PathBuf,
    /// Sent to the endpoint, and to no other host.
    pub token: Option<String>,
    /// A file of certificates, as PEM: the authorities to trust instead of the system's.
    pub certificates: Option<PathBuf>,
    /// Proxies, and hosts that are asked without.
    pub proxies: Proxies,
    /// Stores of objects, for datasets.
    pub s3: S3Settings,
    /// Use the cache alone.
    pub offline: bool,
    /// How often a request is repeated that failed for a passing reason.
    pub retries: u32,
    /// The wait before the first repetition; it doubles with each further one.
    pub first_wait: Duration,
}

impl std::fmt::Debug for HubSettings {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let token = self.token.as_ref().map(|_| "(hidden)");
        let mut all = formatter.debug_struct("HubSettings");
        all.field("endpoint", &self.address()).field("cache", &self.cache).field("token", &token);
        all.field("offline", &self.offline).finish_non_exhaustive()
    }
}

impl HubSettings {
    /// The endpoint as it may be shown: without a user's name and password.
    pub fn address(&self) -> String {
        without_user(&self.endpoint)
    }

    /// The settings that the environment asks for.
    pub fn from_env() -> Self {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// As [`Self::from_env`], with the variables given by a function.
    ///
    /// ```
    /// use himacl_encode::hub::HubSettings;
    /// let settings = HubSettings::from_variables(&|name| (name == "HF_HOME").then(|| "/data/hf".to_owned()));
    /// assert_eq!(settings.cache, std::path::Path::new("/data/hf/hub"));
    /// assert!(!settings.offline);
    /// ```
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| set(name));
        let any_path = |names: &[&str]| first(names).map(|value| expand(&value, set("HOME").as_deref()));
        let path = |name: &str| any_path(&[name]);
        let home = path("HF_HOME").unwrap_or_else(|| {
            let caches = path("XDG_CACHE_HOME").unwrap_or_else(|| expand("~/.cache", set("HOME").as_deref()));
            caches.join("huggingface")
        });
        let stored_token = || std::fs::read_to_string(path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"))).ok();
        let token =
            first(&["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]).or_else(stored_token).map(|token| token.trim().to_owned());
        // The first that is set decides, as in the Python library.
        let offline = first(&["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"])
            .map(|value| value.to_ascii_lowercase());
        Self {
            endpoint: set("HF_ENDPOINT").unwrap_or(ENDPOINT.to_owned()).trim_end_matches('/').to_owned(),
            cache: any_path(&["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"]).unwrap_or_else(|| home.join("hub")),
            token: token.filter(|token| !token.is_empty()),
            certificates: any_path(&["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]),
            proxies: Proxies::from_variables(&set),
            s3: S3Settings::from_variables(&set),
            offline: offline.is_some_and(|value| matches!(value.as_str(), "1" | "on" | "yes" | "true")),
            retries: 5,
            first_wait: Duration::from_secs(1),
        }
    }
}

fn expand(path: &str, home: Option<&str>) -> PathBuf {
    match (path.strip_prefix('~'), home) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            Path::new(home).join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> HubSettings {
        HubSettings::from_variables(&|name| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_where_the_python_library_has_it() {
        let home = ("HOME", "/home/a");
        assert_eq!(settings(&[home]).cache, Path::new("/home/a/.cache/huggingface/hub"));
        assert_eq!(settings(&[home, ("XDG_CACHE_HOME", "/x")]).cache, Path::new("/x/huggingface/hub"));
        assert_eq!(settings(&[home, ("HF_HOME", "~/hf")]).cache, Path::new("/home/a/hf/hub"));
        assert_eq!(settings(&[home, ("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/c")]).cache, Path::new("/c"));
        assert_eq!(settings(&[("HUGGINGFACE_HUB_CACHE", "/old")]).cache, Path::new("/old"));
        assert_eq!(settings(&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HUB_CACHE", "/c")]).cache, Path::new("/c"));
    }

    #[test]
    fn tokens_come_from_the_variable_or_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().to_str().unwrap();
        assert_eq!(settings(&[("HF_HOME", home)]).token, None);
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        assert_eq!(settings(&[("HF_HOME", home)]).token.as_deref(), Some("hf_file"));
        let both = settings(&[("HF_HOME", home), ("HF_TOKEN", " hf_variable ")]);
        assert_eq!(both.token.as_deref(), Some("hf_variable"));
        let old = settings(&[("HF_HOME", home), ("HUGGING_FACE_HUB_TOKEN", "hf_old")]);
        assert_eq!(old.token.as_deref(), Some("hf_old"));
        assert!(!format!("{both:?}").contains("hf_variable"), "a token must not get into logs");
    }

    #[test]
    fn switches_and_addresses() {
        for (value, offline) in [("1", true), ("True", true), ("yes", true), ("0", false), ("", false)] {
            assert_eq!(settings(&[("HF_HUB_OFFLINE", value)]).offline, offline, "{value}");
        }
        for other in ["TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"] {
            assert!(settings(&[(other, "1")]).offline && !settings(&[(other, "1"), ("HF_HUB_OFFLINE", "0")]).offline);
        }
        assert_eq!(settings(&[]).endpoint, "https://huggingface.co");
        assert_eq!(settings(&[("HF_ENDPOINT", "http://127.0.0.1:80/")]).endpoint, "http://127.0.0.1:80");
        let secret = settings(&[("HF_ENDPOINT", "https://me:pass@word@host/a@b")]);
        assert_eq!(secret.address(), "https://host/a@b");
        assert!(!format!("{secret:?}").contains("word"), "nor may a password");
    }

    #[test]
    fn authorities_are_named_as_elsewhere() {
        assert_eq!(settings(&[]).certificates, None);
        let curl = ("CURL_CA_BUNDLE", "/curl.pem");
        assert_eq!(settings(&[curl]).certificates.as_deref(), Some(Path::new("/curl.pem")));
        let both = settings(&[curl, ("SSL_CERT_FILE", "~/own.pem"), ("HOME", "/home/a")]);
        assert_eq!(both.certificates.as_deref(), Some(Path::new("/home/a/own.pem")));
    }
}
