//! A checkpoint that is not written costs nothing: the state is not copied before it is encoded.

use hiref_core::{Event, HirefParams, Observer, Quality, pair};
use hiref_testkit::problems;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that were ever allocated.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Notes what is allocated between the end of a step and the offer of its state, and the size of the state's encoding.
#[derive(Default)]
struct Watch {
    step_ended: AtomicUsize,
    offers: Mutex<Vec<(usize, usize)>>,
}

impl Observer for Watch {
    fn on_event(&self, event: &Event) {
        if matches!(event, Event::LevelFinished(_) | Event::SweepFinished(_)) {
            self.step_ended.store(ALLOCATED.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn on_checkpoint(&self, encode: &dyn Fn() -> Vec<u8>, _last: bool) {
        let before = ALLOCATED.load(Ordering::Relaxed) - self.step_ended.load(Ordering::Relaxed);
        self.offers.lock().unwrap().push((before, encode().len()));
    }
}

#[test]
fn states_are_not_copied_before_they_are_written() {
    let instance = problems::mixture(20_000, 20_000, 6, 1);
    let params = HirefParams { quality: Quality::Fast, ..HirefParams::default() };
    let watch = Watch::default();
    // One thread: nothing else allocates between the step and the offer.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    pool.install(|| pair((&instance.x, 6), (&instance.y, 6)).params(params).observer(&watch).solve().unwrap());
    let offers = watch.offers.into_inner().unwrap();
    // The state between leaves and sweeps follows a pass over the points, which allocates.
    let small = offers.iter().filter(|(before, encoded)| 20 * before < *encoded).count();
    assert!(offers.len() >= 5 && small >= offers.len() - 1, "allocated before and encoded: {offers:?}");
    assert!(offers.iter().all(|(_, encoded)| *encoded > 8 * 20_000));
}
