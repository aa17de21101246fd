//! A queue on a CUDA stream.

use crate::error::Error;
use crate::queue::{Backend, Fill, Kernel, Launch, Precision, Product, Queue};
use cudarc::cublas::{CudaBlas, result as blas, sys};
use cudarc::driver::sys::{CUfunction_attribute, CUmemPool_attribute};
use cudarc::driver::{CudaContext, CudaEvent, CudaFunction, CudaModule, CudaStream, result};
use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The compiled kernels by source file.
const MODULES: [(&str, &str); 5] = [
    ("gather", include_str!(concat!(env!("OUT_DIR"), "/gather.ptx"))),
    ("balanced_projection", include_str!(concat!(env!("OUT_DIR"), "/balanced_projection.ptx"))),
    ("block_costs", include_str!(concat!(env!("OUT_DIR"), "/block_costs.ptx"))),
    ("block_assignment", include_str!(concat!(env!("OUT_DIR"), "/block_assignment.ptx"))),
    ("least_reduced_costs", include_str!(concat!(env!("OUT_DIR"), "/least_reduced_costs.ptx"))),
];

/// Shared memory that a block gets without asking.
const SHARED_BYTES: usize = 48 << 10;

impl Queue {
    /// A queue on a stream; cheap.
    ///
    /// # Safety
    /// Two queues on different streams know nothing of each other; for their buffers holds what [`Queue::beside`] asks.
    pub unsafe fn cuda(stream: Arc<CudaStream>) -> Self {
        Self::of(Cuda::new(stream))
    }

    /// Lets the device keep memory that was freed: allocating it anew at every step costs more than the steps.
    ///
    /// # Errors
    /// A driver that refuses.
    pub fn keep_freed_memory(context: &CudaContext) -> Result<(), Error> {
        let failed = |error| Error::new("memory pool", error);
        context.bind_to_thread().map_err(failed)?;
        let mut threshold = u64::MAX;
        // SAFETY: the context's device is a device, and the attribute is a u64.
        unsafe {
            let pool = result::device::get_default_mem_pool(context.cu_device()).map_err(failed)?;
            result::mem_pool::set_attribute(
                pool,
                CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD,
                std::ptr::from_mut(&mut threshold).cast(),
            )
            .map_err(failed)
        }
    }
}

struct Cuda {
    stream: Arc<CudaStream>,
    blas: OnceLock<CudaBlas>,
    copies: Mutex<Option<Copies>>,
}

/// Page-locked memory of a range that is sent: large enough for the full rate of the bus.
const STAGING_BYTES: usize = 64 << 20;

/// A stream for copies beside the kernels, and the two pieces of page-locked memory that they take turns in.
struct Copies {
    stream: Arc<CudaStream>,
    staging: [Staging; 2],
    next: usize,
}

/// Page-locked memory, and the end of the last copy out of it.
struct Staging {
    context: Arc<CudaContext>,
    pointer: *mut u8,
    bytes: usize,
    copied: Option<CudaEvent>,
}

// SAFETY: page-locked memory belongs to the context and may be used from any thread, by one at a time.
unsafe impl Send for Staging {}

impl Copies {
    fn new(stream: &CudaStream) -> Result<Self, Error> {
        let context = stream.context();
        let failed = |error| Error::new("a stream for copies", error);
        let piece = || Staging { context: context.clone(), pointer: std::ptr::null_mut(), bytes: 0, copied: None };
        Ok(Self { stream: context.new_stream().map_err(failed)?, staging: [piece(), piece()], next: 0 })
    }
}

impl Staging {
    /// At least so many bytes, which no copy reads any more.
    fn free(&mut self, bytes: usize) -> Result<*mut u8, Error> {
        let failed = |error| Error::new(format!("{bytes} bytes of page-locked memory"), error);
        if let Some(copied) = self.copied.take() {
            copied.synchronize().map_err(failed)?;
        }
        if self.bytes < bytes {
            self.release();
            // SAFETY: the context is bound to this thread by the caller.
            self.pointer = unsafe { result::malloc_host(bytes, 0) }.map_err(failed)?.cast();
            self.bytes = bytes;
        }
        Ok(self.pointer)
    }

    fn release(&mut self) {
        if !self.pointer.is_null() && self.context.bind_to_thread().is_ok() {
            // SAFETY: allocated by `free`, and no copy reads it any more. A failure is one of the device, which the next call reports.
            let _ = unsafe { result::free_host(self.pointer.cast()) };
        }
        (self.pointer, self.bytes) = (std::ptr::null_mut(), 0);
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if let Some(copied) = self.copied.take() {
            let _ = copied.synchronize();
        }
        self.release();
    }
}

type Functions = HashMap<(usize, Kernel), CudaFunction>;
type Modules = HashMap<(usize, &'static str), Arc<CudaModule>>;

/// Loaded once for each device of the process: the driver compiles PTX when it is loaded.
static LOADED: OnceLock<Mutex<(Modules, Functions)>> = OnceLock::new();

impl Cuda {
    fn new(stream: Arc<CudaStream>) -> Self {
        Self { stream, blas: OnceLock::new(), copies: Mutex::new(None) }
    }

    fn function(&self, kernel: Kernel) -> Result<CudaFunction, Error> {
        let context = self.stream.context();
        let failed = |error| Error::new(format!("loading kernel {}", kernel.name), error);
        let loaded = LOADED.get_or_init(Default::default);
        let mut guard = loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let (modules, functions) = &mut *guard;
        let device = context.ordinal();
        if let Some(function) = functions.get(&(device, kernel)) {
            return Ok(function.clone());
        }
        let module = if let Some(module) = modules.get(&(device, kernel.module)) {
            module.clone()
        } else {
            let source = MODULES.iter().find(|(name, _)| *name == kernel.module);
            let (_, ptx) = source.ok_or_else(|| Error::new(format!("loading {}", kernel.module), "no such file"))?;
            let module = context.load_module((*ptx).into()).map_err(failed)?;
            modules.insert((device, kernel.module), module.clone());
            module
        };
        let function = module.load_function(kernel.name).map_err(failed)?;
        functions.insert((device, kernel), function.clone());
        Ok(function)
    }

    fn bind(&self, doing: &str) -> Result<(), Error> {
        self.stream.context().bind_to_thread().map_err(|error| Error::new(doing, error))
    }
}

impl Backend for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn device(&self) -> usize {
        self.stream.context().ordinal() + 1
    }

    fn allocate(&self, bytes: usize) -> Result<u64, Error> {
        self.bind("allocation")?;
        // SAFETY: a live stream; memory of no bytes is asked for as one.
        unsafe { result::malloc_async(self.stream.cu_stream(), bytes.max(1)) }
            .map_err(|error| Error::new(format!("allocation of {bytes} bytes"), error))
    }

    unsafe fn free(&self, pointer: u64, _: usize) {
        // A failure here is one of the device, which the next call reports.
        if self.bind("freeing").is_ok() {
            // SAFETY: by the caller's promise.
            let _ = unsafe { result::free_async(pointer, self.stream.cu_stream()) };
        }
    }

    unsafe fn upload(&self, pointer: u64, bytes: &[u8]) -> Result<(), Error> {
        self.bind("upload")?;
        // SAFETY: by the caller's promise; pageable memory is staged before the call returns.
        unsafe { result::memcpy_htod_async(pointer, bytes, self.stream.cu_stream()) }
            .map_err(|error| Error::new(format!("upload of {} bytes", bytes.len()), error))
    }

    fn send(&self, rows: usize, row_bytes: usize, fill: &mut Fill<'_>) -> Result<u64, Error> {
        self.bind("sending")?;
        let bytes = rows * row_bytes;
        let failed = |error| Error::new(format!("sending {bytes} bytes"), error);
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let copies = match &mut *copies {
            Some(copies) => copies,
            empty => empty.insert(Copies::new(&self.stream)?),
        };
        let Copies { stream, staging, next } = copies;
        // Allocated in the order of the copies: in that of the kernels, the copies would wait for all that is queued. The driver lets
        // memory that the other stream freed wait for it.
        // SAFETY: a live stream.
        let pointer = unsafe { result::malloc_async(stream.cu_stream(), bytes.max(1)) }.map_err(failed)?;
        let at_once = (STAGING_BYTES / row_bytes.max(1)).clamp(1, rows.max(1));
        let mut copy = || -> Result<(), Error> {
            for first in (0..rows).step_by(at_once) {
                let range = first..(first + at_once).min(rows);
                let (at, len) = ((first * row_bytes) as u64, range.len() * row_bytes);
                let staging = &mut staging[*next];
                *next = 1 - *next;
                let source = staging.free(at_once * row_bytes)?;
                fill(range, source);
                // SAFETY: the staging memory holds `len` bytes until the event below has passed, and so does the new memory from `at` on.
                unsafe {
                    let source = std::slice::from_raw_parts(source, len);
                    result::memcpy_htod_async(pointer + at, source, stream.cu_stream()).map_err(failed)?;
                }
                staging.copied = Some(stream.record_event(None).map_err(failed)?);
            }
            self.stream.join(stream).map_err(failed)
        };
        if let Err(error) = copy() {
            // SAFETY: nobody else knows the memory yet.
            let _ = unsafe { result::free_async(pointer, stream.cu_stream()) };
            return Err(error);
        }
        Ok(pointer)
    }

    fn beside(&self) -> Result<Arc<dyn Backend>, Error> {
        let stream = self.stream.fork().map_err(|error| Error::new("a second stream", error))?;
        Ok(Arc::new(Self::new(stream)))
    }

    unsafe fn download(&self, bytes: &mut [u8], pointer: u64) -> Result<(), Error> {
        self.bind("download")?;
        // SAFETY: by the caller's promise; the copy has ended when this returns.
        unsafe { result::memcpy_dtoh_async(bytes, pointer, self.stream.cu_stream()) }
            .and_then(|()| self.stream.synchronize())
            .map_err(|error| Error::new(format!("download of {} bytes", bytes.len()), error))
    }

    unsafe fn clear(&self, pointer: u64, bytes: usize) -> Result<(), Error> {
        self.bind("clearing")?;
        // SAFETY: by the caller's promise.
        unsafe { result::memset_d8_async(pointer, 0, bytes, self.stream.cu_stream()) }
            .map_err(|error| Error::new(format!("clearing {bytes} bytes"), error))
    }

    unsafe fn launch(&self, kernel: Kernel, launch: Launch, arguments: &mut [*mut c_void]) -> Result<(), Error> {
        let failed = |error| Error::new(format!("kernel {} ({launch:?})", kernel.name), error);
        let function = self.function(kernel)?;
        self.bind(kernel.name)?;
        if launch.shared_bytes > SHARED_BYTES {
            let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(attribute, launch.shared_bytes as i32).map_err(failed)?;
        }
        let [x, y, z] = launch.grid;
        // SAFETY: by the caller's promise; the function lives as long as the process.
        unsafe {
            result::launch_kernel(
                function.cu_function(),
                (x, y, z),
                (launch.threads, 1, 1),
                launch.shared_bytes as u32,
                self.stream.cu_stream(),
                arguments,
            )
        }
        .map_err(failed)
    }

    unsafe fn multiply(&self, product: &Product, x: u64, y: u64, out: u64) -> Result<(), Error> {
        let Product { batch, rows, columns, inner, precision } = *product;
        let failed = |error| Error::new(format!("{product:?}"), error);
        self.bind("product")?;
        if self.blas.get().is_none() {
            let blas = CudaBlas::new(self.stream.clone()).map_err(failed)?;
            // Another thread's handle is as good.
            let _ = self.blas.set(blas);
        }
        let Some(blas) = self.blas.get() else { unreachable!("set above") };
        let compute = match precision {
            Precision::Single => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
            Precision::TensorFloat => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
        };
        let single = sys::cudaDataType_t::CUDA_R_32F;
        let (one, zero) = (1.0_f32, 0.0_f32);
        // cuBLAS counts columns first: the transposed result is y xᵀ.
        // SAFETY: the matrices are so large by the caller's promise; the scalars live through the call.
        unsafe {
            blas::gemm_strided_batched_ex(
                *blas.handle(),
                sys::cublasOperation_t::CUBLAS_OP_T,
                sys::cublasOperation_t::CUBLAS_OP_N,
                columns as i32,
                rows as i32,
                inner as i32,
                std::ptr::from_ref(&one).cast(),
                y as *const c_void,
                single,
                inner as i32,
                (columns * inner) as i64,
                x as *const c_void,
                single,
                inner as i32,
                (rows * inner) as i64,
                std::ptr::from_ref(&zero).cast(),
                out as *mut c_void,
                single,
                columns as i32,
                (rows * columns) as i64,
                batch as i32,
                compute,
                sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(failed)
    }

    fn free_memory(&self) -> Result<u64, Error> {
        let (free, _) = self.stream.context().mem_get_info().map_err(|error| Error::new("memory query", error))?;
        Ok(free as u64)
    }

    fn synchronize(&self) -> Result<(), Error> {
        self.stream.synchronize().map_err(|error| Error::new("waiting", error))
    }
}
