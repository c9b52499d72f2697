//! `webtern models`: what can be had by name, what is stored, and making room.

use crate::args::{ModelsArgs, ModelsCommand};
use crate::download::{self, Cache, Kept};
use crate::model::Model;
use crate::output::{count, line, table};
use indicatif::HumanBytes;
use serde_json::json;
use webtern::fetch::{Source, catalog};
use webtern::platform::unix_seconds;
use webtern::{Error, ErrorCode, Result};

pub(crate) fn run(args: &ModelsArgs, json: bool) -> Result<()> {
    let cache = Cache::open()?;
    match &args.command {
        None | Some(ModelsCommand::List) => list(&cache, json),
        Some(ModelsCommand::Download { model }) => fetch(model, json),
        Some(ModelsCommand::Delete { models }) => delete(&cache, models),
        Some(ModelsCommand::Clear) => clear(&cache),
    }
}

fn list(cache: &Cache, json: bool) -> Result<()> {
    let entries = cache.entries();
    let stored = |name: &str| entries.iter().find(|entry| is_called(entry, name));
    if json {
        let named = catalog::all().iter().map(|entry| {
            let kept = stored(&entry.name).map_or(0, |kept| kept.record.stored());
            json!({
                "name": entry.name, "title": entry.title, "repo": entry.repo, "file": entry.file, "revision": entry.revision,
                "size": entry.size, "sha256": entry.sha256, "kind": entry.kind, "license": entry.license, "stored": kept,
            })
        });
        let kept = entries.iter().map(|Kept { key, record, path }| {
            json!({
                "key": key, "path": path, "url": record.url, "addresses": record.addresses, "size": record.size,
                "stored": record.stored(), "complete": record.complete, "created": record.created, "used": record.used,
            })
        });
        let (named, kept) = (named.collect::<Vec<_>>(), kept.collect::<Vec<_>>());
        return line(json!({ "models": named, "stored": kept, "folder": cache.folder() }));
    }
    line("Models by name; `webtern chat NAME` downloads what is not stored:\n")?;
    table(catalog::all().iter().map(|entry| {
        let size = entry.size.map_or_else(|| "?".to_owned(), |size| HumanBytes(size).to_string());
        let state = stored(&entry.name).map_or_else(String::new, state);
        vec![entry.name.clone(), size, entry.title.clone(), entry.license.clone(), state]
    }))?;
    let total: u64 = entries.iter().map(|entry| entry.record.stored()).sum();
    line(format_args!("\n{} in {}:\n", count(entries.len(), "file"), cache.folder().display()))?;
    table(entries.iter().map(|entry| {
        let name = entry.record.addresses.first().unwrap_or(&entry.record.url).clone();
        let days = unix_seconds().saturating_sub(entry.record.used) / 86_400;
        let used =
            if days == 0 { "used today".to_owned() } else { format!("used {} ago", count(days as usize, "day")) };
        vec![entry.key[..12].to_owned(), HumanBytes(entry.record.size).to_string(), state(entry), used, name]
    }))?;
    line(format_args!("\n{} together", HumanBytes(total)))
}

fn state(entry: &Kept) -> String {
    if entry.record.complete {
        return "stored".to_owned();
    }
    format!("{} % stored", entry.record.stored() * 100 / entry.record.size.max(1))
}

fn fetch(model: &Model, json: bool) -> Result<()> {
    let Some(source) = model.source()? else {
        return Err(Error::new(ErrorCode::BadOption, format!("{model} is here already: it is no address")));
    };
    for Kept { path, record, .. } in download::fetch(&source)? {
        if json {
            line(
                json!({ "path": path, "size": record.size, "sha256": record.sha256.map(|sha256| sha256.to_string()) }),
            )?;
        } else {
            line(path.display())?;
        }
    }
    Ok(())
}

fn delete(cache: &Cache, models: &[String]) -> Result<()> {
    for model in models {
        let found: Vec<Kept> = cache.entries().into_iter().filter(|entry| is_called(entry, model)).collect();
        if found.is_empty() {
            let message = format!("{model} is not stored; `webtern models` says what is");
            return Err(Error::new(ErrorCode::BadOption, message));
        }
        for entry in found {
            cache.remove(&entry.key)?;
        }
    }
    Ok(())
}

fn clear(cache: &Cache) -> Result<()> {
    cache.entries().iter().try_for_each(|entry| cache.remove(&entry.key))
}

/// Whether a stored file is what `name` means: a name of the catalog, an address, a repository, or
/// the beginning of a key.
fn is_called(entry: &Kept, name: &str) -> bool {
    if name.len() >= 8 && entry.key.starts_with(name) {
        return true;
    }
    let addresses = &entry.record.addresses;
    match Source::parse(name) {
        Ok(Some(Source::Url { url, .. })) => addresses.contains(&url),
        Ok(Some(Source::Repo(repo))) => match &repo.file {
            Some(file) => addresses.contains(&repo.address(file)),
            None => addresses.iter().any(|address| address.starts_with(&format!("hf:{}/", repo.repo))),
        },
        Ok(Some(Source::Named(known))) => {
            known.sha256.as_deref() == Some(entry.key.as_str())
                || addresses.contains(&known.source().address(&known.file))
        }
        _ => false,
    }
}
