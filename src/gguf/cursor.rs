//! Little-endian reads over a slice that can answer "need more bytes".
//!
//! One item of the header (a key, a value, a tensor's entry) is parsed from its beginning over
//! whatever bytes there are. A read past them stops with [`Stop::Short`], which says how many are
//! missing; the decoder gathers exactly those and parses the item again. Items consist of a few
//! reads, so parsing again costs little, and the code that parses has no states of its own.
//!
//! Every read is first held against the longest header allowed and, if known, the end of the file:
//! a length that neither can hold is an error at once, before any byte is waited or allocated for.

#![forbid(unsafe_code)]

use crate::error::Error;

/// Why a read gave nothing.
#[derive(Debug)]
pub(super) enum Stop {
    /// So many bytes are missing: push more.
    Short(u64),
    /// No further bytes can mend this.
    Fail(Error),
}

/// What a read, or an item made of reads, gives.
pub(super) type Read<T> = Result<T, Stop>;

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Fail(error)
    }
}

/// Where reading must end, as offsets from the beginning of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The longest header allowed.
    pub(super) header: u64,
    /// The length of the file, if known.
    pub(super) file: Option<u64>,
}

/// A position in `bytes`, which begin at byte `start` of the file.
#[derive(Debug)]
pub(super) struct Cursor<'b> {
    bytes: &'b [u8],
    used: usize,
    start: u64,
    bounds: Bounds,
}

impl<'b> Cursor<'b> {
    pub(super) fn new(bytes: &'b [u8], start: u64, bounds: Bounds) -> Self {
        Self { bytes, used: 0, start, bounds }
    }

    /// Bytes read so far.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// The length of the file, if known.
    pub(super) fn file_bytes(&self) -> Option<u64> {
        self.bounds.file
    }

    /// Refuses `count` bytes, from here on, that the header or the file cannot hold.
    pub(super) fn claim(&self, count: u64) -> Read<()> {
        let here = self.start + self.used as u64;
        let end = here.saturating_add(count);
        if end > self.bounds.header {
            Err(err!(
                Limits,
                "at byte {here}, {count} bytes are announced, which makes the header longer than the limit of {} bytes; \
                 the file is damaged or not a model",
                self.bounds.header
            ))?;
        }
        if let Some(file) = self.bounds.file.filter(|file| end > *file) {
            Err(err!(
                Truncated,
                "at byte {here}, {count} bytes are announced, but the file ends at byte {file}; it is cut short or \
                 damaged, download it again"
            ))?;
        }
        Ok(())
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: u64) -> Read<&'b [u8]> {
        self.claim(count)?;
        let rest = &self.bytes[self.used..];
        match usize::try_from(count).ok().and_then(|count| rest.get(..count)) {
            Some(taken) => {
                self.used += taken.len();
                Ok(taken)
            }
            None => Err(Stop::Short(count - rest.len() as u64)),
        }
    }

    /// As many of the next `count` elements of `size` bytes as are here, at least one.
    pub(super) fn take_elements(&mut self, size: u64, count: u64) -> Read<&'b [u8]> {
        let here = (self.bytes.len() - self.used) as u64 / size;
        self.take(size * here.clamp(1, count))
    }

    /// One number of `N` bytes.
    pub(super) fn number<const N: usize, T>(&mut self, decode: fn([u8; N]) -> T) -> Read<T> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(decode(bytes))
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        self.number(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Read<u64> {
        self.number(u64::from_le_bytes)
    }

    /// A string of at most `limit` bytes; `what` names it in errors.
    pub(super) fn string(&mut self, limit: u64, what: &str) -> Read<&'b str> {
        let count = self.u64()?;
        if count > limit {
            super::limits::within(count, limit, &format!("the length of {what}"))?;
        }
        let bytes = self.take(count)?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(text),
            Err(error) => Err(err!(Malformed, "{what} is not UTF-8 ({error})").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::testing::test;

    fn cursor(bytes: &[u8], file: Option<u64>) -> Cursor<'_> {
        Cursor::new(bytes, 100, Bounds { header: 200, file })
    }

    #[test]
    fn short_reads_say_how_many_bytes_are_missing() {
        let mut cursor = cursor(&[1, 0, 0, 0, 2, 0], None);
        assert!(matches!(cursor.u32(), Ok(1)));
        assert!(matches!(cursor.u64(), Err(Stop::Short(6))), "two of eight bytes are there");
        assert_eq!(cursor.used(), 4, "a short read consumes nothing");
    }

    #[test]
    fn rejects_reads_past_the_bounds() {
        let code = |stop| match stop {
            Err(Stop::Fail(error)) => Some(Error::code(&error)),
            _ => None,
        };
        assert_eq!(code(cursor(&[], None).claim(101)), Some(ErrorCode::Limits));
        assert_eq!(code(cursor(&[], None).claim(u64::MAX)), Some(ErrorCode::Limits));
        assert_eq!(code(cursor(&[], Some(150)).claim(51)), Some(ErrorCode::Truncated));
        assert!(cursor(&[], Some(150)).claim(50).is_ok());
    }

    #[test]
    fn elements_come_as_they_are_there() {
        let mut cursor = cursor(&[1, 2, 3, 4, 5], None);
        assert_eq!(cursor.take_elements(2, 9).ok(), Some(&[1u8, 2, 3, 4][..]));
        assert!(matches!(cursor.take_elements(2, 7), Err(Stop::Short(1))));
    }
}
