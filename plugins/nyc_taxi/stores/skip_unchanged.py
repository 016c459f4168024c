"""Skips a run whose month is unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.branch import BranchMixIn
from airflow.sdk import BaseOperator

from nyc_taxi.common.skip import SKIP_REASON, skip
from nyc_taxi.registry.datasets import published_file
from nyc_taxi.registry.model import PublishedFile
from nyc_taxi.stores import connect

if TYPE_CHECKING:
    from airflow.sdk import Context


class SkipUnchangedOperator(BaseOperator, BranchMixIn):
    """Skip the rest of the run if the store already has the month, made from the input that the run would load.

    The store notes when the source had the month, so that a run that was stopped with an older download does not
    replace it later. The data stay as they are. A retry asks the stores again. A task that somebody clears skips
    nothing: who clears the run of a month wants it loaded again.

    Args:
        store: name of the store that the run loads (templated).
        made_from: what the run would make the month from, in the form of ``StoredMonth.made_from``. If it is empty,
            that is unknown, and nothing is skipped (templated). Leave it out if you set ``loaded_from``.
        seen_at: a time at which the source had what ``made_from`` says, in ISO 8601; empty if unknown (templated).
        loaded_from: name of the store that the run reads from; its revision of the month replaces ``made_from``
            (templated).
        unchanged_task_id: id of the direct downstream task that runs instead of the others if the month is unchanged
            (templated). Without it, this task and all that follow it end as skipped.
        dataset: name of the dataset in the registry (templated).
        month: the month, ``YYYY-MM``; empty for a dataset without months (templated).
        force: ``True`` to load the month even if it is unchanged (templated).

    Raises:
        AirflowSkipException: the month is unchanged, and ``unchanged_task_id`` is not set. The reason says what the
            month was made from. With ``unchanged_task_id``, the reason is in the log and in the XCom ``skip_reason``.
        MissingMonthError: the store to load from lacks the month. A retry would fail the same way.
    """

    template_fields: Sequence[str] = (
        "store",
        "made_from",
        "seen_at",
        "loaded_from",
        "unchanged_task_id",
        "dataset",
        "month",
        "force",
    )
    ui_color = "#f2f2f2"
    # Tells the scheduler that this task can skip others: a skipped task that is cleared alone is skipped again.
    inherits_from_skipmixin = True

    def __init__(
        self,
        *,
        store: str,
        made_from: str = "",
        seen_at: str = "",
        loaded_from: str | None = None,
        unchanged_task_id: str | None = None,
        dataset: str = "{{ dataset.name }}",
        month: str = "{{ file().month or '' }}",
        force: str = "{{ params.force }}",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.made_from = made_from
        self.seen_at = seen_at
        self.loaded_from = loaded_from
        self.unchanged_task_id = unchanged_task_id
        self.dataset = dataset
        self.month = month
        self.force = force

    def execute(self, context: Context) -> None:
        file = published_file(self.dataset, self.month)
        reason = self._unchanged(file, force=self.force == "True" or self._was_cleared(context))
        if self.unchanged_task_id is None:
            if reason:
                skip(context["ti"], reason)
            return
        if reason:
            self.log.info(reason)
            context["ti"].xcom_push(key=SKIP_REASON, value=reason)
            self.do_branch(context, self.unchanged_task_id)
        else:
            self.do_branch(context, sorted(self.downstream_task_ids - {self.unchanged_task_id}))

    def _was_cleared(self, context: Context) -> bool:
        """Return whether somebody cleared the task."""
        # Airflow gives a task that is cleared all its retries anew, in addition to the tries that it has had.
        if context["ti"].max_tries <= (self.retries or 0):
            return False
        self.log.info("The task was cleared, so the month is loaded again, unchanged or not")
        return True

    def _unchanged(self, file: PublishedFile, *, force: bool) -> str | None:
        """Return why the month does not have to be loaded; None if it does."""
        made_from = connect(self.loaded_from).get(file).revision if self.loaded_from else self.made_from
        if not made_from or force:
            return None
        store = connect(self.store)
        stored = store.find(file)
        if stored is None or stored.made_from != made_from:
            return None
        if self.seen_at and not store.confirm(file, stored, datetime.fromisoformat(self.seen_at)):
            self.log.info("%s was unchanged, and has just been replaced, so it is loaded", store.location(file))
            return None
        return f"{store.location(file)} is unchanged: it was made from {made_from}. Set force to load it again."
