from dataclasses import replace

from evertune.terminal import decision_page, monitoring_lines
from tests.flows.test_acting import FOUND

NOTE = "windows have another length than the champion was calibrated on"


def test_what_a_person_has_to_know_of_the_look_is_told():
    noted = replace(FOUND, notes=(NOTE,))
    assert f"- a change\n- {NOTE}\n" in decision_page(noted)
    assert f"  {NOTE}" in monitoring_lines(noted)
