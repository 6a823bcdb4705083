from pathlib import Path

import pandas as pd
import pytest

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.errors import TableError
from evertune.files import read_table
from evertune.simulation.replay import ROW_NAME, ReplayProject, create_replay_project
from evertune.times import to_naive_timestamp
from tests.support.planted import TARGET, TIME, planted
from tests.support.projects import copied_project

CASE = planted("quiet", rows_a_day=4)


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> ReplayProject:
    """Return what is made of the table; to be read only."""
    return made(with_table(tmp_path_factory.mktemp("made")))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return with_table(tmp_path)


def with_table(folder: Path) -> Path:
    root = copied_project(folder / "project")
    CASE.table.sample(frac=1, random_state=0).to_csv(root / "quiet.csv", index=False)
    return root


def made(root: Path, **columns) -> ReplayProject:
    file, folder = root / "quiet.csv", root / "state" / "replay" / "quiet"
    columns = {"time": TIME, "target": TARGET} | columns
    return create_replay_project(root, folder, file=file, **columns)


def test_the_first_three_fifths_of_time_are_learned_from(found):
    assert abs(to_naive_timestamp(found.start) - CASE.start) < pd.Timedelta(days=1)
    assert len(found.learned) + len(found.played) == len(CASE.table)


def test_rows_are_played_in_the_order_of_time_each_with_a_name(found):
    assert found.moments.is_monotonic_increasing
    assert found.played[ROW_NAME].is_unique


def test_the_project_that_is_made_holds_only_what_is_learned_from(found):
    learned = read_table(found.root / load_params(found.root).data.source)
    assert learned[ROW_NAME].tolist() == found.learned[ROW_NAME].tolist()


def test_an_identifier_of_the_table_is_no_feature(project):
    named = {"source": "quiet.csv", "identifier": "age", "target": TARGET, "time": TIME}
    edit_section(project / "params.yaml", "data", named | {"positive": "auto"})
    found = create_replay_project(project, project / "played")
    data = load_params(found.root).data
    assert (data.identifier, data.ignore) == (ROW_NAME, ("age",))


def test_it_searches_little_and_scores_by_no_schedule(found):
    params = load_params(found.root)
    assert params.search.budget_trials == 8
    assert params.scoring.cron is None


def test_an_older_project_in_its_place_is_removed_and_the_own_one_stays(project):
    before = (project / "params.yaml").read_bytes()
    (made(project).root / "old.txt").write_text("old")
    assert not (made(project).root / "old.txt").exists()
    assert (project / "params.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("roles", "words"),
    [
        ({"time": "att"}, "expected a column for --time, but got 'att'. Did you mean 'at'"),
        ({"target": "gone"}, "expected a column for --target, but got 'gone'"),
        ({"time": "region"}, "expected a date in every row of 'region', but 1000 of 1000"),
    ],
)
def test_a_table_that_cannot_be_played_is_refused(project, roles, words):
    CASE.table.head(1000).to_csv(project / "quiet.csv", index=False)
    with pytest.raises(TableError) as refusal:
        made(project, **roles)
    assert words in str(refusal.value)


def test_too_few_rows_to_play_are_refused(project):
    CASE.table.head(120).to_csv(project / "quiet.csv", index=False)
    with pytest.raises(TableError, match="at least 100 rows to learn from and as many to"):
        made(project)
