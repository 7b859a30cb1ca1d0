//! An image tower on a card: its memory, its passes and its merges.
//!
//! Everything is queued on one stream, in the order of the calls; only what comes back to the host waits for it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, DevicePtrMut, PinnedHostSlice};

use crate::card::{Addresses, Card, CardError, Raw};
use crate::kernels::Kernel;
use crate::schedule::{self, Buffer, Schedule};
use crate::{Compute, Layout, Sizes};

/// Threads of a block of the merge.
const MERGE_BLOCK: u32 = 256;

/// Blocks of the merge: some for every multiprocessor of the largest card.
const MERGE_GRID: u64 = 4096;

/// See the module.
#[derive(Debug)]
pub struct Tower {
    card: Card,
    sizes: Sizes,
    layout: Layout,
    /// f32 `[3, 256]`.
    table: CudaSlice<f32>,
    memory: Mutex<Memory>,
}

/// What a pass uses and the next one uses again.
#[derive(Debug, Default)]
struct Memory {
    work: Option<Workspace>,
    upload: Option<PinnedHostSlice<u8>>,
    /// By the images of a pass and its part.
    schedules: HashMap<(usize, Part), Arc<Schedule>>,
}

#[derive(Debug)]
struct Workspace {
    n_images: usize,
    residual: CudaSlice<f32>,
    hidden: CudaSlice<u8>,
    wide: CudaSlice<u8>,
    inner: CudaSlice<u8>,
}

/// A part of a pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Part {
    /// From pixels to the first block.
    Embed,
    /// Some blocks.
    Blocks(Range<usize>),
    /// From a block to features.
    Finish(usize),
}

impl Tower {
    /// A tower without weights on the stream's card. `table` holds the normalised value of every byte of red, green and blue.
    ///
    /// # Errors
    /// When the card refuses.
    ///
    /// # Panics
    /// When the table is not 3 times 256 values.
    pub fn new(
        stream: Arc<CudaStream>,
        sizes: Sizes,
        compute: Compute,
        table: &[f32],
    ) -> Result<Self, CardError> {
        assert_eq!(table.len(), 3 * 256, "a value for every byte of three channels");
        let (card, layout) = (Card::new(stream, &sizes, compute)?, Layout::new(&sizes));
        let table = card.stream().clone_htod(table)?;
        Ok(Self { card, sizes, layout, table, memory: Mutex::default() })
    }

    /// What it is.
    #[must_use]
    pub fn sizes(&self) -> &Sizes {
        &self.sizes
    }

    /// Where its weights lie.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// In which numbers it is computed.
    #[must_use]
    pub fn compute(&self) -> Compute {
        self.card.compute()
    }

    /// Bytes of a set of weights in the compute type.
    #[must_use]
    pub fn weight_bytes(&self) -> usize {
        self.layout.len() * self.card.value_bytes(Buffer::Weights)
    }

    /// Copies images, bytes `[images, side, side, 3]`, to the card through pinned memory.
    ///
    /// # Errors
    /// When the card refuses the memory.
    pub fn upload(&self, pixels: &[u8]) -> Result<CudaSlice<u8>, CardError> {
        let stream = self.card.stream();
        let mut memory = self.memory();
        let pinned = match memory.upload.take() {
            Some(pinned) if pinned.len() >= pixels.len() => memory.upload.insert(pinned),
            _ => memory.upload.insert(self.card.pinned(pixels.len())?),
        };
        // Waits for the last upload, no more.
        pinned.as_mut_slice()?[..pixels.len()].copy_from_slice(pixels);
        let mut on_card = stream.alloc_zeros::<u8>(pinned.len())?;
        stream.memcpy_htod(pinned, &mut on_card)?;
        Ok(on_card)
    }

    /// Unit features `[images, projection]` of uploaded images. `weights` are values of the compute type.
    ///
    /// # Errors
    /// When the card refuses, memory that is not there among the reasons.
    pub fn features(
        &self,
        weights: &CudaSlice<u8>,
        pixels: &CudaSlice<u8>,
        n_images: usize,
    ) -> Result<CudaSlice<f32>, CardError> {
        self.pass(weights, Some(pixels), None, n_images, &[Part::Embed, Part::Finish(0)])
    }

    /// The residual stream of uploaded images behind the first `n_blocks` blocks, which must not be all.
    ///
    /// # Errors
    /// When the card refuses.
    pub fn prefix(
        &self,
        weights: &CudaSlice<u8>,
        pixels: &CudaSlice<u8>,
        n_images: usize,
        n_blocks: usize,
    ) -> Result<CudaSlice<f32>, CardError> {
        let stream = self.card.stream();
        self.pass(weights, Some(pixels), None, n_images, &[Part::Embed, Part::Blocks(0..n_blocks)])?;
        let memory = self.memory();
        let work = memory.work.as_ref().expect("the pass had a workspace");
        let len = n_images * self.sizes.tokens() * self.sizes.width;
        Ok(stream.clone_dtod(&work.residual.slice(..len))?)
    }

    /// The features of images from their stream behind the first `n_blocks` blocks on.
    ///
    /// # Errors
    /// When the card refuses.
    pub fn features_from(
        &self,
        weights: &CudaSlice<u8>,
        prefix: &CudaSlice<f32>,
        n_images: usize,
        n_blocks: usize,
    ) -> Result<CudaSlice<f32>, CardError> {
        self.pass(weights, None, Some(prefix), n_images, &[Part::Finish(n_blocks)])
    }

    /// Writes `pt + lambda (ft - pt)`, f32 and rounded as on the CPU, as values of the compute type.
    ///
    /// # Errors
    /// When the driver refuses.
    ///
    /// # Panics
    /// When a set of weights has another length.
    pub fn merge(
        &self,
        out: &mut CudaSlice<u8>,
        pt: &CudaSlice<f32>,
        ft: &CudaSlice<f32>,
        lambda: f32,
    ) -> Result<(), CardError> {
        let n = self.layout.len();
        assert_eq!((out.len(), pt.len(), ft.len()), (self.weight_bytes(), n, n), "weights of this tower");
        let stream = self.card.stream();
        let ((out, _written), (pt, _pt)) = (out.device_ptr_mut(stream), pt.device_ptr(stream));
        let (ft, _ft) = ft.device_ptr(stream);
        let n_blocks = (n as u64 / 4).div_ceil(u64::from(MERGE_BLOCK)).min(MERGE_GRID);
        let grid = [u32::try_from(n_blocks).unwrap_or(1), 1, 1];
        let args = [Raw::U64(out), Raw::U64(pt), Raw::U64(ft), Raw::F32(lambda), Raw::U64(n as u64)];
        self.card.launch(Kernel::Merge, grid, MERGE_BLOCK, &args)
    }

    fn pass(
        &self,
        weights: &CudaSlice<u8>,
        pixels: Option<&CudaSlice<u8>>,
        prefix: Option<&CudaSlice<f32>>,
        n_images: usize,
        parts: &[Part],
    ) -> Result<CudaSlice<f32>, CardError> {
        assert_eq!(weights.len(), self.weight_bytes(), "weights of this tower");
        let held = pixels.map_or(usize::MAX, CudaSlice::len);
        assert!(held >= n_images * self.sizes.image_bytes(), "as many images as there are");
        let stream = self.card.stream();
        let mut memory = self.memory();
        let mut features = stream.alloc_zeros::<f32>(n_images * self.sizes.projection)?;
        let schedules: Vec<Arc<Schedule>> =
            parts.iter().map(|part| self.schedule(&mut memory, n_images, part)).collect();
        let work = self.workspace(&mut memory, n_images)?;
        if let Some(prefix) = prefix {
            let mut residual = work.residual.slice_mut(..prefix.len());
            stream.memcpy_dtod(prefix, &mut residual)?;
        }
        let (weights, _weights) = weights.device_ptr(stream);
        let pixels = pixels.map(|pixels| pixels.device_ptr(stream));
        let (table, _table) = self.table.device_ptr(stream);
        let (residual, _residual) = work.residual.device_ptr_mut(stream);
        let (hidden, _hidden) = work.hidden.device_ptr_mut(stream);
        let (wide, _wide) = work.wide.device_ptr_mut(stream);
        let (inner, _inner) = work.inner.device_ptr_mut(stream);
        let (out, written) = features.device_ptr_mut(stream);
        let mut addresses: Addresses = [0; Buffer::ALL.len()];
        for (buffer, address) in [
            (Buffer::Weights, weights),
            (Buffer::Pixels, pixels.as_ref().map_or(0, |(address, _)| *address)),
            (Buffer::Table, table),
            (Buffer::Residual, residual),
            (Buffer::Hidden, hidden),
            (Buffer::Wide, wide),
            (Buffer::Inner, inner),
            (Buffer::Features, out),
        ] {
            addresses[buffer as usize] = address;
        }
        schedules.iter().try_for_each(|steps| self.card.run(steps, &addresses))?;
        drop(written);
        Ok(features)
    }

    fn schedule(&self, memory: &mut Memory, n_images: usize, part: &Part) -> Arc<Schedule> {
        let (sizes, layout, compute) = (&self.sizes, &self.layout, self.card.compute());
        let make = || {
            Arc::new(match part {
                Part::Embed => schedule::embed(sizes, layout, compute, n_images),
                Part::Blocks(which) => schedule::blocks(sizes, layout, compute, n_images, which.clone()),
                Part::Finish(first) => schedule::finish(sizes, layout, compute, n_images, *first),
            })
        };
        Arc::clone(memory.schedules.entry((n_images, part.clone())).or_insert_with(make))
    }

    /// Memory for so many images, kept from the last pass where that was as large.
    fn workspace<'m>(&self, memory: &'m mut Memory, n_images: usize) -> Result<&'m mut Workspace, CardError> {
        match memory.work.take() {
            Some(work) if work.n_images >= n_images => Ok(memory.work.insert(work)),
            // The smaller one is given back first.
            smaller => {
                drop(smaller);
                Ok(memory.work.insert(self.new_workspace(n_images)?))
            }
        }
    }

    fn new_workspace(&self, n_images: usize) -> Result<Workspace, CardError> {
        let stream = self.card.stream();
        let lengths = schedule::lengths(&self.sizes, n_images);
        let len = |wanted: Buffer| {
            let found = lengths.iter().find(|(buffer, _)| *buffer == wanted);
            found.map_or(0, |(buffer, len)| len * self.card.value_bytes(*buffer))
        };
        Ok(Workspace {
            n_images,
            residual: stream.alloc_zeros(len(Buffer::Residual) / size_of::<f32>())?,
            hidden: stream.alloc_zeros(len(Buffer::Hidden))?,
            wide: stream.alloc_zeros(len(Buffer::Wide))?,
            inner: stream.alloc_zeros(len(Buffer::Inner))?,
        })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
