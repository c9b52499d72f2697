//! `webtern convert` as a command: what shows while it works, and what is left when the disk is
//! full.

use super::*;
use crate::common::webtern;
use nix::pty::{Winsize, openpty};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A checkpoint whose file takes 1.27 MB.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in Checkpoint::new("Qwen2ForCausalLM", 256, 512, 4, 1).files_in(Format::Torch, 1) {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    folder
}

/// What a conversion shows on a terminal.
fn shown(checkpoint: &Path, args: &[&str]) -> String {
    let size = Winsize { ws_row: 25, ws_col: 120, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(&size, None).unwrap();
    let mut command = webtern();
    command.arg("convert").arg(checkpoint).arg("-o").arg(checkpoint.join("model.gguf")).args(args);
    let mut child = command.stdout(Stdio::null()).stderr(terminal.slave).spawn().unwrap();
    // When the last holder of its other end has gone, reading from a terminal is an error.
    drop(command);
    let mut shown = Vec::new();
    let _ = fs::File::from(terminal.master).read_to_end(&mut shown);
    assert!(child.wait().unwrap().success());
    String::from_utf8(shown).unwrap()
}

#[test]
fn progress_shows_bytes_on_a_terminal_only() {
    let folder = folder();
    let bar = shown(folder.path(), &[]);
    assert!(bar.contains("converting") && bar.contains("/1.27 MiB"), "{bar:?}");
    assert_eq!(shown(folder.path(), &["--json"]), "");

    let mut command = webtern();
    command.arg("convert").arg(folder.path()).arg("-o").arg(folder.path().join("model.gguf"));
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn a_full_disk_leaves_what_was_there() {
    let folder = folder();
    let path = folder.path().join("model.gguf");
    fs::write(&path, "old").unwrap();
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    let before = names(folder.path());
    // Files may have 64 blocks of 512 bytes; writing beyond is an error and no signal.
    let limited = "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", limited, env!("CARGO_BIN_EXE_webtern"), "convert", "--json"]);
    let output = command.arg(folder.path()).arg("-o").arg(&path).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let error = &serde_json::from_slice::<Value>(&output.stdout).unwrap()["error"];
    assert_eq!(error["code"], "io");
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("model.gguf: File too large") && message.contains("ulimit -f"), "{message}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(folder.path()), before);
}

#[test]
fn devices_are_not_replaced() {
    let folder = folder();
    let error = write_whole(Path::new("/dev/full"), |_| Ok(())).unwrap_err();
    assert!(error.message().contains("/dev/full: exists and is not a regular file"), "{error}");
    let error = write_whole(&folder.path().join("none/model.gguf"), |_| Ok(())).unwrap_err();
    assert!(error.message().contains("make the folder first"), "{error}");
}
