"""Changes records on their way; the links of a chain."""

from collections.abc import Sequence

from millstream_api.config import C, Plugin
from millstream_api.records import R, RecordBatch

__all__ = ["Transformation"]


class Transformation(Plugin[C]):
    """Changes or drops one record at a time; a fast one whole batches, too.

    Its settings are those under `transforms.NAME.`, without that. One object a task. Source: Transformation.java.
    """

    def apply(self, record: R) -> R | None:
        """Give the record that goes on, made by `record.replace`; None drops it.

        Called once a record, in order, and again only after RetriableError, within `errors.retry.timeout`:
        it may keep state. Whatever else it raises is the record's failure: with `errors.tolerance=all` the
        record is skipped, else the task fails. On the task's thread. Source: Transformation.apply.
        """
        raise NotImplementedError(f"{type(self).__name__} must override apply")

    def apply_batch(self, batch: RecordBatch) -> Sequence[RecordBatch]:
        """Do what `apply` does to each row; used if overridden. `[]` drops all.

        Promises to be pure: no state, no effect, the batch untouched; when it raises, the same rows go to
        `apply` one by one. Rows keep their numbers: `batch.replace` and `batch.take`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no batch form")
