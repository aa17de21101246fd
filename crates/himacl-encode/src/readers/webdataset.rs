//! webdataset shards: the members of a tar archive that have one key are a sample.

use super::budget::CAPTION_BYTES;
use super::columns::{Columns, fields_of};
use super::folder::IMAGE_EXTENSIONS;
use super::json;
use super::location::Location;
use super::picture::composed;
use super::reader::{ReadOptions, Reader};
use super::sample::{ImageSource, Record, Sample};
use super::tar_file::{TarFile, text};
use crate::error::{Error, list};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

/// Endings of captions.
const TEXT_EXTENSIONS: [&str; 3] = ["txt", "text", "caption"];

/// The members of a sample, by their place in the archive.
#[derive(Debug)]
struct Group {
    members: Vec<u32>,
    /// Whether an earlier sample has the same key.
    is_repeated: bool,
}

/// Reads one shard: its headers first, then each sample's members where they lie. Memory grows with the number of members
/// of one shard, a hundred bytes each.
pub(super) struct WebDatasetReader {
    path: PathBuf,
    shard: TarFile,
    options: ReadOptions,
    groups: std::vec::IntoIter<Group>,
    /// Whether any member has an ending of a picture and nothing before it: then `mask.png` is not the picture.
    has_plain_images: bool,
    has_plain_texts: bool,
}

/// The key and the ending of a member: the key ends at the first dot of the last part of its path.
fn split(name: &str) -> Option<(&str, &str)> {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = file + name[file..].find('.')?;
    (dot > file && !name.starts_with("__MACOSX/")).then_some((&name[..dot], &name[dot + 1..]))
}

impl WebDatasetReader {
    pub(super) fn open(path: &Location, options: ReadOptions) -> Result<Self, Error> {
        let shard = TarFile::open(path)?;
        let has = |endings: &[&str]| {
            let mut members = shard.entries.iter().filter_map(|entry| split(&entry.name));
            members.any(|(_, ending)| endings.iter().any(|known| ending.eq_ignore_ascii_case(known)))
        };
        let (has_plain_images, has_plain_texts) = (has(&IMAGE_EXTENSIONS), has(&TEXT_EXTENSIONS));
        let groups = groups(&shard).into_iter();
        Ok(Self { path: path.to_path_buf(), shard, options, groups, has_plain_images, has_plain_texts })
    }

    /// What a member is called behind its key.
    fn ending(&self, member: u32) -> &str {
        split(&self.shard.entries[member as usize].name).map_or("", |(_, ending)| ending)
    }

    fn record(&self, group: &Group) -> Record {
        let name = &self.shard.entries[group.members[0] as usize].name;
        let key = split(name).map_or(name.as_str(), |(key, _)| key).to_owned();
        if group.is_repeated {
            let reason = format!("key `{key}` is repeated in `{}`; its first sample is used", self.path.display());
            return Record::unusable(key, reason);
        }
        let found = || {
            let members = list(group.members.iter().map(|&member| self.ending(member)));
            format!("key `{key}` has the members {members}")
        };
        match self.sample(group, &key) {
            Ok(sample) => Record::checked(sample, self.options.modality, || {
                format!("{}; --image-column and --caption-column name the ones to take", found())
            }),
            Err(reason) => Record::unusable(key.clone(), reason),
        }
    }

    /// The member that was asked for, or one with a usual ending, most usual first. Where none of the shard is called
    /// by such an ending alone, a sample's only one that ends so is it: `input.jpg` beside `output.txt`.
    fn choose(
        &self,
        group: &Group,
        asked: Option<&str>,
        usual: &[&str],
        has_plain: bool,
    ) -> Result<Option<u32>, String> {
        let of = |wanted: &str| {
            group.members.iter().copied().find(|&member| self.ending(member).eq_ignore_ascii_case(wanted))
        };
        if let Some(asked) = asked {
            return Ok(of(asked));
        }
        let plain = usual.iter().find_map(|ending| of(ending));
        if plain.is_some() || has_plain {
            return Ok(plain);
        }
        let last = |member: u32| self.ending(member).rsplit('.').next().unwrap_or_default();
        let ends = |&member: &u32| usual.iter().any(|ending| last(member).eq_ignore_ascii_case(ending));
        let found: Vec<u32> = group.members.iter().copied().filter(ends).collect();
        match found[..] {
            [] => Ok(None),
            [member] => Ok(Some(member)),
            [..] => Err(list(found.iter().map(|&member| self.ending(member)))),
        }
    }

    fn sample(&self, group: &Group, key: &str) -> Result<Sample, String> {
        let (modality, options) = (self.options.modality, &self.options);
        let mut sample = Sample { key: key.to_owned(), ..Sample::default() };
        let ambiguous = |flag: &'static str| {
            move |found: String| format!("key `{key}` has several such members: {found}; {flag} names the one to take")
        };
        let picture = self.choose(group, options.image_column.as_deref(), &IMAGE_EXTENSIONS, self.has_plain_images);
        let picture = picture.map_err(ambiguous("--image-column"));
        if let Some(member) = if modality.has_image() { picture? } else { picture.unwrap_or_default() } {
            sample.image_path = Some(format!("{}/{}", self.path.display(), self.shard.entries[member as usize].name));
            if modality.has_image() {
                sample.image = Some(ImageSource::Member(self.shard.member(member as usize)));
            }
        }
        let caption = self.caption(group, ambiguous("--caption-column"));
        // What is wrong with a caption is no matter where none is asked for.
        sample.caption = if modality.has_text() { caption? } else { caption.unwrap_or_default() };
        Ok(sample)
    }

    /// The caption: a text member or a field of the JSON member; one that is asked for by name is no other.
    fn caption(&self, group: &Group, ambiguous: impl Fn(String) -> String + Copy) -> Result<Option<String>, String> {
        let asked = self.options.caption_column.as_deref();
        let read = |member: u32| {
            let (member, entry) = (member as usize, &self.shard.entries[member as usize]);
            text(&self.shard.member(member), &entry.name)
        };
        if let Some(member) = self.choose(group, asked, &TEXT_EXTENSIONS, self.has_plain_texts).map_err(ambiguous)? {
            let caption = read(member)?;
            if caption.len() as u64 > CAPTION_BYTES {
                return Err(format!("a caption of {} bytes, at most {CAPTION_BYTES} are read", caption.len()));
            }
            return Ok(Some(caption.trim_end().to_owned()));
        }
        let Some(member) = self.choose(group, None, &["json"], false).map_err(ambiguous)? else { return Ok(None) };
        let name = &self.shard.entries[member as usize].name;
        let object = json::parse(read(member)?.as_bytes()).map_err(|error| format!("{name}: {error}"))?;
        match Columns::caption_in(&self.options, &object) {
            Some(caption) => Ok(Some(caption)),
            None => Err(format!("no caption: `{name}` has {}; --caption-column names one", fields_of(&object))),
        }
    }

    /// What stands for the part of the archive that cannot be read.
    fn failure(&mut self) -> Option<Record> {
        let reason = self.shard.failure.take()?;
        Some(Record::rest(&self.path, &reason))
    }
}

/// Members by key, in the order of their first ones. A second member of one name begins a second sample of that key. Names that
/// differ in how letters with marks are written, as one character or as two, are one name, unless members of both names are the same part of a sample.
fn groups(shard: &TarFile) -> Vec<Group> {
    let composed: Vec<Cow<'_, str>> = shard
        .entries
        .iter()
        .map(|entry| composed(&entry.name).map_or(Cow::Borrowed(entry.name.as_str()), Cow::Owned))
        .collect();
    let (mut written, mut apart) = (HashMap::new(), HashSet::new());
    for (entry, composed) in shard.entries.iter().zip(&composed) {
        let first: &mut &str = written.entry(composed.as_ref()).or_insert(entry.name.as_str());
        if *first != entry.name {
            apart.extend(split(composed).map(|(key, _)| key));
        }
    }
    let names: Vec<&str> = shard
        .entries
        .iter()
        .zip(&composed)
        .map(|(entry, composed)| match split(composed) {
            Some((key, _)) if apart.contains(key) => entry.name.as_str(),
            _ => composed.as_ref(),
        })
        .collect();
    let key = |member: u32| split(names[member as usize]).map_or("", |(key, _)| key);
    let mut members: Vec<u32> = (0..shard.entries.len() as u32).filter(|&member| !key(member).is_empty()).collect();
    members.sort_by(|&a, &b| key(a).cmp(key(b)).then(a.cmp(&b)));
    let mut groups: Vec<Group> = Vec::new();
    for same in members.chunk_by(|&a, &b| key(a) == key(b)) {
        let first = groups.len();
        let mut times: HashMap<&str, usize> = HashMap::new();
        for &member in same {
            let time = times.entry(names[member as usize]).or_default();
            if groups.len() == first + *time {
                groups.push(Group { members: Vec::new(), is_repeated: *time > 0 });
            }
            groups[first + *time].members.push(member);
            *time += 1;
        }
    }
    groups.sort_by_key(|group| group.members[0]);
    groups
}

impl Iterator for WebDatasetReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = match self.groups.next() {
            Some(group) => self.record(&group),
            None => self.failure()?,
        };
        Some(Ok(record))
    }
}

impl Reader for WebDatasetReader {
    fn skip_records(&mut self, count: u64) -> Result<u64, Error> {
        for skipped in 0..count {
            if self.groups.next().is_none() && self.failure().is_none() {
                return Ok(skipped);
            }
        }
        Ok(count)
    }
}
