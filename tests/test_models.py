import pytest

from evertune.errors import InputError
from evertune.registry import versions
from evertune.registry.mlflow_client import open_tracking_store
from evertune.registry.overview import list_models
from tests import production

pytestmark = pytest.mark.slow
TAGS = {
    "1": {"dvc.source": "aaaa1111", "dvc.absorbed": "eeee0000", "figure.roc_auc": "0.91"},
    "2": {"dvc.source": "aaaa2222", "dvc.absorbed": "eeee0000", "evertune.mode": "refit"},
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return production.learned(tmp_path_factory.mktemp("made"))


@pytest.fixture
def root(tmp_path, made, state):
    production.project(tmp_path)
    for number, tags in TAGS.items():
        production.champion(tmp_path, made, identity=number)
        versions.tag_version(open_tracking_store(state, "churn"), number, tags)
    return tmp_path


def numbers(root, used):
    return [each.number for each in list_models(root, used=used)]


def test_versions_are_listed_the_newest_first_with_their_aliases(root):
    newest, oldest = list_models(root)
    assert (newest.number, newest.aliases, newest.mode) == ("2", ("champion",), "refit")
    assert (oldest.number, oldest.aliases, oldest.figure) == ("1", ("previous",), "0.91")


def test_a_run_without_a_plan_tells_no_mode(root):
    assert list_models(root)[1].mode is None


@pytest.mark.parametrize(
    ("used", "found"), [("aaaa1", ["1"]), ("AAAA2222", ["2"]), ("eeee", ["2", "1"])]
)
def test_the_beginning_of_a_hash_tells_who_learned_from_it(root, used, found):
    assert numbers(root, used) == found


def test_a_beginning_of_several_hashes_is_refused_with_all_of_them(root):
    with pytest.raises(InputError, match="aaaa1111, aaaa2222 all begin with aaaa; give more of it"):
        list_models(root, used="aaaa")


@pytest.mark.parametrize("used", ["ffff", "aaa", ""])
def test_a_hash_that_no_version_learned_from_or_that_says_too_little_is_refused(root, used):
    with pytest.raises(InputError, match="at least 4 characters of it, but got"):
        list_models(root, used=used)


def test_a_project_without_versions_has_none(tmp_path, state):
    production.project(tmp_path)
    assert state.exists()
    assert list_models(tmp_path) == ()
