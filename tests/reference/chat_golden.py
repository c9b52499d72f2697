"""Chat templates rendered by Jinja2 with the settings of Hugging Face's `transformers`: writes tests/golden/chat.json.

usage: chat_golden.py > tests/golden/chat.json
       chat_golden.py FOLDER > FILE; WEBTERN_CHAT_GOLDEN=FILE cargo test chat

The templates here are written in the manner of those that models ship: the same constructs, not the same text. A folder of published
templates (`*.jinja`, those in llama.cpp's models/templates for instance) is rendered in their place.
"""

import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1_732_000_000  # 2024-11-19 07:06:40 UTC


class Generation(jinja2.ext.Extension):
    """`{% generation %}` marks what the assistant wrote and changes no text."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def strftime_now(form):
    return datetime.datetime.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None).strftime(form)


ENVIRONMENT = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
ENVIRONMENT.filters["tojson"] = tojson
ENVIRONMENT.globals["raise_exception"] = raise_exception
ENVIRONMENT.globals["strftime_now"] = strftime_now

TEMPLATES = {
    "chatml": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful assistant.<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}
""",
    "llama3": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now("%d %b %Y") %}
    {%- else %}
        {%- set date_string = "26 Jul 2024" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{#- The system message is taken out, so that it can be put into its place. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Cutting Knowledge Date: December 2023\\n" }}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("One tool call at a time!") }}
        {%- endif %}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or (message.content is iterable and message.content is not string) %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "qwen2": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set content = message.content %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is defined and message.reasoning_content is not none %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in message.content %}
                {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}
                {%- set reasoning_content = message.content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or reasoning_content) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}{{- message.content }}{{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
    "mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{#- Users and assistants take turns. #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {% generation %}
        {{- " " + message["content"]|trim + eos_token}}
        {% endgeneration %}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
""",
    "constructs": """{% macro turn(role, text='') -%}
[{{ role | upper }}|{{ text | trim | replace('\\n', ' ') }}]
{%- endmacro %}
{% set names = {'user': 'U', 'assistant': 'A'} %}
{%- for message in messages -%}
  {%- if message.content == 'skip' %}{% continue %}{% endif -%}
  {%- if loop.index > 6 %}{% break %}{% endif %}
{{ loop.index }}/{{ loop.length }} {{ turn(names.get(message.role, message['role'] ~ '?'), message.content) }}
    {% if loop.previtem is defined and loop.previtem.role == message.role %}
    again
    {% endif %}
{%- generation -%}
    {{ message | tojson }} {{ message.content | tojson(ensure_ascii=True) }} {{ {'b': [1, none, true, {}], 'a': [], 'c': 'é"<'} | tojson(indent=2) }}
{%- endgeneration +%}
  {{ message.content.title() }},{{ message.content | length }},{{ message.content[:3] }},{{ message.content.split() | join('|') }},{{ message.content.upper().find('L') }}
  {%- for key, value in message.items() %} {{ key }}={{ value.strip()[-4:] }}{% endfor %}
  {{ "%s-%02d" | format(message.role, loop.index0) if loop.index0 is even else message.content is string and 'x' not in message.content }}
{% else %}
nobody said anything
{%- endfor %}
{{ range(3) | list }} {{ [3, 1, 2] | sort | map('string') | join(',') }} {{ messages | map(attribute='role') | unique | list | tojson }} {{ undefined_name }}{{ 7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 1.5 + 1 }} {{ true }} {{ none }}
{{ messages | length > 0 and messages[-1].role or 'none' }} {{ (messages | first).role if messages else '-' }} {{ strftime_now('%A %-d %B %Y, %H:%M') }}
""",
    "python": """{%- set texts = ['', 'a', 'a,b,,c', '  two  words ', 'Straße ŉ İI', '-42', 'prefix-suffix', 'x<y|z'] -%}
{%- for text in texts %}
{{ text.rsplit(',', 1) }} {{ text.rsplit() }} {{ text.rsplit(none, 1) }} {{ text.split(maxsplit=1) }} {{ text.split(',', 2) }} {{ text.rsplit(sep=',') }}
{{ text.removeprefix('prefix') }} {{ text.removesuffix('suffix') }} {{ text.partition(',') }} {{ text.rpartition(',') }} {{ text.partition('<')[2] }}
[{{ text.ljust(5) }}] [{{ text.rjust(7, '.') }}] [{{ text.center(6, '*') }}] [{{ text.center(9) }}] [{{ text.zfill(6) }}] {{ text.swapcase() }} {{ text.casefold() }}
{{ text.find('a', 1) }} {{ text.rfind('s') }} {{ text.count(',', 2) }} {{ 'abcb'.index('b') }} {{ 'abcb'.rindex('b', -2) }} {{ 'abcb'.find('c', 0, 2) }}
{{ '%s' % text }} {{ '%s=%d%%' % (text, loop.index) }} {{ '%(a)s-%(b)03d' % {'a': text, 'b': 7} }} {{ loop.index % 3 }} {{ -7 % 3 }} {{ 7.5 % 2 }} {{ '<%s>' % text | upper ~ '!' }} {{ loop.index0 * 7 % 4 }}
{{- ' %r' % 1 if false else ' ' }} {{ [text, 'b'].index('b') }} {{ {'k': text}.copy() | tojson }}
{%- endfor %}
{{ none is iterable }} {{ 1 is iterable }} {{ 'a' is iterable }} {{ {} is iterable }} {{ undefined_name is iterable }} {{ range(2) is iterable }}
{{ 'a' is sequence }} {{ [] is sequence }} {{ {} is sequence }} {{ none is sequence }} {{ 1 is sequence }} {{ undefined_name is sequence }} {{ (1, 2) is sequence }} {{ {} is mapping }} {{ 'a' is mapping }}
{%- set value = {'b': [1, 2.5, none, {'z': 'é', 'a': 1e20}], 'a': {}, 'c': 'q"\\\\', 'd': [], 'e': 1e-7} %}
{{ value | tojson }}
{{ value | tojson(separators=(',', ':')) }}
{{ value | tojson(sort_keys=true) }}
{{ value | tojson(sort_keys=true, ensure_ascii=true, indent=1) }}
{{ value | tojson(indent=0) }}
{{ value | tojson(indent='--', separators=(' ,', ' : ')) }}
{{ value | tojson(false, 3) }}
{{ [1.0, 0.1, 1e15, 1e16, 123456789012345680.0, 0.0001, 0.00001, -0.0, 12345678901234567890] | tojson }}
{{ strftime_now('%F %T %D %R %x %X %c %u %f %w %U %W %V %G %j %y %I %p %h %e %n%t%% %-d %-m %-H [%z%Z]') }}
{%- if arguments_given is defined %}

{{ flag }} {{ number + 1 }} {{ list | join('+') }} {{ map.key }} {{ nothing is none }} {{ map | tojson }}
{%- endif %}
""",
}

# Given with every second conversation.
ARGUMENTS = {"arguments_given": True, "flag": False, "number": 41, "list": ["a", 1], "map": {"key": "value", "a": [1.5]}, "nothing": None, "enable_thinking": False}

CONVERSATIONS = [
    [],
    [("user", "Hello")],
    [("system", "  Be brief. "), ("user", "Why is the sky blue?\n"), ("assistant", " Rayleigh scattering. "), ("user", "<b>Thanks</b> & \"bye\" 'é' 🦙")],
    [("user", "1+1?"), ("assistant", "<think>\nadd them\n</think>\n\n2"), ("user", "sure?"), ("assistant", "<think>\nyes\n</think>\n\nYes.")],
    [("user", "look it up"), ("tool", "a\tb"), ("tool", "<tool_response>x</tool_response>"), ("assistant", "done"), ("assistant", "skip"), ("system", "now stop"), ("user", "ok"), ("user", "late")],
    [("assistant", "I begin"), ("user", "no, I do")],
]


def main():
    templates = TEMPLATES
    if len(sys.argv) > 1:
        templates = {file.stem: file.read_text() for file in sorted(pathlib.Path(sys.argv[1]).glob("*.jinja"))}
    cases = []
    for name, template in templates.items():
        compiled = ENVIRONMENT.from_string(template)
        for index, conversation in enumerate(CONVERSATIONS):
            for add_generation_prompt in (False, True):
                messages = [{"role": role, "content": content} for role, content in conversation]
                case = {"template": name, "messages": messages, "add_generation_prompt": add_generation_prompt}
                arguments = ARGUMENTS if index % 2 else {}
                if arguments:
                    case["arguments"] = arguments
                try:
                    case["text"] = compiled.render(
                        messages=messages, add_generation_prompt=add_generation_prompt, tools=None, documents=None,
                        **{"bos_token": "<s>", "eos_token": "</s>"}, **arguments,
                    )
                # What a template does with messages that it was not made for may fail in any way.
                except Exception as error:
                    case["error"] = str(error)
                    case["refused"] = type(error) is jinja2.exceptions.TemplateError
                cases.append(case)
    json.dump({"now": NOW, "templates": templates, "cases": cases}, sys.stdout, ensure_ascii=False, indent=1)
    print()


if __name__ == "__main__":
    main()
