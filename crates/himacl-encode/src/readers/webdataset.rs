//! webdataset shards: members of one key follow one another in a tar archive.

use super::columns::Columns;
use super::folder::IMAGE_EXTENSIONS;
use super::reader::{ReadOptions, Reader};
use super::sample::{ImageSource, Record, Sample};
use crate::error::Error;
use crate::error::ReadError;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use tar::{Archive, EntryType};

/// Headers and contents begin at multiples of this many bytes.
const BLOCK: u64 = 512;

/// A member: its name and where its content lies.
#[derive(Debug)]
struct Member {
    key: String,
    extension: String,
    name: String,
    start: u64,
    size: u64,
}

/// Reads one shard: its headers first, then each sample's members where they lie. Memory grows with the number of members
/// of one shard, a hundred bytes each.
pub(super) struct WebDatasetReader {
    path: PathBuf,
    file: File,
    options: ReadOptions,
    members: VecDeque<Member>,
    /// What ended the list of members before its time.
    failure: Option<Error>,
}

impl WebDatasetReader {
    pub(super) fn open(path: &Path, options: ReadOptions) -> Result<Self, Error> {
        let open = || File::open(path).map_err(Error::io("read", path));
        let mut archive = Archive::new(BufReader::new(open()?));
        let mut members = VecDeque::new();
        let length = open()?.metadata().map_err(Error::io("read", path))?.len();
        let failure = list(&mut archive, length, &mut members).err().map(|source| {
            let (path, member) = (path.to_path_buf(), members.len());
            ReadError::Archive { path, member, source }.into()
        });
        Ok(Self { path: path.to_path_buf(), file: open()?, options, members, failure })
    }

    /// The members of the next sample.
    fn next_group(&mut self) -> Result<Vec<Member>, Error> {
        let same = |members: &VecDeque<Member>| {
            members.iter().take_while(|member| Some(&member.key) == members.front().map(|first| &first.key)).count()
        };
        let count = same(&self.members);
        // A sample before a failure may lack members that would have followed.
        if count == self.members.len()
            && let Some(failure) = self.failure.take()
        {
            self.members.clear();
            return Err(failure);
        }
        Ok(self.members.drain(..count).collect())
    }

    fn content(&mut self, start: u64, size: u64) -> io::Result<Vec<u8>> {
        self.file.seek(SeekFrom::Start(start))?;
        let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default().min(1 << 26));
        let got = (&mut self.file).take(size).read_to_end(&mut content)?;
        if (got as u64) < size {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("ends after {got} of {size} bytes")));
        }
        Ok(content)
    }

    fn record(&mut self, group: &[Member]) -> Record {
        let key = group[0].key.clone();
        match self.sample(group) {
            Ok(sample) => Record::checked(sample, self.options.modality),
            Err(reason) => Record::unusable(key, reason),
        }
    }

    fn sample(&mut self, group: &[Member]) -> Result<Sample, String> {
        let (modality, options) = (self.options.modality, self.options.clone());
        let by_extension = |wanted: &str| group.iter().find(|member| member.extension == wanted);
        let mut sample = Sample { key: group[0].key.clone(), ..Sample::default() };
        let picture = match &options.image_column {
            Some(extension) => by_extension(extension),
            None => IMAGE_EXTENSIONS.iter().find_map(|extension| by_extension(extension)),
        };
        if let Some(member) = picture {
            sample.image_path = Some(format!("{}/{}", self.path.display(), member.name));
            if modality.has_image() {
                let bytes = self.content(member.start, member.size).map_err(|error| error.to_string())?;
                sample.image = Some(ImageSource::Bytes(bytes));
            }
        }
        // A caption is a text member, the one named, or a field of the JSON member.
        let named = options.caption_column.as_deref().and_then(by_extension).or(by_extension("txt"));
        let read = match (named, by_extension("json")) {
            (Some(text), _) => self.text(text).map(|text| Some(text.trim_end().to_owned())),
            (None, Some(json)) => self.text(json).and_then(|text| {
                let object = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", json.name))?;
                Ok(Columns::caption_in(&options, &object))
            }),
            (None, None) => Ok(None),
        };
        // What is wrong with a caption is no matter where none is asked for.
        sample.caption = if modality.has_text() { read? } else { read.unwrap_or_default() };
        Ok(sample)
    }

    fn text(&mut self, member: &Member) -> Result<String, String> {
        let bytes = self.content(member.start, member.size).map_err(|error| error.to_string())?;
        String::from_utf8(bytes).map_err(|error| format!("{}: not UTF-8: {error}", member.name))
    }
}

impl Iterator for WebDatasetReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_group() {
            Ok(group) if group.is_empty() => None,
            Ok(group) => Some(Ok(self.record(&group))),
            Err(error) => Some(Err(error)),
        }
    }
}

impl Reader for WebDatasetReader {
    fn skip_records(&mut self, count: u64) -> Result<u64, Error> {
        for skipped in 0..count {
            if self.next_group()?.is_empty() {
                return Ok(skipped);
            }
        }
        Ok(count)
    }
}

/// Appends the files that belong to samples, in the archive's order; `length` is that of the archive.
fn list(archive: &mut Archive<BufReader<File>>, length: u64, members: &mut VecDeque<Member>) -> io::Result<()> {
    let mut end = 0;
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        end = entry.raw_file_position().saturating_add(entry.size()).next_multiple_of(BLOCK);
        if !matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous) {
            continue;
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
        let (folder, file) = name.rsplit_once('/').map_or(("", name.as_str()), |(folder, file)| (folder, file));
        // The key ends at the first dot of the file's name: `000/1.seg.png` has the extension `seg.png`.
        let Some((stem, extension)) = file.split_once('.').filter(|(stem, _)| !stem.is_empty()) else { continue };
        let key = if folder.is_empty() { stem.to_owned() } else { format!("{folder}/{stem}") };
        let (extension, start, size) = (extension.to_ascii_lowercase(), entry.raw_file_position(), entry.size());
        members.push_back(Member { key, extension, name: name.clone(), start, size });
    }
    // Seeking over content does not notice that it is not there.
    if end > length {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is truncated"));
    }
    Ok(())
}
