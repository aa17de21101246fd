//! An earlier result, out of the way until a new one is complete.
//!
//! The files are moved one by one into `.himacl-previous`, with their paths, the mark last. So at every moment the two
//! marks tell what was going on when a process was killed:
//!
//! | mark in the folder | mark set aside | what was going on |
//! |---|---|---|
//! | yes | no | moving aside, or putting back: what was moved is put back |
//! | no | yes | nothing of a new run exists, or it was given up: the rest of it is removed, the old result put back |
//! | yes | yes | a new run is under way |
//!
//! A result that is no longer needed is renamed to `.himacl-discarded` before it is removed.

use super::mark::{MARK, Plan};
use super::pattern::own_files;
use crate::error::Error;
use crate::files::{remove_if_present, sync_folder};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The folder of the result that was set aside.
const PREVIOUS: &str = ".himacl-previous";
/// The folder of one that is being removed.
const DISCARDED: &str = ".himacl-discarded";
/// The mark of a run that was given up, beside the result that takes its place again.
const GIVEN_UP: &str = ".himacl-given-up.toml";

/// Moves the files of the run of `plan` aside, and its mark.
pub(super) fn set_aside(root: &Path, plan: &Plan) -> Result<(), Error> {
    let previous = root.join(PREVIOUS);
    let own = own_files(root, &plan.files)?;
    make_folder(&previous)?;
    for file in own.files.iter().filter(|file| file.as_path() != Path::new(MARK)) {
        move_between(root, &previous, file)?;
    }
    remove_empty(root, &own.folders);
    sync_folder(&previous)?;
    move_between(root, &previous, Path::new(MARK))?;
    sync_folder(root)
}

/// Whether a result is set aside, for the time of a new run.
pub(super) fn is_set_aside(root: &Path) -> bool {
    root.join(PREVIOUS).join(MARK).is_file() && root.join(MARK).is_file()
}

/// Removes the result that was set aside.
pub(super) fn discard(root: &Path) -> Result<(), Error> {
    let (previous, discarded) = (root.join(PREVIOUS), root.join(DISCARDED));
    match fs::rename(&previous, &discarded) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        renamed => renamed.map_err(Error::io("rename", &previous))?,
    }
    remove_folder(&discarded)
}

/// Removes what there is of the run of `plan`, and puts the result back that was set aside for it, if one was.
pub(super) fn give_up(root: &Path, plan: &Plan) -> Result<(), Error> {
    let previous = root.join(PREVIOUS);
    if previous.join(MARK).is_file() {
        let mark = root.join(MARK);
        fs::rename(&mark, previous.join(GIVEN_UP)).map_err(Error::io("rename", &mark))?;
        return recover(root);
    }
    // The mark last: without it nobody would know whose the rest is.
    remove_run(root, plan)?;
    remove_if_present(&root.join(MARK))
}

/// Brings the folder into order after a process that was killed in the middle of one of these.
pub(super) fn recover(root: &Path) -> Result<(), Error> {
    remove_folder(&root.join(DISCARDED))?;
    let previous = root.join(PREVIOUS);
    if !previous.is_dir() || is_set_aside(root) {
        return Ok(());
    }
    if previous.join(MARK).is_file() {
        let given_up = previous.join(GIVEN_UP);
        if let Some(plan) = Plan::read(&given_up)? {
            remove_run(root, &plan)?;
        }
        remove_if_present(&given_up)?;
        move_between(&previous, root, Path::new(MARK))?;
    }
    put_back(root, &previous, Path::new(""))?;
    sync_folder(root)
}

fn remove_run(root: &Path, plan: &Plan) -> Result<(), Error> {
    let own = own_files(root, &plan.files)?;
    for file in own.files.iter().chain(&own.unfinished).filter(|file| file.as_path() != Path::new(MARK)) {
        remove_if_present(&root.join(file))?;
    }
    remove_empty(root, &own.folders);
    Ok(())
}

/// Moves everything below `previous/inner` back, and removes the folders.
fn put_back(root: &Path, previous: &Path, inner: &Path) -> Result<(), Error> {
    let folder = previous.join(inner);
    for entry in fs::read_dir(&folder).map_err(Error::io("list", &folder))? {
        let entry = entry.map_err(Error::io("list", &folder))?;
        let path = inner.join(entry.file_name());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            put_back(root, previous, &path)?;
        } else {
            move_between(previous, root, &path)?;
        }
    }
    fs::remove_dir(&folder).map_err(Error::io("remove", &folder))
}

fn move_between(from: &Path, to: &Path, file: &Path) -> Result<(), Error> {
    let (source, target) = (from.join(file), to.join(file));
    if let Some(folder) = target.parent() {
        make_folder(folder)?;
    }
    fs::rename(&source, &target).map_err(Error::io("rename", &source))
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(Error::io("make folder", folder))
}

/// Removes those folders in which nothing is left; `folders` has each before those in it.
fn remove_empty(root: &Path, folders: &[PathBuf]) {
    // A folder that holds something else stays.
    folders.iter().rev().for_each(|folder| drop(fs::remove_dir(root.join(folder))));
}

fn remove_folder(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io("remove", folder)(error)),
        _ => Ok(()),
    }
}
