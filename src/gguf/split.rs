//! Models in several files: `name-00001-of-0000N.gguf`.
//!
//! Each file is a GGUF of its own, with its part of the tensors; the first has the metadata of the
//! model. Three keys say which part a file is: `split.no` (from 0), `split.count` and
//! `split.tensors.count` (of the whole model). Source: `gguf-split` of llama.cpp.

#![forbid(unsafe_code)]

use super::header::Header;
use super::limits::{Limits, MAX_BYTES};
use crate::error::Result;

/// The name of one file of a split model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SplitName {
    /// What stands before `-00001-of-0000N.gguf`: directories or address, and the model's name.
    pub prefix: String,
    /// Which file, from 0 (one less than the number in the name).
    pub no: u32,
    /// How many files.
    pub count: u32,
}

impl SplitName {
    /// Parses a name, path or address that ends in `-00001-of-0000N.gguf`; `None` when it does not.
    pub fn parse(name: &str) -> Option<Self> {
        let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (prefix, number) = rest.rsplit_once('-')?;
        let (number, count) = (five_digits(number)?, five_digits(count)?);
        (1..=count).contains(&number).then(|| Self { prefix: prefix.to_owned(), no: number - 1, count })
    }

    /// The names of all the model's files, in order.
    pub fn all(&self) -> impl Iterator<Item = String> {
        (1..=self.count).map(|number| format!("{}-{number:05}-of-{:05}.gguf", self.prefix, self.count))
    }
}

fn five_digits(text: &str) -> Option<u32> {
    (text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// What a header says of its place among the files of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which file, from 0.
    pub no: u32,
    /// How many files; 1 for a model that is not split.
    pub count: u32,
    /// Tensors of all files together, if the file says it.
    pub tensors: Option<u32>,
}

impl Part {
    /// Reads the three keys.
    ///
    /// # Errors
    /// `malformed` when a key has another kind or the number is not below the count.
    pub fn of(header: &Header) -> Result<Self> {
        let no = header.metadata.u32("split.no")?.unwrap_or(0);
        let count = header.metadata.u32("split.count")?.unwrap_or(1).max(1);
        if no >= count {
            bail!(Malformed, "metadata key split.no is {no}, but split.count is {count}");
        }
        Ok(Self { no, count, tensors: header.metadata.u32("split.tensors.count")? })
    }

    /// Checks that this is file `no` (from 0) of `count`.
    ///
    /// # Errors
    /// `malformed` when it is not.
    pub fn expect(self, no: u32, count: u32) -> Result<()> {
        if (self.no, self.count) != (no, count) {
            bail!(
                Malformed,
                "this is file {} of {} by its metadata (split.no, split.count), where file {} of {count} belongs",
                self.no + 1,
                self.count,
                no + 1
            );
        }
        Ok(())
    }
}

/// The header that the model would have as one file: the first file's metadata, and the tensors of
/// all in turn, at the offsets they would have with the data of the files one behind the other. The
/// place of a tensor in the result is its place in its own file plus the number of tensors in the
/// files before.
///
/// # Errors
/// `malformed` when the parts are not all the files of one model in order, or two have a tensor of
/// the same name; `bad-option` without any part.
pub fn merge(parts: impl IntoIterator<Item = Header>) -> Result<Header> {
    let mut parts = parts.into_iter();
    let Some(mut whole) = parts.next() else { bail!(BadOption, "a split model has at least one file") };
    let first = Part::of(&whole)?;
    first.expect(0, first.count)?;
    let mut data_end = whole.data_end();
    let mut no = 1;
    for part in parts {
        Part::of(&part)?.expect(no, first.count)?;
        if part.alignment != whole.alignment {
            bail!(Malformed, "file {} of {} has another general.alignment than the first", no + 1, first.count);
        }
        let start = data_end.next_multiple_of(whole.alignment);
        data_end = start + part.data_end();
        if data_end > MAX_BYTES {
            bail!(Limits, "the files together have more than {MAX_BYTES} bytes of data");
        }
        for mut tensor in part.tensors {
            tensor.offset += start;
            whole.tensors.push(tensor);
        }
        no += 1;
    }
    if no != first.count {
        bail!(Malformed, "the model has {} files, and only {no} are here", first.count);
    }
    let found = whole.tensors.len();
    if let Some(tensors) = first.tensors.filter(|tensors| *tensors as usize != found) {
        bail!(Malformed, "the files have {found} tensors, but split.tensors.count is {tensors}");
    }
    let limits = Limits { max_alignment: whole.alignment, ..Limits::default() };
    Header::new(whole.version, whole.metadata, whole.tensors, whole.data_offset, None, &limits)
}
