//! Pictures to pixels, as the models were trained.

use super::Pixels;
use super::error::EncoderError;
use super::registry::{Background, ImageSpec, Interpolation};
use image::imageops::{FilterType, crop_imm, resize};
use image::{DynamicImage, Rgb, RgbImage};

/// Prepares pictures.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessor(pub ImageSpec);

impl Preprocessor {
    /// Background, shorter side to `resize`, square of `crop` from the centre, mean and standard deviation.
    ///
    /// # Errors
    /// [`EncoderError::EmptyImage`].
    pub fn apply(&self, image: &DynamicImage) -> Result<Pixels, EncoderError> {
        let spec = &self.0;
        let (width, height) = (image.width(), image.height());
        if width == 0 || height == 0 {
            return Err(EncoderError::EmptyImage);
        }
        let Interpolation::Bicubic = spec.interpolation;
        let opaque = on_background(image, spec.background);
        // The longer side is cut down to a whole number, as torchvision has it.
        let longer = |long: u32, short: u32| (u64::from(spec.resize) * u64::from(long) / u64::from(short)) as u32;
        let size =
            if width <= height { (spec.resize, longer(height, width)) } else { (longer(width, height), spec.resize) };
        let resized =
            if size == (width, height) { opaque } else { resize(&opaque, size.0, size.1, FilterType::CatmullRom) };
        let middle = |side: u32| ((f64::from(side) - f64::from(spec.crop)) / 2.0).round_ties_even() as u32;
        let cut = crop_imm(&resized, middle(size.0), middle(size.1), spec.crop, spec.crop).to_image();
        let area = (spec.crop * spec.crop) as usize;
        let mut pixels = vec![0.0; 3 * area];
        for (place, Rgb(values)) in cut.pixels().enumerate() {
            for (channel, &value) in values.iter().enumerate() {
                pixels[channel * area + place] = (f32::from(value) / 255.0 - spec.mean[channel]) / spec.std[channel];
            }
        }
        Ok(Pixels(pixels))
    }
}

fn on_background(image: &DynamicImage, background: Background) -> RgbImage {
    let Background::White = background;
    if !image.color().has_alpha() {
        return image.to_rgb8();
    }
    let image = image.to_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [red, green, blue, alpha] = image.get_pixel(x, y).0;
        let blend = |value: u8| {
            let sum = u32::from(value) * u32::from(alpha) + 255 * (255 - u32::from(alpha));
            ((sum + 127) / 255) as u8
        };
        Rgb([blend(red), blend(green), blend(blue)])
    })
}
