"""Evaluates cases in parallel under Ray Data, against any server of OpenAI's protocol.

    python evaluate.py cases.jsonl --endpoint http://127.0.0.1:8000 --parts parts/ -- --modes ar

The cases are cut into batches. A worker asks a batch by `webtern eval --endpoint`, which keeps every answer in a file of
its own in the folder of parts. Run again, only what has no answer yet is asked. On a cluster, the folder is one that all
machines share. What stands behind `--` are options of `webtern eval`. The result is that of one `webtern eval`.
"""

import argparse
import hashlib
import os
import subprocess
import tempfile
from pathlib import Path

import ray


def webtern_eval(cases: Path, results: Path, endpoint: str, options: list[str], **kwargs) -> subprocess.CompletedProcess:
    webtern = os.environ.get("WEBTERN", "webtern")
    command = [webtern, "eval", str(cases), "--endpoint", endpoint, "--results", str(results), *options]
    return subprocess.run(command, text=True, **kwargs)


def evaluate(row: dict, parts: str, endpoint: str, options: list[str]) -> dict:
    """Asks a batch; its part is called after what it holds."""
    text = row["cases"]
    part = Path(parts) / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
    with tempfile.TemporaryDirectory() as folder:
        cases = Path(folder) / "cases.jsonl"
        cases.write_text(text)
        done = webtern_eval(cases, part, endpoint, options, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return {"part": str(part)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--parts", type=Path, required=True, help="a folder for answers")
    parser.add_argument("--batch", type=int, default=16, help="cases in a batch")
    parser.add_argument("--workers", type=int, default=2, help="batches that are asked at the same time")
    parser.add_argument("options", nargs="*", help="options of `webtern eval`, after --")
    args = parser.parse_args()

    lines = [line for line in args.cases.read_text().splitlines() if line.strip()]
    batches = ["\n".join(lines[start : start + args.batch]) + "\n" for start in range(0, len(lines), args.batch)]
    args.parts.mkdir(parents=True, exist_ok=True)
    ray.init(ignore_reinit_error=True)
    asked = ray.data.from_items([{"cases": batch} for batch in batches], override_num_blocks=len(batches)).map(
        evaluate,
        fn_kwargs={"parts": str(args.parts.resolve()), "endpoint": args.endpoint, "options": args.options},
        # They wait for the server most of the time.
        num_cpus=0.1,
        concurrency=args.workers,
    )
    parts = [row["part"] for row in asked.take_all()]
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.jsonl"
        results.write_text("".join(Path(part).read_text() for part in parts))
        # Everything is answered: this only counts.
        raise SystemExit(webtern_eval(args.cases, results, args.endpoint, args.options).returncode)


if __name__ == "__main__":
    main()
