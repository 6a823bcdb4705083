"""infra/constraints.txt: names and versions only, and all that the project asks for."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LINES = (ROOT / "infra/constraints.txt").read_text(encoding="utf-8").splitlines()
PINS = [line for line in LINES if not line.startswith("#")]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"].values()
ASKED = [*PROJECT["dependencies"], *(asked for extra in EXTRAS for asked in extra)]


def test_each_pin_is_a_name_and_a_version():
    assert [line for line in PINS if not re.fullmatch(r"[\w.-]+==(\d+!)?[\w.]+", line)] == []


def test_what_the_project_asks_for_is_pinned_in_its_range():
    pins = dict(line.split("==") for line in PINS)
    versions = {canonicalize_name(name): version for name, version in pins.items()}
    asked = [Requirement(each) for each in ASKED]
    assert [
        str(each)
        for each in asked
        if not each.specifier.contains(versions.get(canonicalize_name(each.name), "0"))
    ] == []


def test_the_pins_stand_in_the_order_of_their_names():
    names = [canonicalize_name(line.split("==")[0]) for line in PINS]
    assert names == sorted(names)
