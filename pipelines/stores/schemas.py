"""What the columns and classes of the model in use are."""

from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.core.schema import Schema
from pipelines.errors import StageError
from pipelines.stores.files import read_record
from pipelines.stores.models import Card
from pipelines.stores.registry import champion, download_model
from pipelines.stores.tracking import Store


def champion_schema(store: Store) -> Schema:
    """Return the schema of the champion.

    Raises
    ------
    StageError
        Where there is no champion yet.
    """
    version = champion(store)
    if version is None:
        raise StageError(
            f"{store.name} has no champion yet; run `evertune train`, which makes the first one."
        )
    with TemporaryDirectory() as folder:
        model = download_model(store, version, folder=Path(folder))
        return read_record(model / "model.json", Card).schema
