//! What the card's own libraries reach: a large matrix product in bf16, and a copy.
#![expect(unsafe_code, reason = "cuBLAS is called with addresses")]

use std::ffi::c_void;
use std::sync::Arc;

use cudarc::cublas::{CudaBlas, result::gemm_ex, sys as blas};
use cudarc::driver::{CudaStream, DevicePtr, DevicePtrMut};

use super::{Result, inputs, seconds};

const SIDE: usize = 8192;

/// Prints and returns TFLOP/s of the product and bytes a second of the copy, those read and those written.
pub(crate) fn report(stream: &Arc<CudaStream>) -> Result<(f64, f64)> {
    let (matmul, copy) = (matmul(stream)?, copy(stream)?);
    println!("\n## Ceilings\n\n| what | rate |\n|---|---|");
    println!("| bf16 product, {SIDE} x {SIDE} x {SIDE}, random values | {matmul:.0} TFLOP/s |");
    println!("| copy on the card, read and written | {:.0} GB/s |", copy / 1e9);
    Ok((matmul, copy))
}

fn copy(stream: &Arc<CudaStream>) -> Result<f64> {
    let from = stream.alloc_zeros::<u8>(2 << 30)?;
    let mut to = stream.alloc_zeros::<u8>(2 << 30)?;
    let took = seconds(stream, || Ok(stream.memcpy_dtod(&from, &mut to)?))?;
    Ok(2.0 * from.len() as f64 / took)
}

fn matmul(stream: &Arc<CudaStream>) -> Result<f64> {
    let handle = CudaBlas::new(Arc::clone(stream))?;
    // The upper halves of f32 are bf16.
    let values: Vec<u16> =
        inputs::values(3, SIDE * SIDE).iter().map(|x| (x.to_bits() >> 16) as u16).collect();
    let (a, b) = (stream.clone_htod(&values)?, stream.clone_htod(&values)?);
    let mut c = stream.alloc_zeros::<u16>(SIDE * SIDE)?;
    let ((a, _a), (b, _b)) = (a.device_ptr(stream), b.device_ptr(stream));
    let (c, _c) = c.device_ptr_mut(stream);
    let (one, zero, side, kind) = (1.0_f32, 0.0_f32, SIDE as i32, blas::cudaDataType::CUDA_R_16BF);
    let took = seconds(stream, || {
        // SAFETY: three matrices of these sizes, alive to the end of the function; the scalars are read before the call returns.
        unsafe {
            gemm_ex(
                *handle.handle(),
                blas::cublasOperation_t::CUBLAS_OP_T,
                blas::cublasOperation_t::CUBLAS_OP_N,
                side,
                side,
                side,
                std::ptr::from_ref(&one).cast::<c_void>(),
                a as *const c_void,
                kind,
                side,
                b as *const c_void,
                kind,
                side,
                std::ptr::from_ref(&zero).cast::<c_void>(),
                c as *mut c_void,
                kind,
                side,
                blas::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                blas::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )?;
        }
        Ok(())
    })?;
    Ok(2.0 * (SIDE as f64).powi(3) / took / 1e12)
}
