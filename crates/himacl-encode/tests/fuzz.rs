//! Damaged files of every format, in-process: no panic, no hang, no memory beyond a bound.
//!
//! The gate runs a few hundred files of each format. For longer, a format at a time or all by turns:
//!
//! ```text
//! FUZZ_SECONDS=7200 FUZZ_FORMAT=tar cargo test --workspace --test fuzz -- --ignored --nocapture
//! ```
//!
//! `FUZZ_SEED` chooses other files. What fails is kept in the system's temporary folder, and its path is printed.

#[path = "fuzz/good.rs"]
mod good;
#[path = "fuzz/mutate.rs"]
mod mutate;

use good::{Format, formats};
use himacl_encode::readers::{Dataset, Modality, Record};
use mutate::Random;
use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What no damaged file of a few KiB may make the program ask for, or need.
const MOST_BYTES: usize = 1 << 30;
const MOST_SECONDS: u64 = 10;

/// Counts what is allocated.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

fn count(bytes: usize) {
    let held = HELD.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: everything is left to the system's allocator; sizes are only counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size);
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Ends the process when one file takes too long.
struct Watchdog {
    /// Milliseconds since the start at which the file under way began; 0 for none.
    begun: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    start: Instant,
}

impl Watchdog {
    fn new(path: &Path) -> Self {
        let (begun, over, start) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)), Instant::now());
        let (watched, ended, path) = (begun.clone(), over.clone(), path.to_path_buf());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(100));
                let begun = watched.load(Ordering::Relaxed);
                if begun > 0 && start.elapsed().as_millis() as u64 > begun + 1000 * MOST_SECONDS {
                    eprintln!("`{}` takes more than {MOST_SECONDS} s", path.display());
                    std::process::exit(101);
                }
            }
        });
        Self { begun, over, start }
    }

    fn watch(&self, on: bool) {
        let now = if on { self.start.elapsed().as_millis().max(1) as u64 } else { 0 };
        self.begun.store(now, Ordering::Relaxed);
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// What was found out about a format.
#[derive(Default)]
struct Tally {
    files: u64,
    refused: u64,
    most_bytes: usize,
    seconds: f64,
}

/// Where the file under way is, and what is wrong with those before.
struct Place {
    folder: tempfile::TempDir,
    wrong: Vec<String>,
}

impl Place {
    fn new() -> Self {
        // A file that ends the process stays: its folder is removed at the end alone.
        let parent = if Path::new("/dev/shm").is_dir() { PathBuf::from("/dev/shm") } else { std::env::temp_dir() };
        Self { folder: tempfile::Builder::new().prefix("fuzz").tempdir_in(parent).unwrap(), wrong: Vec::new() }
    }

    /// Damages the files of a format until `until` says so.
    fn run(&mut self, format: &Format, seed: u64, mut until: impl FnMut(u64) -> bool) -> Tally {
        let folder = self.folder.path().join(format.name);
        (format.prepare)(&folder);
        let path = folder.join(format.file);
        let watchdog = Watchdog::new(&path);
        let mut random =
            Random::new(seed ^ format.name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31) + u64::from(byte)));
        let (mut tally, begun) = (Tally::default(), Instant::now());
        fs::write(&path, &format.good).unwrap();
        let good = catch_unwind(AssertUnwindSafe(|| (format.read)(&folder)));
        assert!(matches!(good, Ok(Ok(()))), "{}: the file to start from: {good:?}", format.name);
        while !until(tally.files) {
            let damaged = mutate::mutate(&format.good, format.repair, &mut random);
            fs::write(&path, &damaged).unwrap();
            let before = HELD.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            watchdog.watch(true);
            let read = catch_unwind(AssertUnwindSafe(|| (format.read)(&folder)));
            watchdog.watch(false);
            let bytes = PEAK.load(Ordering::Relaxed).saturating_sub(before);
            tally.files += 1;
            tally.most_bytes = tally.most_bytes.max(bytes);
            let problem = match read {
                Err(_) => Some("panics".to_owned()),
                Ok(_) if bytes > MOST_BYTES => Some(format!("takes {} MiB", bytes >> 20)),
                Ok(read) => {
                    tally.refused += u64::from(read.is_err());
                    None
                }
            };
            if let Some(problem) = problem {
                let kept =
                    std::env::temp_dir().join(format!("fuzz-{}-{}-{}", format.name, tally.files, self.wrong.len()));
                fs::write(&kept, &damaged).unwrap();
                self.wrong.push(format!("{}: {problem}: {}", format.name, kept.display()));
                if self.wrong.len() > 20 {
                    break;
                }
            }
        }
        tally.seconds = begun.elapsed().as_secs_f64();
        tally
    }
}

/// One test at a time: the allocator counts for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

fn quietly<T>(work: impl FnOnce() -> T) -> T {
    let _alone = ALONE.lock();
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let result = catch_unwind(AssertUnwindSafe(work));
    std::panic::set_hook(hook);
    result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        panic!("{}", text.unwrap_or("a panic without words"))
    })
}

#[test]
fn some_hundred_damaged_files_of_each_format() {
    let mut place = Place::new();
    quietly(|| {
        for format in formats() {
            let some = if format.is_slow { 40 } else { 300 };
            let tally = place.run(&format, 1, |files| files == some);
            assert!(tally.refused < tally.files || format.is_slow, "{}: nothing gets through", format.name);
        }
    });
    assert!(place.wrong.is_empty(), "{}", place.wrong.join("\n"));
}

/// Found by the search below: a page's header with hundreds of millions of fields behind the file's end (two minutes), rows
/// that only one part of the footer knows of (a record for each, without end; a product that overflows).
#[test]
fn footers_that_contradict_the_file_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let watchdog = Watchdog::new(&path);
    let found: [&[u8]; 3] = [
        include_bytes!("fuzz/endless-page.parquet"),
        include_bytes!("fuzz/rows-overflow.parquet"),
        include_bytes!("fuzz/endless-rows.parquet"),
    ];
    for bytes in found {
        fs::write(&path, bytes).unwrap();
        watchdog.watch(true);
        good::embeddings(&path, Some("emb")).unwrap_err();
        good::dataset(&path, Modality::Both).unwrap_err();
        watchdog.watch(false);
    }
}

/// Found by the search below: a page's header with a map of 1.6 billion booleans, which take no bytes.
#[test]
fn maps_of_nothing_are_not_counted_through() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    fs::write(&path, include_bytes!("fuzz/endless-map.parquet")).unwrap();
    let mut records = Dataset::open(vec![path], good::options(Modality::Text)).unwrap();
    let Some(Ok(Record::Unusable { reason, .. })) = records.next() else { panic!("the first row cannot be read") };
    assert!(reason.contains("a page without a size"), "{reason}");
}

/// A dictionary that claims 212 million values in 404 bytes (found by the search below), and a map of 268 million entries behind
/// all fields of a page's header.
#[test]
fn headers_of_pages_are_refused_wherever_they_are_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let found: [(&[u8], &str); 2] = [
        (include_bytes!("fuzz/enormous-dictionary.parquet"), "a dictionary of 212"),
        (include_bytes!("fuzz/map-behind.parquet"), "has type 11, which no header has"),
    ];
    quietly(|| {
        for (bytes, expected) in found {
            fs::write(&path, bytes).unwrap();
            let before = HELD.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            let error = good::embeddings(&path, Some("emb")).unwrap_err();
            let bytes = PEAK.load(Ordering::Relaxed).saturating_sub(before);
            assert!(error.contains(expected) && bytes < 16 << 20, "{bytes}: {error}");
        }
    });
}

/// Found by the search below: a page that claims 1.8 GB in a file of 1,430 bytes, for which room was made.
#[test]
fn pages_that_claim_more_than_their_file_has_take_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    fs::write(&path, include_bytes!("fuzz/enormous-page.parquet")).unwrap();
    quietly(|| {
        let before = HELD.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        drop(good::dataset(&path, Modality::Text));
        let bytes = PEAK.load(Ordering::Relaxed).saturating_sub(before);
        assert!(bytes < 300 << 20, "{bytes}");
    });
}

#[test]
#[ignore = "as long as FUZZ_SECONDS says"]
fn for_hours() {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse::<u64>().unwrap());
    let (seconds, seed) = (number("FUZZ_SECONDS", 60), number("FUZZ_SEED", 2));
    let wanted = std::env::var("FUZZ_FORMAT").ok();
    let mut chosen = formats();
    chosen.retain(|format| wanted.as_ref().is_none_or(|wanted| wanted.split(',').any(|name| name == format.name)));
    let share = Duration::from_secs(seconds) / chosen.len() as u32;
    let mut place = Place::new();
    quietly(|| {
        for format in &chosen {
            let begun = Instant::now();
            let tally = place.run(format, seed, |_| begun.elapsed() > share);
            println!(
                "| {} | {} | {} | {:.0} s | {:.1} MiB |",
                format.name,
                tally.files,
                tally.refused,
                tally.seconds,
                tally.most_bytes as f64 / f64::from(1 << 20)
            );
        }
    });
    assert!(place.wrong.is_empty(), "{}", place.wrong.join("\n"));
}
