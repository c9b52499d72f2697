//! Loads and stores by reference, which no safe intrinsic offers.

use core::arch::wasm32::*;

pub(super) fn load(bytes: &[u8; 16]) -> v128 {
    // SAFETY: the reference covers the 16 bytes read, and the instruction has no alignment requirement.
    unsafe { v128_load(bytes.as_ptr().cast()) }
}

pub(super) fn store(bytes: &mut [u8; 16], v: v128) {
    // SAFETY: the reference covers the 16 bytes written, and the instruction has no alignment requirement.
    unsafe { v128_store(bytes.as_mut_ptr().cast(), v) }
}

/// The four values in each 32-bit lane.
pub(super) fn splat(quad: [i8; 4]) -> v128 {
    i32x4_splat(i32::from_le_bytes(bytemuck::cast(quad)))
}

/// 64 bytes in registers.
pub(super) fn load_line(bytes: &[u8; 64]) -> [v128; 4] {
    let [a, b, c, d] = bytemuck::cast_ref::<_, [[u8; 16]; 4]>(bytes);
    [load(a), load(b), load(c), load(d)]
}

pub(super) fn store_line(bytes: &mut [u8; 64], line: [v128; 4]) {
    for (bytes, v) in bytemuck::cast_mut::<_, [[u8; 16]; 4]>(bytes).iter_mut().zip(line) {
        store(bytes, v);
    }
}

/// The lanes of four vectors of i32.
pub(super) fn lanes(line: [v128; 4]) -> [i32; 16] {
    let mut bytes = [0; 64];
    store_line(&mut bytes, line);
    bytemuck::cast(bytes)
}
