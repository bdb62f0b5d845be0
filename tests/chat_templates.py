"""Chat templates in the manner of the real families: how each opens turns, what it does with a system message.

Own, minimal wordings; the special tokens are the families' own, because how they are tokenised is what is tested.
"""

from __future__ import annotations

_EACH = "{% for message in messages %}"

# Qwen 3: thinks unless told not to, then an empty thought is written for it; keeps no thoughts of earlier turns.
QWEN3 = (
    _EACH + "{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% if message.role == 'assistant' and loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{{ message.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\\n\\n</think>\\n\\n' }}{% endif %}"
    "{% endif %}"
)

# Llama 3: headers, and today's date in a system turn that is always there.
LLAMA3 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set said = messages[0].content %}"
    "{% set rest = messages[1:] %}{% else %}{% set said = '' %}{% set rest = messages %}{% endif %}"
    "{{ '<|start_header_id|>system<|end_header_id|>\\n\\nToday Date: ' + strftime_now('%d %b %Y') + '\\n\\n' }}"
    "{{ said + '<|eot_id|>' }}"
    "{% for message in rest %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}"
    "{{ message.content | trim + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)

# Mistral: instructions in brackets; a system message is put before the words of the user. Nothing opens an answer.
MISTRAL = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set said = messages[0].content + '\\n\\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set said = '' %}{% set rest = messages %}{% endif %}"
    "{% for message in rest %}{% if message.role == 'user' %}"
    "{{ '[INST] ' + (said if loop.first else '') + message.content + ' [/INST]' }}"
    "{% elif message.role == 'assistant' %}{{ ' ' + message.content + eos_token }}"
    "{% else %}{{ raise_exception('Roles must alternate.') }}{% endif %}{% endfor %}"
)

_GEMMA_TURNS = (
    "{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}"
    "{{ %s message.content | trim + '<end_of_turn>\\n' }}{%% endfor %%}"
    "{%% if add_generation_prompt %%}{{ '<start_of_turn>model\\n' }}{%% endif %%}"
)
# Gemma 2 refuses a system message; Gemma 3 puts it before the words of the user.
GEMMA2 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    + _EACH
    + _GEMMA_TURNS % ""
)
GEMMA3 = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{% set said = messages[0].content + '\\n\\n' %}"
    "{% set rest = messages[1:] %}{% else %}{% set said = '' %}{% set rest = messages %}{% endif %}"
    "{% for message in rest %}" + _GEMMA_TURNS % "(said if loop.first else '') +"
)

# Olmo 2: the marks of the turns are plain text, several tokens each.
OLMO2 = (
    "{{ bos_token }}" + _EACH + "{% if message.role == 'assistant' %}"
    "{{ '<|assistant|>\\n' + message.content + eos_token + '\\n' }}"
    "{% else %}{{ '<|' + message.role + '|>\\n' + message.content + '\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)
# Olmo 3: its own system message where none is given.
OLMO3 = (
    "{% if messages[0].role != 'system' %}{{ '<|im_start|>system\\nYou are helpful.<|im_end|>\\n' }}{% endif %}"
    + _EACH
    + "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

PHI3 = (
    _EACH + "{{ '<|' + message.role + '|>\\n' + message.content + '<|end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% else %}{{ eos_token }}{% endif %}"
)

# The plain words of Phi 2 and of models older than chat; a system message is dropped without a word.
PLAIN = (
    _EACH + "{% if message.role == 'user' %}{{ 'Instruct: ' + message.content + '\\n' }}"
    "{% elif message.role == 'assistant' %}{{ 'Output: ' + message.content + eos_token + '\\n' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Output:' }}{% endif %}"
)
