//! The bytes of a pickle, taken from the front.

#![forbid(unsafe_code)]

use crate::error::Result;

/// What has not been read yet.
#[derive(Default)]
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    /// Bytes read so far.
    pub(super) at: usize,
}

impl<'a> Input<'a> {
    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let Some(taken) = usize::try_from(len).ok().and_then(|len| rest.get(..len)) else {
            bail!(Malformed, "{len} bytes are wanted, but only {} are left", rest.len());
        };
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// An unsigned number of `N` bytes, at most 8.
    pub(super) fn uint<const N: usize>(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(&self.array::<N>()?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Bytes after their count, a number of `N` bytes.
    pub(super) fn counted<const N: usize>(&mut self) -> Result<&'a [u8]> {
        let count = self.uint::<N>()?;
        self.take(count)
    }

    /// Text up to the end of the line.
    pub(super) fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let Some(len) = rest.iter().position(|byte| *byte == b'\n') else { bail!(Malformed, "a line does not end") };
        self.at += len + 1;
        text(&rest[..len])
    }
}

/// `bytes` as text.
pub(super) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| err!(Malformed, "a text is not UTF-8: {error}"))
}
