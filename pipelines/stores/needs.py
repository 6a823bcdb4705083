"""What of DVC's store is needed: by registered versions, and by projects as they stand."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines.core.locks import md5_at, named_in
from pipelines.stores.objects import with_contents
from pipelines.stores.pages import kept_file
from pipelines.stores.registry import Version, all_versions
from pipelines.stores.restoring import LOCK, PROJECT
from pipelines.stores.tracking import Store, client, told
from pipelines.stores.versions import pointer_files

TAG = "dvc."


def needed_by_folder(root: Path, *, objects: Path) -> frozenset[str]:
    """Return the md5s that the dvc.lock and the pointers of a project name.

    Parameters
    ----------
    root : Path
        The project's folder.
    objects : Path
        DVC's store, which tells what is in folders.
    """
    texts = [path.read_text(encoding="utf-8") for path in pointer_files(root)]
    return with_contents(objects, _named(texts))


def needed_by_versions(
    store: Store, *, objects: Path, pool: str
) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield every version in the registry with the md5s that it needs to be made again.

    Versions of all models are looked at, whichever folder they came from. Those that carry no md5
    of data were registered by something else and need nothing.

    Parameters
    ----------
    store : Store
    objects : Path
        DVC's store, which tells what is in folders.
    pool : str
        The path of the pool in a project: its models are fitted again, so they are not needed, but
        the list of them is.
    """
    for name in _model_names(store):
        own = replace(store, name=name)
        for version in all_versions(own):
            named = {md5 for tag, md5 in version.tags.items() if tag.startswith(TAG)}
            if named:
                texts = _texts(own, version)
                models = {md5_at(text, pool) for text in texts} - {None}
                every = named | _named(texts)
                yield f"{name} {version.number}", with_contents(objects, every - models) | every


def _texts(store: Store, version: Version) -> list[str]:
    with TemporaryDirectory() as beside:
        project = kept_file(store, version.run_id, name=PROJECT, folder=Path(beside))
        pointers = [] if project is None else [*project.glob(LOCK), *project.glob("*.dvc")]
        return [path.read_text(encoding="utf-8") for path in pointers]


def _named(texts: list[str]) -> frozenset[str]:
    return frozenset[str]().union(*(named_in(text) for text in texts))


@told
def _model_names(store: Store) -> tuple[str, ...]:
    known = client(store.address)
    names: list[str] = []
    page = known.search_registered_models()
    while True:
        names += [str(model.name) for model in page]
        if not page.token:
            return tuple(sorted(names))
        page = known.search_registered_models(page_token=page.token)
