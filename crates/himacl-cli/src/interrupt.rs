//! Ctrl-C and SIGTERM: the first asks the running work to stop at its next safe point, the second ends the process.

use std::process;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit status of a process that a second Ctrl-C ended, as shells report it: 128 + SIGINT.
const STATUS_OF_SECOND_SIGNAL: i32 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Takes over Ctrl-C and SIGTERM for this process, and forgets earlier ones; call before work starts.
///
/// Where the handler cannot be set (somebody else's is), the signals keep their former meaning and a warning is logged.
pub(crate) fn install() {
    static INSTALLED: Once = Once::new();
    REQUESTED.store(false, Ordering::SeqCst);
    INSTALLED.call_once(|| {
        let handler = || {
            if REQUESTED.swap(true, Ordering::SeqCst) {
                process::exit(STATUS_OF_SECOND_SIGNAL);
            }
        };
        if let Err(error) = ctrlc::set_handler(handler) {
            tracing::warn!(%error, "Ctrl-C will end the process without saving");
        }
    });
}

/// Whether the user asked to stop.
pub(crate) fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}
