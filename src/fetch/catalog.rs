//! Models with a name: `catalog.json`, which the library for pages reads too.

#![forbid(unsafe_code)]

use super::hub::Repo;
use super::integrity::Checksum;
use super::source::Remote;
use crate::error::Result;
use serde::Deserialize;
use std::sync::LazyLock;

/// A model of the catalog, as `catalog.json` has it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// What it is called by.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
    /// `owner/name` on the hub.
    pub repo: String,
    /// The file in it.
    pub file: String,
    /// The commit, or a branch where none is known.
    pub revision: String,
    /// Bytes of the file, where that is certain.
    pub size: Option<u64>,
    /// Its checksum, where that is certain.
    pub sha256: Option<String>,
    /// Bytes of memory that the weights take, the download's size where nothing else was measured.
    pub memory: Option<u64>,
    /// How it decodes: `autoregressive` or `diffusion`.
    pub kind: String,
    /// The licence of the weights, by its SPDX name where it has one.
    pub license: String,
    /// Where repository, file, size and checksum can be looked up.
    pub seen: Vec<String>,
}

static CATALOG: LazyLock<Vec<Entry>> =
    LazyLock::new(|| serde_json::from_str(include_str!("catalog.json")).expect("a test reads the catalog"));

/// All models with a name.
pub fn all() -> &'static [Entry] {
    &CATALOG
}

/// The model called `name`.
pub fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.name == name)
}

impl Entry {
    /// The repository and file.
    pub fn source(&self) -> Repo {
        Repo {
            repo: self.repo.clone(),
            file: Some(self.file.clone()),
            revision: self.revision.clone(),
            token: None,
            endpoint: None,
        }
    }

    /// The file to download, where the catalog names its commit, so that the hub need not be asked.
    ///
    /// # Errors
    ///
    /// `bad-option` for a checksum that is none.
    pub fn remote(&self, repo: &Repo) -> Result<Option<Remote>> {
        let is_commit = self.revision.len() == 40 && self.revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit {
            return Ok(None);
        }
        let sha256 = self.sha256.as_deref().map(Checksum::parse).transpose()?;
        Ok(Some(repo.remote(&self.file, &self.revision, self.size, sha256)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::test;
    use std::collections::HashSet;

    #[test]
    fn every_entry_is_whole() {
        let names: HashSet<&str> = all().iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names.len(), all().len(), "names are used once");
        for entry in all() {
            let repo = entry.source();
            repo.check().unwrap();
            let remote = entry.remote(&repo).unwrap();
            assert!(remote.is_some() || entry.sha256.is_none(), "{}: a checksum without its commit", entry.name);
            assert!(
                entry.file.ends_with(".gguf") && !entry.seen.is_empty() && !entry.license.is_empty(),
                "{}",
                entry.name
            );
            assert!(["autoregressive", "diffusion"].contains(&entry.kind.as_str()), "{}", entry.name);
            assert!(entry.seen.iter().all(|page| page.starts_with("https://")), "{}", entry.name);
        }
    }

    #[test]
    fn the_first_model_is_the_smallest() {
        let entry = find("smollm2-135m").unwrap();
        let remote = entry.remote(&entry.source()).unwrap().unwrap();
        assert_eq!((remote.size, remote.pinned), (Some(98_362_432), true));
        assert_eq!(find("tiny").map(|entry| &entry.name), None, "tiny comes with the program");
    }
}
