//! The matrices of an image tower's blocks in a file of their own, for runs whose blocks in memory are in 8-bit integers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

use super::config::ClipConfig;
use super::fast::{Aligned, Packing};
use super::layout::{self, Part, TensorRole, TensorSpec};

/// Before the number of a block in the name of its tensors.
const BLOCKS: &str = "vision_model.encoder.layers.";

/// Values that are brought to bytes, and back, at once.
const CHUNK: usize = 1 << 16;

/// The matrices of all blocks, packed, in a file without a name that ends with the process.
#[derive(Debug)]
pub struct SpilledBlocks {
    packing: Packing,
    file: Mutex<File>,
    /// Sha256 of the values of every tensor that is in the file, or of which nothing else is kept.
    digests: BTreeMap<String, [u8; 32]>,
}

impl SpilledBlocks {
    /// What two models' tensors are compared by; `None` of a tensor that is not here.
    pub(super) fn digest(&self, name: &str) -> Option<&[u8; 32]> {
        self.digests.get(name)
    }

    /// Whether the file is in memory after all, where the folder for temporary files is.
    #[must_use]
    pub fn is_in_memory(&self) -> bool {
        is_in_memory(&self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A copy of a packed tower without the matrices of its blocks: [`Packing::outside`].
    ///
    /// # Panics
    /// When the tower is another architecture's.
    #[must_use]
    pub fn outside(&self, packed: &[f32]) -> Aligned {
        self.packing.outside(packed)
    }

    /// Reads the matrices of a block to their places in a packed tower.
    ///
    /// # Errors
    /// When the file cannot be read.
    ///
    /// # Panics
    /// When the tower is another architecture's or has no such block.
    pub fn read(&self, index: usize, packed: &mut [f32]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.start(index)))?;
        let mut bytes = vec![0; size_of::<f32>() * CHUNK];
        for range in self.packing.matrices(index) {
            for values in packed[range].chunks_mut(CHUNK) {
                let bytes = &mut bytes[..size_of_val(values)];
                file.read_exact(bytes)?;
                for (value, bytes) in values.iter_mut().zip(bytes.as_chunks().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
            }
        }
        Ok(())
    }

    /// Writes the matrices of a block from their places in a packed tower.
    fn write(&self, index: usize, packed: &[f32]) -> io::Result<()> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(self.start(index)))?;
        self.packing.matrices(index).into_iter().try_for_each(|range| {
            packed[range].chunks(CHUNK).try_for_each(|values| file.write_all(&bytes_of(values)))
        })
    }

    /// Where a block begins; all are of one size.
    fn start(&self, index: usize) -> u64 {
        let n_values: usize = self.packing.matrices(index).iter().map(ExactSizeIterator::len).sum();
        (index * n_values * size_of::<f32>()) as u64
    }
}

/// Blocks on their way to the file: each is written when its last matrix has come.
#[derive(Debug)]
pub(super) struct Spilling {
    blocks: SpilledBlocks,
    /// Matrices of each block.
    n_matrices: usize,
    /// Whether the text tower is somebody's to use.
    keeps_text: bool,
    waiting: BTreeMap<usize, BTreeMap<String, Vec<f32>>>,
}

impl Spilling {
    /// An empty file for an architecture. Of its text tower nothing but digests is kept unless `keeps_text`.
    ///
    /// # Errors
    /// When the folder for temporary files takes none.
    pub(super) fn new(config: &ClipConfig, keeps_text: bool) -> io::Result<Self> {
        let file = Mutex::new(tempfile::tempfile()?);
        let blocks = SpilledBlocks { packing: Packing::new(config), file, digests: BTreeMap::new() };
        let n_matrices = layout::tensors(config).iter().filter(|spec| block_of(spec) == Some(0)).count();
        Ok(Self { blocks, n_matrices, keeps_text, waiting: BTreeMap::new() })
    }

    /// Takes the values of a matrix of a block, or of a text tower that nobody uses; gives those of any other tensor back.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn take(&mut self, spec: &TensorSpec, values: Vec<f32>) -> io::Result<Option<Vec<f32>>> {
        let index = block_of(spec);
        if index.is_none() && (self.keeps_text || spec.part != Part::Text) {
            return Ok(Some(values));
        }
        let mut digest = Sha256::new();
        values.chunks(CHUNK).for_each(|values| digest.update(bytes_of(values)));
        self.blocks.digests.insert(spec.name.clone(), digest.finalize().into());
        let Some(index) = index else { return Ok(None) };
        let block = self.waiting.entry(index).or_default();
        block.insert(spec.name.clone(), values);
        if block.len() == self.n_matrices {
            let block = self.waiting.remove(&index).unwrap_or_default();
            let mut packed = Aligned::zeros(self.blocks.packing.len());
            self.blocks.packing.pack_matrices(index, &mut packed, |name| &block[name]);
            self.blocks.write(index, &packed)?;
        }
        Ok(None)
    }

    /// Takes a tensor of which nothing is kept over from a base.
    pub(super) fn inherit(&mut self, name: &str, base: &SpilledBlocks) {
        self.blocks.digests.extend(base.digest(name).map(|digest| (name.to_owned(), *digest)));
    }

    /// The blocks, when all tensors have come.
    pub(super) fn done(self) -> SpilledBlocks {
        debug_assert!(self.waiting.is_empty(), "blocks without some of their matrices");
        self.blocks
    }
}

#[cfg(target_os = "linux")]
fn is_in_memory(file: &File) -> bool {
    const TMPFS: i64 = 0x0102_1994;
    rustix::fs::fstatfs(file).is_ok_and(|found| found.f_type == TMPFS)
}

/// Elsewhere such folders are not common.
#[cfg(not(target_os = "linux"))]
fn is_in_memory(_file: &File) -> bool {
    false
}

/// The number of the block of whose matrices a tensor is one.
fn block_of(spec: &TensorSpec) -> Option<usize> {
    let rest = spec.name.strip_prefix(BLOCKS).filter(|_| spec.kind == TensorRole::Matrix)?;
    rest.split_once('.')?.0.parse().ok()
}

fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_folder_in_memory_is_known_as_one() {
        assert!(!is_in_memory(&tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap()));
        let shared = std::path::Path::new("/dev/shm");
        if let Ok(file) = tempfile::tempfile_in(shared) {
            assert!(is_in_memory(&file), "{shared:?}");
        }
    }

    #[test]
    fn blocks_come_back_as_they_were_packed_in_whatever_order_their_tensors_came() {
        let mut config = ClipConfig::named("clip-vit-base-patch32").expect("a known name");
        (config.vision.width, config.vision.heads, config.vision.mlp_width, config.vision.layers) =
            (48, 3, 80, 3);
        let specs: Vec<TensorSpec> =
            layout::tensors(&config).into_iter().filter(|spec| layout::is_vision(&spec.name)).collect();
        let values: BTreeMap<String, Vec<f32>> = specs
            .iter()
            .enumerate()
            .map(|(n, spec)| {
                (spec.name.clone(), (0..spec.elements()).map(|i| (n * 7919 + i) as f32).collect())
            })
            .collect();
        let packing = Packing::new(&config);
        let whole = packing.pack(|name| &values[name]);
        let mut spilling = Spilling::new(&config, true).unwrap();
        for spec in specs.iter().rev() {
            let back = spilling.take(spec, values[&spec.name].clone()).unwrap();
            assert_eq!(back.is_none(), block_of(spec).is_some(), "{}", spec.name);
            assert!(back.is_none_or(|back| back == values[&spec.name]));
        }
        let blocks = spilling.done();
        let mut packed = packing.pack_outside(|name| {
            assert!(blocks.digest(name).is_none(), "{name} is in the file");
            &values[name]
        });
        assert!(packed[..] != whole[..], "something is missing");
        (0..3).rev().for_each(|index| blocks.read(index, &mut packed).unwrap());
        assert!(packed[..] == whole[..]);
        let digests: Vec<_> = specs.iter().filter_map(|spec| blocks.digest(&spec.name)).collect();
        assert_eq!(digests.len(), 3 * 6);
        assert!((1..digests.len()).all(|n| !digests[..n].contains(&digests[n])), "different tensors");
    }
}
