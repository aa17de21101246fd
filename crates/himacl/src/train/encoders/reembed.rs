//! The whole dataset through an encoder as trained so far.

use super::origin::CONFIG;
use super::tuned::TunedEncoder;
use crate::error::EncoderTrainingError;
use crate::error::Error;
use crate::map::Tensors;
use crate::train::Watch;
use candle_core::{DType, Tensor};
use himacl_data::Embeddings;
use himacl_data::files::write_text;
use himacl_data::output::Existing;
use himacl_encode::embed::{Towers, embed};
use himacl_encode::encoder::{Encoder, save_encoder, weight_files};
use himacl_encode::hub::files_sha256;

impl TunedEncoder {
    /// Writes the encoder with `values` in place of its variables, by the Hub's file names, and embeds the dataset with it,
    /// as `himacl embed` does. `None`: interrupted.
    pub(super) fn reembed(&self, values: &Tensors, watch: &dyn Watch) -> Result<Option<Tensor>, Error> {
        let own =
            self.variables().keys().filter_map(|name| Some((name.clone(), values.get(&self.parameter(name))?.clone())));
        let folder = self.side().encoder_folder(&self.run);
        save_encoder(&self.origin.encoder, &own.collect(), &folder)?;

        let encoder = Encoder::load(&self.origin.spec, &folder, &self.device, DType::F32)?;
        let output = self.side().embeddings_folder(&self.run);
        let threads = if self.device.is_cpu() { rayon::current_num_threads() } else { 1 };
        let towers = Towers::default().with(encoder);
        let params = self.origin.embed_params(threads);
        let should_stop = || watch.should_stop();
        let done =
            embed(&towers, self.origin.dataset()?, &output, &params, Existing::Overwrite, &|_| (), &should_stop)?;
        if done.interrupted {
            return Ok(None);
        }
        write_text(&output.join(CONFIG), &self.origin.config_with(&files_sha256(&weight_files(&folder)?)?)?)?;
        let embeddings = Embeddings::open(&output, Some(&self.origin.kind))?;
        if embeddings.num_rows() != self.total {
            let (got, expected, input) = (embeddings.num_rows(), self.total, self.origin.input.clone());
            return Err(EncoderTrainingError::OtherInput { side: self.side(), input, got, expected }.into());
        }
        Ok(Some(embeddings.to_tensor(&self.device)?))
    }
}
