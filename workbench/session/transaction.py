"""Transactions: policy and log change together or not at all. Knows nothing of what is changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from workbench.errors import RunError, UpdateError
from workbench.policy import Policy
from workbench.policy.devices import ran_out_of_memory
from workbench.policy.memory import free_bytes, gigabytes
from workbench.runs import Run


@contextmanager
def transaction(policy: Policy, run: Run) -> Iterator[None]:
    """Guard a block that changes the policy and ends by committing the event that moves the head.

    Whatever the block raises, the policy is bit for bit what it was, unless the event is in the log: an interrupt that
    arrives after the commit does not take it back. A device without memory is an UpdateError.
    """
    before, head = policy.state(), run.head
    try:
        yield
    except BaseException as error:
        if not _has_moved(run, head):
            policy.load_state(before)
        if ran_out_of_memory(error):
            free = free_bytes(policy.device)
            left = "" if free is None else f" ({gigabytes(free)} are free now)"
            raise UpdateError(
                f"Memory ran out on {policy.device}{left}; use fewer or shorter attempts, quantization 'nf4' or a "
                "smaller model. The policy is unchanged."
            ) from error
        raise


def _has_moved(run: Run, head: str) -> bool:
    try:
        return run.head != head
    except RunError:  # a log that cannot be read has not taken anything either
        return False
