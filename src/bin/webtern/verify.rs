//! `webtern verify`: a file against the checkpoint it was made from.

use crate::args::VerifyArgs;
use crate::load;
use crate::output::{findings, line, percent, table};
use indicatif::ProgressBar;
use webtern::convert::{Product, Verification, verify};
use webtern::files::Folder;
use webtern::{Error, ErrorCode, Result};

pub(crate) fn run(args: &VerifyArgs, json: bool) -> Result<()> {
    let (mut files, name) = args.model.files()?;
    let bar = if json { ProgressBar::hidden() } else { load::bar("verifying", 0) };
    let found = verify(&mut *files, &name, &mut Folder::open(&args.against)?, &mut |done, total| {
        bar.set_length(total);
        bar.set_position(done);
        Ok(())
    });
    bar.finish_and_clear();
    let found = found?;
    if json {
        line(serde_json::json!(found))?;
        // What is wrong is in what was printed.
        std::process::exit(i32::from(!found.passed()));
    }
    print(&found)?;
    if found.passed() {
        return line("verified: the file computes what the checkpoint does");
    }
    let message = format!("{} differs from the checkpoint; what is wrong is listed above", args.model);
    Err(Error::new(ErrorCode::Malformed, message))
}

fn print(found: &Verification) -> Result<()> {
    let row = |product: &Product| {
        let Product { name, ty, cosine, ratio, zeros, .. } = product;
        let verdict = if product.agrees() { "" } else { "differs" };
        [
            name.clone(),
            (*ty).into(),
            format!("cosine {cosine:.6}"),
            format!("length {ratio:.4}"),
            percent(*zeros),
            verdict.into(),
        ]
    };
    table(found.matrices.iter().map(|product| row(product).to_vec()))?;
    line("")?;
    let check = &found.tokenizer;
    line(format_args!("{} matrices and {} vectors compared", found.matrices.len(), found.vectors))?;
    line(format_args!(
        "{} texts compared with {}: {} have other ids, {} do not come back when decoded",
        check.texts, check.reference, check.differing, check.lossy
    ))?;
    findings(&found.findings)
}
