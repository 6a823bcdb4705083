from tests.stores.conftest import address, log, postgresql

__all__ = ["address", "log", "postgresql"]
