//! What names a model: an address, a repository of a hub, or a name of the catalog.

#![forbid(unsafe_code)]

use super::catalog::{self, Entry};
use super::hub::Repo;
use super::integrity::Checksum;
use crate::error::Result;
use crate::gguf::split::SplitName;

/// Where a model comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The file at an address; the first one of a split model stands for all.
    Url {
        /// The address.
        url: String,
        /// Headers to send with it, such as `Authorization`.
        headers: Vec<(String, String)>,
    },
    /// A file of a repository, or the best one.
    Repo(Repo),
    /// A model of the [`catalog`].
    Named(&'static Entry),
}

/// One file to download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// What to call it in messages.
    pub name: String,
    /// Its first address, which may redirect.
    pub url: String,
    /// Headers to send.
    pub headers: Vec<(String, String)>,
    /// What it was asked for by, which a cache finds it by when nobody can be asked what that means
    /// now.
    pub address: String,
    /// Bytes, where that is known beforehand.
    pub size: Option<u64>,
    /// Its checksum, where that is known beforehand.
    pub sha256: Option<Checksum>,
    /// Whether the address can never mean another file, so that a stored copy needs no question: a
    /// commit, or a checksum.
    pub pinned: bool,
    /// What to do when something else is at the address.
    pub advice: &'static str,
}

const DIRECT_LINK: &str = "the URL must lead to the file itself (on Hugging Face: /resolve/, not /blob/)";

impl Source {
    /// Reads what a user types: `https://...`, `hf:owner/name[/path][@revision]`, or a name of the
    /// catalog. `None` for anything else, which is a path.
    ///
    /// # Errors
    ///
    /// `bad-option` when `hf:` is not followed by a repository.
    pub fn parse(text: &str) -> Result<Option<Self>> {
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Some(Self::Url { url: text.to_owned(), headers: Vec::new() }));
        }
        if let Some(repo) = text.strip_prefix("hf:") {
            return Repo::parse(repo).map(|repo| Some(Self::Repo(repo)));
        }
        Ok(catalog::find(text).map(Self::Named))
    }
}

impl Remote {
    /// The files of the model whose first file is at `url`.
    ///
    /// # Errors
    ///
    /// `bad-option` when it is a later file of a split model.
    pub fn all(url: &str, headers: &[(String, String)]) -> Result<Vec<Self>> {
        let urls = split_urls(url)?;
        Ok(urls
            .into_iter()
            .map(|url| Self {
                name: file_name(&url),
                address: url.clone(),
                url,
                headers: headers.to_vec(),
                size: None,
                sha256: None,
                pinned: false,
                advice: DIRECT_LINK,
            })
            .collect())
    }

    /// The same file, known to have this checksum.
    #[must_use]
    pub fn with_checksum(mut self, sha256: Checksum) -> Self {
        self.sha256 = Some(sha256);
        self.pinned = true;
        self
    }

    /// What a stored copy is called: by its content where that is known, so that two addresses of
    /// one file share it.
    pub fn key(&self) -> String {
        self.sha256.unwrap_or_else(|| Checksum::of(self.url.as_bytes())).to_string()
    }

    pub(super) fn reach_advice(&self) -> &'static str {
        if cfg!(target_arch = "wasm32") { ", and that the server lets other sites read it (CORS)" } else { "" }
    }
}

/// The addresses of all files of a split model; of one otherwise. Query and fragment stay.
fn split_urls(url: &str) -> Result<Vec<String>> {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (path, rest) = url.split_at(end);
    let Some(split) = SplitName::parse(path) else { return Ok(vec![url.to_owned()]) };
    if split.no > 0 {
        bail!(BadOption, "{url} is part {} of a split model: give the first part, the others follow", split.no + 1);
    }
    Ok(split.all().map(|path| path + rest).collect())
}

/// The last part of an address's path, as people write it.
fn file_name(url: &str) -> String {
    let path = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    let name = path.rsplit('/').next().unwrap_or(path);
    percent_encoding::percent_decode_str(name).decode_utf8().map_or_else(|_| name.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::testing::test;

    #[test]
    fn reads_what_a_user_types() {
        let source = |text: &str| Source::parse(text).unwrap();
        assert!(matches!(source("https://a.b/c.gguf"), Some(Source::Url { url, .. }) if url == "https://a.b/c.gguf"));
        assert!(matches!(source("hf:a/b/c.gguf"), Some(Source::Repo(repo)) if repo.file.as_deref() == Some("c.gguf")));
        assert!(matches!(source("smollm2-135m"), Some(Source::Named(entry)) if entry.name == "smollm2-135m"));
        for path in ["model.gguf", "./smollm2-135m", "C:\\a.gguf", "hf", ""] {
            assert!(source(path).is_none(), "{path}");
        }
        assert_eq!(Source::parse("hf:alone").unwrap_err().code(), ErrorCode::BadOption);
    }

    #[test]
    fn the_first_address_of_a_split_model_stands_for_all() {
        let files = Remote::all("https://a.b/m%20x-00001-of-00002.gguf?download=true", &[]).unwrap();
        let urls: Vec<&str> = files.iter().map(|file| file.url.as_str()).collect();
        assert_eq!(
            urls,
            [
                "https://a.b/m%20x-00001-of-00002.gguf?download=true",
                "https://a.b/m%20x-00002-of-00002.gguf?download=true"
            ]
        );
        assert_eq!(files[1].name, "m x-00002-of-00002.gguf");
        let error = Remote::all("https://a.b/m-00002-of-00002.gguf", &[]).unwrap_err();
        assert!(error.message().contains("give the first part"), "{error}");
    }

    #[test]
    fn two_addresses_of_one_content_share_a_key() {
        let sha256 = Checksum::of(b"content");
        let key = |url: &str| Remote::all(url, &[]).unwrap().remove(0).with_checksum(sha256).key();
        assert_eq!(key("https://a.b/c.gguf"), key("https://d.e/f.gguf"));
        let plain = |url: &str| Remote::all(url, &[]).unwrap().remove(0).key();
        assert_ne!(plain("https://a.b/c.gguf"), plain("https://d.e/f.gguf"));
    }
}
