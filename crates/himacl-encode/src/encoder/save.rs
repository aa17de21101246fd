//! Encoders written back by the Hub's file names.

use super::weights::{WHOLE, files};
use crate::error::EncoderError;
use crate::error::Error;
use crate::hub::descriptions;
use candle_core::Tensor;
use candle_core::safetensors::MmapedSafetensors;
use himacl_data::files::{remove_unfinished, write_atomic};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

/// Copies the encoder in `from` to `to`: everything that describes it, and one `model.safetensors` with all its tensors,
/// those named by `values` with these values in f32 and the others as they are.
///
/// # Errors
/// Files that cannot be read or written; a value without a tensor of its name and shape.
pub fn save_encoder(from: &Path, values: &BTreeMap<String, Tensor>, to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to).map_err(Error::io("make folder", to))?;
    remove_unfinished(to)?;
    for name in descriptions(from)? {
        let (source, target) = (from.join(&name), to.join(&name));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::io("make folder", parent))?;
        }
        let bytes = fs::read(&source).map_err(Error::io("read", &source))?;
        write_atomic(&target, |file| file.write_all(&bytes))?;
    }

    let paths = files(from)?;
    let wrong = |source| EncoderError::Weights { path: paths[0].clone(), source };
    // SAFETY: the map is only read. The cache replaces files and never writes into one; a folder of the user's that another
    // process shortens meanwhile ends this process with a bus error: the documented hazard of mapped input.
    let tensors = unsafe { MmapedSafetensors::multi(&paths) }.map_err(wrong)?;
    let changed = values.iter().map(|(name, value)| {
        let numbers = value.flatten_all()?.to_vec1::<f32>()?;
        Ok((name.as_str(), (value.dims().to_vec(), numbers.into_iter().flat_map(f32::to_le_bytes).collect())))
    });
    let changed: HashMap<&str, (Vec<usize>, Vec<u8>)> = changed.collect::<candle_core::Result<_>>()?;
    let mut found = 0;
    let views = tensors.tensors().into_iter().map(|(name, view)| match changed.get(name.as_str()) {
        None => Ok((name, view)),
        Some((shape, bytes)) if shape == view.shape() => {
            found += 1;
            let view = TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(candle_core::Error::wrap)?;
            Ok((name, view))
        }
        Some((shape, _)) => {
            candle_core::bail!("`{name}` has shape {:?}, its new value {shape:?}", view.shape())
        }
    });
    let views: Vec<(String, TensorView<'_>)> = views.collect::<candle_core::Result<_>>().map_err(wrong)?;
    if found != changed.len() {
        let unknown = changed.keys().find(|name| views.iter().all(|(known, _)| known != *name));
        return Err(wrong(candle_core::Error::Msg(format!("there is no tensor {unknown:?}"))).into());
    }
    // transformers reads no file without it.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(views, Some(format)).map_err(|error| wrong(candle_core::Error::wrap(error)))?;
    Ok(write_atomic(&to.join(WHOLE), |file| file.write_all(&bytes))?)
}
