//! A card that carries schedules out: its stream, cuBLAS, and the kernels of one tower, compiled for it at start.
#![expect(unsafe_code, reason = "a launch hands addresses to code that the compiler does not see")]

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::cublas::{CudaBlas, result::CublasError, result::gemm_ex, sys as blas};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaStream, DriverError, LaunchConfig, PinnedHostSlice, PushKernelArg,
    sys::CUresult,
};
use cudarc::nvrtc::{CompileError, CompileOptions, Ptx, compile_ptx_with_opts};

use crate::kernels::{Kernel, SOURCE, options};
use crate::schedule::{Arg, At, Buffer, Gemm, Op};
use crate::{Compute, Sizes};

/// A card, its driver or one of its libraries refuses.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// A library is not on this machine, or not where the system looks for it.
    #[error("{0} is not found")]
    NoLibrary(&'static str),
    /// The driver, memory that is not there among the reasons.
    #[error("the driver: {0}")]
    Driver(#[from] DriverError),
    /// cuBLAS.
    #[error("cuBLAS: {0}")]
    Blas(#[from] CublasError),
    /// The run-time compiler did not take the kernels.
    #[error("the kernels do not compile: {0}")]
    Compile(#[from] CompileError),
    /// The compute type needs a newer card.
    #[error("{} needs a card of compute capability 8.0 or newer, this one has {}.{}", compute.name(), found.0, found.1)]
    TooOld {
        /// What was wanted.
        compute: Compute,
        /// What the card has.
        found: (i32, i32),
    },
}

impl CardError {
    /// Whether a smaller pass may succeed.
    #[must_use]
    pub fn is_out_of_memory(&self) -> bool {
        match self {
            Self::Driver(DriverError(code)) => *code == CUresult::CUDA_ERROR_OUT_OF_MEMORY,
            Self::Blas(CublasError(code)) => *code == blas::cublasStatus_t::CUBLAS_STATUS_ALLOC_FAILED,
            Self::NoLibrary(_) | Self::Compile(_) | Self::TooOld { .. } => false,
        }
    }
}

const NVRTC: &str = "libnvrtc.so.13 (NVRTC)";

/// A card and the order in which it does what it is given.
pub type Stream = Arc<CudaStream>;

/// Whether this machine has the driver of a card, and so may have one.
#[must_use]
pub fn has_driver() -> bool {
    // SAFETY: loading a library runs its initialisers, and these are the vendor's own, made to be loaded like this.
    unsafe { cudarc::driver::sys::is_culib_present() }
}

/// A stream of its own on the card of this number. What computes there is loaded when it is asked for, so a program runs
/// where none of it is installed.
///
/// # Errors
/// [`CardError::NoLibrary`] when the driver, the run-time compiler or cuBLAS is missing; what the driver says otherwise.
pub fn open(card: usize) -> Result<Stream, CardError> {
    // SAFETY: as above.
    let found = unsafe {
        [
            ("libcuda.so.1 (the driver)", cudarc::driver::sys::is_culib_present()),
            (NVRTC, cudarc::nvrtc::sys::is_culib_present()),
            ("libcublas.so.13 (cuBLAS)", blas::is_culib_present()),
        ]
    };
    if let Some((library, _)) = found.iter().find(|(_, is_found)| !is_found) {
        return Err(CardError::NoLibrary(library));
    }
    Ok(CudaContext::new(card)?.new_stream()?)
}

/// The kernels of a tower as code for a card of this compute capability; the driver makes instructions of it.
///
/// # Errors
/// [`CardError::NoLibrary`] without NVRTC; [`CardError::Compile`] when it does not take the text.
pub fn compile(sizes: &Sizes, compute: Compute, (major, minor): (i32, i32)) -> Result<Ptx, CardError> {
    // SAFETY: loading a library runs its initialisers, and these are the vendor's own, made to be loaded like this.
    if !unsafe { cudarc::nvrtc::sys::is_culib_present() } {
        return Err(CardError::NoLibrary(NVRTC));
    }
    let mut options = options(sizes, compute);
    options.push(format!("--gpu-architecture=compute_{major}{minor}"));
    options.push("--std=c++17".to_owned());
    let name = Some("t3b_gpu.cu".to_owned());
    Ok(compile_ptx_with_opts(SOURCE, CompileOptions { options, name, ..CompileOptions::default() })?)
}

/// Where each [`Buffer`] of a pass is on the card, by its number; 0 where the pass has none.
pub(crate) type Addresses = [u64; Buffer::ALL.len()];

/// See the module.
#[derive(Debug)]
pub struct Card {
    stream: Arc<CudaStream>,
    blas: CudaBlas,
    /// By the kernel's number.
    kernels: Vec<CudaFunction>,
    compute: Compute,
}

impl Card {
    /// Compiles the kernels of a tower for the stream's card.
    ///
    /// # Errors
    /// When the card is too old for `compute`, or refuses.
    pub fn new(stream: Arc<CudaStream>, sizes: &Sizes, compute: Compute) -> Result<Self, CardError> {
        let context = Arc::clone(stream.context());
        let (major, minor) = context.compute_capability()?;
        // The matrix instruction of the attention kernel came with 8.0, as TF32 did.
        if compute != Compute::F32 && major < 8 {
            return Err(CardError::TooOld { compute, found: (major, minor) });
        }
        let code = compile(sizes, compute, (major, minor))?;
        let module = context.load_module(code)?;
        let kernels = Kernel::ALL.iter().map(|kernel| module.load_function(kernel.name()));
        let kernels = kernels.collect::<Result<_, _>>()?;
        Ok(Self { blas: CudaBlas::new(Arc::clone(&stream))?, stream, kernels, compute })
    }

    /// The stream on which everything is done.
    #[must_use]
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.stream
    }

    /// In which numbers.
    #[must_use]
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// Bytes of a value in a buffer.
    #[must_use]
    pub fn value_bytes(&self, buffer: Buffer) -> usize {
        match self.compute {
            _ if buffer == Buffer::Pixels => 1,
            _ if buffer.is_f32() => 4,
            Compute::F32 | Compute::Tf32 => 4,
            Compute::F16 | Compute::Bf16 => 2,
        }
    }

    /// Memory of the host that the card reads while the host goes on, zeros.
    ///
    /// # Errors
    /// When the driver refuses the memory.
    pub(crate) fn pinned(&self, n_bytes: usize) -> Result<PinnedHostSlice<u8>, CardError> {
        // SAFETY: what is asked for is that nobody reads it before it is written, and it is written here.
        let mut slice = unsafe { self.stream.context().alloc_pinned(n_bytes)? };
        slice.as_mut_slice()?.fill(0);
        Ok(slice)
    }

    /// Queues steps in their order.
    ///
    /// Every address must be that of a buffer as long as [`lengths`](crate::schedule::lengths) says, alive until the stream
    /// is done with it; that the steps stay inside such buffers is what the tests on the host show.
    ///
    /// # Errors
    /// When the driver or cuBLAS refuses.
    pub(crate) fn run(&self, steps: &[Op], addresses: &Addresses) -> Result<(), CardError> {
        self.stream.context().bind_to_thread()?;
        for step in steps {
            match step {
                Op::Gemm(gemm) => self.gemm(gemm, addresses)?,
                Op::Launch { kernel, grid, block, args } => {
                    let args = args.iter().map(|arg| self.raw(arg, addresses)).collect::<Vec<_>>();
                    self.launch(*kernel, *grid, *block, &args)?;
                }
            }
        }
        Ok(())
    }

    fn raw(&self, arg: &Arg, addresses: &Addresses) -> Raw {
        match *arg {
            Arg::At(at) => Raw::U64(self.address(at, addresses)),
            Arg::Null => Raw::U64(0),
            Arg::U32(n) => Raw::U32(n),
            Arg::F32(x) => Raw::F32(x),
        }
    }

    fn address(&self, At(buffer, offset): At, addresses: &Addresses) -> u64 {
        addresses[buffer as usize] + (offset * self.value_bytes(buffer)) as u64
    }

    /// Queues one kernel.
    ///
    /// # Errors
    /// When the driver refuses.
    pub(crate) fn launch(
        &self,
        kernel: Kernel,
        [x, y, z]: [u32; 3],
        block: u32,
        args: &[Raw],
    ) -> Result<(), CardError> {
        let config = LaunchConfig { grid_dim: (x, y, z), block_dim: (block, 1, 1), shared_mem_bytes: 0 };
        let mut launch = self.stream.launch_builder(&self.kernels[kernel as usize]);
        for arg in args {
            match arg {
                Raw::U64(n) => launch.arg(n),
                Raw::U32(n) => launch.arg(n),
                Raw::F32(x) => launch.arg(x),
            };
        }
        // SAFETY: the arguments are those of the kernel's text, which the tests on the host run with the same schedules; see
        // `run` for the addresses.
        unsafe { launch.launch(config)? };
        Ok(())
    }

    fn gemm(&self, gemm: &Gemm, addresses: &Addresses) -> Result<(), CardError> {
        let int = |n: usize| i32::try_from(n).expect("sizes of a product fit 32 bits");
        let pointer = |at: At| self.address(at, addresses) as *mut c_void;
        let (one, zero) = (1.0_f32, 0.0_f32);
        let scalar = |x: &f32| std::ptr::from_ref(x).cast::<c_void>();
        let compute = match self.compute {
            Compute::Tf32 => blas::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
            _ => blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        };
        // SAFETY: as for a launch; the matrices are the ones that the host runs with the same strides. Both scalars live to
        // the end of the call, and cuBLAS reads them before it returns.
        unsafe {
            gemm_ex(
                *self.blas.handle(),
                blas::cublasOperation_t::CUBLAS_OP_T,
                blas::cublasOperation_t::CUBLAS_OP_N,
                int(gemm.m),
                int(gemm.n),
                int(gemm.k),
                scalar(&one),
                pointer(gemm.a.0),
                self.data_type(gemm.a.0.0),
                int(gemm.a.1),
                pointer(gemm.b.0),
                self.data_type(gemm.b.0.0),
                int(gemm.b.1),
                scalar(&zero),
                pointer(gemm.c.0),
                self.data_type(gemm.c.0.0),
                int(gemm.c.1),
                compute,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )?;
        }
        Ok(())
    }

    fn data_type(&self, buffer: Buffer) -> blas::cudaDataType {
        match self.compute {
            Compute::F16 if !buffer.is_f32() => blas::cudaDataType::CUDA_R_16F,
            Compute::Bf16 if !buffer.is_f32() => blas::cudaDataType::CUDA_R_16BF,
            _ => blas::cudaDataType::CUDA_R_32F,
        }
    }
}

/// An argument as a kernel takes it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Raw {
    /// An address or a long count.
    U64(u64),
    /// A count.
    U32(u32),
    /// A number.
    F32(f32),
}
