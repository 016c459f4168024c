"""An executor for one machine that lets the scheduler look for work when there is some, and rest when there is none."""

from __future__ import annotations

import time

from airflow.executors.local_executor import LocalExecutor

# After work the next look comes sooner: an asset that has arrived makes runs. Each look costs processor time that tasks
# need.
BUSY_PAUSE = 0.3
# An idle scheduler looks twice a second; a run that is started then waits for as long.
IDLE_PAUSE = 0.5
# How long after the last task was started or has ended the scheduler counts as busy.
BUSY_SECONDS = 2.0
_STEP = 0.01


class PromptLocalExecutor(LocalExecutor):
    """LocalExecutor, but the scheduler need not sleep to save processor time: this executor waits in its place.

    The scheduler sleeps between two looks for work (``scheduler_idle_sleep_time``), also when a task ends meanwhile. So
    a short sleep keeps an idle machine busy, and a long one delays each task of a chain. This executor, which the
    scheduler asks in each turn, returns as soon as a lone task has ended, and else after a pause that is short if there
    was work just now and long if not. Where several tasks run, what has ended is told in rounds, one short pause apart:
    the processor is better spent on the tasks. What runs, and how, is LocalExecutor's.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._last_work = 0.0
        self._handed_out = False

    def trigger_tasks(self, open_slots: int) -> None:
        """Hand queued tasks to the workers."""
        queued = len(self.queued_tasks)
        super().trigger_tasks(open_slots)
        self._handed_out = len(self.queued_tasks) < queued

    def sync(self) -> None:
        """Tell the scheduler which tasks have ended; if there are none, and none were handed out, wait for one.

        What ends meanwhile is told in the next turn. Were it told in this one, the scheduler would hear of an end
        without having looked at what happened since: a task that waited and goes on already would seem to be lost.
        """
        has_ended = not self.result_queue.empty()
        super().sync()
        if has_ended or self._handed_out:
            self._last_work = time.monotonic()
        else:
            self._pause()

    def _pause(self) -> None:
        if len(self.running) > 1:
            time.sleep(BUSY_PAUSE)
            return
        now = time.monotonic()
        end = now + (BUSY_PAUSE if now - self._last_work < BUSY_SECONDS else IDLE_PAUSE)
        while self.result_queue.empty() and time.monotonic() < end:
            time.sleep(_STEP)
