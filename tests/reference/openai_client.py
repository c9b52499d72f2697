"""OpenAI's own client for Python against `webtern serve tiny`: every call that an application makes of it.

    python tests/reference/openai_client.py target/debug/webtern
"""

import json
import subprocess
import sys

import openai


def start(webtern):
    """Serves the embedded model on a free port; returns the process and the address."""
    command = [webtern, "serve", "tiny", "--port", "0", "--json", "--threads", "1", "--api-key", "sesame"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    for line in process.stderr:
        entry = json.loads(line) if line.startswith("{") else {}
        if entry.get("message") == "listening":
            return process, entry["address"]
    raise SystemExit("the server ended before it listened")


def refusal(kind, call):
    """The error of a call that must raise `kind`."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__}")


def check(client):
    ask = {"model": "tiny", "messages": [{"role": "user", "content": "What is 24 + 64?"}], "max_tokens": 64}
    chat = client.chat.completions
    whole = chat.create(**ask)
    answer = whole.choices[0].message.content
    assert whole.choices[0].finish_reason == "stop" and "88" in answer, whole
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens

    chunks = list(chat.create(**ask, stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == answer
    assert chunks[-1].usage == whole.usage.model_copy(update={"prompt_tokens_details": chunks[-1].usage.prompt_tokens_details})
    with chat.stream(**ask) as stream:
        assert stream.get_final_completion().choices[0].message.content == answer

    parts = [{"role": "developer", "content": ""}, {"role": "user", "content": [{"type": "text", "text": "hi"}]}]
    assert chat.create(**{**ask, "messages": parts}, logprobs=True, top_logprobs=2).choices[0].logprobs.content
    modes = {mode: chat.create(**ask, extra_body={"mode": mode}).choices[0].message.content for mode in ("ar", "adaptive")}
    assert modes["adaptive"] == answer, modes
    assert len(chat.create(**ask, n=3, seed=1, temperature=1).choices) == 3

    for chunk in chat.create(**ask, stream=True):
        break

    text = client.completions.create(model="tiny", prompt=["Spell the", "Count"], max_tokens=1)
    assert len(text.choices) == 2 and text.choices[0].finish_reason == "length"

    response = client.responses.create(model="tiny", input="What is 24 + 64?", max_output_tokens=64)
    assert response.output_text == answer, response
    with client.responses.stream(model="tiny", input="What is 24 + 64?", max_output_tokens=64) as stream:
        assert stream.get_final_response().output_text == answer

    assert [model.id for model in client.models.list()] == ["tiny"]
    assert client.models.retrieve("tiny").owned_by == "webtern"
    error = refusal(openai.NotFoundError, lambda: chat.create(**{**ask, "model": "gpt-4o"}))
    assert error.code == "model_not_found"
    error = refusal(openai.BadRequestError, lambda: chat.create(**ask, top_p=7))
    assert error.param == "top_p"
    error = refusal(openai.BadRequestError, lambda: chat.create(**ask, tools=[{"type": "custom", "custom": {"name": "f"}}]))
    assert error.param == "tools[0]"
    stranger = client.with_options(api_key="wrong")
    refusal(openai.AuthenticationError, lambda: stranger.models.list())


def main():
    process, address = start(sys.argv[1])
    try:
        check(openai.OpenAI(base_url=f"{address}/v1", api_key="sesame"))
    finally:
        process.terminate()
    assert process.wait(10) == 0
    print(f"openai {openai.__version__}: ok")


main()
