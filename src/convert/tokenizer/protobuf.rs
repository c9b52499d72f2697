//! The wire format of protocol buffers, read field by field.
//!
//! A message is a sequence of fields; each begins with a varint that holds the field's number and
//! the form of its value. Readers skip the numbers they do not know. A crate for this would bring a
//! code generator or a derive macro for the three messages read here.
//!
//! Source: the "Encoding" page of protobuf.dev.

#![forbid(unsafe_code)]

use crate::error::Result;

/// The fields of a message, from the front.
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// An integer, a bool or an enum.
    Varint(u64),
    /// Four bytes: a float, for one.
    Fixed32([u8; 4]),
    /// A string, bytes, or a message.
    Bytes(&'a [u8]),
    /// Eight bytes, which nothing here has.
    Fixed64,
}

impl<'a> Fields<'a> {
    pub(super) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The next field's number and value; `None` at the end of the message.
    ///
    /// # Errors
    ///
    /// `truncated` when the message ends inside of a field, `malformed` for a form that there is
    /// not.
    pub(super) fn next(&mut self) -> Result<Option<(u64, Value<'a>)>> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => {
                let mut bytes = [0; 4];
                bytes.copy_from_slice(self.take(4)?);
                Value::Fixed32(bytes)
            }
            form => bail!(Malformed, "a field has form {form}, which protocol buffers do not have"),
        };
        Ok(Some((tag >> 3, value)))
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        match usize::try_from(len).ok().and_then(|len| self.rest.split_at_checked(len)) {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => bail!(Truncated, "{len} bytes are wanted, but only {} are left; fetch it again", self.rest.len()),
        }
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        bail!(Malformed, "a number takes more than ten bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::testing::test;

    #[test]
    fn fields_of_every_form() {
        let message = [
            &[0x08, 0x96, 0x01][..],
            &[0x12, 0x02, b'h', b'i'],
            &[0x1D, 0, 0, 0x80, 0x3F],
            &[0x21, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x28, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
        ]
        .concat();
        let mut fields = Fields::new(&message);
        let mut seen = Vec::new();
        while let Some(field) = fields.next().unwrap() {
            seen.push(field);
        }
        let one = Value::Fixed32(1f32.to_le_bytes());
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(b"hi")),
            (3, one),
            (4, Value::Fixed64),
            (5, Value::Varint(u64::MAX)),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn rejects_what_ends_early_or_is_no_field() {
        for (message, code) in [
            (&[0x08][..], ErrorCode::Truncated),
            (&[0x08, 0x80], ErrorCode::Truncated),
            (&[0x12, 0x05, 1, 2, 3, 4], ErrorCode::Truncated),
            (&[0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01], ErrorCode::Truncated),
            (&[0x1D, 0, 0], ErrorCode::Truncated),
            (&[0x0B], ErrorCode::Malformed),
            (&[0x80; 11], ErrorCode::Malformed),
        ] {
            assert_eq!(Fields::new(message).next().unwrap_err().code(), code, "{message:?}");
        }
    }
}
