//! What a file that is not GGUF looks like, so that the error can say it.

#![forbid(unsafe_code)]

use crate::error::Error;

/// How many bytes tell the usual impostors apart.
pub(super) const SNIFF_BYTES: u64 = 16;

/// The error for a file that begins with `bytes`, which do not begin with `GGUF`.
pub(super) fn not_gguf(bytes: &[u8]) -> Error {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes).trim_ascii_start();
    let guess = match text {
        [b'<', ..] => "it looks like an HTML page, often a server's error or login page: check the address",
        [b'{' | b'[', ..] => "it looks like JSON, often a server's error message: check the address",
        [b'v', b'e', b'r', b's', b'i', b'o', b'n', b' ', ..] => {
            "it looks like a Git LFS pointer, which only names the model: download the file itself"
        }
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=4, ..] => {
            "it looks like a ZIP archive or a PyTorch checkpoint: convert it to GGUF"
        }
        [0x1f, 0x8b, ..] => "it looks gzip-compressed: unpack it",
        [b'l' | b'f', b'm', b'g', b'g', ..] | [b't', b'j', b'g', b'g', ..] => {
            "it looks like a GGML file, the predecessor of GGUF: convert the model again"
        }
        // A u64 length below 4 GiB, then JSON.
        [_, _, _, _, 0, 0, 0, 0, b'{', ..] => "it looks like safetensors: convert it to GGUF",
        _ => "it is not a model, or damaged at the beginning",
    };
    err!(NotGguf, "the file does not begin with the letters GGUF; {guess}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;

    #[test]
    fn names_the_usual_impostors() {
        for (bytes, words) in [
            (&b"\n<!doctype html>"[..], "HTML"),
            (b"\xef\xbb\xbf<html>", "HTML"),
            (b"{\"error\":\"...\"}", "JSON"),
            (b"version https://", "LFS"),
            (b"PK\x03\x04\0\0\0\0", "ZIP"),
            (b"\x80\x02}q\x00", "PyTorch"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"tjgg\x03\0\0\0", "GGML"),
            (b"\x50\x04\0\0\0\0\0\0{\"__meta", "safetensors"),
            (b"\x7fELF", "not a model"),
            (b"", "not a model"),
        ] {
            let error = not_gguf(bytes);
            assert!(error.message().contains(words), "{bytes:?}: {error}");
        }
    }
}
