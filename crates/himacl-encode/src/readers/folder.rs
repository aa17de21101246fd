//! Pictures in folders, captions in files beside them (`cat.jpg` with `cat.txt`, `cat.json` or `cat.jpg.txt`) or in a table of
//! the folder.

use super::budget::{self, CAPTION_BYTES, RECORD_BYTES};
use super::columnar::ColumnarReader;
use super::columns::{Columns, fields_of};
use super::decode::is_picture;
use super::json;
use super::location::{Location, printable};
use super::order::compare;
use super::picture::composed;
use super::reader::{Format, ReadOptions, Reader};
use super::sample::{ImageSource, Modality, Record, Sample};
use super::table::{JsonLinesReader, Keys, TableReader};
use crate::error::{Error, ReadError};
use himacl_data::files::is_pointer;
use himacl_data::is_arrow;
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Endings of pictures, in the order of preference where a sample has several.
pub(super) const IMAGE_EXTENSIONS: [&str; 10] =
    ["jpg", "jpeg", "png", "webp", "gif", "jfif", "jpe", "bmp", "tif", "tiff"];
/// Endings of pictures that are not read.
const OTHER_IMAGES: [&str; 22] = [
    "avif", "heic", "heif", "jxl", "jp2", "j2k", "svg", "psd", "ico", "tga", "ppm", "pgm", "pbm", "pnm", "qoi", "exr",
    "hdr", "dng", "cr2", "nef", "arw", "raw",
];
/// Tables that say which caption a picture has, in folders as Hugging Face's `imagefolder` reads them; that does not read those from the
/// fourth on.
const TABLES: [&str; 7] = [
    "metadata.csv",
    "metadata.jsonl",
    "metadata.parquet",
    "metadata.tsv",
    "metadata.arrow",
    "metadata.feather",
    "metadata.ipc",
];
/// The column of such tables that names pictures.
const FILE_NAME: &str = "file_name";
/// Rows of a table without that column of which one must name a picture that is there.
const LOOKED_AT: usize = 10;

/// Endings of captions.
const TEXTS: [&str; 3] = ["txt", "caption", "text"];

/// The name of a sample in its folder, without the ending.
#[derive(Debug, PartialEq, Eq)]
struct Stem(String);

impl Ord for Stem {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self.0.as_bytes(), other.0.as_bytes())
    }
}

impl PartialOrd for Stem {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A picture of a sample.
#[derive(Debug)]
struct Image {
    /// That of its ending; one that is not read has none.
    rank: Option<usize>,
    path: PathBuf,
    /// What bears its whole name: `cat.jpg.txt`.
    captions: Captions,
}

/// Files with the caption of a sample.
#[derive(Debug, Clone, Default)]
struct Captions {
    txt: Option<PathBuf>,
    json: Option<PathBuf>,
}

impl Captions {
    fn is_empty(&self) -> bool {
        self.txt.is_none() && self.json.is_none()
    }

    /// These, and where there are none of a kind, those others.
    fn or(self, others: &Self) -> Self {
        Self { txt: self.txt.or_else(|| others.txt.clone()), json: self.json.or_else(|| others.json.clone()) }
    }

    fn files(self) -> impl Iterator<Item = PathBuf> {
        self.txt.into_iter().chain(self.json)
    }
}

/// The files of one name.
#[derive(Debug, Default)]
struct Files {
    images: Vec<Image>,
    captions: Captions,
}

/// A sample that is to be read.
#[derive(Debug)]
struct Item {
    key: String,
    image: Option<PathBuf>,
    captions: Captions,
    /// Why it cannot be used.
    refused: Option<String>,
}

/// Reads a folder and those in it: in each the files by name, then the folders by name. Hidden ones are left out, and a
/// folder that was read by another name.
pub(super) struct FolderReader {
    root: PathBuf,
    options: ReadOptions,
    /// Folders still to be read, the next one last.
    folders: Vec<PathBuf>,
    visited: HashSet<PathBuf>,
    items: VecDeque<Item>,
    /// The table of a folder, while it is read.
    table: Option<(PathBuf, Box<dyn Reader>)>,
    /// Pictures that tables have named.
    named: HashSet<PathBuf>,
    /// What was found in a table of such a name that names no pictures.
    passed_over: Option<String>,
    /// Files that are no part of samples, by ending: how many, and where the first one is.
    others: BTreeMap<String, (u64, PathBuf)>,
}

impl FolderReader {
    /// Opens a folder; `only` refuses one without any sample.
    pub(super) fn open(path: &Path, options: ReadOptions, only: bool) -> Result<Self, Error> {
        // What cannot be listed at all is told at once; a folder within costs itself alone.
        fs::read_dir(path).map_err(Error::io("list", path))?;
        let mut reader = Self {
            root: path.to_path_buf(),
            options,
            folders: vec![path.to_path_buf()],
            visited: HashSet::new(),
            items: VecDeque::new(),
            table: None,
            named: HashSet::new(),
            passed_over: None,
            others: BTreeMap::new(),
        };
        reader.fill()?;
        if only && reader.items.is_empty() && reader.table.is_none() {
            return Err(reader.nothing().into());
        }
        Ok(reader)
    }

    /// Why a folder without samples is refused: what there is, and how it is read.
    fn nothing(&self) -> ReadError {
        let found: Vec<String> = self.others.iter().map(|(ending, (count, _))| format!("{count} {ending}")).collect();
        let found = if found.is_empty() { "no files".to_owned() } else { found.join(", ") };
        let patterns: Vec<String> = self
            .others
            .iter()
            .filter(|(ending, (_, path))| Format::of(path).is_ok() && *ending != ".json" && *ending != ".txt")
            .map(|(ending, (_, path))| format!("'{}/*{ending}'", path.parent().unwrap_or(Path::new("")).display()))
            .collect();
        let hint = if patterns.is_empty() {
            "expected pictures, or captions in .txt and .json files".to_owned()
        } else {
            format!("give files by a pattern: {}", patterns.join(" or "))
        };
        let wanted = if self.options.modality.has_image() { "pictures" } else { "captions" };
        ReadError::Folder { path: self.root.clone(), wanted, found, hint }
    }

    /// Reads folders until there are samples.
    fn fill(&mut self) -> Result<(), Error> {
        while self.items.is_empty() && self.table.is_none() {
            let Some(folder) = self.folders.pop() else { return Ok(()) };
            // A link to a folder that was read, or is being read, leads nowhere new.
            if fs::canonicalize(&folder).is_ok_and(|real| !self.visited.insert(real)) {
                continue;
            }
            match list(&folder) {
                Ok((files, mut inside)) => {
                    self.table = self.table_of(&folder, &files)?.map(|table| (folder.clone(), table));
                    // The folder's own pictures come behind its table, which may name them.
                    if self.table.is_some() {
                        self.visited.remove(&fs::canonicalize(&folder).unwrap_or_default());
                        self.folders.push(folder);
                        return Ok(());
                    }
                    self.take(files);
                    inside.sort_by(|a, b| compare(b.as_os_str().as_encoded_bytes(), a.as_os_str().as_encoded_bytes()));
                    self.folders.append(&mut inside);
                }
                Err(error) => {
                    let key = self.key(&folder);
                    let refused = Some(format!("folder `{}`: {error}", folder.display()));
                    self.items.push_back(Item { key, image: None, captions: Captions::default(), refused });
                }
            }
        }
        Ok(())
    }

    /// The table of a folder's pictures, the first that has the columns, if there is one and none was read before.
    fn table_of(&mut self, folder: &Path, files: &[PathBuf]) -> Result<Option<Box<dyn Reader>>, Error> {
        let tables: Vec<PathBuf> =
            TABLES.iter().map(|name| folder.join(name)).filter(|path| files.contains(path)).collect();
        if tables.iter().any(|path| self.named.contains(path)) {
            return Ok(None);
        }
        self.named.extend(tables.iter().cloned());
        let (mut passed_over, mut wrong) = (Vec::new(), None);
        for path in &tables {
            match self.open_table(path, folder) {
                Ok(Ok(table)) => return Ok(Some(table)),
                Ok(Err(reason)) => passed_over.push(reason),
                Err(error) if path.extension().is_some_and(|ending| ending == "tsv") || is_arrow(path) => {
                    passed_over.push(first_line(&error));
                }
                Err(error @ Error::Read(ReadError::Column { .. })) => wrong = wrong.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        if !passed_over.is_empty() {
            self.passed_over = Some(passed_over.join(", and "));
        }
        wrong.map_or(Ok(None), Err)
    }

    /// Opens a table, or says why it is some other one of that name. Where captions are wanted, the column of its pictures may have
    /// another usual name if these are in the folder.
    fn open_table(&self, path: &Path, folder: &Path) -> Result<Result<Box<dyn Reader>, String>, Error> {
        let table = Location::from(path);
        let open = |image_column: Option<String>, modality| {
            open_as(&table, ReadOptions { modality, image_column, caption_column: self.options.caption_column.clone() })
        };
        let (modality, asked) = (self.options.modality, self.options.image_column.clone());
        let by_usual_names = asked.is_none() && modality.has_text();
        match open(asked.or_else(|| Some(FILE_NAME.to_owned())), modality) {
            Err(error @ Error::Read(ReadError::Column { what: "picture", .. })) if !by_usual_names => {
                return Ok(Err(first_line(&error)));
            }
            Err(Error::Read(ReadError::Column { what: "picture", .. })) => {}
            opened => return opened.map(Ok),
        }
        let first = match open(None, Modality::Both) {
            Ok(first) => first,
            Err(error) => return Ok(Err(first_line(&error))),
        };
        let is_there = |record: Result<Record, Error>| match record {
            Ok(Record::Sample(Sample { image: Some(ImageSource::File(file)), .. })) => {
                file.starts_with(folder) && file.is_file()
            }
            _ => false,
        };
        if first.take(LOOKED_AT).any(is_there) {
            return open(None, modality).map(Ok);
        }
        Ok(Err(format!("the first rows of `{}` name no pictures of the folder", path.display())))
    }

    /// Makes samples of a folder's files.
    fn take(&mut self, files: Vec<PathBuf>) {
        let is_table = |path: &PathBuf| {
            matches!(Format::of(path), Ok(Format::WebDataset | Format::Parquet | Format::Arrow | Format::Table))
        };
        let has_tables = files.iter().any(is_table);
        let mut samples: BTreeMap<Stem, Files> = BTreeMap::new();
        for path in files {
            self.place(path, &mut samples);
        }
        join_stacked(&mut samples);
        join_composed(&mut samples);
        let has_image = self.options.modality.has_image();
        for (Stem(key), mut files) in samples {
            files.images.retain(|image| !self.named.contains(&image.path));
            files.images.sort_by_key(|image| (image.rank.is_none(), image.rank));
            let is_read = files.images.first().is_some_and(|image| image.rank.is_some());
            // A README beside pictures is no sample where these are wanted, nor are figures about shards.
            if !has_image && !is_read {
                let Captions { txt, json } = &files.captions;
                if txt.is_some() || json.is_some() && !has_tables {
                    self.items.push_back(Item { key, image: None, captions: files.captions, refused: None });
                } else {
                    files.captions.files().for_each(|path| self.count(path));
                }
                continue;
            }
            if files.images.is_empty() {
                files.captions.files().for_each(|path| self.count(path));
                continue;
            }
            for (number, Image { rank, path, captions }) in files.images.into_iter().enumerate() {
                let captions = captions.or(&files.captions);
                match rank {
                    Some(_) => {
                        let key = if number == 0 { key.clone() } else { self.key(&path) };
                        self.items.push_back(Item { key, image: Some(path), captions, refused: None });
                    }
                    None if has_image => {
                        let ending = ending(&path);
                        let reason = format!(
                            "`{}`: .{ending} pictures are not read, expected {}",
                            path.display(),
                            IMAGE_EXTENSIONS.join(", ")
                        );
                        let key = self.key(&path);
                        self.items.push_back(Item { key, image: None, captions, refused: Some(reason) });
                    }
                    None => {}
                }
            }
        }
    }

    fn place(&mut self, path: PathBuf, samples: &mut BTreeMap<Stem, Files>) {
        let ending = ending(&path);
        let rank = IMAGE_EXTENSIONS.iter().position(|&known| known == ending);
        let is_other = OTHER_IMAGES.contains(&&*ending);
        let is_text = TEXTS.contains(&&*ending);
        let known = rank.is_some() || is_other || is_text || ending == "json";
        let key = if known { self.key(&path.with_extension("")) } else { self.key(&path) };
        let image = |rank, path| Image { rank, path, captions: Captions::default() };
        if rank.is_some() || is_other {
            samples.entry(Stem(key)).or_default().images.push(image(rank, path));
        } else if is_text {
            // Files come by name: of several the one that ends in .txt counts, else the first.
            let txt = &mut samples.entry(Stem(key)).or_default().captions.txt;
            if ending == "txt" || txt.is_none() {
                *txt = Some(path);
            }
        } else if ending == "json" {
            samples.entry(Stem(key)).or_default().captions.json = Some(path);
        } else if self.options.modality.has_image() && Format::of(&path).is_err() && begins_as_picture(&path) {
            samples.entry(Stem(key)).or_default().images.push(image(Some(IMAGE_EXTENSIONS.len()), path));
        } else {
            self.count(path);
        }
    }

    /// Counts a file that is no part of a sample.
    fn count(&mut self, path: PathBuf) {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Of `a.tar.gz` both.
        let at = name.find(".tar.").or_else(|| name.rfind('.')).unwrap_or(name.len());
        let kind = if at < name.len() { name[at..].to_ascii_lowercase() } else { "without an ending".to_owned() };
        self.others.entry(kind).or_insert_with(|| (0, path)).0 += 1;
    }

    /// A path within the folder as a key: what is not UTF-8 in it by its bytes, so that no two files have one.
    fn key(&self, path: &Path) -> String {
        let inside = path.strip_prefix(&self.root).unwrap_or(path);
        printable(inside.as_os_str().as_encoded_bytes())
    }

    fn record(&self, item: Item) -> Record {
        let Item { key, image, refused, captions } = item;
        if let Some(reason) = refused {
            return Record::unusable(key, reason);
        }
        let Captions { txt, json } = captions;
        let caption = match self.caption(txt.as_deref(), json.as_deref()) {
            Ok(caption) => caption,
            Err(_) if !self.options.modality.has_text() => None,
            Err(reason) => return Record::unusable(key, reason),
        };
        let image_path = image.as_ref().map(|path| printable(path.as_os_str().as_encoded_bytes()));
        let sample = Sample { key: key.clone(), image_path, image: image.map(ImageSource::File), caption };
        Record::checked(sample, self.options.modality, || {
            if let Some(path) = txt {
                return format!("`{}` is empty", path.display());
            }
            let passed_over = self.passed_over.as_ref().map_or_else(String::new, |found| format!(", and {found}"));
            format!("there is neither `{key}.txt` nor `{key}.json`{passed_over}")
        })
    }

    /// The caption of a sample: the text file's content, or the JSON file's field; one that is asked for is no other.
    fn caption(&self, txt: Option<&Path>, json: Option<&Path>) -> Result<Option<String>, String> {
        let options = &self.options;
        let read = |path: &Path, limit: u64| {
            let wrong = |error: String| format!("{}: {error}", path.display());
            let bytes = budget::read(path, limit).map_err(|error| wrong(error.to_string()))?;
            if is_pointer(&bytes) {
                return Err(wrong("a Git LFS pointer, not the file itself: `git lfs pull` fetches it".to_owned()));
            }
            String::from_utf8(bytes).map_err(|error| wrong(format!("not UTF-8: {error}")))
        };
        let asked = options.caption_column.as_deref().filter(|asked| *asked != "txt");
        let text = |path: &Path| {
            let text = read(path, CAPTION_BYTES);
            text.map(|text| Some(text.trim_start_matches('\u{feff}').trim_end().to_owned()))
        };
        match (txt, json) {
            (Some(path), json) if asked.is_none() || json.is_none() => text(path),
            (_, Some(path)) => {
                let object = json::parse(read(path, RECORD_BYTES)?.as_bytes())
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                let lacking = || format!("no caption: `{}` has {}", path.display(), fields_of(&object));
                match (Columns::caption_in(options, &object), txt) {
                    (Some(caption), _) => Ok(Some(caption)),
                    // What was noted of `cat.jpg` in `cat.jpg.json` is beside the caption in `cat.txt`.
                    (None, Some(txt)) if txt.with_extension("") != path.with_extension("") => text(txt),
                    (None, _) => Err(lacking()),
                }
            }
            (_, None) => Ok(None),
        }
    }

    /// The next record of the table, whose picture is noted.
    fn next_of_table(&mut self) -> Option<Result<Record, Error>> {
        let (folder, table) = self.table.as_mut()?;
        let record = table.next();
        match &record {
            None => self.table = None,
            Some(Ok(Record::Sample(Sample { image: Some(ImageSource::File(path)), .. }))) => {
                self.named.insert(path.clone());
            }
            Some(Ok(Record::Unusable { key, .. })) => {
                self.named.insert(folder.join(key));
            }
            Some(_) => {}
        }
        record
    }

    fn next_step(&mut self) -> Result<Option<Step>, Error> {
        loop {
            if let Some(record) = self.next_of_table() {
                return record.map(|record| Some(Step::OfTable(record)));
            }
            self.fill()?;
            if self.table.is_none() {
                return Ok(self.items.pop_front().map(Step::Item));
            }
        }
    }
}

/// An error without its hint.
fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

fn open_as(table: &Location, options: ReadOptions) -> Result<Box<dyn Reader>, Error> {
    match table.extension().and_then(|ending| ending.to_str()) {
        Some("csv" | "tsv") => TableReader::open(table, options, Keys::Pictures).map(|reader| Box::new(reader) as _),
        Some("jsonl") => JsonLinesReader::open(table, options, Keys::Pictures).map(|reader| Box::new(reader) as _),
        _ => ColumnarReader::open(table, options, Keys::Pictures).map(|reader| Box::new(reader) as _),
    }
}

/// What comes next: a record of a table, or files that are not read yet.
enum Step {
    OfTable(Record),
    Item(Item),
}

/// The files and the folders of a folder, but those that are hidden.
fn list(folder: &Path) -> std::io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut files, mut inside) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.as_encoded_bytes().to_vec()).unwrap_or_default();
        if name.starts_with(b".") || name == b"__MACOSX" {
            continue;
        }
        if path.is_dir() { inside.push(path) } else { files.push(path) }
    }
    files.sort();
    Ok((files, inside))
}

/// Hands captions that bear the whole name of a picture (`cat.jpg.txt`) to it.
fn join_stacked(samples: &mut BTreeMap<Stem, Files>) {
    let is_stacked = |stem: &Stem, files: &Files| {
        let ending = ending(Path::new(&stem.0));
        files.images.is_empty() && IMAGE_EXTENSIONS.contains(&&*ending)
    };
    let stacked: Vec<String> =
        samples.iter().filter(|(stem, files)| is_stacked(stem, files)).map(|(stem, _)| stem.0.clone()).collect();
    for name in stacked {
        let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
        let owner = Stem(stem.to_owned());
        // The name within the folder is that of the file but for what is not UTF-8.
        let at = samples.get(&owner).and_then(|files| {
            files.images.iter().position(|image| image.path.extension().is_some_and(|found| found == ending))
        });
        if let Some(at) = at
            && let Some(own) = samples.remove(&Stem(name.clone()))
            && let Some(files) = samples.get_mut(&owner)
        {
            files.images[at].captions = own.captions;
        }
    }
}

/// Brings pictures and captions together whose names differ in how letters with marks are written, as one character or as two: some
/// systems write the one, some the other. What could belong to several stays as it is.
fn join_composed(samples: &mut BTreeMap<Stem, Files>) {
    let mut alike: BTreeMap<String, [Vec<String>; 2]> = BTreeMap::new();
    for (Stem(name), files) in &*samples {
        if files.images.is_empty() != files.captions.is_empty()
            && let Some(composed) = composed(name)
        {
            alike.entry(composed).or_default()[usize::from(files.images.is_empty())].push(name.clone());
        }
    }
    for [images, captions] in alike.into_values() {
        if let ([image], [caption]) = (&images[..], &captions[..])
            && let Some(files) = samples.remove(&Stem(caption.clone()))
            && let Some(sample) = samples.get_mut(&Stem(image.clone()))
        {
            sample.captions = files.captions;
        }
    }
}

fn ending(path: &Path) -> String {
    path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase()).unwrap_or_default()
}

fn begins_as_picture(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = budget::open(path).and_then(|file| file.take(16).read_to_end(&mut head));
    read.is_ok() && is_picture(&head)
}

impl Iterator for FolderReader {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_step() {
            Ok(step) => Some(Ok(match step? {
                Step::OfTable(record) => record,
                Step::Item(item) => self.record(item),
            })),
            Err(error) => Some(Err(error)),
        }
    }
}

impl Reader for FolderReader {
    fn skip_records(&mut self, count: u64) -> Result<u64, Error> {
        for skipped in 0..count {
            if self.next_step()?.is_none() {
                return Ok(skipped);
            }
        }
        Ok(count)
    }
}
