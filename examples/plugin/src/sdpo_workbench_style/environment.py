"""The environment `style`: which words a program must use, and which it must avoid."""

from __future__ import annotations

from workbench.records import Judgement, Task
from workbench.tasks import Environment
from workbench.tasks.sandbox import SandboxResult


class Style(Environment):
    """Passes a text that has every word of `uses` and none of `avoids`; the reward is the share of what it keeps."""

    name = "style"
    label = "code style"
    needs = 'words to use, to avoid, or both, as {"uses": ["sorted"], "avoids": ["sum"]}'
    feedback_kinds = ("missing", "unwanted")

    def check(self, task: Task) -> None:
        """There is at least one word, and all are text."""
        words = [*task.answer.get("uses", ()), *task.answer.get("avoids", ())]
        self.require(bool(words) and all(isinstance(word, str) and word for word in words))

    def verdict(self, task: Task, text: str, result: SandboxResult | None) -> Judgement:
        """Nothing is run: the text is read."""
        uses, avoids = task.answer.get("uses", ()), task.answer.get("avoids", ())
        missing = [word for word in uses if word not in text]
        unwanted = [word for word in avoids if word in text]
        feedback = self.feedback(
            task,
            missing="" if not missing else f"Use {', '.join(missing)}.",
            unwanted="" if not unwanted else f"Do not use {', '.join(unwanted)}.",
        )
        kept = 1 - (len(missing) + len(unwanted)) / (len(uses) + len(avoids))
        return self.judgement(kept == 1, feedback, reward=kept, missing=missing, unwanted=unwanted)
