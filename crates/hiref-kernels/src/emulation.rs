//! A queue on the host: the kernels' sources compiled by the host's compiler, run one thread block after the other.

use crate::error::Error;
use crate::queue::{Backend, Fill, Kernel, Launch, Precision, Product, Queue};
use std::alloc::{Layout, alloc, dealloc};
use std::ffi::{CString, c_char, c_int, c_uint, c_void};
use std::sync::Arc;

/// The order in which the threads of a block take turns. A kernel whose result depends on it lacks a barrier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// By rising thread index.
    Rising,
    /// By falling thread index.
    Falling,
    /// By an odd stride through all.
    Strided,
}

impl Schedule {
    /// Every schedule.
    pub const ALL: [Self; 3] = [Self::Rising, Self::Falling, Self::Strided];
}

impl Queue {
    /// An emulated device.
    pub fn emulated(schedule: Schedule) -> Self {
        Self::of(Emulated { schedule })
    }
}

struct Emulated {
    schedule: Schedule,
}

/// Bytes before and after each buffer that nobody may write.
const GUARD: usize = 64;
const GUARD_BYTE: u8 = 0xa5;
/// Rows of a range that is sent.
const SENT_ROWS: usize = 7;

unsafe extern "C" {
    fn hiref_emulate(
        name: *const c_char,
        grid: *const c_uint,
        block: *const c_uint,
        shared_bytes: usize,
        arguments: *mut *mut c_void,
        schedule: c_uint,
    ) -> c_int;
}

fn layout(bytes: usize) -> Layout {
    Layout::from_size_align(bytes + 2 * GUARD, GUARD).expect("a size that fits memory")
}

impl Backend for Emulated {
    fn name(&self) -> &'static str {
        "emulated"
    }

    fn device(&self) -> usize {
        0
    }

    fn allocate(&self, bytes: usize) -> Result<u64, Error> {
        // SAFETY: the layout is not empty; the block is filled before anyone sees it.
        let pointer = unsafe { alloc(layout(bytes)) };
        if pointer.is_null() {
            return Err(Error::new("allocation", format!("no memory for {bytes} bytes")));
        }
        // SAFETY: the block holds the bytes and both guards. What is not written yet is NaN, as a float.
        unsafe {
            pointer.write_bytes(GUARD_BYTE, bytes + 2 * GUARD);
            pointer.add(GUARD).write_bytes(0xff, bytes);
        }
        Ok(pointer as u64 + GUARD as u64)
    }

    unsafe fn free(&self, pointer: u64, bytes: usize) {
        let block = (pointer - GUARD as u64) as *mut u8;
        // SAFETY: by the caller's promise this is a block of `allocate`.
        let whole = unsafe { std::slice::from_raw_parts(block, bytes + 2 * GUARD) };
        let intact = whole[..GUARD].iter().chain(&whole[GUARD + bytes..]).all(|&byte| byte == GUARD_BYTE);
        // SAFETY: as above; it is not used again.
        unsafe { dealloc(block, layout(bytes)) };
        assert!(intact || std::thread::panicking(), "a kernel wrote outside a buffer of {bytes} bytes");
    }

    unsafe fn upload(&self, pointer: u64, bytes: &[u8]) -> Result<(), Error> {
        // SAFETY: by the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), pointer as *mut u8, bytes.len()) };
        Ok(())
    }

    fn send(&self, rows: usize, row_bytes: usize, fill: &mut Fill<'_>) -> Result<u64, Error> {
        let pointer = self.allocate(rows * row_bytes)?;
        // As through page-locked memory: in short ranges, and the same memory again for the next one, with what the last left there.
        let mut staging = vec![u64::MAX; (SENT_ROWS * row_bytes).div_ceil(size_of::<u64>())];
        for first in (0..rows).step_by(SENT_ROWS) {
            let range = first..(first + SENT_ROWS).min(rows);
            let bytes = range.len() * row_bytes;
            fill(range, staging.as_mut_ptr().cast());
            // SAFETY: the staging memory holds the range, and the new memory all of them.
            unsafe {
                let to = (pointer as *mut u8).add(first * row_bytes);
                std::ptr::copy_nonoverlapping(staging.as_ptr().cast(), to, bytes);
            }
        }
        Ok(pointer)
    }

    fn beside(&self) -> Result<Arc<dyn Backend>, Error> {
        Ok(Arc::new(Self { schedule: self.schedule }))
    }

    unsafe fn download(&self, bytes: &mut [u8], pointer: u64) -> Result<(), Error> {
        // SAFETY: by the caller's promise.
        unsafe { std::ptr::copy_nonoverlapping(pointer as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    unsafe fn clear(&self, pointer: u64, bytes: usize) -> Result<(), Error> {
        // SAFETY: by the caller's promise.
        unsafe { (pointer as *mut u8).write_bytes(0, bytes) };
        Ok(())
    }

    unsafe fn launch(&self, kernel: Kernel, launch: Launch, arguments: &mut [*mut c_void]) -> Result<(), Error> {
        let name = CString::new(kernel.name).map_err(|error| Error::new(kernel.name, error))?;
        let block = [launch.threads, 1, 1];
        // SAFETY: the arguments are the kernel's by the caller's promise; the arrays have three entries each.
        let status = unsafe {
            hiref_emulate(
                name.as_ptr(),
                launch.grid.as_ptr(),
                block.as_ptr(),
                launch.shared_bytes,
                arguments.as_mut_ptr(),
                self.schedule as c_uint,
            )
        };
        let reason = match status {
            0 => return Ok(()),
            1 => "there is no such kernel".to_owned(),
            2 => "not all threads of a block reached a barrier".to_owned(),
            _ => format!("a device would refuse the launch {launch:?}"),
        };
        Err(Error::new(format!("kernel {}", kernel.name), reason))
    }

    unsafe fn multiply(&self, product: &Product, x: u64, y: u64, out: u64) -> Result<(), Error> {
        let Product { batch, rows, columns, inner, precision } = *product;
        // SAFETY: by the caller's promise the three matrices are so large, and the result is apart from the factors.
        let (x, y, out) = unsafe {
            (
                std::slice::from_raw_parts(x as *const f32, batch * rows * inner),
                std::slice::from_raw_parts(y as *const f32, batch * columns * inner),
                std::slice::from_raw_parts_mut(out as *mut f32, batch * rows * columns),
            )
        };
        let rounded = |value: f32| match precision {
            Precision::Single => value,
            Precision::TensorFloat => f32::from_bits(value.to_bits().wrapping_add(0x1000) & 0xffff_e000),
        };
        for (at, out) in out.iter_mut().enumerate() {
            let (block, i, j) = (at / (rows * columns), at / columns % rows, at % columns);
            let (x, y) = (&x[(block * rows + i) * inner..][..inner], &y[(block * columns + j) * inner..][..inner]);
            *out = x.iter().zip(y).map(|(&a, &b)| rounded(a) * rounded(b)).sum();
        }
        Ok(())
    }

    fn free_memory(&self) -> Result<u64, Error> {
        Ok(1 << 32)
    }

    fn synchronize(&self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{Buffer, kernel, launch};

    /// Runs a kernel of one block of 64 threads on a buffer of 64 values.
    fn run(name: &'static str, schedule: Schedule) -> (Result<(), Error>, Buffer<u32>) {
        let queue = Queue::emulated(schedule);
        let mut out = queue.allocate::<u32>(64).unwrap();
        let shape = Launch { grid: [1, 1, 1], threads: 64, shared_bytes: 64 * 4 };
        // SAFETY: the one argument is right; the kernel that writes past it stays within the buffer's guard.
        let done = unsafe { launch!(queue, kernel("faulty", name), shape, &mut out) };
        (done, out)
    }

    #[test]
    fn a_missing_barrier_shows() {
        let all = Schedule::ALL.map(|schedule| {
            let (done, out) = run("faulty_missing_barrier", schedule);
            done.unwrap();
            out.to_vec().unwrap()
        });
        let right: Vec<u32> = (0..64).map(|t| (t + 1) % 64).collect();
        assert!(all.iter().any(|values| *values != right), "{all:?}");
        assert!(all.windows(2).any(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn a_barrier_that_some_miss_is_an_error() {
        for schedule in Schedule::ALL {
            let error = run("faulty_divergent_barrier", schedule).0.unwrap_err().to_string();
            assert!(error.contains("barrier"), "{error}");
        }
    }

    #[test]
    fn a_write_past_the_end_is_an_error() {
        let (done, out) = run("faulty_out_of_bounds", Schedule::Rising);
        done.unwrap();
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(out)));
        let message = caught.unwrap_err();
        assert!(message.downcast_ref::<String>().is_some_and(|text| text.contains("outside a buffer")));
    }

    #[test]
    fn launches_that_a_device_would_refuse_are_errors() {
        let queue = Queue::emulated(Schedule::Rising);
        let mut out = queue.allocate::<u32>(64).unwrap();
        for (name, threads, grid) in [
            ("none such", 64, [1, 1, 1]),
            ("faulty_missing_barrier", 48, [1, 1, 1]),
            ("faulty_missing_barrier", 64, [1, 65_536, 1]),
        ] {
            let shape = Launch { grid, threads, shared_bytes: 64 * 4 };
            // SAFETY: as above; nothing is run.
            assert!(unsafe { launch!(queue, kernel("faulty", name), shape, &mut out) }.is_err());
        }
    }

    #[test]
    fn rows_are_sent_in_ranges() {
        // SAFETY: no buffer is shared.
        let queue = unsafe { Queue::emulated(Schedule::Rising).beside() }.unwrap();
        for rows in [0, 1, SENT_ROWS, 3 * SENT_ROWS + 2] {
            let sent = queue.send(rows, 3, |range, values: &mut [f32]| {
                assert_eq!(values.len(), 3 * range.len());
                values.iter_mut().zip(3 * range.start..).for_each(|(value, at)| *value = at as f32);
            });
            let expected: Vec<f32> = (0..3 * rows).map(|at| at as f32).collect();
            assert_eq!(sent.unwrap().to_vec().unwrap(), expected);
        }
    }
}
