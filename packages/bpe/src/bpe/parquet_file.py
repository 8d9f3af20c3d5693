"""Read the texts in one column of a Parquet file, through pyarrow (`bpe[parquet]`)."""

from collections.abc import Iterator
from typing import Any

from bpe.byte_stream import DamagedFileError, import_extra, open_stored
from bpe.document_file import DocumentFile, no_column

# Read at a time.
_ROWS = 1 << 10


class ParquetFile(DocumentFile):
    """The texts in one column."""

    def __iter__(self) -> Iterator[str]:
        arrow = import_extra("pyarrow", self.path)
        parquet = import_extra("pyarrow.parquet", self.path)
        file, size = open_stored(self.path)
        with file:
            try:
                rows = parquet.ParquetFile(file)
                self._check_column(arrow, rows.schema_arrow)
                num_rows = 0
                for batch in rows.iter_batches(batch_size=_ROWS, columns=[self.column]):
                    yield from self._texts(arrow, batch.column(0), num_rows)
                    num_rows += len(batch)
                    self.advance(size * num_rows // rows.metadata.num_rows, size)
            except (arrow.ArrowException, OSError) as error:
                if isinstance(error, OSError) and error.errno is not None:
                    raise
                reason = " ".join(str(error).split())
                raise DamagedFileError(
                    f"{self.path}: damaged, or not Parquet: {reason:.160}"
                ) from None
        self.advance(size, size)

    def _check_column(self, arrow: Any, schema: Any) -> None:
        if self.column not in schema.names:
            raise ValueError(f"{self.path}: {no_column(self.column, schema.names)}")
        kind = schema.field(self.column).type
        if arrow.types.is_dictionary(kind):
            kind = kind.value_type
        types = arrow.types
        if not (types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)):
            raise ValueError(
                f"{self.path}, row 1: {self.column!r} is {kind}, not a string, as in all rows"
            )

    def _texts(self, arrow: Any, column: Any, num_rows: int) -> Iterator[str]:
        if arrow.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        # As bytes: pyarrow does not say in which row something is not UTF-8.
        values = column.cast(arrow.large_binary()).to_pylist()
        for row, value in enumerate(values, start=num_rows + 1):
            if value is None:
                raise ValueError(f"{self.path}, row {row:,}: {self.column!r} is null, not a string")
            self.num_bytes += len(value)
            yield self._decode(value, f"row {row:,}")
