import pytest

from evertune.messages import did_you_mean, looks_like_secret, strip_credentials, to_safe_json


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("n_fold", "n_folds"),
        ("Churned ", "churned"),
        ("n-folds", "n_folds"),
        ("budget trials", "budget_trials"),
    ],
)
def test_the_nearest_name_is_offered(name, meant):
    assert did_you_mean(name, ["seed", "n_folds", "churned", "budget_trials"]) == (
        f" Did you mean '{meant}'?"
    )


@pytest.mark.parametrize("known", [[], ["seed", "folds"]])
def test_nothing_is_offered_where_nothing_is_near(known):
    assert did_you_mean("price", known) == ""


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://reader:open-sesame@db:5432/sales",
        "https://:token@host/path",
        "Server=db;Password=hunter2",
        "AKIA" + "A" * 16,
        "ghp_" + "a" * 36,
        "-----BEGIN PRIVATE KEY-----",
        "eyJhbGciOiJI.eyJzdWIiOiIx.c2ln",
    ],
)
def test_a_password_or_key_looks_secret(text):
    assert looks_like_secret(text)


@pytest.mark.parametrize(
    "text", ["data/sales.csv", "token == 'a'", "sqlite:////data/x.db", "models:/churn@champion"]
)
def test_an_ordinary_value_does_not_look_secret(text):
    assert not looks_like_secret(text)


def test_a_long_value_is_shown_in_part():
    assert len(to_safe_json("x" * 1000)) < 50


def test_a_secret_is_never_shown():
    assert "sesame" not in to_safe_json({"url": "postgresql://reader:open-sesame@db"})


def test_an_address_is_shown_without_its_credentials():
    address = "postgresql://me:open-sesame@db:5432/log?password=x#y"
    assert strip_credentials(address) == "postgresql://db:5432/log"
    assert strip_credentials("sqlite:///state/x.db") == "sqlite:///state/x.db"
