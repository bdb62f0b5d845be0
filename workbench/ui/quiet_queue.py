"""Gradio's request queue, made to sleep while it is empty.

Gradio 6 looks for a new request a thousand times a second and for progress to report a hundred times: about 5 % of a
core in a server that nobody uses. Here both loops wait to be woken. Gradio's own methods still decide which request
begins, in which order, and how many run at once. `tests/test_quiet_queue.py` fails when Gradio changes what this
module replaces.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

import gradio as gr
from gradio.queueing import Queue
from gradio.utils import run_coro_in_background, set_task_name


class QuietQueue(Queue):
    """Queue that wakes when a request joins or ends, when a handler reports progress, and when it is closed.

    Only `close` and `set_progress` may be called outside the server's event loop.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._work, self._progress = asyncio.Event(), asyncio.Event()

    def start(self) -> None:
        """Start both loops in the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._work, self._progress = asyncio.Event(), asyncio.Event()
        super().start()

    def close(self) -> None:
        """Stop both loops."""
        super().close()
        self._wake(self._work)
        self._wake(self._progress)

    async def push(self, *args: Any, **kwargs: Any) -> Any:
        """Add a request, as Gradio does, and wake the queue."""
        try:
            return await super().push(*args, **kwargs)
        finally:
            self._work.set()

    async def process_events(self, *args: Any, **kwargs: Any) -> None:
        """Run a request, as Gradio does, and wake the queue: a slot is free."""
        try:
            await super().process_events(*args, **kwargs)
        finally:
            self._work.set()

    def set_progress(self, *args: Any, **kwargs: Any) -> None:
        """Note the progress of a request, as Gradio does, and wake the loop that sends it."""
        super().set_progress(*args, **kwargs)
        self._wake(self._progress)

    async def start_processing(self) -> None:
        """Begin requests as they join and as slots become free, until the queue is closed."""
        try:
            while not self.stopped:
                self._work.clear()  # before reading the queue: a request that joins from here on wakes it again
                while len(self) and None in self.active_jobs and await self._begin_next():
                    pass
                await self._work.wait()
        finally:
            self.stopped = True
            self._cancel_asyncio_tasks()

    async def _begin_next(self) -> bool:
        """Begin the request or batch whose turn it is; False where every request waits for another one to end."""
        async with self.delete_lock:
            turn = self.get_events()
        if turn is None:
            return False
        events, batch, concurrency_id = turn
        fn, started = events[0].fn, time.time()
        self.active_jobs[self.active_jobs.index(None)] = events
        line = self.event_queue_per_concurrency_id[concurrency_id]
        line.current_concurrency += 1
        line.start_times_per_fn[fn].add(started)
        for event in events:
            if (record := self.event_analytics.get(event._id)) is not None:
                record["status"] = "processing"
        task = run_coro_in_background(self.process_events, events, batch, started, fn)
        set_task_name(task, events[0].session_hash, fn._id, events[0]._id, batch)  # by which it can be cancelled
        self._asyncio_tasks.add(task)
        task.add_done_callback(self._asyncio_tasks.discard)
        if self.live_updates:
            self.broadcast_estimations(concurrency_id)
        return True

    async def start_progress_updates(self) -> None:
        """Send the latest progress of each running request, at most a hundred times a second."""
        while not self.stopped:
            await self._progress.wait()
            self._progress.clear()
            for event in [event for job in self.active_jobs if job is not None for event in job]:
                if event.progress_pending and event.progress:
                    event.progress_pending = False
                    self.send_message(event, event.progress)
            await asyncio.sleep(self.progress_update_sleep_when_free)

    def _wake(self, sleeper: asyncio.Event) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(sleeper.set)


def quieten(page: gr.Blocks, max_size: int) -> None:
    """Give a page that is not launched yet a quiet queue for `max_size` waiting requests, without a default limit."""
    page.queue(max_size=max_size, default_concurrency_limit=None)
    default = page._queue
    page._queue = QuietQueue(
        live_updates=default.live_updates,
        concurrency_count=default.max_thread_count,
        update_intervals=default.update_intervals,
        max_size=default.max_size,
        blocks=page,
        default_concurrency_limit=default.default_concurrency_limit,
    )
