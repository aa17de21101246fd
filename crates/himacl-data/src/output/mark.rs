//! What an output folder says of itself.

use crate::error::Error;
use crate::files::write_text;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

/// The mark's file.
pub const MARK: &str = ".himacl.toml";

const PROGRAM: &str = "himacl";

/// What a run makes, and of what: written into the output folder before anything else, compared when the run is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Which command, such as `pair`.
    pub command: String,
    /// The program's version.
    pub version: String,
    /// The files that the run may make, by their paths in the folder; `#` stands for a number, `*` for anything.
    pub files: Vec<String>,
    /// What it reads, by names for people, with the fingerprints of the contents.
    #[serde(default)]
    pub inputs: BTreeMap<String, String>,
    /// Its settings.
    #[serde(default)]
    pub settings: toml::Table,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    program: String,
    #[serde(flatten)]
    plan: Plan,
}

impl Plan {
    /// Reads the mark at `path`; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Config`] for a file that is no mark.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, Error> {
        let text = match fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.map_err(Error::io("read", path))?,
        };
        let mark: Result<Mark, _> = toml::from_str(&text);
        match mark {
            Ok(mark) if mark.program == PROGRAM => Ok(Some(mark.plan)),
            Ok(_) => Ok(None),
            Err(source) => Err(Error::Config { path: path.to_path_buf(), source }),
        }
    }

    /// Writes the mark at `path`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::ConfigWrite`] for settings that TOML cannot hold.
    pub(super) fn write(&self, path: &Path) -> Result<(), Error> {
        let mark = Mark { program: PROGRAM.to_owned(), plan: self.clone() };
        let text = "# Written by himacl, for --resume and --force: what this folder holds, and of what it was made.\n";
        write_text(path, &(text.to_owned() + &toml::to_string(&mark)?))
    }

    /// Refuses to go on in `folder` with the run of `earlier` where it is another one; `is_free` names settings that may
    /// differ, by their keys with dots.
    ///
    /// # Errors
    /// [`Error::ResumeMismatch`], [`Error::ResumeInput`], naming the first difference.
    pub(super) fn check_same(
        &self,
        earlier: &Self,
        folder: &Path,
        is_free: &dyn Fn(&str) -> bool,
    ) -> Result<(), Error> {
        let differs = |(key, was, now): (String, String, String)| {
            Err(Error::ResumeMismatch { path: folder.to_path_buf(), key, was, now })
        };
        if self.version != earlier.version {
            return differs(("version".to_owned(), earlier.version.clone(), self.version.clone()));
        }
        if let Some(difference) = first_difference(&earlier.settings, &self.settings, "", is_free) {
            return differs(difference);
        }
        let names: BTreeSet<&String> = earlier.inputs.keys().chain(self.inputs.keys()).collect();
        match names.into_iter().find(|name| earlier.inputs.get(*name) != self.inputs.get(*name)) {
            None => Ok(()),
            Some(name) => Err(Error::ResumeInput { path: folder.to_path_buf(), input: name.clone() }),
        }
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

    fn plan(settings: &str, inputs: &[(&str, &str)]) -> Plan {
        Plan {
            command: "pair".to_owned(),
            version: "1".to_owned(),
            files: vec!["a".to_owned()],
            inputs: inputs.iter().map(|(name, print)| ((*name).to_owned(), (*print).to_owned())).collect(),
            settings: toml::from_str(settings).unwrap(),
        }
    }

    #[test]
    fn a_mark_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(MARK);
        assert_eq!(Plan::read(&path).unwrap(), None);
        let written = plan("tolerance = 1e-4\nlimit = inf\n[hiref]\nseed = 1", &[("--x /a b.npy", "7")]);
        written.write(&path).unwrap();
        assert_eq!(Plan::read(&path).unwrap(), Some(written));
        fs::write(&path, "program = 'other'\n").unwrap();
        assert!(Plan::read(&path).is_err(), "a mark that cannot be read is not taken for none");
    }

    #[test]
    fn only_what_matters_is_compared() {
        let now = plan("cost = 'cosine'\nthreads = 8\n[hiref]\nseed = 1", &[("x", "7")]);
        let check = |earlier: &Plan| {
            let is_free = |name: &str| name == "threads" || name.ends_with(".time_limit");
            now.check_same(earlier, Path::new("out"), &is_free)
        };
        check(&plan("cost = 'cosine'\nthreads = 2\n[hiref]\nseed = 1\ntime_limit = 3.0", &[("x", "7")])).unwrap();
        match check(&plan("cost = 'cosine'\n[hiref]\nseed = 2", &[("x", "7")])).unwrap_err() {
            Error::ResumeMismatch { key, was, now, .. } => {
                assert_eq!((key.as_str(), was.as_str(), now.as_str()), ("hiref.seed", "2", "1"));
            }
            other => panic!("{other}"),
        }
        for inputs in [&[("x", "8")][..], &[], &[("x", "7"), ("y", "7")]] {
            let refused = check(&plan("cost = 'cosine'\n[hiref]\nseed = 1", inputs));
            assert!(matches!(refused, Err(Error::ResumeInput { .. })), "{inputs:?}");
        }
        let other = Plan { version: "2".to_owned(), ..now.clone() };
        assert!(check(&other).unwrap_err().to_string().contains("version"));
    }
}
