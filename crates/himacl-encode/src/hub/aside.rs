//! Waiting for the network on a thread of its own, so that who wants to stop need not wait for a timeout.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

/// How often a waiting caller is asked whether it wants to stop.
const INTERVAL: Duration = Duration::from_millis(50);

/// The caller wants to stop.
#[derive(Debug)]
pub(super) struct Stopped;

/// Does `work`; a caller that wants to stop leaves it to end by itself.
pub(super) fn aside<T: Send + 'static>(
    should_stop: &dyn Fn() -> bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Stopped> {
    let (sender, receiver) = sync_channel(1);
    // Nobody listens any more once the caller has stopped.
    std::thread::spawn(move || drop(sender.send(work())));
    next(&receiver, should_stop)?.ok_or(Stopped)
}

/// Reads a body piece by piece, each when the one before has been taken; ends with it or with an error.
pub(super) fn pieces(mut body: impl Read + Send + 'static, bytes: usize) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = sync_channel(0);
    std::thread::spawn(move || {
        loop {
            let mut piece = vec![0; bytes];
            let read = body.read(&mut piece);
            let is_last = !read.as_ref().is_ok_and(|&got| got > 0);
            let read = read.map(|got| {
                piece.truncate(got);
                piece
            });
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    });
    receiver
}

/// The next value, `None` when there is no more.
pub(super) fn next<T>(receiver: &Receiver<T>, should_stop: &dyn Fn() -> bool) -> Result<Option<T>, Stopped> {
    loop {
        if should_stop() {
            return Err(Stopped);
        }
        match receiver.recv_timeout(INTERVAL) {
            Ok(value) => return Ok(Some(value)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}
