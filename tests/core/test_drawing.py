from pipelines.core.drawing import png, short_name
from pipelines.core.pictures import confusion_picture


def test_the_same_picture_has_the_same_bytes():
    pictures = [png(confusion_picture(((3, 1), (0, 2)), classes=("no", "yes"))) for _ in range(2)]
    assert pictures[0] == pictures[1]


def test_a_long_name_is_cut_and_dollars_start_no_formula():
    assert short_name("$price$ of the house", 8) == r"\$price\$…"
