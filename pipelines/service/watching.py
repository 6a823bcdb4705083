"""The versions in use, followed as their aliases move."""

import asyncio

from pipelines.errors import EvertuneError
from pipelines.service.standing import Models, Service
from pipelines.stores.champions import champion_in_use, shadow_in_use

LOOK_SECONDS = 1.0


async def follow(service: Service) -> None:
    """Look at the registry every second, until cancelled; requests go on meanwhile."""
    loop = asyncio.get_running_loop()
    while True:
        await loop.run_in_executor(service.shadower, look, service)
        await asyncio.sleep(LOOK_SECONDS)


def look(service: Service) -> None:
    """Take up the versions that the aliases name; where that fails those in use stay."""
    try:
        models = _models(service)
    except EvertuneError as error:
        service.complain(error)
        service.figures.failed_loads.inc()
        return
    service.models = models
    service.figures.model.clear()
    for alias, used in (("champion", models.champion), ("shadow", models.shadow)):
        if used is not None:
            service.figures.model.labels(used.version.number, alias).set(1)


def _models(service: Service) -> Models:
    store, before, params = service.store, service.models, service.params
    champion = champion_in_use(store, before.champion)
    if champion is None or not params.scoring.shadow:
        return Models(champion)
    shadow = shadow_in_use(
        store,
        before.shadow,
        beside=champion.version,
        now=service.clock(),
        days=params.monitoring.policy.shadow_days,
    )
    return Models(champion, shadow)
