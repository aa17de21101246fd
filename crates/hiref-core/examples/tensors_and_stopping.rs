//! Candle tensors go in as they are; a flag that another thread raises ends the solve with the pairing reached so far.

use candle_core::{DType, Device, Tensor};
use hiref_core::{Error, Event, Observer, Phase, StopFlag, Termination, pair};

/// Raises the flag once the sweeps begin.
struct Impatient(StopFlag);

impl Observer for Impatient {
    fn on_event(&self, event: &Event) {
        if matches!(event, Event::PhaseStarted { phase: Phase::Polish, .. }) {
            self.0.stop();
        }
    }
}

pub(crate) fn main() -> Result<(), Error> {
    let x = Tensor::arange(0.0_f32, 24_000.0, &Device::Cpu)?.sin()?.reshape((3000, 8))?;
    let y = x.affine(0.5, 1.0)?.to_dtype(DType::BF16)?;
    let flag = StopFlag::new();
    let observer = Impatient(flag.clone());
    let solved = pair(&x, &y).observer(&observer).stop_flag(&flag).solve()?;
    println!("{:?} after {} levels and {} sweeps", solved.termination, solved.levels.len(), solved.sweeps.len());
    assert_eq!((solved.termination, solved.permutation.num_pairs()), (Termination::Interrupted, 3000));
    Ok(())
}
