//! One suite for every backend: each must equal [`Scalar`], bit for bit, at every length and row count; and [`Scalar`] the
//! definitions.

use super::scalar::Scalar;
use super::*;
use crate::quant::Ternary;
use crate::tensor::PackedTernary;
use rand_pcg::Pcg32;
use rand_pcg::rand_core::{Rng, SeedableRng};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test;

/// Values of both signs over several magnitudes, with exact halves and zeros among them.
fn values(rng: &mut Pcg32, len: usize) -> Vec<f32> {
    (0..len)
        .map(|_| match rng.next_u32() % 8 {
            0 => 0.0,
            1 => (rng.next_u32() % 64) as f32 - 31.5,
            _ => (rng.next_u32() as f32 / u32::MAX as f32 - 0.5) * 10f32.powi((rng.next_u32() % 5) as i32 - 2),
        })
        .collect()
}

fn int8(rng: &mut Pcg32, len: usize) -> Vec<i8> {
    (0..len).map(|_| (rng.next_u32() % 255) as i8).map(|x| x.max(-127)).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Runs `check` on every backend, each time with the same random numbers.
fn each(check: impl Fn(&dyn Kernels, &mut Pcg32)) {
    for kernels in available() {
        check(kernels, &mut Pcg32::seed_from_u64(1));
    }
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
#[test]
fn the_expected_backends_ran() {
    let names: Vec<_> = available().iter().map(|kernels| kernels.name()).collect();
    let relaxed: &[_] =
        if cfg!(target_feature = "relaxed-simd") { &["wasm32-relaxed-i32", "wasm32-relaxed-i16"] } else { &[] };
    let vector: &[_] = if cfg!(target_arch = "wasm32") { &["wasm32-simd128"] } else { &[] };
    assert_eq!(names, [relaxed, vector, &["scalar"]].concat());
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
#[test]
fn scalar_quantises_by_the_definition() {
    let mut q = [9; 8];
    assert_eq!(Scalar.quantize_row(&[127.0, 0.5, 1.5, -2.5, -126.0], &mut q), (1.0, 1));
    assert_eq!(q, [127, 0, 2, -2, -126, 0, 0, 0], "halves go to the even number, the rest of the row is zero");
    assert_eq!(
        Scalar.quantize_row(&[0.0, -1e-6], &mut q[..2]),
        (127.0 / 1e-5, -13),
        "the scale of a row of nothing is bounded"
    );
    assert_eq!(q[..2], [0, -13]);

    let mut x = [0.0; 2 * Q8_BLOCK];
    x[..3].copy_from_slice(&[254.0, -3.0, 1.0]);
    let (mut q, mut scales) = ([9; 2 * Q8_BLOCK], [9.0; 2]);
    Scalar.quantize_q8(&x, &mut q, &mut scales);
    assert_eq!((scales, &q[..4]), ([2.0, 0.0], [127, -2, 0, 0].as_slice()));
    assert!(q[4..].iter().all(|&q| q == 0));
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
#[test]
fn scalar_multiplies_by_the_definition() {
    let mut block = half::f16::from_f32(0.5).to_le_bytes().to_vec();
    block.extend((0..Q8_BLOCK).map(|i| (i as i8 - 16) as u8));
    let x: Vec<i8> = (0..Q8_BLOCK).map(|i| if i % 2 == 0 { 3 } else { -1 }).collect();
    // 3 (-16 - 14 .. + 14) - (-15 - 13 .. + 15) = 3 (-16) - 0
    assert_eq!(Scalar.dot_q8_0(&block, &x, &[0.25]), -48.0 * 0.5 * 0.25);

    // Lanes 0 and 4 are added before any other, so that the large values cancel; the remainder comes last.
    let mut a = [1.0; 17];
    (a[0], a[4], a[16]) = (1e8, -1e8, 0.5);
    let b = [1.0; 17];
    let lanes: [f32; 8] = std::array::from_fn(|lane| a[lane] + a[lane + 8]);
    let even = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6]);
    let odd = (lanes[1] + lanes[5]) + (lanes[3] + lanes[7]);
    assert_eq!(Scalar.dot_f32(&a, &b), even + odd + 0.5);

    let mut y = [1.0, 2.0];
    Scalar.add_scaled(&mut y, 0.5, &[4.0, -2.0]);
    assert_eq!(y, [3.0, 1.0]);
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
#[test]
fn quantize_row_matches_scalar() {
    each(|kernels, rng| {
        for len in 0..130 {
            let x = values(rng, len);
            let padded = len.next_multiple_of(TILE);
            let (mut expected, mut got) = (vec![1; padded], vec![2; padded]);
            let (scale, total) = Scalar.quantize_row(&x, &mut expected);
            let (got_scale, got_total) = kernels.quantize_row(&x, &mut got);
            assert_eq!((got_scale.to_bits(), got_total), (scale.to_bits(), total), "{} {len}", kernels.name());
            assert_eq!(got, expected, "{} {len}", kernels.name());
        }
    });
}

/// Multiplies `rows` rows of `x` with a packed matrix and compares each sum with a plain product.
fn check_ternary(kernels: &dyn Kernels, codes: &[u8], (out, cols): (usize, usize), x: &[i8], rows: usize) {
    let packed = PackedTernary::pack(&Ternary { codes: codes.to_vec(), scale: 1.0 }, out, cols).unwrap();
    let width = packed.padded_cols();
    let totals: Vec<i32> = x.chunks_exact(width).map(scalar::total).collect();
    for (tile, tiles) in packed.row_tiles().enumerate() {
        let mut sums = vec![[i32::MIN; TILE]; rows];
        kernels.ternary_tile(tiles, x, &totals, &mut sums);
        for (n, sums) in sums.iter().enumerate() {
            for (row, &sum) in (tile * TILE..out).zip(sums) {
                let weights = codes[row * cols..][..cols].iter().map(|&code| i32::from(code) - 1);
                let expected: i32 = weights.zip(&x[n * width..]).map(|(w, &x)| w * i32::from(x)).sum();
                assert_eq!(sum, expected, "{} {out}x{cols}, x {n} of {rows}, row {row}", kernels.name());
            }
        }
    }
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
#[test]
fn ternary_tile_matches_a_plain_product() {
    each(|kernels, rng| {
        for (out, cols) in [(1, 1_usize), (16, 16), (5, 17), (33, 70), (16, 496), (16, 528), (16, 576), (40, 1536)] {
            let codes: Vec<u8> = (0..out * cols).map(|_| (rng.next_u32() % 3) as u8).collect();
            for rows in (0..10).chain(31..34) {
                let x = int8(rng, rows * cols.next_multiple_of(TILE));
                check_ternary(kernels, &codes, (out, cols), &x, rows);
            }
        }
    });
}

/// Every sum at once as large, or as small, as it can be: no accumulator may overflow at any width.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
#[test]
fn ternary_tile_takes_the_largest_values() {
    each(|kernels, _| {
        for cols in [64, 128, 256, 272, 512, 2064, 2080, 4096, 16384] {
            for code in [0, 2] {
                // Neighbouring rows, which some kernels multiply together, have equal signs in one half and opposite in the other.
                let codes: Vec<u8> =
                    (0..TILE * cols).map(|i| if i / cols % 8 == 6 { 2 - code } else { code }).collect();
                for rows in [1, 2, 3] {
                    let x: Vec<i8> = (0..rows * cols).map(|i| if i / cols % 2 == 0 { 127 } else { -127 }).collect();
                    check_ternary(kernels, &codes, (TILE, cols), &x, rows);
                }
            }
        }
    });
}

/// A backend that is wrong is not chosen, however fast it is.
#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
#[test]
fn a_wrong_backend_is_never_chosen() {
    struct Wrong;
    impl Kernels for Wrong {
        fn name(&self) -> &'static str {
            "wrong"
        }
        fn quantize_row(&self, x: &[f32], out: &mut [i8]) -> (f32, i32) {
            Scalar.quantize_row(x, out)
        }
        fn ternary_tile(&self, _: &[u8], _: &[i8], _: &[i32], sums: &mut [[i32; TILE]]) {
            sums.fill([0; TILE]);
        }
        fn quantize_q8(&self, x: &[f32], out: &mut [i8], scales: &mut [f32]) {
            Scalar.quantize_q8(x, out, scales);
        }
        fn dot_q8_0(&self, blocks: &[u8], x: &[i8], scales: &[f32]) -> f32 {
            Scalar.dot_q8_0(blocks, x, scales)
        }
        fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
            Scalar.dot_f32(a, b)
        }
        fn add_scaled(&self, y: &mut [f32], a: f32, x: &[f32]) {
            Scalar.add_scaled(y, a, x);
        }
    }
    assert_eq!(choice::fastest(&[&Wrong, &Scalar]).name(), "scalar");
    let mut backends = available();
    backends.insert(0, &Wrong);
    assert_ne!(choice::fastest(&backends).name(), "wrong");
    assert_eq!(
        choice::fastest(&backends).name() == "scalar",
        backends.len() == 2,
        "a vector backend is used where there is one"
    );
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
#[test]
fn q8_0_matches_scalar() {
    each(|kernels, rng| {
        for blocks in 0..20 {
            let len = blocks * Q8_BLOCK;
            let x = values(rng, len);
            let (mut expected, mut expected_scales) = (vec![0; len], vec![0.0; blocks]);
            let (mut got, mut scales) = (vec![1; len], vec![1.0; blocks]);
            Scalar.quantize_q8(&x, &mut expected, &mut expected_scales);
            kernels.quantize_q8(&x, &mut got, &mut scales);
            assert_eq!((&got, bits(&scales)), (&expected, bits(&expected_scales)), "{} {blocks}", kernels.name());

            let weights: Vec<u8> = (0..blocks)
                .flat_map(|_| {
                    let scale = half::f16::from_f32(rng.next_u32() as f32 / u32::MAX as f32).to_le_bytes();
                    scale.into_iter().chain(int8(rng, Q8_BLOCK).into_iter().map(|w| w as u8)).collect::<Vec<_>>()
                })
                .collect();
            assert_eq!(
                kernels.dot_q8_0(&weights, &got, &scales).to_bits(),
                Scalar.dot_q8_0(&weights, &got, &scales).to_bits(),
                "{} {blocks}",
                kernels.name()
            );
        }
    });
}

#[cfg_attr(target_arch = "wasm32", wasm_bindgen_test)]
#[test]
fn f32_operations_match_scalar() {
    each(|kernels, rng| {
        for len in 0..130 {
            let (a, b) = (values(rng, len), values(rng, len));
            let name = kernels.name();
            assert_eq!(kernels.dot_f32(&a, &b).to_bits(), Scalar.dot_f32(&a, &b).to_bits(), "{name} dot {len}");
            let (mut expected, mut got) = (b.clone(), b);
            Scalar.add_scaled(&mut expected, 0.3, &a);
            kernels.add_scaled(&mut got, 0.3, &a);
            assert_eq!(bits(&got), bits(&expected), "{name} add {len}");
        }
    });
}
