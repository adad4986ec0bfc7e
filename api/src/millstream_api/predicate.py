"""Says which records a transformation is for."""

from collections.abc import Sequence

from millstream_api.config import C, Plugin
from millstream_api.records import Record, RecordBatch

__all__ = ["Predicate"]


class Predicate(Plugin[C]):
    """Answers yes or no to a record; a fast one to whole batches, too.

    Its settings are those under `predicates.NAME.`, without that. One object a task, for all its transformations.
    Source: Predicate.java.
    """

    def test(self, record: Record) -> bool:
        """Say whether it is so. Called once a record, in order, and again only after RetriableError.

        What it raises is the record's failure, as in `Transformation.apply`. Source: Predicate.test.
        """
        raise NotImplementedError(f"{type(self).__name__} must override test")

    def test_batch(self, batch: RecordBatch) -> bool | Sequence[bool]:
        """Say what `test` says of each row; one bool: of all rows. Used if overridden.

        Promises to be pure; when it raises, the same rows go to `test` one by one.
        """
        raise NotImplementedError(f"{type(self).__name__} has no batch form")
