//! Whether a run may be gone on with: its settings must be those of the earlier one.

use crate::error::Error;
use himacl::data::files::read_toml;
use std::collections::BTreeSet;
use std::path::Path;

/// Compares the settings of this run with those that an earlier one left at `path`, if it did; `is_free` names settings
/// that may differ, by their keys with dots.
///
/// # Errors
/// [`Error::ResumeMismatch`], naming the first difference; [`Error::Config`], [`Error::Io`].
pub fn check_same_config(path: &Path, now: &toml::Table, is_free: &dyn Fn(&str) -> bool) -> Result<(), Error> {
    if !path.is_file() {
        return Ok(());
    }
    let earlier = read_toml(path)?;
    match first_difference(&earlier, now, "", is_free) {
        None => Ok(()),
        Some((key, was, now)) => Err(Error::ResumeMismatch { path: path.to_path_buf(), key, was, now }),
    }
}

/// The first setting, in alphabetical order, that differs and may not; its values.
fn first_difference(
    earlier: &toml::Table,
    now: &toml::Table,
    prefix: &str,
    is_free: &dyn Fn(&str) -> bool,
) -> Option<(String, String, String)> {
    let keys: BTreeSet<&String> = earlier.keys().chain(now.keys()).collect();
    keys.into_iter().find_map(|key| {
        let name = format!("{prefix}{key}");
        match (earlier.get(key), now.get(key)) {
            _ if is_free(&name) => None,
            (Some(toml::Value::Table(earlier)), Some(toml::Value::Table(now))) => {
                first_difference(earlier, now, &format!("{name}."), is_free)
            }
            (was, is) if was == is => None,
            (was, is) => {
                let text = |value: Option<&toml::Value>| value.map_or("nothing".to_owned(), ToString::to_string);
                Some((name, text(was), text(is)))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn only_settings_that_matter_are_compared() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        let now: toml::Table = toml::from_str("cost = 'cosine'\nthreads = 8\n[hiref]\nseed = 1").unwrap();
        let check = || check_same_config(&path, &now, &|name| name == "threads" || name.ends_with(".time_limit"));
        check().expect("nothing to compare with");
        fs::write(&path, "cost = 'cosine'\nthreads = 2\n[hiref]\nseed = 1\ntime_limit = 3.0").unwrap();
        check().unwrap();
        fs::write(&path, "cost = 'cosine'\n[hiref]\nseed = 2").unwrap();
        match check().unwrap_err() {
            Error::ResumeMismatch { key, was, now, .. } => {
                assert_eq!((key.as_str(), was.as_str(), now.as_str()), ("hiref.seed", "2", "1"));
            }
            other => panic!("{other}"),
        }
    }
}
