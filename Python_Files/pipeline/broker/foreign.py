"""Records as other clients may send them, which this client cannot read or will not send as they are."""

from __future__ import annotations

from typing import Any

from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch

from pipeline.records import Headers


class _Escaping(bytearray):
    """Bytes whose pieces, decoded as text, show what is not UTF-8 escaped, such as ``\\xff``."""

    def __getitem__(self, which: Any) -> Any:
        piece = super().__getitem__(which)
        return piece if isinstance(piece, int) else _Escaping(piece)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return super().decode(encoding, "backslashreplace")


class Batch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch in which the name of a header may be any bytes.

    Neither the protocol nor the broker asks for UTF-8 there. The client's own batch does, and calls the whole batch
    corrupt otherwise: one such record of whatever producer would hold up its partition for ever. A good record costs
    one call more; from the first bad one on, its batch is read more slowly.
    """

    __slots__ = ()

    def _read_msg(self) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            # The position moves only at the end of a record, so the same one is read again.
            self._buffer: Any = _Escaping(self._buffer)  # type: ignore[misc]
            return super()._read_msg()


def read_any_header() -> None:
    """Let every consumer of this process read such batches."""
    memory_records.DefaultRecordBatch = Batch


def headers_of(record: Any) -> Headers:
    """A record's headers. Kafka has headers without a value; this client sends none, so they become empty."""
    return tuple((name, b"" if value is None else value) for name, value in record.headers)
