//! `bindgen INPUT.wasm OUT_DIR`: writes `webtern.js` and `webtern_bg.wasm` for pages and workers.
//!
//! What `wasm-bindgen --target web` does, without the minutes that installing that command takes:
//! it brings a test runner with a web server and a TLS client, which a build does not need.

use std::env;
use wasm_bindgen_cli_support::Bindgen;

fn main() {
    let [input, out_dir]: [String; 2] =
        env::args().skip(1).collect::<Vec<_>>().try_into().expect("usage: bindgen INPUT.wasm OUT_DIR");
    let written = Bindgen::new().web(true).and_then(|bindgen| {
        // The page says where the module is: a URL relative to the script would be found by no bundler.
        bindgen.omit_default_module_path(true).typescript(false);
        bindgen.input_path(&input).out_name("webtern").generate(&out_dir)
    });
    if let Err(error) = written {
        eprintln!("bindgen: {error:?}");
        std::process::exit(1);
    }
}
