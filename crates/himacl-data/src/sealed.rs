//! Safetensors files that prove that they are what was written: their metadata hold a checksum of everything else in them.

use safetensors::tensor::{SafeTensorError, SafeTensors};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fmt::Write as _;

/// The metadata key of the checksum.
const CHECKSUM: &str = "sha256";

/// The same tensors and metadata, with further `facts` among the metadata, and the checksum.
///
/// # Errors
/// Bytes that are no safetensors file.
pub fn seal(bytes: &[u8], facts: &[(&str, &str)]) -> Result<Vec<u8>, SafeTensorError> {
    let (_, header) = SafeTensors::read_metadata(bytes)?;
    let tensors = SafeTensors::deserialize(bytes)?;
    let mut metadata: HashMap<String, String> = header.metadata().clone().unwrap_or_default();
    metadata.extend(facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    metadata.insert(CHECKSUM.to_owned(), checksum(&metadata, &tensors));
    safetensors::serialize(tensors.tensors(), Some(metadata))
}

/// The metadata of bytes that [`seal`] gave; `None` for any other.
pub fn sealed_facts(bytes: &[u8]) -> Option<HashMap<String, String>> {
    let (_, header) = SafeTensors::read_metadata(bytes).ok()?;
    let tensors = SafeTensors::deserialize(bytes).ok()?;
    let metadata = header.metadata().clone()?;
    (*metadata.get(CHECKSUM)? == checksum(&metadata, &tensors)).then_some(metadata)
}

fn checksum(metadata: &HashMap<String, String>, tensors: &SafeTensors<'_>) -> String {
    let mut digest = Sha256::new();
    let mut add = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_le_bytes());
        digest.update(bytes);
    };
    let mut metadata: Vec<_> = metadata.iter().filter(|(key, _)| *key != CHECKSUM).collect();
    metadata.sort();
    for (key, value) in metadata {
        add(key.as_bytes());
        add(value.as_bytes());
    }
    let mut tensors = tensors.tensors();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, tensor) in tensors {
        add(name.as_bytes());
        add(format!("{:?} {:?}", tensor.dtype(), tensor.shape()).as_bytes());
        add(tensor.data());
    }
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::{Dtype, TensorView};

    #[test]
    fn every_flipped_bit_is_found() {
        let data = [1_u8, 2, 3, 4, 5, 6, 7, 8];
        let view = |at: usize| TensorView::new(Dtype::U32, vec![1], &data[4 * at..4 * at + 4]).unwrap();
        let metadata = HashMap::from([("kept".to_owned(), "1".to_owned())]);
        let plain = safetensors::serialize([("a", view(0)), ("b", view(1))], Some(metadata)).unwrap();
        assert_eq!(sealed_facts(&plain), None);
        let mut sealed = seal(&plain, &[("report", "{}")]).unwrap();
        let facts = sealed_facts(&sealed).unwrap();
        assert_eq!((facts["kept"].as_str(), facts["report"].as_str()), ("1", "{}"));
        assert_eq!(SafeTensors::deserialize(&sealed).unwrap().tensor("b").unwrap().data(), &data[4..]);
        for bit in 0..8 * sealed.len() {
            sealed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(sealed_facts(&sealed), None, "bit {bit}");
            sealed[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(sealed_facts(&sealed[..sealed.len() - 1]), None);
    }
}
