//! An image tower on a card: its memory, its passes and its merges.
//!
//! Everything is queued on one stream, in the order of the calls; only what comes back to the host waits for it.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::{CudaStream, DevicePtr, DevicePtrMut, PinnedHostSlice};

pub use cudarc::driver::CudaSlice;

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

/// Images on the card.
#[derive(Debug)]
pub struct Images {
    n_images: usize,
    held: Held,
}

#[derive(Debug)]
enum Held {
    /// Bytes `[images, side, side, 3]`.
    Pixels(CudaSlice<u8>),
    /// The residual stream behind so many blocks, f32 `[images, tokens, width]`.
    Stream(CudaSlice<f32>, usize),
}

impl Images {
    /// How many.
    #[must_use]
    pub fn n_images(&self) -> usize {
        self.n_images
    }

    /// Blocks they have passed.
    fn n_blocks(&self) -> usize {
        match self.held {
            Held::Pixels(_) => 0,
            Held::Stream(_, n_blocks) => n_blocks,
        }
    }
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
    pixels: CudaSlice<u8>,
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

    /// A set of weights of the compute type, zeros, which a merge overwrites.
    ///
    /// # Errors
    /// When the card refuses the memory.
    pub fn new_set(&self) -> Result<CudaSlice<u8>, CardError> {
        Ok(self.card.stream().alloc_zeros(self.weight_bytes())?)
    }

    /// Copies a model's packed f32 weights to the card.
    ///
    /// # Errors
    /// When the card refuses the memory.
    pub fn master(&self, packed: &[f32]) -> Result<CudaSlice<f32>, CardError> {
        Ok(self.card.stream().clone_htod(packed)?)
    }

    /// Copies images, bytes `[images, side, side, 3]`, to the card through pinned memory.
    ///
    /// # Errors
    /// When the card refuses the memory.
    ///
    /// # Panics
    /// When they are not whole images, at least one.
    pub fn upload(&self, pixels: &[u8]) -> Result<Images, CardError> {
        let n_images = pixels.len() / self.sizes.image_bytes();
        assert!(n_images > 0 && pixels.len() == n_images * self.sizes.image_bytes(), "whole images");
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
        Ok(Images { n_images, held: Held::Pixels(on_card) })
    }

    /// Unit features `[room, projection]` of uploaded images, one behind the other; `weights` are values of the compute type.
    ///
    /// The pass is one of `room` images, whatever there are; the rows behind the last mean nothing. So the numbers of an image
    /// do not depend on how many are beside it, which decides the products that cuBLAS chooses.
    ///
    /// # Errors
    /// When the card refuses, memory that is not there among the reasons.
    ///
    /// # Panics
    /// When there is no image, there are more than `room`, or some have passed blocks that others have not.
    pub fn features(
        &self,
        weights: &CudaSlice<u8>,
        images: &[&Images],
        room: usize,
    ) -> Result<CudaSlice<f32>, CardError> {
        let n_blocks = images.first().map_or(0, |first| first.n_blocks());
        let stream = self.card.stream();
        let mut features = stream.alloc_zeros::<f32>(room * self.sizes.projection)?;
        let parts: &[Part] =
            if n_blocks == 0 { &[Part::Embed, Part::Finish(0)] } else { &[Part::Finish(n_blocks)] };
        self.pass(weights, images, room, parts, Some(&mut features))?;
        Ok(features)
    }

    /// The first `n_images` rows of features, on the host, as soon as they are there.
    ///
    /// # Errors
    /// When anything queued before has failed.
    pub fn download(&self, features: &CudaSlice<f32>, n_images: usize) -> Result<Vec<f32>, CardError> {
        Ok(self.card.stream().clone_dtoh(&features.slice(..n_images * self.sizes.projection))?)
    }

    /// Images behind the first `n_blocks` blocks, at least one and not all of them; the pass is one of `room` images.
    ///
    /// # Errors
    /// When the card refuses.
    ///
    /// # Panics
    /// As [`features`](Self::features).
    pub fn prefix(
        &self,
        weights: &CudaSlice<u8>,
        images: &Images,
        n_blocks: usize,
        room: usize,
    ) -> Result<Images, CardError> {
        assert_eq!(images.n_blocks(), 0, "images of bytes");
        self.pass(weights, &[images], room, &[Part::Embed, Part::Blocks(0..n_blocks)], None)?;
        let memory = self.memory();
        let work = memory.work.as_ref().expect("the pass had a workspace");
        let len = images.n_images * self.stream_len();
        let stream = self.card.stream().clone_dtod(&work.residual.slice(..len))?;
        Ok(Images { n_images: images.n_images, held: Held::Stream(stream, n_blocks) })
    }

    /// A copy of one image of several.
    ///
    /// # Errors
    /// When the card refuses the memory.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn one_of(&self, images: &Images, n: usize) -> Result<Images, CardError> {
        let stream = self.card.stream();
        let range = |len: usize| n * len..(n + 1) * len;
        let held = match &images.held {
            Held::Pixels(pixels) => {
                Held::Pixels(stream.clone_dtod(&pixels.slice(range(self.sizes.image_bytes())))?)
            }
            Held::Stream(values, n_blocks) => {
                Held::Stream(stream.clone_dtod(&values.slice(range(self.stream_len())))?, *n_blocks)
            }
        };
        Ok(Images { n_images: 1, held })
    }

    /// Values of one image's residual stream.
    fn stream_len(&self) -> usize {
        self.sizes.tokens() * self.sizes.width
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
        images: &[&Images],
        room: usize,
        parts: &[Part],
        features: Option<&mut CudaSlice<f32>>,
    ) -> Result<(), CardError> {
        assert_eq!(weights.len(), self.weight_bytes(), "weights of this tower");
        let stream = self.card.stream();
        let mut memory = self.memory();
        let schedules: Vec<Arc<Schedule>> =
            parts.iter().map(|part| self.schedule(&mut memory, room, part)).collect();
        let work = self.workspace(&mut memory, room)?;
        self.gather(work, images, room)?;
        let (weights, _weights) = weights.device_ptr(stream);
        let (pixels, _pixels) = work.pixels.device_ptr(stream);
        let (table, _table) = self.table.device_ptr(stream);
        let (residual, _residual) = work.residual.device_ptr_mut(stream);
        let (hidden, _hidden) = work.hidden.device_ptr_mut(stream);
        let (wide, _wide) = work.wide.device_ptr_mut(stream);
        let (inner, _inner) = work.inner.device_ptr_mut(stream);
        let features = features.map(|features| features.device_ptr_mut(stream));
        let mut addresses: Addresses = [0; Buffer::ALL.len()];
        for (buffer, address) in [
            (Buffer::Weights, weights),
            (Buffer::Pixels, pixels),
            (Buffer::Table, table),
            (Buffer::Residual, residual),
            (Buffer::Hidden, hidden),
            (Buffer::Wide, wide),
            (Buffer::Inner, inner),
            (Buffer::Features, features.as_ref().map_or(0, |(address, _)| *address)),
        ] {
            addresses[buffer as usize] = address;
        }
        schedules.iter().try_for_each(|steps| self.card.run(steps, &addresses))
    }

    /// Copies images one behind the other to where a pass reads them.
    fn gather(&self, work: &mut Workspace, images: &[&Images], room: usize) -> Result<(), CardError> {
        let n_images: usize = images.iter().map(|images| images.n_images).sum();
        assert!((1..=room).contains(&n_images), "{n_images} images in a pass of {room}");
        let n_blocks = images[0].n_blocks();
        let stream = self.card.stream();
        let (mut place, stream_len, image_bytes) = (0, self.stream_len(), self.sizes.image_bytes());
        for images in images {
            assert_eq!(images.n_blocks(), n_blocks, "images behind the same blocks");
            let range = |len: usize| place * len..(place + images.n_images) * len;
            match &images.held {
                // What was uploaded may be longer than the images in it.
                Held::Pixels(pixels) => {
                    let from = pixels.slice(..images.n_images * image_bytes);
                    stream.memcpy_dtod(&from, &mut work.pixels.slice_mut(range(image_bytes)))?;
                }
                Held::Stream(values, _) => {
                    stream.memcpy_dtod(values, &mut work.residual.slice_mut(range(stream_len)))?;
                }
            }
            place += images.n_images;
        }
        Ok(())
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
            pixels: stream.alloc_zeros(n_images * self.sizes.image_bytes())?,
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
