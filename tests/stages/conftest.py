"""What the tests of stages share: the places of a project, and stages that are its own files."""

import pandas as pd
import pytest

from evertune.config.schema import PathsSection
from evertune.files import write_record, write_table
from evertune.plan import Plan


@pytest.fixture(scope="session")
def make_paths():
    """Return a function that makes a project with a plan to tune and no rows of production."""

    def make(root):
        (root / "params.yaml").touch()
        fields = PathsSection.model_fields.items()
        paths = PathsSection(**{field.alias or name: root / name for name, field in fields})
        write_record(paths.plan, Plan())
        nothing = pd.DataFrame({"moment": pd.Series(dtype="datetime64[us]")})
        write_table(paths.production_labels, nothing)
        return paths

    return make


@pytest.fixture
def paths(tmp_path, make_paths):
    """Return the places of a project with a plan to tune, and no rows of production."""
    return make_paths(tmp_path)
