//! The extension module `himacl._himacl`, a thin layer: arrays in, arrays and JSON out. Names, defaults and documentation are in the
//! Python sources beside it.

#![expect(
    clippy::needless_pass_by_value,
    clippy::too_many_arguments,
    reason = "functions that Python calls own their arguments, and take all that the documented ones beside them take"
)]

mod align;
mod arrays;
mod baselines;
mod convex;
mod device;
mod encode;
mod errors;
mod explain;
mod external;
mod job;
mod matching;
mod metrics;
mod solve;
mod train;

use pyo3::prelude::*;
use std::ffi::OsString;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the command line with these arguments, the program's name first; returns the exit status.
#[pyfunction]
fn command_line(py: Python<'_>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| himacl_cli::run(arguments).code())
}

#[pymodule]
fn _himacl(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<baselines::Coupling>()?;
    module.add_class::<align::Map>()?;
    module.add_class::<convex::ConvexGradient>()?;
    module.add_class::<encode::Encoder>()?;
    module.add_class::<explain::Explainer>()?;
    module.add_class::<external::ExternalJob>()?;
    module.add_function(wrap_pyfunction!(solve::pair, module)?)?;
    module.add_function(wrap_pyfunction!(matching::match_points, module)?)?;
    module.add_function(wrap_pyfunction!(matching::match_costs, module)?)?;
    module.add_function(wrap_pyfunction!(matching::match_candidates, module)?)?;
    module.add_function(wrap_pyfunction!(baselines::baseline, module)?)?;
    module.add_function(wrap_pyfunction!(align::align, module)?)?;
    module.add_function(wrap_pyfunction!(train::train, module)?)?;
    module.add_function(wrap_pyfunction!(convex::fit_convex_gradient, module)?)?;
    module.add_function(wrap_pyfunction!(metrics::retrieval, module)?)?;
    module.add_function(wrap_pyfunction!(metrics::pairing_accuracy, module)?)?;
    module.add_function(wrap_pyfunction!(metrics::sinkhorn_divergence, module)?)?;
    module.add_function(wrap_pyfunction!(encode::encoders, module)?)?;
    module.add_function(wrap_pyfunction!(command_line, module)?)?;
    Ok(())
}
