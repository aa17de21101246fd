//! Files that are elsewhere and of which parts are enough: each is fetched when it is asked for, and the next one beside the work.

use super::event::Watch;
use super::http::{Failure, refused};
use super::remote::{Remote, RemoteFile};
use super::transfer::{Partial, copy, starts_at};
use super::version::{changed, is_changed};
use crate::error::{Error, HubError};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use ureq::http::{Method, StatusCode};

/// So much of a file's end comes first: it tells where the rest is. A file that is no longer comes whole.
const TAIL_BYTES: u64 = 1 << 16;

/// A part of a file, in an unnamed file of the system's temporary folder.
#[derive(Debug)]
pub(crate) struct Part {
    range: Range<u64>,
    file: Mutex<File>,
}

impl Part {
    /// Reads from a place of the whole file on; nothing behind the part's end.
    pub(crate) fn read_at(&self, place: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(place.saturating_sub(self.range.start)))?;
        file.read(into)
    }
}

/// A part that is on its way.
type Fetching = Receiver<Result<File, Error>>;

/// A file of which parts are here.
#[derive(Debug)]
pub(crate) struct Parts {
    source: Source,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What is going to be read, in order; the ranges of a group are read side by side.
    plan: Vec<(usize, Range<u64>)>,
    /// The parts that are here; those of no group stay.
    held: Vec<(Option<usize>, Arc<Part>)>,
    /// The part that is being fetched.
    ahead: Option<(Range<u64>, Fetching)>,
    /// Why a part could not be had.
    failure: Option<Error>,
}

impl Parts {
    /// The file's length.
    pub(crate) fn size(&self) -> u64 {
        self.source.size
    }

    /// Says what is going to be read, group by group. Parts of groups other than the one under way and the one before it are
    /// let go.
    pub(crate) fn plan(&self, groups: Vec<Vec<Range<u64>>>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let size = self.source.size;
        let inside = |range: Range<u64>| range.start.min(size)..range.end.min(size);
        let numbered = groups.into_iter().enumerate();
        let ranges = numbered.flat_map(|(group, ranges)| ranges.into_iter().map(move |range| (group, inside(range))));
        state.plan = ranges.filter(|(_, range)| !range.is_empty()).collect();
        state.held.retain(|(group, _)| group.is_none());
        state.ahead = None;
    }

    /// A part that has a range of the file.
    pub(crate) fn part(&self, range: Range<u64>) -> io::Result<Arc<Part>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let covers = |whole: &Range<u64>| whole.start <= range.start && range.end <= whole.end;
        if let Some((_, part)) = state.held.iter().find(|(_, part)| covers(&part.range)) {
            return Ok(Arc::clone(part));
        }
        let planned = state.plan.iter().position(|(_, planned)| covers(planned));
        let (group, whole) = planned.map_or((None, range), |at| (Some(state.plan[at].0), state.plan[at].1.clone()));
        let fetched = match state.ahead.take_if(|(ahead, _)| *ahead == whole) {
            Some((_, content)) => content.recv().unwrap_or_else(|_| Err(HubError::Interrupted.into())),
            None => self.source.fetch(&whole),
        };
        let file = fetched.map_err(|error| {
            let told = io::Error::other(error.to_string());
            state.failure = Some(error);
            told
        })?;
        // Columns end at different places of a batch: the group before may still be read.
        state.held.retain(|(held, _)| held.is_none() || group.is_none() || held.map(|held| held + 1) >= group);
        let part = Arc::new(Part { range: whole, file: Mutex::new(file) });
        state.held.push((group, Arc::clone(&part)));
        let is_held = |range: &Range<u64>| {
            state.held.iter().any(|(_, part)| part.range.start <= range.start && range.end <= part.range.end)
        };
        let next = planned.and_then(|at| state.plan.get(at + 1)).map(|(_, next)| next.clone());
        if let Some(next) = next.filter(|next| !is_held(next)) {
            state.ahead = Some((next.clone(), self.source.begin(next)));
        }
        Ok(part)
    }

    /// Why a part could not be had, if that is what a reader stumbled over.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).failure.take()
    }
}

impl Remote {
    /// A file of which parts can be asked for, its end fetched; `None` where the server has only whole files, or where the file
    /// is too short for it.
    ///
    /// # Errors
    /// [`HubError::Changed`], and others that name the address; [`himacl_data::Error::Io`].
    pub(crate) fn parts(&self, file: &RemoteFile, is_unwanted: &Arc<AtomicBool>) -> Result<Option<Parts>, Error> {
        let Some(size) = file.size.filter(|&size| size > TAIL_BYTES) else { return Ok(None) };
        let (remote, file, is_unwanted) = (self.clone(), file.clone(), Arc::clone(is_unwanted));
        let source = Source { remote, file, size, is_unwanted };
        let range = size - TAIL_BYTES..size;
        let Some(tail) = source.fetch_if_ranged(&range)? else { return Ok(None) };
        let part = Part { range, file: Mutex::new(tail) };
        let state = State { held: vec![(None, Arc::new(part))], ..State::default() };
        Ok(Some(Parts { source, state: Mutex::new(state) }))
    }
}

/// Where parts come from.
#[derive(Debug, Clone)]
struct Source {
    remote: Remote,
    file: RemoteFile,
    size: u64,
    is_unwanted: Arc<AtomicBool>,
}

impl Source {
    /// Fetches a range on a thread of its own.
    fn begin(&self, range: Range<u64>) -> Fetching {
        let (sender, receiver) = sync_channel(1);
        let source = self.clone();
        // Nobody may want it any more.
        std::thread::spawn(move || drop(sender.send(source.fetch(&range))));
        receiver
    }

    /// The bytes of a range.
    fn fetch(&self, range: &Range<u64>) -> Result<File, Error> {
        let lost = || HubError::Protocol { url: self.file.shown.display().to_string(), what: "the range asked for" };
        self.fetch_if_ranged(range)?.ok_or_else(|| lost().into())
    }

    /// The same; `None` where the server answers with something else than the range.
    fn fetch_if_ranged(&self, range: &Range<u64>) -> Result<Option<File>, Error> {
        let path = self.file.shown.as_path();
        let file = tempfile::tempfile().map_err(Error::io("make a temporary file for", path))?;
        let mut partial = Partial { file, path, length: range.start, furthest: range.start };
        let should_stop = || self.is_unwanted.load(Ordering::Relaxed) || (self.remote.should_stop)();
        let watch = Watch { observe: &|_| (), should_stop: &should_stop };
        tracing::info!("fetching bytes {} to {} of {}", range.start, range.end, path.display());
        let http = self.remote.hub.http();
        let has = http.retry(&should_stop, |attempt| self.attempt(&mut partial, range.end, attempt, watch))?;
        Ok(has.then_some(partial.file))
    }

    /// One request for what is missing; whether the answer is that.
    fn attempt(&self, partial: &mut Partial<'_>, end: u64, attempt: u32, watch: Watch<'_>) -> Result<bool, Failure> {
        let (start, url) = (partial.length, self.file.url.as_str());
        let range = format!("bytes={start}-{}", end - 1);
        let http = self.remote.hub.http();
        let answer = http.send(&Method::GET, url, Some(&range), attempt, watch.should_stop, |_| false)?;
        if answer.status.is_success() && is_changed(&answer, self.file.tag.as_deref(), self.file.size) {
            return Err(changed(url));
        }
        match answer.status {
            StatusCode::PARTIAL_CONTENT if starts_at(&answer, start) => {}
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => return Ok(false),
            _ => return Err(refused(answer, attempt, |_, _, _| None)),
        }
        let url = answer.url;
        let ended = copy(answer.body, partial, Some(end), watch)?;
        let got = partial.length;
        if got == end {
            return Ok(true);
        }
        let error = match ended {
            None => HubError::Truncated { url, got, expected: end, attempts: attempt },
            Some(reason) => HubError::Network { url, reason, attempts: attempt },
        };
        Err(Failure::Passing { error, wait: None, progress: got > start })
    }
}
