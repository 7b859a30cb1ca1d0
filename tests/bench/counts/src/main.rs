//! The hot kernels, each on data of its own, run a number of times: what tests/counts.rs counts instructions of.
//!
//!     t3b-counts             prints the names
//!     t3b-counts NAME N      runs that kernel N times
//!
//! A count is the difference between a run of two and a run of one: making the data, starting the process and the first call's
//! allocations are in both.

mod kernels;
/// The library's files of these names, compiled here.
#[path = "../../../../src/merge"]
mod merge {
    pub(crate) mod divergence;
    pub(crate) mod lerp;
    mod random;
    mod stream;
}
/// The library's files of these names, compiled here, and beside them what calls their private parts.
#[path = "../../../../src/model"]
mod model {
    pub(crate) use t3b::model::config;

    pub(crate) mod fast {
        mod activation;
        mod aligned;
        mod attention;
        mod exp;
        mod int8;
        mod lanes;
        mod norm;
        mod packing;
        mod prefetch;
        mod product;
        mod tile;
        #[path = "../../../tests/bench/counts/src/tower.rs"]
        pub(crate) mod tower;
        mod weights;
    }
}

use kernels::KERNELS;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        KERNELS.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let n = arguments.next().and_then(|text| text.parse().ok()).expect("a number of runs behind the name");
    let (_, kernel) = KERNELS.iter().find(|(known, _)| *known == name).expect("a kernel's name");
    kernel(n);
}
