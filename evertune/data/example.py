"""The example table: simulated customers of a subscription, with a known change over time.

Nothing here is measured on people. A row is a customer whose subscription comes up for renewal
on `date`; `churned` says whether the customer left. `LOG_ODDS_WEIGHTS` defines the probability
of leaving exactly, so the best score that any model can reach is known: that of
`true_probabilities`. At `CHANGE_DAY` the relation changes: support calls drive away customers on
yearly contracts and no longer those on monthly ones, and a fee above 15 does so by itself. The
columns keep their distribution, but for weekday and season.

ROC AUC with seed 0, as measured by `tests/data/test_example.py`. The hold-out is the latest
fifth of the training table; an AUC on it has a standard error of 0.006.

=========================================================  =====
hold-out: best rule on one column                          0.623
hold-out: logistic regression                              0.749
hold-out: boosted trees                                    0.879
hold-out: best possible                                    0.896
production before the change: boosted trees, not refitted  0.881
production after the change: boosted trees, not refitted   0.775
last half after the change: boosted trees, not refitted    0.777
last half after the change: fitted on the first half       0.860
last half after the change: best possible                  0.889
=========================================================  =====
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evertune.types import FloatArray

FIRST_DAY = "2023-01-01"
PRODUCTION_START = "2024-09-01"
CHANGE_DAY = "2024-11-01"
LAST_DAY = "2025-04-30"

MIN_CUSTOMERS_PER_DAY = 30
SATURDAY = 5
EXTRA_CUSTOMERS_BY_WEEKDAY = np.array([9.0, 8.0, 7.0, 7.0, 6.0, 4.0, 3.0])
PLANS = np.array(["basic", "standard", "premium"])
FEES = np.array([9.0, 15.0, 24.0])
LOG_HOURS = np.array([1.6, 2.1, 2.6])
CHANNELS = np.array(["web", "app", "shop", "partner"])
CITY_PREFIXES = "Alder Birch Cedar Dun Elm Fern Glen Hazel Iron Juniper Kings Lin Maple North Oak"
CITY_SUFFIXES = "bridge bury field ford gate haven mere port ton wick"
CITIES = np.array([head + tail for head in CITY_PREFIXES.split() for tail in CITY_SUFFIXES.split()])
CITY_EFFECTS = np.random.default_rng(1).normal(0.0, 0.4, len(CITIES))

SALE_MONTH = 11
LONG_TENURE_MONTHS = 12
HIGH_FEE_PER_HOUR = 2.2
HIGH_FEE = 15

# what each sign adds to the log-odds of leaving, before and after the step
LOG_ODDS_WEIGHTS = {
    "always": (-5.7, -6.2),
    "city": (1.0, 1.0),
    "autopay": (-0.5, -0.5),
    "new": (1.2, 1.2),
    "signed_up_in_sale": (0.6, 0.6),
    "unhappy": (0.3, 0.3),
    "no_answer": (0.7, 0.7),
    "no_usage": (1.5, 1.5),
    "age_from_middle": (0.7, 0.7),
    "monthly": (0.5, 0.5),
    "calls_of_monthly": (1.0, 0.0),
    "calls_of_yearly": (0.0, 1.0),
    "family_on_basic": (2.6, 2.6),
    "alone_on_premium": (2.4, 2.4),
    "usage_lost": (5.0, 5.0),
    "dear_hours": (1.8, 1.8),
    "dear_fee": (0.0, 1.5),
}


def simulate_customers(*, seed: int = 0) -> pd.DataFrame:
    """Return all simulated customers from `FIRST_DAY` to `LAST_DAY`, in the order of time."""
    random = np.random.default_rng(seed)
    dates = _sample_dates(random)
    table = pd.concat(
        [_sample_people(dates, random), _sample_contracts(dates, random)], axis="columns"
    )
    left = random.random(len(table)) < true_probabilities(table)
    return table.assign(churned=np.where(left, "yes", "no"))


def training_table(*, seed: int = 0) -> pd.DataFrame:
    """Return the customers before `PRODUCTION_START`, as a user's table would hold them."""
    table = simulate_customers(seed=seed)
    return table[table["date"] < PRODUCTION_START].reset_index(drop=True)


def production_table(*, seed: int = 0) -> pd.DataFrame:
    """Return the customers from `PRODUCTION_START` on; the relation changes at `CHANGE_DAY`."""
    table = simulate_customers(seed=seed)
    return table[table["date"] >= PRODUCTION_START].reset_index(drop=True)


def true_probabilities(table: pd.DataFrame) -> FloatArray:
    """Return the probability of leaving that each customer was drawn with, shape (n,)."""
    log_odds = _churn_factors(table) @ pd.DataFrame(LOG_ODDS_WEIGHTS, index=["before", "after"]).T
    chosen = log_odds["before"].where(table["date"] < CHANGE_DAY, log_odds["after"])
    return np.asarray(1.0 / (1.0 + np.exp(-chosen)), dtype=np.float64)


def _seasonality(dates: pd.DatetimeIndex) -> FloatArray:
    """Return 1 at the turn of the year and -1 in the middle of summer, shape (n,)."""
    return np.asarray(np.cos(2 * np.pi * dates.day_of_year / 365.25), dtype=np.float64)


def _sample_dates(random: np.random.Generator) -> pd.DatetimeIndex:
    days = pd.date_range(FIRST_DAY, LAST_DAY, unit="us")
    extra = EXTRA_CUSTOMERS_BY_WEEKDAY[days.day_of_week] * (1.0 + 0.4 * _seasonality(days))
    return days.repeat(MIN_CUSTOMERS_PER_DAY + random.poisson(extra))


def _sample_level(random: np.random.Generator, shares: list[FloatArray]) -> NDArray[np.int64]:
    """Return a level for each row; the last level takes what the given shares leave."""
    above = random.random(len(shares[0])) > np.cumsum(shares, axis=0)
    return np.asarray(above.sum(axis=0), dtype=np.int64)


def _sample_people(dates: pd.DatetimeIndex, random: np.random.Generator) -> pd.DataFrame:
    n_rows, weekend = len(dates), dates.day_of_week.to_numpy() >= SATURDAY
    days = 20 + random.exponential(700.0, n_rows).astype(int)
    age = random.normal(46.0 - 3.0 * weekend, 15.0).round().clip(18, 90)
    city = (len(CITIES) * random.random(n_rows) ** 2).astype(int)
    channel = [0.4 - 0.1 * weekend, 0.3 + 0.1 * weekend, np.full(n_rows, 0.2)]
    return pd.DataFrame(
        {
            "date": dates,
            "signed_up": dates - pd.to_timedelta(days, unit="D").as_unit("us"),
            "tenure_months": days // 30,
            "city": CITIES[city],
            "age": np.where(random.binomial(1, 0.95, n_rows), age, np.nan),
            "channel": CHANNELS[_sample_level(random, channel)],
            "family_account": random.binomial(1, 0.4, n_rows).astype(bool),
            "autopay": random.binomial(1, 0.6, n_rows).astype(bool),
        }
    )


def _sample_contracts(dates: pd.DatetimeIndex, random: np.random.Generator) -> pd.DataFrame:
    n_rows, season = len(dates), _seasonality(dates)
    plan = _sample_level(random, [0.45 - 0.05 * season, np.full(n_rows, 0.3)])
    yearly = random.binomial(1, 0.4, n_rows).astype(bool)
    hours = random.lognormal(LOG_HOURS[plan] + 0.2 * season, 0.7).round(1)
    satisfaction = 1.0 + random.binomial(9, 0.6, n_rows)
    return pd.DataFrame(
        {
            "plan": PLANS[plan],
            "contract": np.where(yearly, "yearly", "monthly"),
            "monthly_fee": (FEES[plan] * random.normal(1 - 0.1 * yearly, 0.12)).round(2),
            "usage_hours": np.where(random.binomial(1, 0.88, n_rows), hours, np.nan),
            "usage_change": random.normal(0.0, 0.3, n_rows).round(2),
            "support_calls": random.poisson(0.9 + 0.3 * season),
            "satisfaction": np.where(random.binomial(1, 0.65, n_rows), satisfaction, np.nan),
        }
    )


def _churn_factors(table: pd.DataFrame) -> pd.DataFrame:
    monthly, plan = table["contract"] == "monthly", table["plan"]
    calls, family = table["support_calls"].clip(upper=4), table["family_account"]
    lost = (-table["usage_change"]).clip(lower=0)
    fee_an_hour = table["monthly_fee"] / table["usage_hours"].clip(lower=0.2)
    return pd.DataFrame(
        {
            "always": 1.0,
            "city": table["city"].map(dict(zip(CITIES, CITY_EFFECTS, strict=True))),
            "autopay": table["autopay"],
            "new": np.exp(-table["tenure_months"] / 6),
            "signed_up_in_sale": table["signed_up"].dt.month >= SALE_MONTH,
            "unhappy": (6.4 - table["satisfaction"]).fillna(0.0),
            "no_answer": table["satisfaction"].isna(),
            "no_usage": table["usage_hours"].isna(),
            "age_from_middle": (((table["age"] - 46) / 15) ** 2).clip(upper=4).fillna(1.0),
            "monthly": monthly,
            "calls_of_monthly": calls * monthly,
            "calls_of_yearly": calls * ~monthly,
            "family_on_basic": family & (plan == "basic"),
            "alone_on_premium": ~family & (plan == "premium"),
            "usage_lost": lost * (table["tenure_months"] > LONG_TENURE_MONTHS),
            "dear_hours": fee_an_hour > HIGH_FEE_PER_HOUR,
            "dear_fee": table["monthly_fee"] > HIGH_FEE,
        },
        dtype=np.float64,
    )
