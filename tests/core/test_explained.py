import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier

from evertune.evaluation.phases import count_parameters, count_predictor_parameters
from evertune.models.model import Ensemble, EnsembleMember, FittedPipeline
from evertune.trials import Configuration

X = np.array([[0.0, 1.0], [1.0, 0.0], [2.0, 1.0], [3.0, 0.0]])
Y = np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("predictor", "expected"),
    [
        (LogisticRegression(), 3),
        (GaussianNB(), 10),
        (DecisionTreeClassifier(), 2),
        (DummyClassifier(), 2),
    ],
)
def test_the_numbers_of_a_simple_model_are_counted(predictor, expected):
    assert count_predictor_parameters(predictor.fit(X, Y)) == expected


def test_the_leaves_of_all_trees_are_counted():
    forest = RandomForestClassifier(3, bootstrap=False, random_state=0).fit(X, Y)
    assert count_predictor_parameters(forest) == sum(
        tree.get_n_leaves() for tree in forest.estimators_
    )


def test_nothing_is_said_of_a_predictor_that_is_not_known():
    assert count_predictor_parameters(object()) is None


def test_a_member_counts_as_often_as_it_has_models():
    fitted = FittedPipeline(None, LogisticRegression().fit(X, Y))
    member = EnsembleMember(Configuration("linear"), 1.0, (fitted, fitted), (None, None))
    assert count_parameters(Ensemble((member,))) == 6
    assert count_parameters(fitted) == 3
