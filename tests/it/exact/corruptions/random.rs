//! The first thousand numbers of every sequential stream, seeds 0 and 99999.
//!
//! Expected values from python 3.11 and numpy 1.26.4, such as
//! `sha256(np.random.default_rng(0).random(1000).tobytes())`.

use t3b_corrupt::rng::{legacy::Legacy, pcg64::Pcg64, poisson::Poisson, python::Python};

use super::sha256;

const N: usize = 1000;

fn checksum(mut next: impl FnMut() -> f64) -> String {
    sha256(&(0..N).flat_map(|_| next().to_le_bytes()).collect::<Vec<u8>>())
}

#[test]
fn uniform_numbers_are_the_references() {
    let legacy = [0, 99_999].map(|seed| {
        let mut legacy = Legacy::seed(seed);
        checksum(|| legacy.next_f64())
    });
    assert_eq!(
        legacy,
        [
            "5f988c98d133ea2486a9bfcfb0810f669757325101fa3172d6857e5999dd67fe",
            "60ace48fbb868fb2f639f2474eac0f45873287f78f8a81d93b52d9ac0ce2fd42",
        ]
    );
    let pcg = [0, 99_999].map(|seed| {
        let mut pcg = Pcg64::seed(seed);
        checksum(|| pcg.next_f64())
    });
    assert_eq!(
        pcg,
        [
            "7eaf3168ef8150e60745193d9afcd72c6b1218c71791c4283214b4feb2108ddd",
            "5977323b10fe9f27b78fe61a66ec0d616818edc6e576e75aed0d080d12e17b5b",
        ]
    );
}

#[test]
fn whole_numbers_are_the_references() {
    let python = [0, 99_999].map(|seed| {
        let mut python = Python::seed(seed);
        sha256(&[(); N].map(|()| python.below(256) as u8))
    });
    assert_eq!(
        python,
        [
            "22d580f022f78e19d55856dfae1874da2b39d9428994c72df8afca7ba7ffe981",
            "45710115d03ea844fbdf2757ca19426eace779715422aab3fe963a7e879242c9",
        ]
    );
    let legacy = [0, 99_999].map(|seed| {
        let mut legacy = Legacy::seed(seed);
        sha256(&[(); N].map(|()| legacy.below(6) as u8))
    });
    assert_eq!(
        legacy,
        [
            "d48ec56a21b26fc03bdfd920abd7cffeb98ab4dea800ee365c34a5027300669a",
            "472432af35fc34b594a1c2525589a04f2f90678a64161ccdbf641f85aacdb86e",
        ]
    );
}

#[test]
fn counts_are_the_references() {
    let counts = [0, 99_999].map(|seed| {
        let mut legacy = Legacy::seed(seed);
        let laws = [0.5, 4.0, 12.0, 60.0].map(Poisson::new);
        let draws = (0..N).map(|i| laws[i % 4].draw(|| legacy.next_f64()) as u8);
        sha256(&draws.collect::<Vec<_>>())
    });
    assert_eq!(
        counts,
        [
            "354992bfad30ef0ff9c6c3f92e411c8752900edff24e357d826e63d206355b0c",
            "1735bece52223cbc97ff9df84365cc4c04b5e1c411b4864de16a7e282342d349",
        ]
    );
}

/// Not by checksum: the platform's logarithm, which NumPy uses, may differ from ours in the last bit.
#[test]
fn normal_numbers_are_the_references_to_the_last_bit_or_two() {
    let expected = [
        [-0.19839889682004574, 0.09419230031014657, -1.1476109448431353, -0.35811407547985674],
        [0.5270843723774794, 0.047831651148870884, 0.16200588453296877, 0.6403009804147205],
    ];
    for (seed, expected) in [0, 99_999].into_iter().zip(expected) {
        let mut draws = [0.0; N];
        Legacy::seed(seed).normals(&mut draws);
        for (ours, numpys) in draws[N - 4..].iter().zip(expected) {
            assert!((ours / numpys - 1.0f64).abs() < 1e-15, "{ours} {numpys}");
        }
    }
}
