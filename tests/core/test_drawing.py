from evertune.evaluation.plots import figure_to_png, plot_confusion, shorten_label


def test_the_same_picture_has_the_same_bytes():
    pictures = [
        figure_to_png(plot_confusion(((3, 1), (0, 2)), classes=("no", "yes"))) for _ in range(2)
    ]
    assert pictures[0] == pictures[1]


def test_a_long_name_is_cut_and_dollars_start_no_formula():
    assert shorten_label("$price$ of the house", 8) == r"\$price\$…"
