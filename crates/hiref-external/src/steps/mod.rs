//! What the tasks of each step do: from files to one file.

mod finish;
mod gap;
mod pairs;
mod route;
mod sample;

pub(crate) use finish::result_file;
pub use finish::result_files;
pub(crate) use gap::Figures;
pub use gap::Gap;

use crate::context::Context;
use crate::error::Error;
use crate::step::Step;

/// Runs one task; `sweeps` is the number of sweeps that are complete.
pub(crate) fn run(context: &Context<'_>, step: Step, task: usize, sweeps: usize) -> Result<(), Error> {
    match step {
        Step::Scan => sample::scan(context, task),
        Step::Sample => sample::sample(context),
        Step::Score => route::score(context, task),
        Step::Balance => route::balance_side(context, task),
        Step::Route => route::route(context, task),
        Step::Solve => pairs::solve(context, task),
        Step::Cut(number) => pairs::cut(context, number),
        Step::Sweep(number) => pairs::sweep(context, number, task),
        Step::Collect => finish::collect(context, task, sweeps),
        Step::Parts => finish::part(context, task, sweeps),
        Step::Check => finish::check(context, sweeps),
        Step::Prices => gap::prices(context, sweeps),
        Step::Gap => gap::gap(context, task),
        Step::Summary => gap::summary(context),
    }
}
