import subprocess
import sys

import numpy as np
import pandas as pd

from evertune.preprocessing.transformers import HashedLevels, hash_levels

LEVELS = [f"city {number}" for number in range(1000)]


def test_few_levels_share_their_columns_and_signs():
    assert len(np.unique(hash_levels(LEVELS), axis=0)) > 300
    assert (np.abs(hash_levels(LEVELS)).sum(axis=1) == 2).all()


def test_a_hash_is_the_same_in_every_process():
    code = (
        "from evertune.preprocessing.transformers import hash_levels\n"
        "print(hash_levels(['a'])[0].tolist())"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == str(hash_levels(["a"])[0].tolist())


def test_a_level_that_was_never_seen_is_like_any_other():
    table = pd.DataFrame({"city": LEVELS[:5]}, dtype=object)
    found = HashedLevels().fit(table).transform(pd.DataFrame({"city": ["new"]}, dtype=object))
    assert found.tolist() == hash_levels(["new"]).tolist()


def test_every_column_has_a_name():
    table = pd.DataFrame({"city": LEVELS[:5], "shop": LEVELS[:5]}, dtype=object)
    made = HashedLevels().fit(table)
    assert len(set(made.get_feature_names_out())) == made.transform(table).shape[1]
