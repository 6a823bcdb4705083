"""The aliases of a model's versions: champion, challenger and previous."""

from collections.abc import Mapping
from typing import Any

from pipelines.errors import BusyError
from pipelines.stores.tracking import Store, client, told

ALIASES = ("previous", "champion", "challenger")  # in the order in which they move


@told
def aliases(store: Store) -> dict[str, str]:
    """Return the version that has each of our aliases; those that a user gave are left out."""
    found = named_aliases(client(store.address), store.name)
    return {alias: found[alias] for alias in ALIASES if alias in found}


@told
def move_aliases(store: Store, *, before: Mapping[str, str], after: Mapping[str, str]) -> None:
    """Bring the aliases from how they were when it was decided to how they shall be.

    Half-way moved aliases are brought to the same end.

    Raises
    ------
    BusyError
        Another version has become champion in the meantime; nothing is moved.
    """
    known = client(store.address)
    standing = named_aliases(known, store.name)
    champion = standing.get("champion")
    if champion not in (before.get("champion"), after.get("champion")):
        raise BusyError(
            f"expected {_named(before.get('champion'))} of {store.name} to be champion, but it is"
            f" {_named(champion)} now; nothing was changed: run again, with that one as champion"
        )
    for alias in ALIASES:
        wanted = after.get(alias)
        if wanted is None and alias in standing:
            known.delete_registered_model_alias(store.name, alias)
        elif wanted is not None and wanted != standing.get(alias):
            known.set_registered_model_alias(store.name, alias, wanted)


def named_aliases(known: Any, name: str) -> dict[str, str]:
    """Return every alias of a registered model; to be called in a function that is `told`."""
    if not known.search_registered_models(f"name = '{name}'"):
        return {}
    return {alias: str(n) for alias, n in known.get_registered_model(name).aliases.items()}


def _named(version: str | None) -> str:
    return "no version" if version is None else f"version {version}"
