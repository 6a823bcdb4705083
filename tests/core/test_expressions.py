import numpy as np
import pandas as pd
import pytest

from evertune.evaluation.heuristics import evaluate_expression

TABLE = pd.DataFrame(
    {
        "tenure": [1.0, 5.0, np.nan],
        "plan": pd.Series(["basic", "pro", None], dtype="str"),
        "monthly fee": [10.0, 20.0, 30.0],
        "since": pd.to_datetime(["2024-01-01", "2025-01-01", None]),
        "class": [1.0, 0.0, 1.0],
    }
)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("tenure < 3", [True, False, False]),
        ("not tenure < 3", [False, True, True]),
        ("plan == 'basic' or tenure >= 5", [True, True, False]),
        ("plan in ['pro', 'basic'] and 0 < tenure < 3", [True, False, False]),
        ("`monthly fee` > 15", [False, True, True]),
        ("`monthly fee` * 2 - `tenure` > 30", [False, True, False]),
        ("since < '2024-06-01'", [True, False, False]),
        ("`class` == 1", [True, False, True]),
        ("-tenure", [-1, -5, np.nan]),
        ("2 > 1", [True, True, True]),
    ],
)
def test_an_expression_is_worked_out_row_by_row(expression, expected):
    found = evaluate_expression(expression, TABLE)
    assert found.tolist() == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "tenure.map(print)",
        "plan.str.upper() == 'PRO'",
        "(lambda: 1)()",
        "[tenure for tenure in (1, 2)]",
        "9 ** 9 ** 9",
        "tenure if tenure else 1",
        "tenure @ tenure",
        "tenure[0]",
        "f'{tenure}'",
        "(tenure := 1)",
    ],
)
def test_anything_but_columns_and_comparisons_is_refused(expression):
    with pytest.raises(ValueError, match=r"An expression may hold columns, numbers, .* Got \w+ in"):
        evaluate_expression(expression, TABLE)


@pytest.mark.parametrize("expression", ["", "tenure <", "@tenure", "a = 1", "tenure\nplan", "\0"])
def test_what_is_no_expression_cannot_be_read(expression):
    with pytest.raises(ValueError, match="cannot be read"):
        evaluate_expression(expression, TABLE)


@pytest.mark.parametrize("expression", ["tenur < 3", "`tenur` < 3"])
def test_an_unknown_column_is_refused_with_the_nearest_name(expression):
    with pytest.raises(ValueError, match=r"Got 'tenur' in .* Did you mean 'tenure'\?"):
        evaluate_expression(expression, TABLE)


@pytest.mark.parametrize("expression", ["plan < 3", "plan + 1 > 2", "not tenure"])
def test_an_expression_that_does_not_fit_the_kinds_is_refused(expression):
    with pytest.raises(ValueError, match="does not fit the kinds of its columns"):
        evaluate_expression(expression, TABLE)


def test_the_table_stays_as_it_was():
    before = TABLE.copy()
    evaluate_expression("tenure < 3", TABLE)
    pd.testing.assert_frame_equal(TABLE, before)
