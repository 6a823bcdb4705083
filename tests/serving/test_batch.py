import pytest

from evertune.errors import ParamsError, StageError, TableError
from evertune.files import read_table
from evertune.models.persistence import load_model, predict_rows
from evertune.serving.batch import score
from tests.support.production import champion, day, log_of, project, rows

NOW = day(30)
CLASSES = ("no", "yes")
TABLE = rows(0, 2, a_day=30)


@pytest.fixture
def root(root):
    return project(root, batch_rows="25")


def logged(root):
    return log_of(root).read(classes=CLASSES, with_inputs=True)


def test_a_table_is_logged_and_handed_on_as_the_model_predicts_it(root, made):
    scored = score(root, now=NOW, table=TABLE)
    assert (scored.rows, scored.logged, scored.version) == (60, 60, "1")
    output, said = read_table(scored.output), predict_rows(load_model(made / "model"), TABLE)
    assert output["probability_yes"].tolist() == said.probabilities[:, 1].tolist()
    frame = logged(root).set_index("id").loc[output["prediction_id"]]
    assert frame["p_1"].tolist() == output["probability_yes"].tolist()
    assert frame["moment"].tolist() == TABLE["day"].tolist()


def test_a_table_that_is_scored_twice_is_logged_once_and_gives_the_same_file(root, made):
    first = score(root, now=NOW, table=TABLE)
    content = first.output.read_bytes()
    champion(root, made, identity="2", with_reference=False)
    second = score(root, now=NOW, table=TABLE.copy())
    assert (second.logged, second.version, len(logged(root))) == (0, "2", 60)
    assert second.output.read_bytes() == content


def test_what_was_scored_does_not_hold_what_is_predicted(root):
    score(root, now=NOW, table=TABLE)
    assert not logged(root)["inputs"].str.contains("left").any()


def test_a_csv_file_is_scored_as_the_same_rows_typed(root):
    TABLE.drop(columns="left").to_csv(root / "new.csv", index=False)
    typed = score(root, now=NOW, table=TABLE)
    project(root, source="new.csv")
    text = read_table(score(root, now=NOW).output)
    assert text["probability_yes"].tolist() == read_table(typed.output)["probability_yes"].tolist()


def test_a_table_with_faults_logs_nothing(root):
    faulty = TABLE.astype({"age": object})
    faulty.loc[59, "age"] = "old"
    with pytest.raises(TableError, match="1 of 60 cells are not numbers"):
        score(root, now=NOW, table=faulty)
    assert logged(root).empty


def test_an_empty_table_is_refused(root):
    with pytest.raises(TableError, match="0 rows"):
        score(root, now=NOW, table=TABLE.head(0))


def test_without_a_source_nothing_can_be_scored(root):
    with pytest.raises(ParamsError, match=r"scoring\.source is null"):
        score(root, now=NOW)


def test_without_a_champion_nothing_can_be_scored(tmp_path, state):
    assert state.parent == tmp_path
    with pytest.raises(StageError, match="has no champion to score with"):
        score(project(tmp_path), now=NOW, table=TABLE)
