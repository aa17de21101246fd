//! Pictures to pixels, as the models were trained.

use super::resample::resize;
use crate::encoder::Pixels;
use crate::encoder::registry::{Background, Fit, ImageSpec};
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
    /// [`EncoderError::ImageSize`]: the square is larger than the resized picture, or empty.
    pub fn new(spec: ImageSpec) -> Result<Self, EncoderError> {
        if spec.crop == 0 || spec.crop > spec.resize {
            return Err(EncoderError::ImageSize { resize: spec.resize, crop: spec.crop });
        }
        let table = |channel: usize| {
            let value = |byte: u8| (f32::from(byte) / 255.0 - spec.mean[channel]) / spec.std[channel];
            (0..=255).map(value).collect()
        };
        Ok(Self { values: [table(0), table(1), table(2)], spec })
    }

    /// Places along a side of what the model reads.
    pub fn side(&self) -> usize {
        self.spec.crop as usize
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
        // The longer side is cut down to a whole number, as torchvision has it.
        let longer = |long: u32, short: u32| u64::from(spec.resize) * u64::from(long) / u64::from(short);
        let (new_width, new_height) = match spec.fit {
            Fit::Stretch => (u64::from(spec.resize), u64::from(spec.resize)),
            Fit::Shortest if width <= height => (u64::from(spec.resize), longer(height, width)),
            Fit::Shortest => (longer(width, height), u64::from(spec.resize)),
        };
        let middle = |side: u64| ((side as f64 - f64::from(spec.crop)) / 2.0).round_ties_even() as usize;
        let side = self.side();
        let (columns, rows) =
            (middle(new_width)..middle(new_width) + side, middle(new_height)..middle(new_height) + side);
        let size = (new_width as usize, new_height as usize);
        Ok(Pixels(resize(&opaque, size, columns, rows, spec.interpolation)))
    }

    /// Mean and standard deviation: `(n, side, side, 3)`, row-major.
    ///
    /// # Errors
    /// [`EncoderError::Pixels`]: pixels of another size.
    pub fn scale(&self, batch: &[Pixels]) -> Result<Vec<f32>, EncoderError> {
        let expected = self.side() * self.side() * 3;
        let mut values = Vec::with_capacity(batch.len() * expected);
        for Pixels(bytes) in batch {
            if bytes.len() != expected {
                return Err(EncoderError::Pixels { got: bytes.len(), expected });
            }
            for pixel in bytes.chunks_exact(3) {
                values.extend(pixel.iter().zip(&self.values).map(|(&byte, values)| values[usize::from(byte)]));
            }
        }
        Ok(values)
    }
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
