//! Pictures to pixels, as the models were trained.

use super::resample::resize;
use crate::encoder::Pixels;
use crate::encoder::registry::{Background, Fit, ImageSpec, PatchLimit};
use crate::error::EncoderError;
use image::{DynamicImage, Rgb, RgbImage};

/// Prepares pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor {
    spec: ImageSpec,
    /// The model's value of each byte in each channel.
    values: [Vec<f32>; 3],
}

impl Preprocessor {
    /// Checks a description.
    ///
    /// # Errors
    /// [`EncoderError::ImageSize`]: the square is larger than the resized picture, or empty;
    /// [`EncoderError::Patches`]: there are none, or too many, or sizes beside them.
    pub fn new(spec: ImageSpec) -> Result<Self, EncoderError> {
        let wrong = match spec.patches {
            Some(PatchLimit { side, most }) => {
                let possible = (1..=MOST_SIDE).contains(&side) && (1..=MOST_PATCHES).contains(&most);
                let alone = spec.resize == 0 && spec.crop == 0;
                (!possible || !alone).then_some(EncoderError::Patches { side, most })
            }
            None if spec.crop == 0 || spec.crop > spec.resize => {
                Some(EncoderError::ImageSize { resize: spec.resize, crop: spec.crop })
            }
            None => None,
        };
        if let Some(wrong) = wrong {
            return Err(wrong);
        }
        let table = |channel: usize| {
            let value = |byte: u8| (f32::from(byte) / 255.0 - spec.mean[channel]) / spec.std[channel];
            (0..=255).map(value).collect()
        };
        Ok(Self { values: [table(0), table(1), table(2)], spec })
    }

    /// Places along a side of what the model reads; `None` where every picture has its own.
    pub fn side(&self) -> Option<usize> {
        self.spec.patches.is_none().then_some(self.spec.crop as usize)
    }

    /// Background, resizing, square from the centre.
    ///
    /// # Errors
    /// [`EncoderError::EmptyImage`].
    pub fn apply(&self, image: &DynamicImage) -> Result<Pixels, EncoderError> {
        let spec = &self.spec;
        let (width, height) = (image.width(), image.height());
        if width == 0 || height == 0 {
            return Err(EncoderError::EmptyImage);
        }
        let opaque = on_background(image, spec.background);
        if let Some(limit) = spec.patches {
            let (width, height) = in_patches((width, height), limit);
            let values = resize(&opaque, (width, height), 0..width, 0..height, spec.interpolation);
            return Ok(Pixels { width, values });
        }
        // The longer side is cut down to a whole number, as torchvision has it.
        let longer = |long: u32, short: u32| u64::from(spec.resize) * u64::from(long) / u64::from(short);
        let (new_width, new_height) = match spec.fit {
            Fit::Stretch => (u64::from(spec.resize), u64::from(spec.resize)),
            Fit::Shortest if width <= height => (u64::from(spec.resize), longer(height, width)),
            Fit::Shortest => (longer(width, height), u64::from(spec.resize)),
        };
        let middle = |side: u64| ((side as f64 - f64::from(spec.crop)) / 2.0).round_ties_even() as usize;
        let side = spec.crop as usize;
        let (columns, rows) =
            (middle(new_width)..middle(new_width) + side, middle(new_height)..middle(new_height) + side);
        let size = (new_width as usize, new_height as usize);
        Ok(Pixels { width: side, values: resize(&opaque, size, columns, rows, spec.interpolation) })
    }

    /// Mean and standard deviation: `(n, height, width, 3)`, row-major.
    ///
    /// # Errors
    /// [`EncoderError::Pixels`]: pixels of another size.
    pub fn scale<'a>(&self, batch: impl IntoIterator<Item = &'a Pixels>) -> Result<Vec<f32>, EncoderError> {
        let mut values = Vec::new();
        for pixels in batch {
            self.check(pixels)?;
            values.reserve(pixels.values.len());
            for pixel in pixels.values.chunks_exact(3) {
                values.extend(pixel.iter().zip(&self.values).map(|(&byte, values)| values[usize::from(byte)]));
            }
        }
        Ok(values)
    }

    fn check(&self, pixels: &Pixels) -> Result<(), EncoderError> {
        let (height, width) = pixels.size();
        let got = pixels.values.len();
        let (fits, expected) = match self.spec.patches {
            None => {
                let side = self.spec.crop as usize;
                ((height, width) == (side, side), side * side * 3)
            }
            Some(PatchLimit { side, most }) => {
                let (side, most) = (side as usize, most as usize);
                let whole = height.is_multiple_of(side) && width.is_multiple_of(side);
                let patches = (height / side) * (width / side);
                (whole && (1..=most).contains(&patches), most * side * side * 3)
            }
        };
        if !fits || got != height * width * 3 {
            return Err(EncoderError::Pixels { got, expected });
        }
        Ok(())
    }
}

/// Sides of patches, and how many of them, beyond which a description is no picture's.
const MOST_SIDE: u32 = 256;
const MOST_PATCHES: u32 = 16_384;

/// Width and height in whole patches, as `SigLIP2` was trained: both sides are scaled alike and then filled up to the next
/// patch; of the scales at which there are not too many, the largest up to 100.
fn in_patches((width, height): (u32, u32), limit: PatchLimit) -> (usize, usize) {
    /// Scales are as exact as that, which shows in the result.
    const EXACT: f64 = 1e-5;
    let side = f64::from(limit.side);
    let patches = |length: u32, scale: f64| (f64::from(length) * scale / side).ceil().max(1.0);
    let (mut low, mut high) = (EXACT / 10.0, 100.0);
    while high - low >= EXACT {
        let middle = f64::midpoint(low, high);
        let count = patches(height, middle) * patches(width, middle);
        if count <= f64::from(limit.most) { low = middle } else { high = middle }
    }
    ((patches(width, low) * side) as usize, (patches(height, low) * side) as usize)
}

fn on_background(image: &DynamicImage, background: Background) -> RgbImage {
    let behind = match background {
        Background::White => 255,
        Background::Black => 0,
        Background::Ignore => return image.to_rgb8(),
    };
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0;
        let blend = |value: u8| {
            let sum = u32::from(value) * u32::from(alpha) + behind * (255 - u32::from(alpha));
            ((sum + 127) / 255) as u8
        };
        Rgb([blend(red), blend(green), blend(blue)])
    })
}
