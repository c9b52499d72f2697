"""Replicas of `webtern serve` under Ray Serve, as one server of OpenAI's protocol.

    serve run serve_model:build model=tiny replicas=2
    curl http://127.0.0.1:8000/v1/models

A replica keeps nothing but caches, so that any of them can answer any request.
"""

import json
import os
import subprocess
import threading

import aiohttp
from ray import serve
from starlette.requests import Request
from starlette.responses import StreamingResponse

# What belongs to one connection, not to the request or the answer.
HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


@serve.deployment
class Replica:
    """A `webtern serve` process, and a way to it."""

    def __init__(self, model: str, threads: int, options: list[str]):
        webtern = os.environ.get("WEBTERN", "webtern")
        command = [webtern, "serve", model, "--port", "0", "--threads", str(threads), "--json", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        self.address = self.wait_for_address()
        # Read on, or the server waits for somebody to read its log.
        threading.Thread(target=self.forward_log, daemon=True).start()
        self.client = None

    def wait_for_address(self) -> str:
        last = ""
        for last in self.process.stderr:
            entry = json.loads(last) if last.startswith("{") else {}
            if entry.get("message") == "listening":
                return entry["address"]
        raise RuntimeError(f"webtern ended before it listened: {last.strip()}")

    def forward_log(self):
        for line in self.process.stderr:
            print(line, end="")

    def check_health(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"webtern ended with code {self.process.returncode}")

    async def __call__(self, request: Request) -> StreamingResponse:
        if self.client is None:
            # Answers take as long as they take; webtern itself limits requests.
            self.client = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=None))
        headers = {name: value for name, value in request.headers.items() if name not in HOP_BY_HOP}
        url = f"{self.address}{request.url.path}"
        answer = await self.client.request(request.method, url, headers=headers, data=await request.body())
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP}
        return StreamingResponse(self.body(answer), answer.status, kept)

    async def body(self, answer: aiohttp.ClientResponse):
        # When the client leaves, this ends, the connection closes, and webtern stops computing.
        async with answer:
            async for chunk in answer.content.iter_any():
                yield chunk

    def __del__(self):
        self.process.terminate()


def build(args: dict[str, str]) -> serve.Application:
    """The application: `model`, `replicas`, `threads` of each, and more `options` of `webtern serve`."""
    threads = int(args.get("threads", "1"))
    replica = Replica.options(
        num_replicas=int(args.get("replicas", "2")),
        ray_actor_options={"num_cpus": threads},
        # More than the queue of webtern holds is refused there, with 429.
        max_ongoing_requests=128,
    )
    return replica.bind(args.get("model", "tiny"), threads, args.get("options", "").split())
