"""The shared look leaves the user's matplotlib alone and takes any class name."""

from io import BytesIO

import matplotlib as mpl

from clearsight.figures.style import PALETTE, message_figure, new_figure, shorten, styled


def test_settings_of_the_user_come_back() -> None:
    with mpl.rc_context({"font.size": 17}):
        with styled():
            assert mpl.rcParams["font.size"] == 9
        assert mpl.rcParams["font.size"] == 17


def test_the_backend_stays() -> None:
    before = mpl.rcParams._get("backend")
    with styled():
        pass
    assert mpl.rcParams._get("backend") is before


def test_settings_of_the_user_do_not_reach_a_figure() -> None:
    with mpl.rc_context({"axes.facecolor": "black"}), styled():
        axes = new_figure(2, 2).add_subplot()
    assert axes.get_facecolor() == (1, 1, 1, 1)


def test_palette_has_no_colour_twice() -> None:
    assert len(set(PALETTE)) == len(PALETTE)


def test_dollar_signs_are_text() -> None:
    figure = message_figure("$\\frac{", "a $b^ c$")
    figure.savefig(BytesIO(), format="png")


def test_shorten_marks_what_was_cut() -> None:
    assert shorten("automobile", 10) == "automobile"
    assert shorten("automobile", 6) == "autom…"
