//! Pictures decoded.

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use std::io::Cursor;

/// Pixels that a picture may have: the decoder refuses larger ones before it makes room for them.
const MAX_SIDE: u32 = 1 << 16;
const MAX_BYTES: u64 = 1 << 30;

/// Decodes JPEG, PNG, WebP and GIF by their content, whatever the file is called: the first frame, turned upright by its
/// EXIF orientation. CMYK becomes RGB; 16 bits a channel and alpha are kept.
///
/// A truncated JPEG is refused, as PIL does, though a decoder could fill the rest with grey.
///
/// # Errors
/// What the decoder says, as text.
pub fn decode_image(bytes: &[u8]) -> Result<DynamicImage, String> {
    let wrong = |error: image::ImageError| error.to_string();
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format().map_err(|error| error.to_string())?;
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(MAX_SIDE), Some(MAX_SIDE));
    limits.max_alloc = Some(MAX_BYTES);
    match reader.format() {
        Some(ImageFormat::Jpeg) if !jpeg_is_complete(bytes) => return Err("the JPEG file is truncated".to_owned()),
        Some(_) => {}
        None => return Err("neither JPEG, PNG, WebP nor GIF".to_owned()),
    }
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(wrong)?;
    let orientation = decoder.orientation().map_err(wrong)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(wrong)?;
    image.apply_orientation(orientation);
    Ok(image)
}

/// Whether the end marker follows the last scan. Within a scan's data neither marker can occur.
fn jpeg_is_complete(bytes: &[u8]) -> bool {
    let last = |marker: u8| bytes.windows(2).rposition(|two| two == [0xFF, marker]);
    match (last(0xDA), last(0xD9)) {
        (Some(scan), Some(end)) => end > scan,
        _ => false,
    }
}
