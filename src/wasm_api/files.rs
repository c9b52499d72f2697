//! Files that the page holds as `Blob`s: reading them, and handing out what is written.
//!
//! Both are objects of `www/src/blobs.ts`. They answer at once, which blobs do in workers only.

#![forbid(unsafe_code)]

use crate::error::Result;
use crate::files::Files;
use std::io::{self, ErrorKind, Write};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    /// Named blobs.
    pub type BlobFiles;

    #[wasm_bindgen(method, js_name = fileNames)]
    fn file_names(this: &BlobFiles) -> Vec<String>;

    #[wasm_bindgen(method, js_name = sizeOf)]
    fn size_of(this: &BlobFiles, name: &str) -> Option<f64>;

    /// Throws when the file cannot be read any more.
    #[wasm_bindgen(method, catch)]
    fn read(this: &BlobFiles, name: &str, offset: f64, buffer: &mut [u8]) -> std::result::Result<(), js_sys::Error>;

    /// Gathers what is written as parts of one blob.
    pub type BlobSink;

    /// Throws when the browser has no room left.
    #[wasm_bindgen(method, catch)]
    fn append(this: &BlobSink, bytes: &[u8]) -> std::result::Result<(), js_sys::Error>;
}

impl Files for BlobFiles {
    fn names(&self) -> Vec<String> {
        self.file_names()
    }

    fn size(&mut self, name: &str) -> Result<u64> {
        let size = self.size_of(name).map(|size| size as u64);
        size.ok_or_else(|| err!(Io, "{name}: there is no such file"))
    }

    fn read_at(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<()> {
        let size = self.size(name)?;
        if size.saturating_sub(offset) < buffer.len() as u64 {
            let wanted = buffer.len();
            bail!(
                Truncated,
                "{name} ends at byte {size}, before byte {offset} + {wanted}: it is incomplete; download it again"
            );
        }
        self.read(name, offset as f64, buffer).map_err(|error| err!(Io, "{name}: {}", message(&error)))
    }
}

impl Write for &BlobSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map_err(|error| io::Error::new(ErrorKind::OutOfMemory, message(&error)))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn message(error: &js_sys::Error) -> String {
    error.message().into()
}
