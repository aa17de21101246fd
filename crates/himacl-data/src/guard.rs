//! Libraries that panic over some damaged files: such a panic becomes an error here.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread, now, would become an error: a hook need not report it.
pub fn panics_are_errors() -> bool {
    GUARDED.get()
}

/// What `work` gives; where it panics, the error that `damaged` makes of the panic's message. What `work` was at work on must not be used
/// again then.
///
/// # Errors
/// Those of `work`, and `damaged`.
pub fn guarded<T, E>(work: impl FnOnce() -> Result<T, E>, damaged: impl FnOnce(&str) -> E) -> Result<T, E> {
    let before = GUARDED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        Err(damaged(text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_message() {
        let run = |work: fn() -> Result<i32, String>| guarded(work, |reason| format!("damaged: {reason}"));
        assert_eq!(run(|| Ok(1)), Ok(1));
        assert_eq!(run(|| Err("refused".to_owned())), Err("refused".to_owned()));
        assert_eq!(run(|| panic!("plain")), Err("damaged: plain".to_owned()));
        assert_eq!(run(|| panic!("with {}", panics_are_errors())), Err("damaged: with true".to_owned()));
        assert!(!panics_are_errors());
    }
}
