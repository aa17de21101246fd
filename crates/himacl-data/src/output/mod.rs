//! Where commands write: output folders and files that are never overwritten by accident.
//!
//! An [`OutputDir`] holds a folder for one command: a lock keeps others out, a mark (`.himacl.toml`) tells which command
//! made it, of what, with which settings and which files. [`Existing::Overwrite`] touches nothing but such files, in a
//! folder with the mark of the same command, and sets them aside until the new result is complete; [`Existing::Resume`]
//! goes on only with the same version, settings and inputs. Files that a killed process was writing are removed.

mod aside;
mod file;
mod fingerprint;
mod lock;
mod mark;
mod pattern;

pub use file::OutputFile;
pub use fingerprint::{Depth, fingerprint};
pub use mark::{MARK, Plan};

use crate::error::Error;
use crate::files::{remove_if_present, remove_unfinished};
use lock::Lock;
use std::fs;
use std::path::{Path, PathBuf};

/// The lock's file.
const LOCK: &str = ".himacl-lock";

/// The folder of a run's inputs that were fetched; what is in it belongs to no result, and comes again where it is missing.
pub const FETCHED: &str = ".himacl-fetched";

/// What to do with output that already exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Existing {
    /// Refuse to touch it.
    #[default]
    Refuse,
    /// Replace it.
    Overwrite,
    /// Go on with it.
    Resume,
}

/// An output folder, held for one command until the value is dropped.
///
/// Nothing in it is touched before [`OutputDir::begin`]. A folder that was made for it and that nothing was written to is
/// removed again, and a result that was set aside for a run of which nothing exists is put back.
#[derive(Debug)]
pub struct OutputDir {
    path: PathBuf,
    command: &'static str,
    /// The folders that this value made, deepest first.
    made: Vec<PathBuf>,
    lock: Option<Lock>,
    /// What an earlier run of the command left.
    earlier: Option<Plan>,
    existing: Existing,
    /// The run that was begun, and not resumed.
    begun: Option<Plan>,
    /// A folder outside this one in which the run keeps what it goes on from.
    elsewhere: Option<PathBuf>,
}

impl OutputDir {
    /// Takes `path` for `command`; makes it where it does not exist.
    ///
    /// # Errors
    /// [`Error::OutputAddress`], [`Error::OutputNotAFolder`] where a file is in the way, [`Error::OutputExists`] for a folder that holds something
    /// with [`Existing::Refuse`], [`Error::OutputNotOurs`] and [`Error::OutputOfOther`] for one without the command's mark,
    /// [`Error::OutputInUse`] while another process holds it, [`Error::Io`].
    pub fn open(path: &Path, command: &'static str, existing: Existing) -> Result<Self, Error> {
        refuse_address(path)?;
        let here = std::path::absolute(path).map_err(Error::io("resolve", path))?;
        // A parent that is a file makes `metadata` fail with a wording that does not say which, so every parent is asked.
        let ancestor = here.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok()).unwrap_or(&here);
        if !ancestor.is_dir() {
            return Err(Error::OutputNotAFolder { path: path.to_path_buf(), obstacle: ancestor.to_path_buf() });
        }
        // A folder of other things does not even get a lock.
        if here.is_dir() && !holds_ours(&here)? {
            let path = path.to_path_buf();
            return Err(match existing {
                Existing::Refuse => Error::OutputExists(path),
                _ => Error::OutputNotOurs { path, command },
            });
        }
        let mut output = Self {
            path: path.to_path_buf(),
            command,
            made: Vec::new(),
            lock: None,
            earlier: None,
            existing,
            begun: None,
            elsewhere: None,
        };
        output.take_lock()?;
        aside::recover(path)?;
        remove_unfinished(path)?;
        output.earlier = Plan::read(&path.join(MARK))?;
        match &output.earlier {
            None if holds_nothing(path)? => {}
            _ if existing == Existing::Refuse => return Err(Error::OutputExists(path.to_path_buf())),
            None => return Err(Error::OutputNotOurs { path: path.to_path_buf(), command }),
            Some(earlier) if earlier.command != command => {
                let (path, found) = (path.to_path_buf(), earlier.command.clone());
                return Err(Error::OutputOfOther { path, found, command });
            }
            Some(_) => {}
        }
        Ok(output)
    }

    fn take_lock(&mut self) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let missing: Vec<PathBuf> = self
                .path
                .ancestors()
                .take_while(|part| !part.as_os_str().is_empty() && !part.exists())
                .map(Path::to_path_buf)
                .collect();
            fs::create_dir_all(&self.path).map_err(Error::io("make folder", &self.path))?;
            self.made.extend(missing);
            match Lock::take(&self.path.join(LOCK), &self.path) {
                // Another process, which had made the folder too, has just removed it.
                Err(Error::Io { .. }) if !self.path.exists() && tries < 100 => {}
                lock => {
                    self.lock = Some(lock?);
                    return Ok(());
                }
            }
        }
    }

    /// Refuses inputs that the run would read from its own output folder.
    ///
    /// # Errors
    /// [`Error::InputInOutput`], [`Error::Io`].
    pub fn refuse_inputs<'a>(&self, inputs: impl IntoIterator<Item = &'a Path>) -> Result<(), Error> {
        let here = self.path.canonicalize().map_err(Error::io("resolve", &self.path))?;
        // An input that does not exist is the reader's concern.
        let inside = |input: &&Path| input.canonicalize().is_ok_and(|input| input.starts_with(&here));
        match inputs.into_iter().find(inside) {
            None => Ok(()),
            Some(input) => Err(Error::InputInOutput { input: input.to_path_buf(), output: self.path.clone() }),
        }
    }

    /// Where the run is to be resumed and the folder holds an earlier one: checks that it is the same run, and says `true`.
    /// `is_free` names settings that may differ, by their keys with dots.
    ///
    /// # Errors
    /// [`Error::ResumeMismatch`], [`Error::ResumeInput`].
    pub fn goes_on(&self, plan: &Plan, is_free: &dyn Fn(&str) -> bool) -> Result<bool, Error> {
        match &self.earlier {
            Some(earlier) if self.existing == Existing::Resume => {
                plan.check_same(earlier, &self.path, is_free)?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Where the run is to be resumed and the folder holds an earlier one: refuses an input, by its name and fingerprint, that is not
    /// what that one read. [`Self::goes_on`] checks all of them; of this one it is known before the plan is.
    ///
    /// # Errors
    /// [`Error::ResumeInput`].
    pub fn check_input(&self, name: &str, fingerprint: &str) -> Result<(), Error> {
        let earlier = self.earlier.as_ref().filter(|_| self.existing == Existing::Resume);
        match earlier.and_then(|earlier| earlier.inputs.get(name)) {
            Some(found) if found != fingerprint => {
                Err(Error::ResumeInput { path: self.path.clone(), input: name.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// Begins the run of `plan`, or goes on with it: an earlier result is set aside first where it is to be replaced, then
    /// the folder gets the mark.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::OutputLink`], [`Error::ConfigWrite`].
    pub fn begin(&mut self, plan: &Plan) -> Result<(), Error> {
        debug_assert_eq!(plan.command, self.command, "the plan of another command");
        let mark = self.path.join(MARK);
        let own = pattern::own_files(&self.path, &plan.files)?;
        own.unfinished.iter().try_for_each(|file| remove_if_present(&self.path.join(file)))?;
        match (self.existing, self.earlier.take()) {
            (Existing::Resume, Some(_)) => plan.write(&mark),
            (_, earlier) => {
                if let Some(mut earlier) = earlier {
                    if aside::is_set_aside(&self.path) {
                        // Of a run that was never completed nothing is kept, but for the result that it was to replace.
                        aside::give_up(&self.path, &earlier)?;
                        earlier = Plan::read(&mark)?.unwrap_or(earlier);
                    }
                    aside::set_aside(&self.path, &earlier)?;
                }
                self.begun = Some(plan.clone());
                plan.write(&mark)
            }
        }
    }

    /// Says in which other folder the run keeps what it goes on from: as long as something is in it, this one stays as well, and with it
    /// the mark.
    pub fn keeps_work_in(&mut self, folder: &Path) {
        self.elsewhere = Some(folder.to_path_buf());
    }

    /// The run is complete: a result that was set aside is removed, and so is what killed processes were writing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<(), Error> {
        self.begun = None;
        aside::discard(&self.path)?;
        if let Some(plan) = Plan::read(&self.path.join(MARK))? {
            let own = pattern::own_files(&self.path, &plan.files)?;
            own.unfinished.iter().try_for_each(|file| remove_if_present(&self.path.join(file)))?;
        }
        Ok(())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in the folder.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }

    /// Whether nothing of the run exists but its mark and its settings, here or where it keeps its work.
    fn is_bare(&self, plan: &Plan) -> bool {
        let is_settings = |file: &PathBuf| file.file_name().is_some_and(|name| name == "config.toml");
        let holds_something = |folder: &PathBuf| fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
        if self.elsewhere.as_ref().is_some_and(holds_something) {
            return false;
        }
        pattern::own_files(&self.path, &plan.files).is_ok_and(|own| own.files.iter().all(is_settings))
    }
}

impl Drop for OutputDir {
    fn drop(&mut self) {
        if let Some(plan) = self.begun.take()
            && self.is_bare(&plan)
        {
            // Where it fails the next run finds it in the same order as after a kill.
            let _ = aside::give_up(&self.path, &plan);
        }
        self.lock = None;
        // Deepest first; `remove_dir` refuses a folder that holds something, and then its parents do too.
        for folder in &self.made {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
    }
}

/// Refuses an address: `s3://bucket/out` would be folders of these names.
fn refuse_address(path: &Path) -> Result<(), Error> {
    let text = path.to_string_lossy();
    let scheme = text.split_once("://").map_or("", |(scheme, _)| scheme);
    if !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::OutputAddress(path.to_path_buf()));
    }
    Ok(())
}

/// Whether a folder is empty or has something of this program in it.
fn holds_ours(folder: &Path) -> Result<bool, Error> {
    let mut is_empty = true;
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let name = entry.map_err(Error::io("list", folder))?.file_name();
        if name.to_str().is_some_and(|name| name == MARK || name.starts_with(".himacl-")) {
            return Ok(true);
        }
        is_empty = false;
    }
    Ok(is_empty)
}

/// Whether a folder that is locked holds nothing else, but for inputs that came before a run was begun.
fn holds_nothing(folder: &Path) -> Result<bool, Error> {
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let name = entry.map_err(Error::io("list", folder))?.file_name();
        if name != LOCK && name != FETCHED {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
