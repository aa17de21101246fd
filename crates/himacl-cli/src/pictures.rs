//! Thumbnails on sheets: many small pictures in few large ones, which a page can carry.

use himacl::readers::decode_image;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{FilterType, overlay};
use image::{Rgb, RgbImage};
use rayon::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Pictures along a side of a sheet.
const PER_SIDE: u32 = 32;
/// Pixels of a thumbnail's side, the largest first: it shrinks until the sheets fit.
const SIDES: [u32; 3] = [64, 48, 32];
const QUALITY: u8 = 82;

/// The thumbnails of one side.
#[derive(Debug, Default)]
pub(crate) struct Sheets {
    /// JPEG files, of [`PER_SIDE`]² thumbnails each but the last, row by row.
    pub(crate) files: Vec<Vec<u8>>,
    /// Pixels of a thumbnail's side.
    pub(crate) size: u32,
    /// Places on the sheets that are taken.
    pub(crate) placed: usize,
    /// For each item, where its thumbnail lies; `u32::MAX` for none.
    pub(crate) place: Vec<u32>,
}

impl Sheets {
    pub(crate) const PER_SIDE: u32 = PER_SIDE;

    /// Makes thumbnails of the items' pictures in at most `budget` bytes: of all of them if smaller ones do, else of the
    /// first of `order`. Pictures that cannot be read have none.
    pub(crate) fn make(pictures: &[Option<PathBuf>], order: &[u32], budget: usize) -> Self {
        let mut chosen: Vec<u32> =
            order.iter().copied().filter(|&item| pictures.get(item as usize).is_some_and(Option::is_some)).collect();
        if chosen.is_empty() {
            return Self { place: vec![u32::MAX; pictures.len()], ..Self::default() };
        }
        let path = |item: u32| pictures[item as usize].as_deref().unwrap_or(Path::new(""));
        // One sheet tells how much the others will take.
        let per_sheet = (PER_SIDE * PER_SIDE) as usize;
        let sample: Vec<&Path> = chosen.iter().take(per_sheet).map(|&item| path(item)).collect();
        let each = |size: u32| sheet(&sample, size).0.len() as f64 / sample.len() as f64;
        let fits = |size: &u32| each(*size) * chosen.len() as f64 <= budget as f64;
        let size = SIDES.iter().copied().find(fits);
        let size = size.unwrap_or_else(|| {
            let least = SIDES[SIDES.len() - 1];
            chosen.truncate((budget as f64 / each(least)) as usize);
            least
        });
        let mut place = vec![u32::MAX; pictures.len()];
        let mut files = Vec::new();
        for (number, items) in chosen.chunks(per_sheet).enumerate() {
            let (file, is_there) = sheet(&items.iter().map(|&item| path(item)).collect::<Vec<_>>(), size);
            for (at, (&item, _)) in items.iter().zip(is_there).enumerate().filter(|(_, (_, there))| *there) {
                place[item as usize] = (number * per_sheet + at) as u32;
            }
            files.push(file);
        }
        Self { files, size, placed: chosen.len(), place }
    }

    /// Items with a thumbnail.
    pub(crate) fn count(&self) -> usize {
        self.place.iter().filter(|&&place| place != u32::MAX).count()
    }
}

/// One sheet, and which of its pictures could be read.
fn sheet(paths: &[&Path], size: u32) -> (Vec<u8>, Vec<bool>) {
    let thumbnails: Vec<Option<RgbImage>> = paths.par_iter().map(|path| thumbnail(path, size)).collect();
    let rows = (paths.len() as u32).div_ceil(PER_SIDE).max(1);
    let columns = (paths.len() as u32).clamp(1, PER_SIDE);
    let mut canvas = RgbImage::from_pixel(columns * size, rows * size, Rgb([255; 3]));
    for (at, picture) in thumbnails.iter().enumerate() {
        if let Some(picture) = picture {
            let (column, row) = (at as u32 % PER_SIDE, at as u32 / PER_SIDE);
            let (left, top) = ((size - picture.width()) / 2, (size - picture.height()) / 2);
            overlay(&mut canvas, picture, i64::from(column * size + left), i64::from(row * size + top));
        }
    }
    let mut file = Vec::new();
    // Into memory, of sizes that JPEG has: it cannot fail but for want of memory.
    let encoded = JpegEncoder::new_with_quality(&mut file, QUALITY).encode_image(&canvas);
    let there = thumbnails.iter().map(|picture| picture.is_some() && encoded.is_ok()).collect();
    (file, there)
}

/// A picture made small, as a JPEG file; `None` where it cannot be read.
pub(crate) fn thumbnail_file(path: &Path, size: u32) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, QUALITY).encode_image(&thumbnail(path, size)?).ok()?;
    Some(file)
}

/// A picture made small, on white.
fn thumbnail(path: &Path, size: u32) -> Option<RgbImage> {
    let picture = decode_image(&fs::read(path).ok()?).ok()?;
    let small = picture.resize(size, size, FilterType::CatmullRom).to_rgba8();
    let flat = |pixel: &image::Rgba<u8>| {
        let alpha = u32::from(pixel[3]);
        let on_white = |value: u8| ((u32::from(value) * alpha + 255 * (255 - alpha)) / 255) as u8;
        Rgb([on_white(pixel[0]), on_white(pixel[1]), on_white(pixel[2])])
    };
    Some(RgbImage::from_fn(small.width(), small.height(), |x, y| flat(small.get_pixel(x, y))))
}
