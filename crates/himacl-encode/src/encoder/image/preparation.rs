//! How a repository says that its pictures are prepared.
//!
//! `preprocessor_config.json` or `processor_config.json` of transformers, `open_clip_config.json`, `pretrained_cfg` in
//! `config.json` of timm; the first that is there. None of them has a word about transparency: it becomes white, as in
//! the registry.

use crate::encoder::config::Config;
use crate::encoder::registry::{Background, Fit, ImageSpec, Interpolation, PatchLimit};
use crate::error::EncoderError;
use serde_json::Value;
use std::path::Path;

/// What the files of a folder say; `None` where there are none.
pub(super) fn of_folder(folder: &Path) -> Result<Option<ImageSpec>, EncoderError> {
    let read = |name: &str| Config::read_if_there(&folder.join(name));
    if let Some(config) = read("preprocessor_config.json")? {
        return transformers(&config).map(Some);
    }
    if let Some(config) = read("processor_config.json")?
        && config.get("image_processor").is_some()
    {
        return transformers(&config.at("image_processor")).map(Some);
    }
    if let Some(config) = read("open_clip_config.json")? {
        return open_clip(&config).map(Some);
    }
    match read("config.json")? {
        Some(config) if config.get("pretrained_cfg").is_some() => timm(&config.at("pretrained_cfg")).map(Some),
        _ => Ok(None),
    }
}

fn transformers(config: &Config) -> Result<ImageSpec, EncoderError> {
    let class = config.text("image_processor_type", config.text("feature_extractor_type", ""));
    if class == "JinaCLIPImageProcessor" {
        return by_mode(config, whole(config, "size")?);
    }
    let is = |key: &str| config.get(key).and_then(Value::as_bool);
    if is("do_resize") == Some(false) {
        return Err(config.wrong("`do_resize` is false, expected pictures of one size"));
    }
    let factor = config.number_or("rescale_factor", 1.0 / 255.0);
    if is("do_rescale") == Some(false) || (factor * 255.0 - 1.0).abs() > 1e-3 {
        return Err(config.wrong(format!("pixels are scaled by {factor}, expected 1/255")));
    }
    let keeps_proportions = class.starts_with("Siglip2");
    let patches =
        PatchLimit { side: whole_or(config, "patch_size", 16)?, most: whole_or(config, "max_num_patches", 256)? };
    let (resize, fit) = if keeps_proportions { (0, Fit::Shortest) } else { size(config, class)? };
    let (resize, crop, fit) = if keeps_proportions {
        (0, 0, fit)
    } else if class.starts_with("ConvNext") {
        // Pictures of 384 and more are not cut.
        let share = config.number_or("crop_pct", 224.0 / 256.0);
        if resize < 384 { ((f64::from(resize) / share) as u32, resize, fit) } else { (resize, resize, Fit::Stretch) }
    } else if is("do_center_crop").unwrap_or(config.get("crop_size").is_some()) {
        (resize, square(config, "crop_size")?, fit)
    } else if fit == Fit::Stretch {
        (resize, resize, fit)
    } else {
        return Err(config.wrong("pictures keep their proportions and are not cropped, expected squares"));
    };
    let interpolation = match config.size("resample")? {
        1 => Interpolation::Lanczos,
        2 => Interpolation::Bilinear,
        3 => Interpolation::Bicubic,
        other => return Err(config.wrong(format!("`resample` is {other}, expected 1, 2 or 3"))),
    };
    let (mean, std) = if is("do_normalize") == Some(false) {
        ([0.0; 3], [1.0; 3])
    } else {
        (channels(config, "image_mean")?, channels(config, "image_std")?)
    };
    let patches = keeps_proportions.then_some(patches);
    Ok(ImageSpec { resize, crop, patches, fit, interpolation, background: Background::White, mean, std })
}

/// `size`: a number, `{"shortest_edge"}` or `{"height", "width"}`. A number alone is the shorter side, except for the
/// processors that know both sides only.
fn size(config: &Config, class: &str) -> Result<(u32, Fit), EncoderError> {
    let inner = config.at("size");
    if inner.get("shortest_edge").is_some() {
        return Ok((whole(&inner, "shortest_edge")?, Fit::Shortest));
    }
    let stretches =
        inner.get("height").is_some() || ["ViT", "DeiT", "Siglip"].iter().any(|name| class.starts_with(name));
    Ok((square(config, "size")?, if stretches { Fit::Stretch } else { Fit::Shortest }))
}

/// The side of a square: a number, or a height and a width that agree.
fn square(config: &Config, key: &str) -> Result<u32, EncoderError> {
    let inner = config.at(key);
    if !inner.value().is_object() {
        return whole(config, key);
    }
    let (height, width) = (whole(&inner, "height")?, whole(&inner, "width")?);
    if height != width {
        return Err(config.wrong(format!("`{key}` is {height} by {width}, expected a square")));
    }
    Ok(height)
}

fn open_clip(config: &Config) -> Result<ImageSpec, EncoderError> {
    let (vision, prepared) = (config.at("model_cfg").at("vision_cfg"), config.at("preprocess_cfg"));
    by_mode(&prepared, whole(&vision, "image_size")?)
}

/// As `open_clip` describes it, and the processor of jina-clip, which has taken it over.
fn by_mode(prepared: &Config, side: u32) -> Result<ImageSpec, EncoderError> {
    let fit = match prepared.text("resize_mode", "shortest") {
        "shortest" => Fit::Shortest,
        "squash" => Fit::Stretch,
        other => return Err(prepared.wrong(format!("`resize_mode` is `{other}`, expected shortest or squash"))),
    };
    let interpolation = interpolation(prepared, "bicubic")?;
    let (mean, std) = (channels(prepared, "mean")?, channels(prepared, "std")?);
    let (patches, background) = (None, Background::White);
    Ok(ImageSpec { resize: side, crop: side, patches, fit, interpolation, background, mean, std })
}

fn timm(config: &Config) -> Result<ImageSpec, EncoderError> {
    let input = config.get("input_size").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let sides: Vec<u64> = input.iter().filter_map(Value::as_u64).collect();
    let &[3, height, width] = sides.as_slice() else {
        return Err(config.wrong("`input_size` is not three numbers, the first of them 3"));
    };
    if height != width {
        return Err(config.wrong(format!("`input_size` is {height} by {width}, expected a square")));
    }
    let crop = u32::try_from(width).map_err(|_| config.wrong(format!("`input_size` of {width} is too large")))?;
    let fit = match config.text("crop_mode", "center") {
        "center" => Fit::Shortest,
        "squash" => Fit::Stretch,
        other => return Err(config.wrong(format!("`crop_mode` is `{other}`, expected center or squash"))),
    };
    let share = config.number_or("crop_pct", 0.875);
    if !(share > 0.0 && share <= 1.0) {
        return Err(config.wrong(format!("`crop_pct` is {share}, expected a share in (0, 1]")));
    }
    let interpolation = interpolation(config, "bilinear")?;
    let (mean, std) = (channels(config, "mean")?, channels(config, "std")?);
    let resize = (f64::from(crop) / share) as u32;
    Ok(ImageSpec { resize, crop, patches: None, fit, interpolation, background: Background::White, mean, std })
}

fn interpolation(config: &Config, default: &str) -> Result<Interpolation, EncoderError> {
    match config.text("interpolation", default) {
        "bilinear" => Ok(Interpolation::Bilinear),
        "bicubic" => Ok(Interpolation::Bicubic),
        "lanczos" => Ok(Interpolation::Lanczos),
        other => Err(config.wrong(format!("`interpolation` is `{other}`, expected bilinear, bicubic or lanczos"))),
    }
}

fn channels(config: &Config, key: &str) -> Result<[f32; 3], EncoderError> {
    let values = config.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let values: Vec<f32> = values.iter().filter_map(Value::as_f64).map(|value| value as f32).collect();
    values.try_into().map_err(|_| config.wrong(format!("`{key}` is missing or not three numbers")))
}

fn whole(config: &Config, key: &str) -> Result<u32, EncoderError> {
    let value = config.size(key)?;
    u32::try_from(value).map_err(|_| config.wrong(format!("`{key}` of {value} is too large")))
}

fn whole_or(config: &Config, key: &str, default: u32) -> Result<u32, EncoderError> {
    if config.get(key).is_some() { whole(config, key) } else { Ok(default) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::registry;

    fn of(name: &str, content: &str) -> Result<Option<ImageSpec>, EncoderError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), content).unwrap();
        of_folder(folder.path())
    }

    const CLIP: &str = r#"{"crop_size": 224, "do_center_crop": true, "do_normalize": true, "do_resize": true,
        "feature_extractor_type": "CLIPFeatureExtractor", "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3, "size": 224}"#;
    const VIT: &str = r#"{"do_normalize": true, "do_resize": true, "image_processor_type": "ViTFeatureExtractor",
        "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2, "size": 224}"#;
    const DINO: &str = r#"{"crop_size": {"height": 224, "width": 224}, "do_center_crop": true, "do_rescale": true,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "resample": 3,
        "image_processor_type": "BitImageProcessor", "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 256}}"#;
    const CONVNEXT: &str = r#"{"crop_pct": 0.875, "feature_extractor_type": "ConvNextFeatureExtractor", "resample": 3,
        "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "size": 224}"#;
    const SIGLIP: &str = r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3,
        "image_processor_type": "SiglipImageProcessor", "size": {"height": 224, "width": 224}}"#;
    const NAFLEX: &str = r#"{"do_resize": true, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5],
        "image_processor_type": "Siglip2ImageProcessorFast", "max_num_patches": 256, "patch_size": 16, "resample": 2}"#;
    const DINO3: &str = r#"{"do_center_crop": null, "do_normalize": true, "do_rescale": true, "do_resize": true,
        "image_mean": [0.485, 0.456, 0.406], "image_processor_type": "DINOv3ViTImageProcessorFast",
        "image_std": [0.229, 0.224, 0.225], "resample": 2, "size": {"height": 224, "width": 224}}"#;
    const JINA: &str = r#"{"fill_color": 0, "image_processor_type": "JinaCLIPImageProcessor", "interpolation": "bicubic",
        "mean": [0.48145466, 0.4578275, 0.40821073], "resize_mode": "shortest", "size": 512,
        "std": [0.26862954, 0.26130258, 0.27577711]}"#;
    const PERCEPTION: &str = r#"{"model_cfg": {"vision_cfg": {"image_size": 224}}, "preprocess_cfg":
        {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bilinear", "resize_mode": "squash"}}"#;
    const OPEN_CLIP: &str = r#"{"model_cfg": {"vision_cfg": {"image_size": 224}}, "preprocess_cfg":
        {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}}"#;
    const MOBILE_CLIP: &str = r#"{"model_cfg": {"vision_cfg": {"image_size": 256}}, "preprocess_cfg":
        {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "interpolation": "bilinear", "resize_mode": "shortest"}}"#;
    const TIMM: &str = r#"{"pretrained_cfg": {"input_size": [3, 224, 224], "crop_pct": 0.875, "crop_mode": "center",
        "interpolation": "bilinear", "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}}"#;

    /// The repositories' own files say what the registry says.
    #[test]
    fn as_the_registry_has_it() {
        let processor = format!(r#"{{"image_processor": {DINO}, "processor_class": "X"}}"#);
        for (file, content, name) in [
            ("preprocessor_config.json", CLIP, "clip-vit-b-32"),
            ("preprocessor_config.json", VIT, "vit-base-patch16-224"),
            ("preprocessor_config.json", DINO, "dinov2-base"),
            ("processor_config.json", &processor, "dinov2-base"),
            ("preprocessor_config.json", CONVNEXT, "convnext-tiny"),
            ("preprocessor_config.json", SIGLIP, "siglip-base-patch16-224"),
            ("preprocessor_config.json", NAFLEX, "siglip2-base-patch16-naflex"),
            ("preprocessor_config.json", DINO3, "dinov3-vitb16"),
            ("preprocessor_config.json", JINA, "jina-clip-v2"),
            ("open_clip_config.json", PERCEPTION, "perception-encoder-b-16"),
            ("open_clip_config.json", OPEN_CLIP, "clip-vit-b-32"),
            ("open_clip_config.json", MOBILE_CLIP, "mobileclip-s1"),
            ("config.json", TIMM, "resnet-50"),
        ] {
            let expected = registry::find(name).unwrap().image.unwrap();
            assert_eq!(of(file, content).unwrap().unwrap(), expected, "{name}");
        }
        assert_eq!(of("config.json", "{}").unwrap(), None);
    }

    #[test]
    fn large_pictures_of_convnext_are_not_cut() {
        let spec =
            of("preprocessor_config.json", &CONVNEXT.replace(r#""size": 224"#, r#""size": 384"#)).unwrap().unwrap();
        assert_eq!((spec.resize, spec.crop, spec.fit), (384, 384, Fit::Stretch));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for (file, content, from, to, expected) in [
            ("preprocessor_config.json", CLIP, r#""resample": 3,"#, "", "`resample` is missing"),
            ("preprocessor_config.json", CLIP, r#""resample": 3"#, r#""resample": 0"#, "`resample` is 0, expected 1"),
            (
                "preprocessor_config.json",
                CLIP,
                r#""do_center_crop": true"#,
                r#""do_center_crop": false"#,
                "not cropped",
            ),
            ("preprocessor_config.json", CLIP, "image_mean", "mean", "`image_mean` is missing"),
            ("preprocessor_config.json", SIGLIP, r#""width": 224"#, r#""width": 200"#, "224 by 200"),
            ("preprocessor_config.json", DINO, "0.00392156862745098", "1.0", "scaled by 1"),
            (
                "preprocessor_config.json",
                NAFLEX,
                r#""do_resize": true"#,
                r#""do_resize": false"#,
                "`do_resize` is false",
            ),
            ("preprocessor_config.json", NAFLEX, r#""patch_size": 16"#, r#""patch_size": "16""#, "`patch_size` is"),
            ("config.json", TIMM, r#""center""#, r#""border""#, "`crop_mode` is `border`"),
            ("config.json", TIMM, "0.875", "0", "`crop_pct` is 0"),
            ("config.json", TIMM, "[3, 224, 224]", "[1, 224, 224]", "`input_size`"),
        ] {
            let error = of(file, &content.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(file), "{error}");
        }
    }
}
