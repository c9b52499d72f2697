"""Runs the example on this machine: two replicas, a client, and an evaluation that is interrupted and gone on with.

    WEBTERN=target/debug/webtern python examples/ray/check.py
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import openai
import ray
from ray import serve
from serve_model import build

HERE = Path(__file__).parent
CASES = HERE.parent.parent / "models/tiny/eval.jsonl"
COUNT = 60
OPTIONS = ["--modes", "ar,adaptive", "--thresholds", "0.9", "--json"]
PORT = 8123


def counted(output: str) -> list:
    """What does not depend on speed."""
    names = ("mode", "threshold", "cases", "exact", "tasks", "newTokens", "passes", "blocks", "commits", "evaluatedRows")
    return [[score[name] for name in names] for score in json.loads(output)["scores"]]


def main():
    os.environ["WEBTERN"] = str(Path(os.environ["WEBTERN"]).resolve())
    ray.init(num_cpus=4, include_dashboard=False)
    serve.start(http_options={"port": PORT})
    serve.run(build({"model": "tiny", "replicas": "2"}))
    client = openai.OpenAI(base_url=f"http://127.0.0.1:{PORT}/v1", api_key="none")
    ask = {"model": "tiny", "messages": [{"role": "user", "content": "What is 24 + 64?"}], "max_tokens": 64}
    whole = client.chat.completions.create(**ask).choices[0].message.content
    streamed = client.chat.completions.create(**ask, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == whole and "88" in whole, whole

    with tempfile.TemporaryDirectory() as folder:
        cases, parts = Path(folder) / "cases.jsonl", Path(folder) / "parts"
        lines = CASES.read_text().splitlines()
        cases.write_text("\n".join(lines[:: len(lines) // COUNT]) + "\n")
        single = subprocess.run(
            [os.environ["WEBTERN"], "eval", "tiny", cases, *OPTIONS], capture_output=True, text=True, check=True
        )
        command = [sys.executable, HERE / "evaluate.py", cases, "--endpoint", f"http://127.0.0.1:{PORT}"]
        command += ["--parts", parts, "--batch", "8", "--", *OPTIONS]
        environment = {**os.environ, "RAY_ADDRESS": "auto"}
        parallel = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        assert counted(parallel.stdout) == counted(single.stdout), (parallel.stdout, single.stdout)
        # As if it had been interrupted: one part is gone, and one was cut off.
        gone, cut = sorted(parts.iterdir())[:2]
        gone.unlink()
        cut.write_text(cut.read_text()[:-30])
        again = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        assert counted(again.stdout) == counted(single.stdout), again.stdout
    serve.shutdown()
    print(f"{COUNT} cases: the evaluation under Ray counts what a single run does")


main()
