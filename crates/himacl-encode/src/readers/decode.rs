//! Pictures decoded.

use super::budget::Budget;
use himacl_data::files::is_pointer;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Pixels that a picture may have, those at which Pillow begins to warn, and what they may take decoded.
const MAX_PIXELS: u64 = 89_478_485;
const MAX_BYTES: u64 = 384 << 20;
/// Pixels along a side.
const MAX_SIDE: u32 = 1 << 16;
/// What all pictures that are decoded at a time may take; one alone may exceed it.
static DECODING: Budget = Budget::new(768 << 20);
/// A picture takes so many times its decoded size on the way: coefficients or frames, and a copy turned upright.
const COPIES: u64 = 3;

/// Decodes JPEG, PNG, WebP, GIF, BMP and TIFF by their content, whatever the file is called: the first frame, turned
/// upright by its EXIF orientation. CMYK becomes RGB; 16 bits a channel and alpha are kept. What follows a picture's end
/// does not matter.
///
/// A truncated JPEG is refused, as PIL does, though a decoder could fill the rest with grey. So is a picture that the
/// header says to be larger than 89,478,485 pixels or 384 MiB, before anything of it is decoded.
///
/// # Errors
/// What the decoder says, as text.
pub fn decode_image(bytes: &[u8]) -> Result<DynamicImage, String> {
    decode_with(bytes, |image| image)
}

/// Decodes a picture and lends it; all threads share one budget until they have done with it.
pub(super) fn decode_with<T>(bytes: &[u8], then: impl FnOnce(DynamicImage) -> T) -> Result<T, String> {
    let wrong = |error: image::ImageError| error.to_string();
    let guessed = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    let format = guessed.format().filter(|format| READ.contains(format)).ok_or_else(|| what_else(bytes))?;
    let picture = match format {
        ImageFormat::Jpeg => &bytes[..jpeg_length(bytes).ok_or("the JPEG file is truncated")?],
        _ => bytes,
    };
    let mut reader = ImageReader::with_format(Cursor::new(picture), format);
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(wrong)?;
    let ((width, height), size) = (decoder.dimensions(), decoder.total_bytes());
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(format!("{width} x {height} pixels, at most {MAX_PIXELS} are decoded"));
    }
    if size > MAX_BYTES {
        return Err(format!("{width} x {height} pixels take {size} bytes, at most {MAX_BYTES} are decoded"));
    }
    let _share = DECODING.share(COPIES * size);
    let orientation = decoder.orientation().map_err(wrong)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(wrong)?;
    image.apply_orientation(orientation);
    Ok(then(image))
}

const READ: [ImageFormat; 6] =
    [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff];

/// Whether content begins like that of a picture that is read, or like one of the kinds that are not.
pub(super) fn is_picture(head: &[u8]) -> bool {
    image::guess_format(head).is_ok_and(|format| READ.contains(&format)) || is_heif(head)
}

/// AVIF and HEIC are ISO media files.
fn is_heif(bytes: &[u8]) -> bool {
    let brands: [&[u8]; 6] = [b"avif", b"avis", b"heic", b"heix", b"mif1", b"hevc"];
    bytes.get(4..8) == Some(b"ftyp") && bytes.get(8..12).is_some_and(|brand| brands.contains(&brand))
}

fn what_else(bytes: &[u8]) -> String {
    let known = "neither JPEG, PNG, WebP, GIF, BMP nor TIFF";
    if bytes.is_empty() {
        "the file is empty".to_owned()
    } else if is_pointer(bytes) {
        "a Git LFS pointer, not the picture itself: `git lfs pull` fetches it".to_owned()
    } else if is_heif(bytes) {
        format!("AVIF or HEIC, {known}")
    } else {
        known.to_owned()
    }
}

/// The length of a JPEG file up to its end marker, whatever follows; `None` if that does not come behind a scan.
fn jpeg_length(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut scanned) = (2, false);
    loop {
        // Fill bytes and what else is between segments are passed over, as libjpeg does.
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xFF)?;
        at += bytes.get(at..)?.iter().position(|&byte| byte != 0xFF)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            0xD9 if scanned => return Some(at),
            0x00 | 0x01 | 0xD0..=0xD9 => {}
            _ => {
                let length = bytes.get(at..at + 2).map(|two| usize::from(u16::from_be_bytes([two[0], two[1]])))?;
                at += length.max(2);
                scanned |= marker == 0xDA;
            }
        }
    }
}
