import pytest

from evertune.config.loader import load_params
from evertune.config.yaml_file import edit_section
from evertune.errors import StageError
from evertune.orchestration.rerun_stages import (
    main,
    rerun_stages_in_subprocess,
    without_time_limits,
)
from evertune.stages.rebuild import AMPLE_SECONDS
from tests.support import production


def test_no_clock_ends_a_fit_and_no_search_judges_the_search(tmp_path):
    production.project(tmp_path, nested="true")
    params = without_time_limits(load_params(tmp_path))
    assert (params.fit.budget_seconds, params.evaluation.nested) == (AMPLE_SECONDS, False)


def test_a_fit_that_had_no_deadline_gets_none(tmp_path):
    production.project(tmp_path)
    edit_section(tmp_path / "params.yaml", "fit", {"budget_seconds": None})
    assert without_time_limits(load_params(tmp_path)).fit.budget_seconds is None


def test_a_failure_is_one_line_and_an_exit_code(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(production.project(tmp_path))
    assert main() == 2
    assert (
        "source.parquet does not exist; `evertune train` makes what a step needs"
        in capsys.readouterr().err
    )


@pytest.mark.slow
def test_a_folder_whose_stages_cannot_run_is_named_with_the_last_line(tmp_path):
    with pytest.raises(StageError, match=r"run the stages in .*params\.yaml cannot be read"):
        rerun_stages_in_subprocess(tmp_path)
