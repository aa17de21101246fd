//! The two sides of a run: on the disk, or elsewhere and fetched first.

use super::{PairArgs, external};
use crate::Context;
use crate::error::{Error, FetchedError};
use crate::interrupt;
use himacl::EncodeError;
use himacl::data::Embeddings;
use himacl::data::output::{Depth, OutputDir, fingerprint};
use himacl::hub::{HubError, HubSettings};
use himacl::readers::{ReadError, RemoteSet, is_readable};
use hiref_external::local::free_bytes;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The flags of the sides.
pub(super) const FLAGS: [&str; 2] = ["--x", "--y"];
/// Hexadecimal digits of a version that name its folder.
const DIGITS: usize = 20;

/// Where a side is.
enum Place {
    Here(PathBuf),
    /// With the folder that it is fetched to, which bears the name of its version.
    Elsewhere(Box<RemoteSet>, PathBuf),
}

/// The two sides.
///
/// What is fetched is removed when the value is dropped, unless a later run may go on with it: while it comes, and while the result is
/// not complete.
pub(super) struct Inputs {
    sides: [Place; 2],
    /// Where what is fetched comes to.
    folder: PathBuf,
    stays: bool,
}

impl Inputs {
    /// Finds the sides; fetches nothing.
    ///
    /// # Errors
    /// What the servers say; [`himacl::data::Error::ResumeInput`] where the run is to be resumed and a side is of another version.
    pub(super) fn find(args: &PairArgs, paths: [&Path; 2], output: &OutputDir) -> Result<Self, Error> {
        let (settings, folder) = (HubSettings::from_env(), external::folder_for_fetched(&args.external, output)?);
        let find = |path: &Path, key: &Option<String>| match path.to_str() {
            Some(address) if is_readable(address, &settings) => {
                let set = RemoteSet::find(address, key.as_deref(), &settings, interrupt::requested)?;
                let version = set.fingerprint();
                let version = version.rsplit(':').next().and_then(|sum| sum.get(..DIGITS)).unwrap_or_default();
                let folder = folder.join(version);
                Ok(Place::Elsewhere(Box::new(set), folder))
            }
            _ => Ok::<_, Error>(Place::Here(path.to_path_buf())),
        };
        let sides = [find(paths[0], &args.x_key)?, find(paths[1], &args.y_key)?];
        let inputs = Self { sides, folder, stays: true };
        for (flag, side) in FLAGS.into_iter().zip(&inputs.sides) {
            if let Place::Elsewhere(set, _) = side {
                output.check_input(flag, &set.fingerprint())?;
            }
        }
        Ok(inputs)
    }

    /// Whether something is to be fetched.
    pub(super) fn are_elsewhere(&self) -> bool {
        self.elsewhere().next().is_some()
    }

    fn elsewhere(&self) -> impl Iterator<Item = (&RemoteSet, &Path)> {
        self.sides.iter().filter_map(|side| match side {
            Place::Here(_) => None,
            Place::Elsewhere(set, folder) => Some((&**set, folder.as_path())),
        })
    }

    /// What the sides are called in the settings: absolute paths, and addresses.
    ///
    /// # Errors
    /// A path that cannot be resolved.
    pub(super) fn names(&self) -> Result<[PathBuf; 2], Error> {
        let name = |side: &Place| match side {
            Place::Here(path) => std::path::absolute(path).map_err(Error::io("resolve", path)),
            Place::Elsewhere(set, _) => Ok(PathBuf::from(&set.name)),
        };
        Ok([name(&self.sides[0])?, name(&self.sides[1])?])
    }

    /// Where the sides are opened.
    pub(super) fn paths(&self) -> [PathBuf; 2] {
        self.sides.each_ref().map(|side| match side {
            Place::Here(path) => path.clone(),
            Place::Elsewhere(set, folder) => set.path_in(folder),
        })
    }

    /// What changes when a side does; `opened` is asked for those on the disk.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(super) fn fingerprints(
        &self,
        depth: Depth,
        opened: &dyn Fn(usize) -> Result<Vec<PathBuf>, Error>,
    ) -> Result<[String; 2], Error> {
        let of = |side: usize| match &self.sides[side] {
            Place::Here(_) => Ok::<_, Error>(fingerprint(&opened(side)?, None, depth)?),
            Place::Elsewhere(set, _) => Ok(set.fingerprint()),
        };
        Ok([of(0)?, of(1)?])
    }

    /// Fetches what is elsewhere; `false` where the user stops it.
    ///
    /// # Errors
    /// Too little room on the disk; what the servers say.
    pub(super) fn fetch(&mut self, context: &Context) -> Result<bool, Error> {
        if !self.are_elsewhere() {
            return Ok(true);
        }
        self.remove_others()?;
        self.check_disk()?;
        match self.fetch_all(context) {
            Ok(()) => {
                // Until the run has begun, what is refused leaves nothing behind.
                self.stays = false;
                Ok(true)
            }
            Err(EncodeError::Hub(HubError::Interrupted)) => Ok(false),
            Err(error) => {
                self.stays = may_pass(&error);
                Err(error.into())
            }
        }
    }

    fn fetch_all(&self, context: &Context) -> Result<(), EncodeError> {
        let total: Option<u64> = self.elsewhere().map(|(set, _)| set.bytes()).sum();
        for (set, _) in self.elsewhere() {
            let size = set.bytes().map_or(String::new(), |bytes| format!(", {:.1} MiB", mib(bytes)));
            context.printer.info(&format!("fetching `{}`: {} files{size}", set.name, set.num_files()));
        }
        let task = context.printer.task("fetch", "bytes", total.unwrap_or_default());
        let (mut before, shown) = (0, Cell::new(0));
        for (set, folder) in self.elsewhere() {
            set.fetch(folder, &|bytes| {
                let (now, last) = (before + bytes, shown.replace(before + bytes));
                match now.checked_sub(last) {
                    Some(more) => task.advance(more),
                    None => task.set_done(now),
                }
            })?;
            before = shown.get();
        }
        Ok(())
    }

    /// Removes what was fetched of other versions.
    fn remove_others(&self) -> Result<(), Error> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Ok(()) };
        for entry in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if !self.elsewhere().any(|(_, folder)| folder == entry) {
                let kind = entry.symlink_metadata().map_err(Error::io("read", &entry))?;
                let removed = if kind.is_dir() { fs::remove_dir_all(&entry) } else { fs::remove_file(&entry) };
                removed.map_err(Error::io("remove", &entry))?;
            }
        }
        Ok(())
    }

    /// Refuses disks that have too little room for what is still to come.
    fn check_disk(&self) -> Result<(), Error> {
        let mut needed: BTreeMap<Option<u64>, (PathBuf, u64)> = BTreeMap::new();
        for (set, folder) in self.elsewhere() {
            for (place, bytes) in set.missing(folder)? {
                let disk = place.ancestors().find_map(|part| Some(fs::metadata(part).ok()?.dev()));
                needed.entry(disk).or_insert((place, 0)).1 += bytes;
            }
        }
        for (path, needed) in needed.into_values() {
            if let Some(free) = free_bytes(&path).filter(|&free| free < needed) {
                let is_cache = !path.starts_with(&self.folder);
                let path = if is_cache { path } else { self.folder.parent().map_or(path, Path::to_path_buf) };
                return Err(Error::NoRoomToFetch { path, free, needed, is_cache });
            }
        }
        Ok(())
    }

    /// Says that the run has begun: from now on it can be resumed, and what was fetched stays for it.
    pub(super) fn begun(&mut self) {
        self.stays = true;
    }

    /// Says that nothing of what was fetched is needed any more.
    pub(super) fn done(&mut self) {
        self.stays = false;
    }

    /// An error with addresses in place of the paths of what was fetched.
    pub(super) fn named(&self, error: Error) -> Error {
        let text = error.to_string();
        let told = self.elsewhere().fold(text.clone(), |text, (set, folder)| set.with_addresses(&text, folder));
        if told == text { error } else { Error::Fetched(FetchedError::new(told, error)) }
    }
}

impl Drop for Inputs {
    fn drop(&mut self) {
        if self.are_elsewhere() && !self.stays {
            // What stays is in the way of nothing: the next run takes or removes it.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The files of a side on the disk.
pub(super) fn files_of(path: &Path, key: Option<&str>) -> Result<Vec<PathBuf>, Error> {
    Ok(Embeddings::open(path, key)?.files())
}

/// Whether the same command may fare better later, without another argument.
fn may_pass(error: &EncodeError) -> bool {
    match error {
        EncodeError::Read(ReadError::Unreachable(_)) | EncodeError::Data(_) => true,
        EncodeError::Hub(HubError::Status { status, .. }) => *status == 429 || *status >= 500,
        _ => false,
    }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
