//! A fence for the optimizer.

#![forbid(unsafe_code)]

/// Returns `value`, about which the compiler then knows nothing.
///
/// LLVM orders the instructions of a loop for its own model of a processor. V8 keeps the order that
/// it is given, recomputes constants in every iteration, and has 15 vector registers. A few loops
/// are twice as fast in the page when LLVM has to treat a value as an input of unknown origin:
/// constants then stay in registers, and vector code is not scalarized to match the stores that
/// follow it. `black_box` is best effort by its documentation: without its effect the results are
/// the same, and the kernels slower.
#[inline(always)]
pub(crate) fn opaque<T>(value: T) -> T {
    std::hint::black_box(value)
}
