//! `webtern verify`: a file against the checkpoint it was made from.

use crate::args::VerifyArgs;
use crate::output::line;
use std::path::Path;
use webtern::convert::{Folder, verify};
use webtern::{Error, ErrorCode, Result};

pub(crate) fn run(args: &VerifyArgs, json: bool) -> Result<()> {
    let parent = args.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = args.file.file_name().and_then(|name| name.to_str()).ok_or_else(|| {
        Error::new(ErrorCode::BadOption, format!("{}: this is not the name of a file", args.file.display()))
    })?;
    let found = verify(&mut Folder::open(parent)?, name, &mut Folder::open(&args.against)?)?;
    if json {
        line(serde_json::json!(found))?;
        // The faults are in what was printed.
        std::process::exit(i32::from(!found.faults.is_empty()));
    }
    for product in &found.matrices {
        let (name, ty) = (&product.name, product.ty);
        line(format_args!("  {name:<34} {ty:<6} cosine {:.6}, length {:.4}", product.cosine, product.ratio))?;
    }
    line(format_args!("{} matrices, {} vectors compared", found.matrices.len(), found.vectors))?;
    found.faults.iter().try_for_each(|fault| line(format_args!("fault: {fault}")))?;
    match found.faults.len() {
        0 => Ok(()),
        faults => Err(Error::new(
            ErrorCode::Malformed,
            format!("{}: {faults} faults; convert the checkpoint again", args.file.display()),
        )),
    }
}
