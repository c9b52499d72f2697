//! A target of `webtern::fuzz`, the one that this binary is named after.
//!
//! Where `WEBTERN_FUZZ_SEEDS` names a folder, the seeds of the unit tests are written there first,
//! for a corpus to begin with.

#![no_main]

use libfuzzer_sys::fuzz_target;

const NAME: &str = env!("CARGO_BIN_NAME");

fuzz_target!(
    init: {
        if let Some(folder) = std::env::var_os("WEBTERN_FUZZ_SEEDS") {
            for (index, seed) in webtern::fuzz::seeds(NAME).iter().enumerate() {
                let path = std::path::Path::new(&folder).join(format!("seed-{index}"));
                std::fs::write(path, seed).expect("the folder of the seeds can be written");
            }
        }
    },
    |input: &[u8]| webtern::fuzz::run(NAME, input)
);
