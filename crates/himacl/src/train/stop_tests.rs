//! A run that is asked to stop, at any moment, says so and goes on later to the result of a run that was not.

use super::hostile_tests::{RECIPE, data};
use super::recipe::Recipe;
use super::{Watch, run};
use hiref_core::{Event, Observer};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Says stop once it was asked so many times.
struct StopAtQuestion(AtomicUsize);

impl Observer for StopAtQuestion {
    fn on_event(&self, _event: &Event) {}

    fn should_stop(&self) -> bool {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
    }
}

impl Watch for StopAtQuestion {
    fn on_step(&self, _step: u64, _total: u64, _loss: f64) {}
    fn note(&self, _message: &str) {}
    fn warn(&self, _message: &str) {}
}

#[test]
fn a_stop_at_any_moment_is_no_failure() {
    // Without warm starts every coupling has a time before its first pairing.
    let recipe: Recipe = toml::from_str(&format!("{RECIPE}\ncoupling.warm_start = false")).unwrap();
    let (data, folder) = (data(), tempfile::tempdir().unwrap());
    let made = |name: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    };
    let map = |name: &str| fs::read(folder.path().join(name).join("map.safetensors")).unwrap();
    run(&recipe, &data, &made("whole"), &()).unwrap().unwrap();
    let (mut stops, mut questions) = (0, 0);
    loop {
        let name = format!("stopped-{questions}");
        let outcome = run(&recipe, &data, &made(&name), &StopAtQuestion(AtomicUsize::new(questions)));
        if outcome.unwrap_or_else(|error| panic!("after {questions} questions: {error}")).is_some() {
            break;
        }
        stops += 1;
        if questions % 8 == 0 {
            run(&recipe, &data, &made(&name), &()).unwrap().unwrap();
            assert!(map(&name) == map("whole"), "stopped after {questions} questions");
        }
        questions += 1 + questions / 16;
    }
    assert!(stops > 20, "only {stops} stops");
}
