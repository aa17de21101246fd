//! Two sides that already live in one space, as the two towers of CLIP do.

use super::confidence::confidence_of;
use super::error::AlignError;
use super::joint::Joint;
use super::output::Alignment;
use super::params::{Aligner, RefinementParams};
use super::preparation::Preparation;
use super::report::AlignmentReport;
use super::warm_coupling::WarmCoupler;
use crate::map::{LinearMap, Map, TwoWayMap};
use candle_core::Tensor;
use hiref_core::Observer;

impl Aligner {
    /// Couples two sides of one space: each side is centred on its own, which closes the gap between modalities, and
    /// the map is the identity.
    ///
    /// *Shapes*: `source (n, d)`, `target (m, d)`, any float type. *Complexity*: one coupling of n with m items.
    /// *Determinism*: same bits for the same seed, whatever the number of threads.
    ///
    /// References: \[LZKYZ22\] Liang et al., "Mind the gap", 2022.
    ///
    /// # Errors
    /// Sides of different dimensions; embeddings that are empty or not finite; [`AlignError::Interrupted`] once the
    /// observer asks to stop.
    pub fn shared_space(
        &self,
        source: &Tensor,
        target: &Tensor,
        observer: &dyn Observer,
    ) -> Result<Alignment, AlignError> {
        let params = &self.params;
        let (x, y) = (Preparation::centring(source, "source")?, Preparation::centring(target, "target")?);
        let (source_dimension, target_dimension) = (x.dimension(), y.dimension());
        if source_dimension != target_dimension {
            return Err(AlignError::NoSharedSpace { source_dimension, target_dimension });
        }
        let identity = LinearMap::identity(source_dimension, source.device())?;
        let map = TwoWayMap::new(Map::Linear(identity), None);
        let (source_joint, target_joint) = map.joint(&x.apply(source)?, &y.apply(target)?)?;
        let joint = Joint::new(&source_joint, &target_joint, params.reference())?;
        let coupling = WarmCoupler::new(&params.coupling, observer, "shared space").couple(&joint)?;
        let neighbours =
            params.candidates.first().map_or(RefinementParams::default().neighbours, |c| c.refinement.neighbours);
        let confidence = confidence_of(&joint, &coupling, neighbours)?;
        let report = AlignmentReport {
            chosen: "shared-space".to_owned(),
            dimension: source_dimension,
            ..AlignmentReport::default()
        };
        Ok(Alignment { source: x, target: y, map, coupling: Some(coupling), confidence, anchors_only: None, report })
    }
}

#[cfg(test)]
mod tests {
    use super::super::AlignParams;
    use super::*;
    use candle_core::Device;
    use rand::Rng;

    #[test]
    fn a_gap_between_the_sides_does_not_matter() {
        let mut generator = hiref_core::rng::stream(2, &[]);
        let (n, d) = (60, 8);
        let values: Vec<f32> = (0..n * d).map(|_| generator.random_range(-1.0..1.0)).collect();
        let x = Tensor::from_vec(values, (n, d), &Device::Cpu).unwrap();
        let gap = |sign: f32| {
            Tensor::from_vec((0..d).map(|j| sign * j as f32 / 8.0).collect::<Vec<_>>(), (1, d), &Device::Cpu)
        };
        let order: Vec<u32> = (0..n as u32).map(|i| (i * 7 + 3) % n as u32).collect();
        let source = crate::map::unit_rows(&x).unwrap();
        let y = source.index_select(&Tensor::new(order.as_slice(), &Device::Cpu).unwrap(), 0).unwrap();
        let (source, target) =
            (source.broadcast_add(&gap(0.2).unwrap()).unwrap(), y.broadcast_add(&gap(-0.2).unwrap()).unwrap());
        let aligner = AlignParams::default().check().unwrap();
        let alignment = aligner.shared_space(&source, &target, &()).unwrap();
        assert_eq!(alignment.coupling.unwrap().inverse().y_of_x(), order);
        assert_eq!((alignment.report.chosen.as_str(), alignment.confidence.len()), ("shared-space", n));
        let narrow = target.narrow(1, 0, 5).unwrap();
        let refused = aligner.shared_space(&source, &narrow, &());
        assert!(matches!(refused, Err(AlignError::NoSharedSpace { source_dimension: 8, target_dimension: 5 })));
    }
}
