"""Chat templates by name, for tokenizers that have none of their own.

Each is written so that what it prints for turns 1..k begins what it prints for turns 1..k+1, and so that an answer is
followed at once by its end-of-turn token. `needs` are the control tokens that a tokenizer must have: a tokenizer
without them would spell them out, and no end of turn could be learned.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuiltinTemplate:
    name: str
    text: str
    needs: tuple[str, ...] = ()


_CHATML = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% endif -%}
"""

_LLAMA3 = """\
{{- bos_token -}}
{%- for message in messages -%}
<|start_header_id|>{{ message.role }}<|end_header_id|>{{ '\\n\\n' }}{{ message.content | trim }}<|eot_id|>
{%- endfor -%}
{%- if add_generation_prompt -%}
<|start_header_id|>assistant<|end_header_id|>{{ '\\n\\n' }}
{%- endif -%}
"""

_ZEPHYR = """\
{%- for message in messages -%}
<|{{ message.role }}|>
{{ message.content }}{{ eos_token }}
{% endfor -%}
{%- if add_generation_prompt -%}
<|assistant|>
{% endif -%}
"""

_ALPACA = """\
{%- if messages[0].role == 'system' -%}
{{- messages[0].content + '\\n\\n' -}}
{%- else -%}
{{- 'Below is an instruction that describes a task. ' -}}
{{- 'Write a response that appropriately completes the request.\\n\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{{- '### Instruction:\\n' + message.content + '\\n\\n' -}}
{%- elif message.role == 'assistant' -%}
{{- '### Response:\\n' + message.content + eos_token + '\\n\\n' -}}
{%- elif not loop.first or message.role != 'system' -%}
{{- raise_exception('only user and assistant turns after a first system turn, found ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '### Response:\\n' -}}
{%- endif -%}
"""

_GEMMA = """\
{{- bos_token -}}
{%- set start = namespace(text='', after=0) -%}
{%- if messages[0].role == 'system' -%}
{%- set start.text = messages[0].content | trim + '\\n\\n' -%}
{%- set start.after = 1 -%}
{%- endif -%}
{%- for message in messages[start.after:] -%}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) -%}
{{- raise_exception('user and assistant must take turns, the user first') -}}
{%- endif -%}
{{- '<start_of_turn>' + ('model' if message.role == 'assistant' else 'user') + '\\n' -}}
{{- (start.text if loop.first else '') + message.content | trim + '<end_of_turn>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<start_of_turn>model\\n' -}}
{%- endif -%}
"""

_DIALOGUE = """\
{%- for message in messages -%}
{%- if message.role == 'user' -%}
{{- '\\n\\nHuman: ' + message.content -}}
{%- elif message.role == 'assistant' -%}
{{- '\\n\\nAssistant: ' + message.content + eos_token -}}
{%- elif loop.first and message.role == 'system' -%}
{{- message.content -}}
{%- else -%}
{{- raise_exception('only user and assistant turns after a first system turn, found ' + message.role) -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '\\n\\nAssistant:' -}}
{%- endif -%}
"""

BUILTIN = {
    made.name: made
    for made in (
        BuiltinTemplate("chatml", _CHATML, needs=("<|im_start|>", "<|im_end|>")),
        BuiltinTemplate("llama3", _LLAMA3, needs=("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")),
        BuiltinTemplate("zephyr", _ZEPHYR),
        BuiltinTemplate("alpaca", _ALPACA),
        BuiltinTemplate("gemma", _GEMMA, needs=("<start_of_turn>", "<end_of_turn>")),
        BuiltinTemplate("dialogue", _DIALOGUE),
    )
}
