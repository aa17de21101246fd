//! Where an encoder's files are: the Hub's cache, fetched if need be, or a folder of the user's.

use super::context::Context;
use super::interrupt;
use super::printer::ProgressTask;
use crate::error::Error;
use clap::Args;
use himacl::encoder::registry::{self, EncoderSpec, Family};
use himacl::hub::{Event, Hub, HubSettings, Snapshot, local_snapshot};
use std::cell::RefCell;
use std::path::Path;

/// An encoder that the registry does not have.
#[derive(Debug, Clone, Args)]
pub(crate) struct RepoArgs {
    /// A repository on the Hub whose encoder is of a known family.
    #[arg(long, value_name = "ORG/NAME", requires = "family")]
    repo: Option<String>,

    /// Its branch, tag or commit [default: main]; or another one than the registry's.
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,

    /// Its family.
    #[arg(long, value_enum, value_name = "FAMILY", requires = "repo")]
    family: Option<Family>,
}

impl RepoArgs {
    /// What is known of the encoders named and of the repository.
    pub(crate) fn specs(&self, names: &[String]) -> Result<Vec<EncoderSpec>, Error> {
        let mut specs = Vec::new();
        for name in names {
            let spec = registry::find(name)?;
            let revision = self.revision.clone().filter(|_| self.repo.is_none());
            specs.push(EncoderSpec { revision: revision.unwrap_or(spec.revision), ..spec });
        }
        if let (Some(repo), Some(family)) = (&self.repo, self.family) {
            specs.push(registry::for_repo(repo, self.revision.as_deref().unwrap_or("main"), family));
        }
        Ok(specs)
    }
}

/// The encoder's files: in `local`, or in the cache, where they are fetched to.
pub(crate) fn obtain(spec: &EncoderSpec, local: Option<&Path>, context: &Context) -> Result<Snapshot, Error> {
    let files = spec.needed_files();
    if let Some(folder) = local {
        return Ok(local_snapshot(folder, &spec.repo, &files)?);
    }
    let hub = Hub::new(HubSettings::from_env())?;
    let task: RefCell<Option<(String, ProgressTask)>> = RefCell::default();
    Ok(hub.fetch(
        &spec.repo,
        &spec.revision,
        &files,
        &|event| match event {
            Event::Started { file, done, total } => {
                let mut task = task.borrow_mut();
                // A transfer that begins anew keeps its bar.
                if task.as_ref().is_none_or(|(name, _)| name != file) {
                    let total = total.unwrap_or_default();
                    context.printer.info(&format!(
                        "fetching {file} of {} from {}",
                        spec.repo,
                        hub.settings().address()
                    ));
                    *task = Some((file.to_owned(), context.printer.task("fetch", "bytes", total)));
                }
                if let Some((_, task)) = task.as_ref() {
                    task.set_done(done);
                }
            }
            Event::Advanced(bytes) => {
                if let Some((_, task)) = task.borrow().as_ref() {
                    task.advance(bytes);
                }
            }
            Event::Finished => *task.borrow_mut() = None,
        },
        &interrupt::requested,
    )?)
}
