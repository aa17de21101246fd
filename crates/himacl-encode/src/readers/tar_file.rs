//! What a tar archive holds and where, found by its headers alone: plain and sparse members, links to earlier ones,
//! several archives in one file, and what came before a cut.

use super::budget::{self, too_large};
use super::location::{Location, printable};
use super::source::open_random;
use crate::error::Error;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tar::{EntryType, Header};

/// Headers and contents begin at multiples of this many bytes.
const BLOCK: u64 = 512;
/// Bytes of a header that only says more of the next one.
const EXTENSION_BYTES: u64 = 1 << 20;
/// Members of an archive, pieces of one.
const MEMBERS: usize = 8 << 20;
const PIECES: usize = 1 << 16;

/// The file of an archive, whose parts are read by several threads.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
    file: Mutex<File>,
}

impl Archive {
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(into)
    }

    fn read_vec(&self, at: u64, length: u64, limit: u64) -> io::Result<Vec<u8>> {
        if length > limit {
            return Err(too_large(limit));
        }
        let mut content = vec![0; length as usize];
        self.read_at(at, &mut content)?;
        Ok(content)
    }
}

/// Where the content of a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Plain {
        at: u64,
        size: u64,
    },
    /// Pieces `(at, place, length)` of a content that is zero elsewhere.
    Sparse {
        pieces: Box<[(u64, u64, u64)]>,
        size: u64,
    },
    /// That of an earlier member.
    Link(Box<str>),
    /// There is none that can be read.
    Refused(Box<str>),
}

/// A member that is listed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    content: Content,
}

/// A part of an archive.
#[derive(Debug, Clone)]
pub struct Member {
    archive: Arc<Archive>,
    content: Content,
}

impl PartialEq for Member {
    fn eq(&self, other: &Self) -> bool {
        self.archive.path == other.archive.path && self.content == other.content
    }
}

impl Eq for Member {}

impl Member {
    /// Bytes of the content.
    pub(super) fn size(&self) -> u64 {
        match self.content {
            Content::Plain { size, .. } | Content::Sparse { size, .. } => size,
            Content::Link(_) | Content::Refused(_) => 0,
        }
    }

    /// The content, of `limit` bytes at most.
    pub(super) fn read(&self, limit: u64) -> Result<Vec<u8>, Error> {
        let archive = &self.archive;
        let content = match &self.content {
            Content::Plain { at, size } => archive.read_vec(*at, *size, limit),
            Content::Sparse { size, .. } if *size > limit => Err(too_large(limit)),
            Content::Sparse { pieces, size } => (|| {
                let mut content = vec![0; *size as usize];
                for &(at, place, length) in pieces {
                    let end = place.checked_add(length).filter(|end| end <= size);
                    let end = end.ok_or_else(|| io::Error::other("a piece lies outside of the member"))?;
                    archive.read_at(at, &mut content[place as usize..end as usize])?;
                }
                Ok(content)
            })(),
            Content::Link(target) => Err(io::Error::other(format!("a link to `{target}`, which is not before it"))),
            Content::Refused(why) => Err(io::Error::other(why.to_string())),
        };
        content.map_err(Error::io("read", &archive.path))
    }
}

/// The members of an archive, and what ended the list before its time.
pub(super) struct TarFile {
    archive: Arc<Archive>,
    pub(super) entries: Vec<Entry>,
    pub(super) failure: Option<String>,
}

impl TarFile {
    pub(super) fn open(path: &Location) -> Result<Self, Error> {
        let (file, failure) = open_random(path)?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let archive = Arc::new(Archive { path: path.to_path_buf(), file: Mutex::new(file) });
        let mut list = List { archive: &archive, length, at: 0, entries: Vec::new(), next: Next::default() };
        let ended =
            if length == 0 && failure.is_none() { Err(io::Error::other("the file is empty")) } else { list.run() };
        let mut entries = list.entries;
        resolve_links(&mut entries);
        let failure = failure.map(|error| format!("cannot be unpacked: {error}")).or(ended.err().map(|error| {
            let after = entries.last().map_or_else(String::new, |last| format!(" after member `{}`", last.name));
            format!("{error}{after}")
        }));
        Ok(Self { archive, entries, failure })
    }

    pub(super) fn member(&self, entry: usize) -> Member {
        Member { archive: Arc::clone(&self.archive), content: self.entries[entry].content.clone() }
    }
}

/// What headers of their own say of the member that follows.
#[derive(Default)]
struct Next {
    name: Option<String>,
    sparse_name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
    /// Of a sparse member in pax's ways.
    real_size: Option<u64>,
    map: Vec<u64>,
    map_in_content: bool,
    refused: Option<&'static str>,
}

struct List<'a> {
    archive: &'a Archive,
    length: u64,
    at: u64,
    entries: Vec<Entry>,
    next: Next,
}

impl List<'_> {
    fn run(&mut self) -> io::Result<()> {
        let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the archive is cut off");
        let mut ended = false;
        while self.at < self.length {
            if self.length - self.at < BLOCK {
                return if ended { Ok(()) } else { Err(cut()) };
            }
            let mut header = Header::new_old();
            self.archive.read_at(self.at, header.as_mut_bytes())?;
            if header.as_bytes().iter().all(|&byte| byte == 0) {
                ended = true;
                self.pass_zeros()?;
                continue;
            }
            let sum: u32 = header
                .as_bytes()
                .iter()
                .enumerate()
                .map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { u32::from(byte) })
                .sum();
            if header.cksum().ok() != Some(sum) {
                return Err(io::Error::other(format!("no header of a tar archive at byte {}", self.at)));
            }
            if self.entries.len() == MEMBERS {
                return Err(io::Error::other(format!("more than {MEMBERS} members")));
            }
            ended = false;
            self.at += BLOCK;
            let size = self.next.size.map_or_else(|| header.entry_size(), Ok)?;
            let pieces =
                if header.entry_type() == EntryType::GNUSparse { Some(self.gnu_pieces(&header)?) } else { None };
            let is_whole = self.at.checked_add(size).is_some_and(|end| end <= self.length);
            self.place(&header, size, pieces, is_whole)?;
            if !is_whole {
                return Err(cut());
            }
            self.at = (self.at + size).next_multiple_of(BLOCK);
        }
        // Members are filled up to whole blocks.
        if self.at > self.length { Err(cut()) } else { Ok(()) }
    }

    /// Passes over the zeros behind an archive: another one may follow.
    fn pass_zeros(&mut self) -> io::Result<()> {
        const STEP: u64 = 1 << 16;
        const MOST: u64 = 1 << 30;
        let (begin, mut part) = (self.at, vec![0; STEP as usize]);
        while self.at < self.length {
            if self.at - begin > MOST {
                self.at = self.length;
                break;
            }
            let some = STEP.min(self.length - self.at);
            self.archive.read_at(self.at, &mut part[..some as usize])?;
            match part[..some as usize].iter().position(|&byte| byte != 0) {
                Some(place) => {
                    self.at += place as u64 / BLOCK * BLOCK;
                    break;
                }
                None => self.at += some,
            }
        }
        Ok(())
    }

    /// Takes up a header with `size` bytes behind it.
    fn place(&mut self, header: &Header, size: u64, pieces: Option<Content>, is_whole: bool) -> io::Result<()> {
        let kind = header.entry_type();
        let is_extension = matches!(kind, EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader);
        if kind == EntryType::XGlobalHeader || is_extension && !is_whole {
            return Ok(());
        }
        if is_extension {
            if size > EXTENSION_BYTES {
                self.next.refused = Some("its header is longer than 1 MiB");
                return Ok(());
            }
            let bytes = self.archive.read_vec(self.at, size, EXTENSION_BYTES)?;
            let text = || printable(bytes.split(|&byte| byte == 0).next().unwrap_or_default());
            match kind {
                EntryType::GNULongName => self.next.name = Some(text()),
                EntryType::GNULongLink => self.next.link = Some(text()),
                _ => self.next.pax(&bytes),
            }
            return Ok(());
        }
        let next = std::mem::take(&mut self.next);
        let name = next.sparse_name.clone().or(next.name.clone()).unwrap_or_else(|| printable(&header.path_bytes()));
        let name = name.trim_start_matches("./").to_owned();
        if kind == EntryType::Directory || name.is_empty() || name.ends_with('/') {
            return Ok(());
        }
        let refused = |why: &str| Content::Refused(why.into());
        let content = match kind {
            _ if next.refused.is_some() => refused(next.refused.unwrap_or_default()),
            _ if !is_whole => refused("its content is cut off"),
            EntryType::GNUSparse => pieces.unwrap_or_else(|| refused("a sparse member")),
            EntryType::Regular | EntryType::Continuous if next.map_in_content || !next.map.is_empty() => {
                self.pax_pieces(&next, size)?
            }
            EntryType::Regular | EntryType::Continuous => Content::Plain { at: self.at, size },
            EntryType::Link => {
                let link = header.link_name_bytes().unwrap_or_default();
                let link = next.link.unwrap_or_else(|| printable(&link));
                Content::Link(link.trim_start_matches("./").into())
            }
            EntryType::Symlink => refused("a symbolic link, which is not followed"),
            _ => refused("neither a file nor a link to one"),
        };
        self.entries.push(Entry { name, content });
        Ok(())
    }

    /// GNU's own map of a sparse member, in its header and in blocks behind it.
    fn gnu_pieces(&mut self, header: &Header) -> io::Result<Content> {
        let Some(gnu) = header.as_gnu() else { return Ok(Content::Refused("a sparse member".into())) };
        let mut map = Vec::new();
        let mut extended = gnu.is_extended();
        let take = |map: &mut Vec<u64>, headers: &[tar::GnuSparseHeader]| {
            for header in headers.iter().filter(|header| !header.is_empty()) {
                map.extend([header.offset()?, header.length()?]);
            }
            io::Result::Ok(())
        };
        take(&mut map, &gnu.sparse)?;
        while extended && map.len() < 2 * PIECES {
            let mut more = tar::GnuExtSparseHeader::new();
            self.archive.read_at(self.at, more.as_mut_bytes())?;
            self.at += BLOCK;
            take(&mut map, more.sparse())?;
            extended = more.is_extended();
        }
        Ok(sparse(self.at, &map, gnu.real_size()?))
    }

    /// Those of pax: a map in the header, or in front of the content.
    fn pax_pieces(&self, next: &Next, size: u64) -> io::Result<Content> {
        let Some(real) = next.real_size else { return Ok(Content::Refused("a sparse member of unknown size".into())) };
        if !next.map_in_content {
            return Ok(sparse(self.at, &next.map, real));
        }
        // Decimal numbers, a line each: how many pieces, then place and length of each; the content begins with a block.
        let head = self.archive.read_vec(self.at, size.min(EXTENSION_BYTES), EXTENSION_BYTES)?;
        let mut lines = head.split_inclusive(|&byte| byte == b'\n');
        let mut length = 0;
        let mut number = || {
            let line = lines.next()?;
            length += line.len() as u64;
            std::str::from_utf8(line).ok()?.trim_end().parse::<u64>().ok()
        };
        let wrong = || io::Error::other("the map of a sparse member cannot be read");
        let count = number().filter(|&count| count <= PIECES as u64).ok_or_else(wrong)?;
        let map = (0..2 * count).map(|_| number().ok_or_else(wrong)).collect::<io::Result<Vec<u64>>>()?;
        Ok(sparse(self.at + length.next_multiple_of(BLOCK), &map, real))
    }
}

/// Places and lengths of pieces that lie one behind the other from `at` on.
fn sparse(at: u64, map: &[u64], size: u64) -> Content {
    let mut next = at;
    let pieces = map.chunks_exact(2).map(|piece| {
        let begin = next;
        next = next.saturating_add(piece[1]);
        (begin, piece[0], piece[1])
    });
    Content::Sparse { pieces: pieces.collect(), size }
}

impl Next {
    /// Takes up the records of a pax header: `LENGTH KEY=VALUE`, a line each.
    fn pax(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(space) = rest.iter().position(|&byte| byte == b' ') {
            let length = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse::<usize>().ok());
            let Some(record) = length.and_then(|length| rest.get(space + 1..length)) else { return };
            let text = printable(record);
            let (key, value) = text.trim_end_matches('\n').split_once('=').unwrap_or_default();
            match key {
                "path" => self.name = Some(value.to_owned()),
                "linkpath" => self.link = Some(value.to_owned()),
                "size" => self.size = value.parse().ok(),
                "GNU.sparse.name" => self.sparse_name = Some(value.to_owned()),
                "GNU.sparse.realsize" | "GNU.sparse.size" => self.real_size = value.parse().ok(),
                "GNU.sparse.major" => self.map_in_content = value == "1",
                "GNU.sparse.map" => self.map = value.split(',').filter_map(|number| number.parse().ok()).collect(),
                "GNU.sparse.offset" | "GNU.sparse.numbytes" => self.map.extend(value.parse::<u64>().ok()),
                _ => {}
            }
            rest = &rest[space + 1 + record.len()..];
        }
    }
}

/// Gives hard links the content of the members that they name.
fn resolve_links(entries: &mut [Entry]) {
    if !entries.iter().any(|entry| matches!(entry.content, Content::Link(_))) {
        return;
    }
    let mut contents: HashMap<String, Content> = HashMap::new();
    for entry in entries {
        if let Content::Link(target) = &entry.content
            && let Some(content) = contents.get(&**target)
        {
            entry.content = content.clone();
        }
        contents.insert(entry.name.clone(), entry.content.clone());
    }
}

/// Text of a member.
pub(super) fn text(member: &Member, name: &str) -> Result<String, String> {
    let bytes = member.read(budget::RECORD_BYTES).map_err(|error| format!("{name}: {error}"))?;
    String::from_utf8(bytes).map_err(|error| format!("{name}: not UTF-8: {error}"))
}
