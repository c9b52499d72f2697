//! One suite for every backend: each must equal [`Scalar`], bit for bit, at every length and row
//! count; and [`Scalar`] the definitions.

use super::scalar::Scalar;
use super::*;
use crate::quant::Ternary;
use crate::tensor::{CHUNK_BYTES, GroupLayout, PackedTernary};
use crate::testing::test;
use rand_pcg::Pcg32;
use rand_pcg::rand_core::{Rng, SeedableRng};

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

#[test]
fn the_expected_backends_ran() {
    let names: Vec<_> = available().iter().map(|kernels| kernels.name()).collect();
    let relaxed = ["wasm32-relaxed-u8", "wasm32-relaxed-i8", "wasm32-relaxed-i7", "wasm32-relaxed-i7x2"];
    let vector = match std::env::consts::ARCH {
        #[cfg(target_arch = "x86_64")]
        "x86_64" if !is_x86_feature_detected!("avx2") => [].as_slice(),
        "x86_64" => &["x86_64-avx2"],
        "aarch64" => &["aarch64-neon"],
        _ => &["wasm32-simd128"],
    };
    let relaxed = if cfg!(target_feature = "relaxed-simd") { relaxed.as_slice() } else { &[] };
    assert_eq!(names, [relaxed, vector, &["scalar"]].concat());
}

#[test]
fn scalar_quantizes_by_the_definition() {
    let mut q = [9; 8];
    assert_eq!(Scalar.quantize_row(&[127.0, 0.5, 1.5, -2.5, -126.0], &mut q), (1.0, 1));
    assert_eq!(q, [127, 0, 2, -2, -126, 0, 0, 0], "halves round to even, the rest of the row is zero");
    assert_eq!(
        Scalar.quantize_row(&[0.0, -1e-6], &mut q[..2]),
        (127.0 / 1e-5, -13),
        "the scale of a row of zeros is bounded"
    );
    assert_eq!(q[..2], [0, -13]);
    assert!(Scalar.quantize_row(&[1.0, f32::NAN], &mut q).0.is_nan(), "NaN is not lost");

    let mut x = [0.0; 2 * Q8_BLOCK];
    (x[0], x[1], x[2], x[16]) = (254.0, -3.0, 1.0, 5.0);
    let mut q8 = Q8Rows::zeroed(1, x.len());
    q8.parts_mut().for_each(|part| Scalar.quantize_q8(&x, part));
    let [block, zeros] = *q8.x1 else { panic!("two blocks of one row") };
    assert_eq!((block.scales, block.x_sums), ([2.0], [[125], [2]]));
    assert_eq!((block.values[0][0], block.values_i16[0][0]), ([127, -2, 0, 0], [127, -2, 0, 0]));
    assert!(block.values[5..].iter().all(|&q| q == [[0; 4]]));
    assert_eq!(zeros, bytemuck::Zeroable::zeroed());
}

#[test]
fn scalar_multiplies_by_the_definition() {
    let mut chunks = [[0; CHUNK_BYTES]; 6];
    chunks[0] = bytemuck::cast([0.5f32; PANEL_ROWS]);
    chunks[1] = bytemuck::cast([2.0f32; PANEL_ROWS]);
    chunks[2][4] = 0x98;
    let panel = RowPanel { layout: GroupLayout::Nibbles32, zero: 0, mins: true, group_chunks: 6, chunks: &chunks };
    let mut x = [0; Q8_BLOCK];
    (x[0], x[4]) = (-1, 3);
    let mut out = [[9.0; PANEL_ROWS]];
    Scalar.group_panel(&panel, &Q8Rows::new(Q8_BLOCK, &x, &[0.25]), &mut out);
    assert_eq!(out[0][0], 0.0 - 2.0 * (2.0 * 0.25));
    assert_eq!(out[0][1], (9 * 3 - 8) as f32 * (0.5 * 0.25) - 2.0 * (2.0 * 0.25));

    // Lanes 0 and 4 are added before any other, so that the large values cancel; the remainder
    // comes last.
    let mut a = [1.0; 17];
    (a[0], a[4], a[16]) = (1e8, -1e8, 0.5);
    let b = [1.0; 17];
    let lanes: [f32; 8] = std::array::from_fn(|lane| a[lane] + a[lane + 8]);
    let even = (lanes[0] + lanes[4]) + (lanes[2] + lanes[6]);
    let odd = (lanes[1] + lanes[5]) + (lanes[3] + lanes[7]);
    assert_eq!(Scalar.dot_f32(&a, &b), even + odd + 0.5);

    // Two rows of two values; the strides leave one value between rows.
    let b = [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], [10.0; 8]];
    let mut out = [100.0; 17];
    let a = Rows { values: &[1.0, 0.5, 9.0, -1.0, 0.0], stride: 3 };
    Scalar.panel_f32(a, &b, RowsMut { values: &mut out, stride: 9 });
    assert_eq!(out[..9], [106.0, 107.0, 108.0, 109.0, 110.0, 111.0, 112.0, 113.0, 100.0]);
    assert_eq!(out[9..], [99.0, 98.0, 97.0, 96.0, 95.0, 94.0, 93.0, 92.0]);
}

#[test]
fn quantize_row_matches_scalar() {
    each(|kernels, rng| {
        for len in 0..130 {
            let x = values(rng, len);
            let padded = len.next_multiple_of(TILE);
            let (mut expected, mut got) = (vec![1; padded], vec![2; padded]);
            let (scale, sum) = Scalar.quantize_row(&x, &mut expected);
            let (got_scale, got_sum) = kernels.quantize_row(&x, &mut got);
            assert_eq!((got_scale.to_bits(), got_sum), (scale.to_bits(), sum), "{} {len}", kernels.name());
            assert_eq!(got, expected, "{} {len}", kernels.name());
        }
    });
}

/// Multiplies `rows` rows of `x` with a packed matrix and compares each sum with a plain product.
fn check_ternary(kernels: &dyn Kernels, codes: &[u8], (out, cols): (usize, usize), x: &[i8], rows: usize) {
    let packed = PackedTernary::pack(&Ternary { codes: codes.to_vec(), scale: 1.0 }, out, cols).unwrap();
    let width = packed.padded_cols();
    let x_sums: Vec<i32> = x.chunks_exact(width).map(q8::sum_of).collect();
    for tile in 0..out.div_ceil(TILE) {
        let mut sums = vec![[i32::MIN; TILE]; rows];
        kernels.ternary_tile(packed.row_tile(tile), x, &x_sums, &mut sums);
        for (n, sums) in sums.iter().enumerate() {
            for (row, &sum) in (tile * TILE..out).zip(sums) {
                let weights = codes[row * cols..][..cols].iter().map(|&code| i32::from(code) - 1);
                let expected: i32 = weights.zip(&x[n * width..]).map(|(w, &x)| w * i32::from(x)).sum();
                assert_eq!(sum, expected, "{} {out}x{cols}, x {n} of {rows}, row {row}", kernels.name());
            }
        }
    }
}

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

/// Every sum is as large, or as small, as it can be: no accumulator may overflow at any width.
#[test]
fn ternary_tile_takes_the_largest_values() {
    each(|kernels, _| {
        for cols in [64, 128, 256, 272, 512, 2064, 2080, 4096, 16384] {
            for code in [0, 2] {
                // Rows that some kernels multiply in one lane have equal signs in one half of the
                // tile and opposite signs in the other.
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

#[test]
fn a_backend_that_fails_the_self_test_is_never_selected() {
    struct Wrong;
    impl Kernels for Wrong {
        fn name(&self) -> &'static str {
            "wrong"
        }
        fn ternary_tile(&self, _: &[u8], _: &[i8], _: &[i32], sums: &mut [[i32; TILE]]) {
            sums.fill([0; TILE]);
        }
        fn group_panel(&self, panel: &RowPanel<'_>, x: &Q8Rows, out: &mut [[f32; PANEL_ROWS]]) {
            Scalar.group_panel(panel, x, out);
        }
        fn ternary_panel(&self, panel: &TernaryPanel<'_>, x: &Q8Rows, out: &mut [[f32; TILE]]) {
            Scalar.ternary_panel(panel, x, out);
        }
    }
    assert_eq!(selection::fastest(&[&Wrong, &Scalar]).name(), "scalar");
    let mut backends = available();
    backends.insert(0, &Wrong);
    assert_ne!(selection::fastest(&backends).name(), "wrong");
    assert_eq!(
        selection::fastest(&backends).name() == "scalar",
        backends.len() == 2,
        "a vector backend is used where there is one"
    );
}

#[test]
fn quantize_q8_matches_scalar() {
    each(|kernels, rng| {
        for (rows, blocks) in [(0, 1), (1, 1), (1, 19), (2, 3), (3, 5), (4, 1), (7, 2), (9, 18)] {
            let cols = blocks * Q8_BLOCK;
            let x = values(rng, rows * cols);
            let mut got = Q8Rows::new(cols, &vec![1; rows * cols], &vec![1.0; rows * blocks]);
            got.parts_mut().zip(x.chunks(cols * Q8_ROWS)).for_each(|(part, x)| kernels.quantize_q8(x, part));
            let mut row = Q8Rows::zeroed(1, cols);
            for (n, x) in x.chunks_exact(cols).enumerate() {
                row.parts_mut().for_each(|part| Scalar.quantize_q8(x, part));
                let all = |of: &Q8Rows, n: usize| (0..blocks).map(|block| of.get(n, block)).collect::<Vec<_>>();
                assert_eq!(all(&got, n), all(&row, 0), "{} row {n} of {rows}", kernels.name());
            }
            got.x1.iter().for_each(check_block);
            got.x4.iter().for_each(check_block);
        }
    });
}

/// Sums and i16 values are those of the int8 values.
fn check_block<const N: usize>(block: &q8::Q8Block<N>) {
    for n in 0..N {
        let values: Vec<i8> = block.values.iter().flat_map(|quads| quads[n]).collect();
        let x_sums = values.chunks(q8::Q8_SUM).map(|values| values.iter().map(|&x| i32::from(x)).sum::<i32>());
        assert!(x_sums.eq(block.x_sums.map(|x_sums| x_sums[n])));
        assert!(values.iter().map(|&x| i16::from(x)).eq(block.values_i16.iter().flat_map(|values| values[n])));
    }
}

#[test]
fn group_panels_match_scalar() {
    let passing = passing();
    assert!(passing.len() > 1 || available().len() == 1, "at least one vector backend passes the self-test");
    for kernels in passing {
        let rng = &mut Pcg32::seed_from_u64(2);
        for (layout, zero, mins) in [
            (GroupLayout::Bytes32, 0, false),
            (GroupLayout::Bytes32, 0, true),
            (GroupLayout::Bytes16, 0, false),
            (GroupLayout::Bytes16, 0, true),
            (GroupLayout::Nibbles32, 8, false),
            (GroupLayout::Nibbles32, 0, true),
        ] {
            for (blocks, rows) in [(1, 0), (1, 1), (2, 2), (3, 3), (18, 5), (18, 9), (48, 33)] {
                let cols = blocks * Q8_BLOCK;
                let extreme = rows % 2 == 0;
                let mut chunks = Vec::<[u8; CHUNK_BYTES]>::new();
                for _ in 0..cols / layout.group() {
                    for _ in 0..1 + usize::from(mins) {
                        chunks.push(bytemuck::cast(<[f32; PANEL_ROWS]>::try_from(values(rng, PANEL_ROWS)).unwrap()));
                    }
                    let mut chunk = || std::array::from_fn(|_| if extreme { 0x80 } else { rng.next_u32() as u8 });
                    chunks.extend((0..layout.code_chunks()).map(|_| chunk()));
                }
                let group_chunks = 1 + usize::from(mins) + layout.code_chunks();
                let panel = RowPanel { layout, zero, mins, group_chunks, chunks: &chunks };
                let x = if extreme { vec![-127; rows * cols] } else { int8(rng, rows * cols) };
                let x = &Q8Rows::new(cols, &x, &values(rng, rows * blocks));
                let (mut expected, mut got) = (vec![[0.0; PANEL_ROWS]; rows], vec![[1.0; PANEL_ROWS]; rows]);
                Scalar.group_panel(&panel, x, &mut expected);
                kernels.group_panel(&panel, x, &mut got);
                let [got, expected] = [got, expected].map(|out| bits(out.as_flattened()));
                assert_eq!(got, expected, "{} {layout:?} {rows} rows of {cols}", kernels.name());
            }
        }
    }
}

/// Sixteen rows of any codes of two bits; in every second case of the largest code and activations.
#[test]
fn ternary_panels_match_scalar() {
    for kernels in passing() {
        let rng = &mut Pcg32::seed_from_u64(3);
        for (group, groups, rows) in
            [(64, 1, 0), (64, 1, 1), (64, 9, 2), (128, 3, 3), (128, 8, 5), (256, 2, 6), (256, 5, 33)]
        {
            let cols = group * groups;
            let extreme = rows % 2 == 0;
            let scales: Vec<[f32; TILE]> = (0..groups).map(|_| values(rng, TILE).try_into().unwrap()).collect();
            let tile_byte = |_| if extreme { 0xFF } else { rng.next_u32() as u8 };
            let tiles: Vec<u8> = (0..cols * TILE / 4).map(tile_byte).collect();
            let panel = TernaryPanel { scales: &scales, tiles: &tiles };
            let x = if extreme { vec![-127; rows * cols] } else { int8(rng, rows * cols) };
            let x = &Q8Rows::new(cols, &x, &values(rng, rows * cols / Q8_BLOCK));
            let (mut expected, mut got) = (vec![[0.0; TILE]; rows], vec![[1.0; TILE]; rows]);
            Scalar.ternary_panel(&panel, x, &mut expected);
            kernels.ternary_panel(&panel, x, &mut got);
            let [got, expected] = [got, expected].map(|out| bits(out.as_flattened()));
            assert_eq!(got, expected, "{} groups of {group}, {rows} rows of {cols}", kernels.name());
        }
    }
}

#[test]
fn a_scale_for_each_group_and_block_by_the_definition() {
    // Row 1: code 3 (+2) in columns 0 and 64, code 0 (-1) in column 32; zeros elsewhere.
    let mut tiles = vec![0x55; 128 * TILE / 4];
    let byte = |tile: usize| tile * crate::tensor::TILE_BYTES + 4;
    (tiles[byte(0)], tiles[byte(2)], tiles[byte(4)]) = (0x57, 0x54, 0x57);
    let mut scales = [[0.0; TILE]; 2];
    (scales[0][1], scales[1][1]) = (10.0, 100.0);
    let mut x = [0; 128];
    (x[0], x[32], x[64]) = (3, 5, 7);
    let mut out = [[9.0; TILE]];
    let x = Q8Rows::new(128, &x, &[0.5, 0.25, 1.0, 1.0]);
    Scalar.ternary_panel(&TernaryPanel { scales: &scales, tiles: &tiles }, &x, &mut out);
    assert_eq!(out[0][1], 10.0 * (2.0 * 3.0 * 0.5 - 5.0 * 0.25) + 100.0 * (2.0 * 7.0));
    assert_eq!(out[0][0], 0.0);
}

#[test]
fn f32_operations_match_scalar() {
    each(|kernels, rng| {
        for len in 0..130 {
            let (a, b) = (values(rng, len), values(rng, len));
            let name = kernels.name();
            assert_eq!(kernels.dot_f32(&a, &b).to_bits(), Scalar.dot_f32(&a, &b).to_bits(), "{name} dot {len}");
            for rows in [1, 3, 4, 9, 16] {
                let (a, stride) = (values(rng, rows * (len + 3)), len + 3);
                let panel: Vec<[f32; LANES]> = (0..len).map(|_| values(rng, LANES).try_into().unwrap()).collect();
                let start = values(rng, rows * 11);
                let run = |kernels: &dyn Kernels| {
                    let mut out = start.clone();
                    let a = Rows { values: &a, stride };
                    kernels.panel_f32(a, &panel, RowsMut { values: &mut out, stride: 11 });
                    bits(&out)
                };
                assert_eq!(run(kernels), run(&Scalar), "{name} panel of {len}, {rows} rows");
            }
        }
    });
}
