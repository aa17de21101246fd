//! Memory, copies and launches, in order, wherever they happen.

use crate::error::Error;
use std::ffi::c_void;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

/// Types that kernels read and write: f32, f64 and u32, plain numbers without padding that are valid for any bits. No other type can be one:
///
/// ```compile_fail,E0277
/// impl hiref_kernels::Element for char {}
/// ```
pub trait Element: sealed::Plain + Copy + Default + Send + Sync + 'static {}
impl Element for f32 {}
impl Element for f64 {}
impl Element for u32 {}

mod sealed {
    pub trait Plain {}
    impl Plain for f32 {}
    impl Plain for f64 {}
    impl Plain for u32 {}
}

/// Where kernels run. Calls return at once where they can; [`Buffer::to_vec`] waits.
#[derive(Clone)]
pub struct Queue {
    backend: Arc<dyn Backend>,
}

impl fmt::Debug for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Queue({})", self.backend.name())
    }
}

/// What a kind of device does for a queue. Pointers are the device's own.
pub(crate) trait Backend: Send + Sync {
    fn name(&self) -> &'static str;
    /// Tells devices apart: memory of one is none of another's.
    fn device(&self) -> usize;
    fn allocate(&self, bytes: usize) -> Result<u64, Error>;
    /// # Safety
    /// The pointer comes from `allocate` with as many bytes and is not used again.
    unsafe fn free(&self, pointer: u64, bytes: usize);
    /// # Safety
    /// So many bytes can be written there.
    unsafe fn upload(&self, pointer: u64, bytes: &[u8]) -> Result<(), Error>;
    /// New memory of `rows` rows of `row_bytes` bytes each, filled by the host a range of rows at a time, beside what is queued already.
    /// What is queued later waits for it.
    fn send(&self, rows: usize, row_bytes: usize, fill: &mut Fill<'_>) -> Result<u64, Error>;
    /// Another queue of the same device, whose work runs beside this one's; it starts after all that this one was given.
    fn beside(&self) -> Result<Arc<dyn Backend>, Error>;
    /// # Safety
    /// So many bytes can be read there.
    unsafe fn download(&self, bytes: &mut [u8], pointer: u64) -> Result<(), Error>;
    /// # Safety
    /// So many bytes can be written there.
    unsafe fn clear(&self, pointer: u64, bytes: usize) -> Result<(), Error>;
    /// # Safety
    /// The arguments are those of the kernel, and its pointers reach as far as it reads and writes.
    unsafe fn launch(&self, kernel: Kernel, launch: Launch, arguments: &mut [*mut c_void]) -> Result<(), Error>;
    /// # Safety
    /// The pointers reach as far as the product's shape says.
    unsafe fn multiply(&self, product: &Product, x: u64, y: u64, out: u64) -> Result<(), Error>;
    fn free_memory(&self) -> Result<u64, Error>;
    fn synchronize(&self) -> Result<(), Error>;
}

/// Writes the rows of a range to where the first of them belongs; the pointer suits any element.
pub(crate) type Fill<'a> = dyn FnMut(Range<usize>, *mut u8) + 'a;

/// A kernel: the source file's stem and the function's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
}

/// The shape of a launch.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(any(feature = "cuda", feature = "emulation")), expect(dead_code, reason = "no device to be had"))]
pub(crate) struct Launch {
    pub(crate) grid: [u32; 3],
    pub(crate) threads: u32,
    pub(crate) shared_bytes: usize,
}

impl Launch {
    /// One warp for each of `count` rows, 256 threads a block.
    pub(crate) fn warps(count: u64) -> Self {
        Self { grid: [count.div_ceil(8) as u32, 1, 1], threads: 256, shared_bytes: 0 }
    }
}

/// Whether products may use tensor cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    /// Plain f32.
    Single,
    /// TF32: operands rounded to 10 bits of mantissa, sums in f32.
    TensorFloat,
}

/// `out[b] = x[b] y[b]ᵀ` for `batch` pairs of row-major matrices, `(rows, inner)` and `(columns, inner)`, packed one after the other.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    /// Pairs of matrices.
    pub batch: usize,
    /// Rows of x and of the result.
    pub rows: usize,
    /// Rows of y, columns of the result.
    pub columns: usize,
    /// Columns of both factors.
    pub inner: usize,
    /// How exact.
    pub precision: Precision,
}

/// Memory of a queue, freed when dropped (after all work queued before).
pub struct Buffer<T> {
    pointer: u64,
    len: usize,
    backend: Arc<dyn Backend>,
    element: PhantomData<T>,
}

impl<T> fmt::Debug for Buffer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Buffer({} at {:#x})", self.len, self.pointer)
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer is the one that was allocated, and nobody borrows from a value that is dropped.
        unsafe { self.backend.free(self.pointer, self.len * size_of::<T>()) }
    }
}

/// A part of a device's memory, for reading.
#[derive(Debug, Clone, Copy)]
pub struct View<'a, T> {
    pointer: u64,
    len: usize,
    /// Where it is; not known of memory that belongs to someone else.
    device: Option<usize>,
    element: PhantomData<&'a [T]>,
}

impl<T: Element> View<'_, T> {
    /// Memory that belongs to someone else, such as a tensor on the same device.
    ///
    /// # Safety
    /// `pointer` is that of `len` values on the queue's device, which live and stay as they are as long as the view is used by
    /// anything queued.
    pub unsafe fn from_raw(pointer: u64, len: usize) -> Self {
        Self { pointer, len, device: None, element: PhantomData }
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A part of it.
    ///
    /// # Panics
    /// A range past the end.
    #[must_use]
    pub fn range(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len, "range {range:?} of {} values", self.len);
        let pointer = self.pointer + (range.start * size_of::<T>()) as u64;
        Self { pointer, len: range.end - range.start, ..*self }
    }
}

/// A kernel's argument: its bits, or none (a null pointer); and the device, if it is memory of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Argument(u64, Option<usize>);

impl From<u32> for Argument {
    fn from(value: u32) -> Self {
        Self(u64::from(value), None)
    }
}
impl From<u64> for Argument {
    fn from(value: u64) -> Self {
        Self(value, None)
    }
}
impl From<f32> for Argument {
    fn from(value: f32) -> Self {
        Self(u64::from(value.to_bits()), None)
    }
}
impl From<f64> for Argument {
    fn from(value: f64) -> Self {
        Self(value.to_bits(), None)
    }
}
impl<T> From<View<'_, T>> for Argument {
    fn from(view: View<'_, T>) -> Self {
        Self(view.pointer, view.device)
    }
}
impl<T> From<Option<View<'_, T>>> for Argument {
    fn from(view: Option<View<'_, T>>) -> Self {
        view.map_or(Self(0, None), Self::from)
    }
}
impl<T> From<&mut Buffer<T>> for Argument {
    fn from(buffer: &mut Buffer<T>) -> Self {
        Self(buffer.pointer, Some(buffer.backend.device()))
    }
}

impl<T: Element> Buffer<T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it, for reading.
    pub fn view(&self) -> View<'_, T> {
        View { pointer: self.pointer, len: self.len, device: Some(self.backend.device()), element: PhantomData }
    }

    /// Copies everything to the host; waits for the work queued before.
    ///
    /// # Errors
    /// A failed copy, or an earlier failure of the device.
    pub fn to_vec(&self) -> Result<Vec<T>, Error> {
        let mut values = vec![T::default(); self.len];
        // SAFETY: the vector's own memory as bytes; any bits are a value of an element.
        let bytes = unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), self.len * size_of::<T>()) };
        // SAFETY: the buffer holds so many bytes.
        unsafe { self.backend.download(bytes, self.pointer) }?;
        Ok(values)
    }

    /// Overwrites the values from `start` on.
    ///
    /// # Errors
    /// A failed copy.
    ///
    /// # Panics
    /// More values than there is room for.
    pub fn write_at(&mut self, start: usize, values: &[T]) -> Result<(), Error> {
        assert!(start + values.len() <= self.len, "{} values at {start} of a buffer of {}", values.len(), self.len);
        // SAFETY: plain numbers as bytes; the buffer holds at least as many.
        unsafe { self.backend.upload(self.pointer + (start * size_of::<T>()) as u64, bytes_of(values)) }
    }
}

fn bytes_of<T: Element>(values: &[T]) -> &[u8] {
    // SAFETY: plain numbers without padding, seen as bytes.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

impl Queue {
    #[cfg_attr(not(any(feature = "cuda", feature = "emulation")), expect(dead_code, reason = "no device to be had"))]
    pub(crate) fn of(backend: impl Backend + 'static) -> Self {
        Self { backend: Arc::new(backend) }
    }

    /// Memory with nothing in it yet.
    ///
    /// # Errors
    /// Not enough memory.
    pub fn allocate<T: Element>(&self, len: usize) -> Result<Buffer<T>, Error> {
        let too_much = || Error::new("allocation", format!("{len} values are more than memory can hold"));
        let pointer = self.backend.allocate(len.checked_mul(size_of::<T>()).ok_or_else(too_much)?)?;
        Ok(Buffer { pointer, len, backend: self.backend.clone(), element: PhantomData })
    }

    /// Memory full of zeros.
    ///
    /// # Errors
    /// Not enough memory.
    pub fn zeros<T: Element>(&self, len: usize) -> Result<Buffer<T>, Error> {
        let buffer = self.allocate::<T>(len)?;
        // SAFETY: the buffer is so large, and new.
        unsafe { self.backend.clear(buffer.pointer, len * size_of::<T>()) }?;
        Ok(buffer)
    }

    /// A copy of values of the host.
    ///
    /// # Errors
    /// Not enough memory; a failed copy.
    pub fn upload<T: Element>(&self, values: &[T]) -> Result<Buffer<T>, Error> {
        let mut buffer = self.allocate::<T>(values.len())?;
        buffer.write_at(0, values)?;
        Ok(buffer)
    }

    /// `rows` rows of `width` values each, which `fill` writes, a range of rows at a time: on a device through page-locked memory, so that the
    /// copy of one range goes on while the next is filled, and beside the kernels that are queued already.
    ///
    /// # Errors
    /// Not enough memory; a failed copy.
    pub fn send<T: Element>(
        &self,
        rows: usize,
        width: usize,
        mut fill: impl FnMut(Range<usize>, &mut [T]),
    ) -> Result<Buffer<T>, Error> {
        let too_much = || Error::new("sending", format!("{rows} rows of {width} values are more than memory can hold"));
        let row_bytes = width.checked_mul(size_of::<T>()).ok_or_else(too_much)?;
        rows.checked_mul(row_bytes).ok_or_else(too_much)?;
        let pointer = self.backend.send(rows, row_bytes, &mut |range, pointer| {
            let len = range.len() * width;
            // SAFETY: the backend hands out memory for so many rows, aligned for every element; any bits are a value.
            fill(range, unsafe { std::slice::from_raw_parts_mut(pointer.cast::<T>(), len) });
        })?;
        Ok(Buffer { pointer, len: rows * width, backend: self.backend.clone(), element: PhantomData })
    }

    /// Another queue of the same device: its work runs beside this one's, but after what this one was given so far.
    ///
    /// # Safety
    /// Where work of one queue uses a buffer of the other, it is handed in after the buffer's last writing has been waited for
    /// ([`Queue::synchronize`], or the start of this queue), and waited for before the buffer is written to again or dropped: the two queues
    /// know nothing of each other.
    ///
    /// # Errors
    /// A device that fails.
    pub unsafe fn beside(&self) -> Result<Self, Error> {
        Ok(Self { backend: self.backend.beside()? })
    }

    /// `out = x yᵀ` for each pair of a batch; O(batch · rows · columns · inner).
    ///
    /// # Errors
    /// A failed product.
    ///
    /// # Panics
    /// Buffers smaller than the product's shape.
    pub fn multiply(
        &self,
        product: &Product,
        x: View<'_, f32>,
        y: View<'_, f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), Error> {
        let Product { batch, rows, columns, inner, .. } = *product;
        let holds = |len: usize, [a, b]: [usize; 2]| len >= batch.saturating_mul(a).saturating_mul(b);
        let large_enough =
            holds(x.len, [rows, inner]) && holds(y.len, [columns, inner]) && holds(out.len, [rows, columns]);
        assert!(large_enough, "buffers of a product");
        self.check_device(&[x.device, y.device, Some(out.backend.device())]);
        // SAFETY: lengths asserted above.
        unsafe { self.backend.multiply(product, x.pointer, y.pointer, out.pointer) }
    }

    /// Refuses memory of another device, which would be some other memory here.
    fn check_device(&self, memory: &[Option<usize>]) {
        let here = self.backend.device();
        assert!(memory.iter().flatten().all(|&device| device == here), "memory of another device than the queue's");
    }

    /// # Safety
    /// As [`Backend::launch`].
    pub(crate) unsafe fn launch(
        &self,
        kernel: Kernel,
        launch: Launch,
        arguments: &mut [Argument],
    ) -> Result<(), Error> {
        if launch.grid.contains(&0) {
            return Ok(());
        }
        self.check_device(&arguments.iter().map(|argument| argument.1).collect::<Vec<_>>());
        // Little-endian: the address of eight bytes is that of a narrower number's, too.
        const { assert!(cfg!(target_endian = "little")) };
        let mut pointers: Vec<*mut c_void> =
            arguments.iter_mut().map(|argument| std::ptr::from_mut(&mut argument.0).cast()).collect();
        // SAFETY: the caller's promise; each pointer is that of a live argument.
        unsafe { self.backend.launch(kernel, launch, &mut pointers) }
    }

    /// Memory that could still be allocated, in bytes.
    ///
    /// # Errors
    /// A device that does not answer.
    pub fn free_memory(&self) -> Result<u64, Error> {
        self.backend.free_memory()
    }

    /// Waits for everything queued so far.
    ///
    /// # Errors
    /// A failure of anything queued before.
    pub fn synchronize(&self) -> Result<(), Error> {
        self.backend.synchronize()
    }
}

/// A kernel of a source file.
pub(crate) const fn kernel(module: &'static str, name: &'static str) -> Kernel {
    Kernel { module, name }
}

/// Calls a kernel; every argument becomes its bits.
macro_rules! launch {
    ($queue:expr, $kernel:expr, $launch:expr, $($argument:expr),+ $(,)?) => {
        $queue.launch($kernel, $launch, &mut [$($crate::queue::Argument::from($argument)),+])
    };
}
pub(crate) use launch;
