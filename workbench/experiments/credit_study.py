"""The study of credit: where it lands, by teacher context, view and teacher, against baselines; and whether changing
the token agrees.

The arm "views" scores programs with one wrong stage in the policy's present state, where all teachers are one. An arm
"teacher NAME" first learns some rounds under that teacher and then scores with it. The arm "causal" takes failed
attempts in fresh houses and puts the teacher's alternative in the place of tokens (`Session.test_credit`): does the
pass rate change where the credit says so? Knows nothing of pages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from threading import Event
from typing import Any

from workbench.config import SDPOConfig
from workbench.credit import TokenCredit
from workbench.credit.contexts import Contexts
from workbench.errors import NoSignalError, TaskError, UpdateError
from workbench.experiments.arms import methods
from workbench.experiments.journal import Journal, Point
from workbench.experiments.localise import DRAWN, EVERY_KIND, OneWrong, draw_one_wrong, locate
from workbench.experiments.settings import LEARN_DEFAULTS, TEACHERS, CreditStudySettings
from workbench.records import Attempt
from workbench.session import Session
from workbench.tasks.house_rules.pack import DEFAULT_KIND, PACK, house_tasks, pack_name
from workbench.tasks.house_rules.world import House

BLAMED = ("raw", "centred", "control", "control_wrong", "contrastive")  # views whose negative numbers blame
SUSPECT = ("divergence", "jsd", "entropy_teacher", "entropy_student")  # views whose large numbers do
FIRST_HOUSE = 400_000  # of the causal tests and the learning rounds


def study_credit(
    session: Session,
    settings: CreditStudySettings | None = None,
    *,
    pack: str = PACK,
    seed: int = 0,
    name: str | None = None,
    stop: Event | None = None,
) -> Iterator[Point]:
    """Study where credit lands, by teacher context, view and teacher, and whether exchanging the token agrees.

    Yields the points of all arms; the policy is afterwards what it was before. Raises TaskError for another `pack` than
    house rules, from whose fresh houses it draws: only they say which tokens are wrong.
    """
    check_known_truth(pack)
    settings = settings or CreditStudySettings()
    journal = Journal(session, name, asdict(settings), kind="credit", seed=seed, stop=stop)
    taught = [_Taught(journal, seed, settings, teacher) for teacher in TEACHERS]
    arms: list[_Views | _Causal] = [_Views(journal, seed, settings.programs), *taught, _Causal(journal, seed, settings)]
    with journal:
        for arm in arms:
            yield from journal.run_arm(arm.name, 100_000, arm.step)
            if journal.stop.is_set():
                return


def check_known_truth(pack: str) -> None:
    """Raise TaskError for a pack whose tasks do not say which tokens of an attempt are wrong."""
    if pack != PACK:
        raise TaskError(
            f"The study of credit needs tasks whose wrong tokens are known, as in fresh houses of {PACK}; {pack!r} "
            "does not name them: leave out the pack."
        )


class _Views:
    """Programs with one wrong stage, read in every way."""

    name = "views"

    def __init__(self, journal: Journal, seed: int, programs: int) -> None:
        self.journal, self.session, self.seed, self.programs = journal, journal.session, seed, programs
        self.config = SDPOConfig()
        self.contexts: Contexts = "all"

    def step(self, step: int) -> dict[str, Any]:
        """Score as many programs as one batch of attempts gives."""
        left = self.programs - sum(len(point.data["programs"]) for point in self.journal.points(self.name))
        generator = random.Random(f"credit {self.seed} {step}")
        programs: list[dict[str, Any]] = []
        for case in draw_one_wrong(self.session, generator, min(DRAWN, 2 * left + 1)):
            if len(programs) < left and not self.journal.stop.is_set():
                programs.append({kind: self._scores(case, kind, generator) for kind in EVERY_KIND})
        return {"programs": programs, "done": len(programs) >= left}

    def _scores(self, case: OneWrong, kind: str, generator: random.Random) -> dict[str, dict[str, float]]:
        wrong, choices = case.wrong(self.session), case.choices(self.session)
        evidence = case.evidence(kind)
        credit = self.session.what_if(case.attempt, **evidence, config=self.config, contexts=self.contexts)
        return {
            name: asdict(locate(blame[: len(wrong)], wrong, choices))
            for name, blame in self._blames(credit, generator).items()
        }

    def _blames(self, credit: TokenCredit, generator: random.Random) -> dict[str, list[float]]:
        readable = credit.views()
        blames = {name: [-value for value in credit.view(name)] for name in BLAMED if name in readable}
        blames |= {name: list(credit.view(name)) for name in SUSPECT if name in readable}
        blames["grpo"] = [0.0] * len(credit.token_ids)  # the same number for every token of an attempt
        blames["random"] = [generator.random() for _ in credit.token_ids]
        blames["low probability"] = [-value for value in credit.contexts["student"]]
        return blames


class _Taught(_Views):
    """Raw credit under one teacher, after it has taught."""

    def __init__(self, journal: Journal, seed: int, settings: CreditStudySettings, teacher: str) -> None:
        super().__init__(journal, seed, settings.programs_per_teacher)
        self.name = f"teacher {teacher}"
        self.rounds = settings.rounds
        (arm,) = methods(SDPOConfig(teacher=teacher), ("sdpo",))  # type: ignore[arg-type]  # it checks itself
        self.config = arm.config
        self.contexts = ()
        self.tasks = house_tasks(_pack(seed), LEARN_DEFAULTS.questions * settings.rounds, held_out=False, seed=1 + seed)

    def step(self, step: int) -> dict[str, Any]:
        """Make the rounds of learning first, then score programs."""
        if step >= self.rounds:
            return super().step(step)
        questions = LEARN_DEFAULTS.questions
        tasks = self.tasks[questions * step : questions * (step + 1)]
        group = self.session.attempt_many(tasks, LEARN_DEFAULTS.attempts, stop=self.journal.stop)
        learned = _update(self.session, group, self.config, self.journal.stop)
        return {"programs": [], "learned": learned}

    def _blames(self, credit: TokenCredit, generator: random.Random) -> dict[str, list[float]]:
        return {"raw": [-value for value in credit.view("raw")]}


class _Causal:
    """Failed attempts in fresh houses; of each, the two most blamed tokens and two others are exchanged."""

    name = "causal"

    def __init__(self, journal: Journal, seed: int, settings: CreditStudySettings) -> None:
        self.journal, self.session, self.seed, self.settings = journal, journal.session, seed, settings
        self.config = replace(SDPOConfig(), use_demonstrations=False)

    def step(self, step: int) -> dict[str, Any]:
        """Exchange tokens of the first failed attempt at one task, if there is one."""
        tested = sum(bool(point.data["exchanged"]) for point in self.journal.points(self.name))
        generator = random.Random(f"causal {self.seed} {step}")
        (task,) = house_tasks(_pack(self.seed, 1 + step), 1, held_out=True, stages=(1 + step % 3,))
        attempts = self.session.attempt(task, 8, stop=self.journal.stop)
        failed = next(
            (attempt for attempt in attempts if not attempt.passed and attempt.finished and attempt.feedback), None
        )
        if failed is None or self.journal.stop.is_set():
            return {"exchanged": []}
        credit = self.session.credit(failed, self.config)
        body = [place for place, i in enumerate(failed.token_ids) if i not in self.session.policy.eos_ids]
        raw = credit.view("raw")
        order = sorted(body, key=lambda place: raw[place])
        chosen = [*order[:2], *generator.sample(order[2:], min(2, len(order[2:])))]
        exchanged = []
        for place in chosen:
            if not self.journal.stop.is_set():
                exchanged.append(self._exchanged(failed, credit, place))
        return {"exchanged": exchanged, "done": tested + 1 >= self.settings.tests}

    def _exchanged(self, attempt: Attempt, credit: TokenCredit, place: int) -> dict[str, Any]:
        sampled_id = credit.token_ids[place]
        other = max(
            (token for token in credit.top(place) if token.id != sampled_id), key=lambda token: token.teacher_logp
        )
        n = self.settings.continuations
        test = self.session.test_credit(attempt, place, other.id, n)
        gain = other.teacher_logp - other.student_logp - credit.view("raw")[place]
        return {"credit": credit.view("raw")[place], "gain": gain, "change": test.change}


def _pack(seed: int, number: int = 0) -> str:
    return pack_name(House(FIRST_HOUSE + 10_000 * seed + number), DEFAULT_KIND)


def _update(session: Session, attempts: Sequence[Attempt], config: SDPOConfig, stop: Event) -> bool:
    try:
        session.update(attempts, config, stop=stop)
    except (NoSignalError, UpdateError):
        return False
    return True
