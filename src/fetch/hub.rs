//! What a Hugging Face hub says about a repository.
//!
//! One request (`/api/models/{repo}/revision/{revision}?blobs=true`) answers with the commit that a
//! branch points at and with every file, its size and its SHA-256. Files are then downloaded by
//! that commit, so that their addresses can never mean anything else: ranges cannot mix versions,
//! and a stored copy needs no question. (The checksum is also in a header of the redirect of
//! `/resolve/`, which pages cannot read.)
//!
//! Sources: `HfApi.model_info` of `huggingface_hub`; the hub's API documentation.

#![forbid(unsafe_code)]

use super::cache::Record;
use super::integrity::Checksum;
use super::source::Remote;
use crate::error::{Error, Result};
use crate::gguf::split::SplitName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

/// The hub itself.
const ENDPOINT: &str = "https://huggingface.co";

/// What stays as it is in a part of a path.
const PATH_PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A file of a repository, or the best one it has.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Repo {
    /// `owner/name`.
    pub repo: String,
    /// Path of the file inside the repository.
    #[serde(default)]
    pub file: Option<String>,
    /// Branch, tag or commit.
    #[serde(default = "main")]
    pub revision: String,
    /// Sent as `Authorization: Bearer`, to this hub only.
    #[serde(default)]
    pub token: Option<String>,
    /// Another hub, such as a mirror.
    #[serde(default)]
    pub endpoint: Option<String>,
}

fn main() -> String {
    "main".to_owned()
}

/// What a repository has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The commit that the revision is now.
    pub commit: String,
    /// All files.
    pub files: Vec<RepoFile>,
}

/// A file of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepoFile {
    /// Its path.
    pub path: String,
    /// Bytes.
    pub size: Option<u64>,
    /// Its checksum; small files have none.
    pub sha256: Option<Checksum>,
}

/// A whole model of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    /// The path of its (first) file.
    pub file: String,
    /// Bytes of all its files, where the hub says it.
    pub size: Option<u64>,
    /// The type that its name speaks of, such as `Q4_K_M`.
    pub quantization: Option<String>,
}

/// Types from the best choice to the worst. Types made for ternary models come first: a file of one
/// is smaller than any other and loses nothing. Of the others, the middle sizes come before the
/// larger ones, as in llama.cpp, whose `-hf` takes Q4_K_M. TQ1_0 and TQ2_0 come late, because some
/// repositories force models into them that were not trained for it.
const PREFERENCE: [&str; 27] = [
    "I2_S", "Q2_0_G64", "Q2_0", "Q4_K_M", "Q4_0", "Q4_1", "Q4_K_S", "Q5_K_M", "Q5_0", "Q5_1", "Q5_K_S", "Q8_0", "Q6_K",
    "Q4_K_L", "Q5_K_L", "Q3_K_L", "Q3_K_M", "Q3_K_S", "TQ2_0", "TQ1_0", "Q2_K", "Q2_K_S", "F16", "FP16", "BF16", "F32",
    "FP32",
];

#[derive(Deserialize)]
struct Answer {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
    size: Option<u64>,
}

impl Repo {
    /// Reads `owner/name[/path][@revision]`.
    ///
    /// # Errors
    ///
    /// `bad-option` when it is not that.
    pub fn parse(text: &str) -> Result<Self> {
        let (path, revision) = text.rsplit_once('@').unwrap_or((text, "main"));
        let mut parts = path.splitn(3, '/');
        let repo = parts.next().zip(parts.next()).map(|(owner, name)| format!("{owner}/{name}")).unwrap_or_default();
        let file = parts.next().map(str::to_owned);
        let repo = Self { repo, file, revision: revision.to_owned(), token: None, endpoint: None };
        repo.check()?;
        Ok(repo)
    }

    /// Checks the names.
    ///
    /// # Errors
    ///
    /// `bad-option` by name of what is wrong.
    pub fn check(&self) -> Result<()> {
        let good = |name: &str| {
            let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !["", ".", ".."].contains(&name) && name.bytes().all(letter)
        };
        if !self.repo.split_once('/').is_some_and(|(owner, name)| good(owner) && good(name)) {
            bail!(BadOption, "a repository is \"owner/name\", not \"{}\"", self.repo);
        }
        if self.revision.is_empty() || self.file.as_ref().is_some_and(|file| file.is_empty() || file.ends_with('/')) {
            bail!(BadOption, "file and revision of {} must not be empty", self.repo);
        }
        if let Some(endpoint) = self
            .endpoint
            .as_ref()
            .filter(|endpoint| !endpoint.starts_with("https://") && !endpoint.starts_with("http://"))
        {
            bail!(BadOption, "endpoint must be the address of a hub, not \"{endpoint}\"");
        }
        Ok(())
    }

    fn endpoint(&self) -> &str {
        self.endpoint.as_deref().unwrap_or(ENDPOINT).trim_end_matches('/')
    }

    fn headers(&self) -> Vec<(String, String)> {
        self.token.iter().map(|token| ("Authorization".to_owned(), format!("Bearer {token}"))).collect()
    }

    /// What the cache knows an answer to this question by: the hub, the repository, the file and
    /// the revision, never the token.
    pub fn address(&self, file: &str) -> String {
        let hub = self.endpoint.as_deref().map_or("hf:".to_owned(), |_| format!("{}/", self.endpoint()));
        format!("{hub}{}/{file}@{}", self.repo, self.revision)
    }

    /// The small file that lists the repository.
    pub fn listing(&self) -> Remote {
        let revision = encode(&self.revision);
        Remote {
            name: self.repo.clone(),
            url: format!("{}/api/models/{}/revision/{revision}?blobs=true", self.endpoint(), self.repo),
            headers: self.headers(),
            address: String::new(),
            size: None,
            sha256: None,
            pinned: false,
            advice: "check the names of repository and revision; a gated or private one wants a token",
        }
    }

    /// Reads the answer to [`Repo::listing`].
    ///
    /// # Errors
    ///
    /// `http` when it is something else.
    pub fn read_listing(&self, answer: &[u8]) -> Result<Listing> {
        let Answer { sha, siblings } = serde_json::from_slice(answer)
            .map_err(|error| err!(Http, "{} does not answer as a Hugging Face hub does: {error}", self.endpoint()))?;
        let files = siblings.into_iter().map(|Sibling { rfilename, size, lfs }| {
            let (sha256, lfs_size) = lfs.map_or((None, None), |lfs| (lfs.sha256, lfs.size));
            let sha256 = sha256.and_then(|text| Checksum::parse(&text).ok());
            RepoFile { path: rfilename, size: lfs_size.or(size), sha256 }
        });
        Ok(Listing { commit: sha, files: files.collect() })
    }

    /// The files of the model that `self` means: the one named, else the best that takes at most
    /// `memory` bytes, by [`Listing::candidates`].
    ///
    /// # Errors
    ///
    /// `bad-option` when there is no such file, with the names of those there are.
    pub fn files(&self, listing: &Listing, memory: u64) -> Result<Vec<Remote>> {
        let file = match &self.file {
            Some(file) => file.clone(),
            None => listing.best(memory).map_err(|error| error.at(&self.repo))?.file,
        };
        let paths = match SplitName::parse(&file) {
            Some(split) if split.no > 0 => {
                bail!(BadOption, "{file} is part {} of a split model: name the first part", split.no + 1)
            }
            Some(split) => split.all().collect(),
            None => vec![file],
        };
        paths.into_iter().map(|path| self.file_in(listing, path)).collect()
    }

    fn file_in(&self, listing: &Listing, path: String) -> Result<Remote> {
        let Some(found) = listing.files.iter().find(|file| file.path == path) else {
            let names = listing.candidates().into_iter().map(|candidate| candidate.file).collect::<Vec<_>>().join(", ");
            let names = if names.is_empty() { "no GGUF file".to_owned() } else { names };
            bail!(BadOption, "{} has no file {path} in {}; it has {names}", self.repo, self.revision);
        };
        Ok(self.remote(&path, &listing.commit, found.size, found.sha256))
    }

    /// The files of the model that `self` means, as far as it was stored before: what a load falls
    /// back to when the hub cannot be asked. `None` when one of them is not stored whole.
    pub fn stored(&self, records: &[Record]) -> Option<Vec<Remote>> {
        let address = self.address("\n");
        let (before, after) = address.split_once('\n')?;
        let path = |address: &String| address.strip_prefix(before)?.strip_suffix(after).map(str::to_owned);
        let find = |wanted: Option<&str>| {
            records.iter().filter(|record| record.complete).find_map(|record| {
                let file = record.addresses.iter().find_map(path)?;
                let right = match wanted {
                    Some(wanted) => wanted == file,
                    None => SplitName::parse(&file).is_none_or(|split| split.no == 0),
                };
                right.then_some((file, record))
            })
        };
        let (first, _) = find(self.file.as_deref())?;
        let files = SplitName::parse(&first).map_or_else(|| vec![first.clone()], |split| split.all().collect());
        let remote = |file: &String| {
            let (_, record) = find(Some(file))?;
            // The record has the address with its commit.
            Some(Remote { url: record.url.clone(), ..self.remote(file, "", Some(record.size), record.sha256) })
        };
        files.iter().map(remote).collect()
    }

    /// A file whose commit is known.
    pub fn remote(&self, path: &str, commit: &str, size: Option<u64>, sha256: Option<Checksum>) -> Remote {
        let encoded = path.split('/').map(encode).collect::<Vec<_>>().join("/");
        Remote {
            name: path.rsplit('/').next().unwrap_or(path).to_owned(),
            url: format!("{}/{}/resolve/{}/{encoded}", self.endpoint(), self.repo, encode(commit)),
            headers: self.headers(),
            address: self.address(path),
            size,
            sha256,
            pinned: true,
            advice: "check the names of repository, file and revision; a gated or private one wants a token",
        }
    }
}

impl Listing {
    /// The whole models among the files: GGUF, no parts of others, no projectors or importance
    /// matrices; from the best choice to the worst by type, smaller ones first.
    pub fn candidates(&self) -> Vec<Candidate> {
        let wanted = |file: &&RepoFile| {
            let name = file.path.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
            name.ends_with(".gguf") && !name.contains("mmproj") && !name.contains("imatrix")
        };
        let first = |path: &str| SplitName::parse(path).is_none_or(|split| split.no == 0);
        let models = self.files.iter().filter(wanted).filter(|file| first(&file.path));
        let mut found: Vec<Candidate> = models
            .map(|file| Candidate {
                file: file.path.clone(),
                size: match SplitName::parse(&file.path) {
                    Some(split) => split.all().map(|path| self.size(&path)).sum(),
                    None => file.size,
                },
                quantization: quantization(&file.path).map(str::to_owned),
            })
            .collect();
        found.sort_by_key(|candidate| (rank(candidate), candidate.size.unwrap_or(u64::MAX)));
        found
    }

    fn size(&self, path: &str) -> Option<u64> {
        self.files.iter().find(|file| file.path == path)?.size
    }

    /// The first candidate that takes at most `memory` bytes.
    fn best(&self, memory: u64) -> Result<Candidate> {
        let candidates = self.candidates();
        let fits = |candidate: &&Candidate| candidate.size.is_none_or(|size| size <= memory);
        match candidates.iter().find(fits) {
            Some(best) => Ok(best.clone()),
            None if candidates.is_empty() => Err(self.no_model()),
            None => Err(err!(OutOfMemory, "none of its {} models takes less than {memory} bytes", candidates.len())),
        }
    }

    fn no_model(&self) -> Error {
        let safetensors = self.files.iter().any(|file| file.path.ends_with(".safetensors"));
        let remedy =
            if safetensors { ": it has safetensors, which `webtern convert` makes a GGUF file of" } else { "" };
        err!(BadOption, "there is no GGUF file{remedy}")
    }
}

fn rank(candidate: &Candidate) -> usize {
    let known = candidate.quantization.as_ref();
    known.and_then(|known| PREFERENCE.iter().position(|ty| ty == known)).unwrap_or(PREFERENCE.len())
}

/// The type that a file's name ends in, before `.gguf` and the number of a part.
fn quantization(path: &str) -> Option<&'static str> {
    let whole = SplitName::parse(path).map_or_else(|| path.trim_end_matches(".gguf").to_owned(), |split| split.prefix);
    let upper = whole.to_ascii_uppercase();
    let ends = |ty: &&&str| {
        upper.strip_suffix(**ty).is_some_and(|rest| rest.ends_with(['-', '.', '_', '/']) || rest.is_empty())
    };
    PREFERENCE.iter().filter(ends).max_by_key(|ty| ty.len()).copied()
}

fn encode(part: &str) -> String {
    utf8_percent_encode(part, PATH_PART).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;
    use crate::fetch::transfer::Version;
    use crate::testing::test;

    const ANSWER: &str = r#"{ "id": "a/b", "sha": "0123abcd", "siblings": [
        { "rfilename": "README.md", "size": 5, "blobId": "x" },
        { "rfilename": "m-F16.gguf", "size": 900, "lfs": { "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", "size": 900, "pointerSize": 134 } },
        { "rfilename": "m-Q8_0.gguf", "size": 500 },
        { "rfilename": "sub/m-Q4_K_M-00001-of-00002.gguf", "size": 200 },
        { "rfilename": "sub/m-Q4_K_M-00002-of-00002.gguf", "size": 100 },
        { "rfilename": "m-IQ1_S.gguf", "size": 50 },
        { "rfilename": "mmproj-m-F16.gguf", "size": 10 }] }"#;

    fn repo(text: &str) -> Repo {
        Repo::parse(text).unwrap()
    }

    fn listing() -> Listing {
        repo("a/b").read_listing(ANSWER.as_bytes()).unwrap()
    }

    #[test]
    fn reads_names() {
        let full = repo("owner/na.me-1/sub/m.gguf@v1");
        assert_eq!(
            (full.repo.as_str(), full.file.as_deref(), full.revision.as_str()),
            ("owner/na.me-1", Some("sub/m.gguf"), "v1")
        );
        assert_eq!((repo("a/b").file, repo("a/b").revision.as_str()), (None, "main"));
        for text in ["", "a", "a/", "/b", "a b/c", "a/b/", "a/b@", "../../x/y z"] {
            assert_eq!(Repo::parse(text).unwrap_err().code(), ErrorCode::BadOption, "{text}");
        }
    }

    #[test]
    fn a_file_is_downloaded_by_its_commit() {
        let files = repo("a/b/m-F16.gguf").files(&listing(), u64::MAX).unwrap();
        let [file] = &files[..] else { panic!("{files:?}") };
        assert_eq!(file.url, "https://huggingface.co/a/b/resolve/0123abcd/m-F16.gguf");
        assert_eq!((file.size, file.sha256, file.pinned), (Some(900), Some(Checksum::of(b"abc")), true));
        assert_eq!(file.address, "hf:a/b/m-F16.gguf@main");
    }

    #[test]
    fn a_split_file_brings_all_its_parts() {
        let files = repo("a/b/sub/m-Q4_K_M-00001-of-00002.gguf").files(&listing(), u64::MAX).unwrap();
        assert_eq!(files.len(), 2);
        assert!(files[1].url.ends_with("/sub/m-Q4_K_M-00002-of-00002.gguf"), "{}", files[1].url);
        let error = repo("a/b/sub/m-Q4_K_M-00002-of-00002.gguf").files(&listing(), u64::MAX).unwrap_err();
        assert!(error.message().contains("first part"), "{error}");
    }

    #[test]
    fn without_a_file_the_best_that_fits_is_taken() {
        let best = |memory| repo("a/b").files(&listing(), memory).map(|files| files[0].name.clone());
        assert_eq!(best(u64::MAX).unwrap(), "m-Q4_K_M-00001-of-00002.gguf");
        assert_eq!(best(299).unwrap(), "m-IQ1_S.gguf");
        assert_eq!(best(49).unwrap_err().code(), ErrorCode::OutOfMemory);
        let order: Vec<Candidate> = listing().candidates();
        let names: Vec<&str> = order.iter().map(|candidate| candidate.file.as_str()).collect();
        assert_eq!(names, ["sub/m-Q4_K_M-00001-of-00002.gguf", "m-Q8_0.gguf", "m-F16.gguf", "m-IQ1_S.gguf"]);
        assert_eq!(order[0].size, Some(300));
    }

    #[test]
    fn says_which_files_there_are() {
        let error = repo("a/b/other.gguf").files(&listing(), u64::MAX).unwrap_err();
        assert!(error.message().contains("no file other.gguf in main; it has sub/m-Q4_K_M-00001"), "{error}");
        let raw = r#"{ "sha": "1", "siblings": [{ "rfilename": "model.safetensors" }] }"#;
        let listing = repo("a/b").read_listing(raw.as_bytes()).unwrap();
        let error = repo("a/b").files(&listing, u64::MAX).unwrap_err();
        assert!(error.message().contains("webtern convert"), "{error}");
        let error = repo("a/b").read_listing(b"<html>").unwrap_err();
        assert_eq!(error.code(), ErrorCode::Http, "{error}");
    }

    #[test]
    fn the_token_is_a_header_and_nowhere_else() {
        let secret =
            Repo { token: Some("hf_secret".into()), endpoint: Some("https://hub.invalid/".into()), ..repo("a/b") };
        let listing_file = secret.listing();
        assert_eq!(listing_file.url, "https://hub.invalid/api/models/a/b/revision/main?blobs=true");
        assert_eq!(listing_file.headers, [("Authorization".to_owned(), "Bearer hf_secret".to_owned())]);
        let file = &secret.files(&listing(), u64::MAX).unwrap()[0];
        assert!(!format!("{}{}{}", file.url, file.address, file.key()).contains("secret"));
        assert!(file.address.starts_with("https://hub.invalid/a/b/"), "{}", file.address);
    }

    #[test]
    fn what_was_stored_answers_for_the_hub() {
        let files = repo("a/b").files(&listing(), u64::MAX).unwrap();
        let record = |file: &Remote, complete| {
            let version = Version { etag: None, size: file.size };
            let mut record = Record::new(&file.url, &version, file.sha256, &file.address, 0).unwrap();
            record.complete = complete;
            record
        };
        let whole: Vec<Record> = files.iter().map(|file| record(file, true)).collect();
        let found = repo("a/b").stored(&whole).unwrap();
        assert_eq!(
            found.iter().map(Remote::key).collect::<Vec<_>>(),
            files.iter().map(Remote::key).collect::<Vec<_>>()
        );
        assert!(repo("a/b/sub/m-Q4_K_M-00001-of-00002.gguf").stored(&whole).is_some());
        assert!(repo("a/b/m-Q8_0.gguf").stored(&whole).is_none());
        assert!(repo("a/b@other").stored(&whole).is_none());
        assert!(repo("a/b").stored(&[record(&files[0], true), record(&files[1], false)]).is_none());
    }

    #[test]
    fn knows_types_by_file_names() {
        for (path, ty) in [
            ("m.Q4_1.gguf", Some("Q4_1")),
            ("m-q4_k_m.gguf", Some("Q4_K_M")),
            ("ggml-model-i2_s.gguf", Some("I2_S")),
            ("x/Q8_0-00001-of-00002.gguf", Some("Q8_0")),
            ("m-bf16.gguf", Some("BF16")),
            ("m.gguf", None),
            ("m-IQ4_XS.gguf", None),
        ] {
            assert_eq!(quantization(path), ty, "{path}");
        }
    }
}
