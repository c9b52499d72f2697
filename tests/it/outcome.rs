//! All that a decoder says of a file, in a form that does not depend on how the file was cut.
//! Shared by the fuzz target and `tests/gguf_stream.rs`.

use webtern::gguf::{Decoder, GgufEvent, Limits};
use webtern::{Error, Result};

/// What came of one file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Outcome {
    /// The header as text, in which a NaN equals itself.
    pub(crate) header: Option<String>,
    /// The bytes of the tensors, by place in the directory.
    pub(crate) tensors: Vec<Vec<u8>>,
    /// The tensors in the order in which they were completed.
    pub(crate) ended: Vec<usize>,
    /// The error, if any.
    pub(crate) error: Option<Error>,
}

impl Outcome {
    /// Pushes `pieces`, a file of `total` bytes if that is to be known.
    pub(crate) fn of<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, total: Option<u64>) -> Self {
        let mut outcome = Self { header: None, tensors: Vec::new(), ended: Vec::new(), error: None };
        outcome.error = outcome.push(pieces, total).err();
        outcome
    }

    fn push<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>, total: Option<u64>) -> Result<()> {
        let mut decoder = Decoder::new(Limits::default()).with_total_bytes(total);
        for mut piece in pieces {
            while let Some(event) = decoder.decode(&mut piece)? {
                match event {
                    GgufEvent::Header => {
                        let header = decoder.header().expect("the event announces the header");
                        self.header = Some(format!("{header:?}"));
                        self.tensors.resize(header.tensors.len(), Vec::new());
                    }
                    GgufEvent::Data { tensor, offset, bytes } => {
                        assert_eq!(offset, self.tensors[tensor].len() as u64, "pieces come front to back");
                        self.tensors[tensor].extend_from_slice(bytes);
                    }
                    GgufEvent::TensorEnd { tensor } => self.ended.push(tensor),
                }
            }
        }
        decoder.finish()
    }
}
