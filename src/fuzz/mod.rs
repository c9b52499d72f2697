//! What must hold for any bytes at all, as functions of bytes: no panic, no hang, little memory,
//! the same result by every way.
//!
//! Two drivers feed them. Unit tests change [`seeds`] at random from a fixed seed
//! (`tests`), natively and in the browser, and measure memory and time. `make fuzz` runs them under
//! libFuzzer (`tests/fuzz`), guided by coverage; what that finds comes into `tests/fuzz/corpus`,
//! and so to the seeds.

#![forbid(unsafe_code)]

#[cfg(all(test, not(target_arch = "wasm32")))]
pub(crate) mod cost;
mod kernels;
#[cfg(test)]
mod mutate;
mod seeds;
mod targets;
#[cfg(test)]
mod tests;

pub use seeds::seeds;

/// Something to feed with bytes.
pub struct Target {
    /// As in `make fuzz TARGET=...`.
    pub name: &'static str,
    /// Panics when something does not hold.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 12] = [
    Target { name: "gguf", run: targets::gguf },
    Target { name: "safetensors", run: targets::safetensors },
    Target { name: "zip", run: targets::zip },
    Target { name: "pickle", run: targets::pickle },
    Target { name: "config", run: targets::config },
    Target { name: "protobuf", run: targets::protobuf },
    Target { name: "tokenizer", run: targets::tokenizer },
    Target { name: "template", run: targets::template },
    Target { name: "request", run: targets::request },
    Target { name: "options", run: targets::options },
    Target { name: "session", run: targets::session },
    Target { name: "kernels", run: kernels::match_scalar },
];

/// Runs the target `name`.
///
/// # Panics
/// When something does not hold, and for a name that is not in [`TARGETS`].
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("the name of a target");
    (target.run)(input);
}
