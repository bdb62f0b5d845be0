"""The embedded policy's tokenizer: byte-level BPE in which a piece is a word, a number, a sign or a line break.

One piece carries one meaning, so a heatmap has one colour per meaningful piece. Trained on the corpus.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from workbench.embedded.corpus import Corpus

PAD, END, SYSTEM, USER, ASSISTANT = "<|pad|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"
VOCABULARY = 1280
CONTEXT = 1024

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    "{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}"
    "{%- endfor -%}"
    "{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}"
)

# A slice, whole: taking from the wrong end is one wrong token, not two of which the second follows from the first |
# a line break with its indent | a word with the space before it | a number with its sign, and the comma or space before
# it: one piece per element of a list | signs with the spaces around them.
PIECES = r"\[-?[0-9]*:-?[0-9]*\]|\n+[ ]*| ?[A-Za-z_]+|,? ?-?[0-9]{1,2}| ?(?:(?!-[0-9]|, ?-?[0-9])[^\sA-Za-z0-9_])+ ?|\s"
SMALLEST, LARGEST = -24, 60  # numbers that become one piece each, as stages make them from inputs of 0 to 9


def train_tokenizer(examples: int = 6_000, seed: int = 0) -> PreTrainedTokenizerFast:
    """A tokenizer with a chat template, trained on `examples` corpus pairs."""
    corpus = Corpus(seed)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[PAD, END, SYSTEM, USER, ASSISTANT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    plain = [f"{before}{n}" for before in ("[", " ", ", ") for n in range(SMALLEST, LARGEST + 1)]
    slices = [form.format(k) for form in ("[:{}]", "[-{}:]", "[{}:]", "[:-{}]") for k in range(1, 10)]
    numbers = ["x".join(plain + slices)] * 100  # often enough that each becomes one piece
    texts = (text for _ in range(examples) for example in [corpus.draw()] for text in (example.prompt, example.answer))
    tokenizer.train_from_iterator([*numbers, *texts], trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=END,
        additional_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
    fast.chat_template = CHAT_TEMPLATE
    return fast


if __name__ == "__main__":
    train_tokenizer().save_pretrained(Path(__file__).parent / "weights")
