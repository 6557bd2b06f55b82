"""Colours that can be read, on what there is behind them."""

from itertools import combinations

import pytest
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.styles import DEFAULT_ATTRS

from chatd.client.frontends.colours import background, colour_depth, style
from chatd.client.frontends.transcript import NAME_COLOURS

STYLES = ["time", "new", "answer", "notice", "error", "delivered", "refused", "waiting"]
NAMES = [f"name{number}" for number in range(NAME_COLOURS)]


def colour(which: str, name: str) -> str:
    return style(which).get_attrs_for_style_str(f"class:{name}").color or ""


def luminance(rgb: str) -> float:
    """Return how light a colour is, as WCAG 2.1 says."""
    parts = [int(rgb[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted([luminance(one), luminance(other)], reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("name", [*STYLES, *NAMES])
@pytest.mark.parametrize(("which", "behind"), [("dark", "1e1e1e"), ("light", "ffffff")])
def test_colours_stand_out_as_text_has_to(which: str, behind: str, name: str) -> None:
    assert contrast(colour(which, name), behind) >= 4.5


@pytest.mark.parametrize("which", ["dark", "light", "auto"])
def test_names_have_as_many_colours_as_there_are_styles(which: str) -> None:
    assert len({colour(which, name) for name in NAMES}) == NAME_COLOURS


@pytest.mark.parametrize("which", ["dark", "light", "auto"])
def test_no_name_looks_like_an_error(which: str) -> None:
    assert colour(which, "error") not in {colour(which, name) for name in NAMES}
    for one, other in combinations(["error", "notice", "answer"], 2):
        assert colour(which, one) != colour(which, other)


@pytest.mark.parametrize("name", [*STYLES, *NAMES])
@pytest.mark.parametrize("behind", ["000000", "ffffff"])
def test_where_nobody_says_colours_can_be_read_on_both(behind: str, name: str) -> None:
    assert contrast(colour("auto", name), behind) >= 4


@pytest.mark.parametrize("which", ["dark", "light", "auto"])
def test_colours_are_the_same_where_there_are_256(which: str) -> None:
    for name in [*STYLES, *NAMES]:
        shown = colour(which, name)
        parts = {shown[at : at + 2] for at in (0, 2, 4)}
        grey = len(parts) == 1 and (int(shown[:2], 16) - 8) % 10 == 0
        assert grey or parts <= {"00", "5f", "87", "af", "d7", "ff"}, shown


def test_what_is_old_loses_its_colours() -> None:
    for which in ("dark", "light", "auto"):
        shown = style(which).get_attrs_for_style_str("class:name3 class:old")
        assert shown.color == colour(which, "time")


def test_oneself_is_told_by_weight() -> None:
    shown = style("auto").get_attrs_for_style_str("class:own")
    assert shown == DEFAULT_ATTRS._replace(bold=True)


@pytest.mark.parametrize(
    ("said", "which"),
    [
        ("15;0", "dark"),
        ("0;15", "light"),
        ("0;default;15", "light"),
        ("7;8", "dark"),
        ("0;7", "light"),
        ("default;default", "auto"),
        ("", "auto"),
        ("0;²", "auto"),
    ],
)
def test_the_terminal_may_say_what_is_behind(said: str, which: str) -> None:
    assert background("auto", {"COLORFGBG": said}) == which
    assert background("dark", {"COLORFGBG": said}) == "dark"
    assert background("auto", {}) == "auto"


@pytest.mark.parametrize(
    ("when", "environ", "depth"),
    [
        ("auto", {}, None),
        ("auto", {"NO_COLOR": ""}, None),
        ("auto", {"NO_COLOR": "1"}, ColorDepth.DEPTH_1_BIT),
        ("never", {}, ColorDepth.DEPTH_1_BIT),
        ("always", {"NO_COLOR": "1"}, None),
        ("auto", {"PROMPT_TOOLKIT_COLOR_DEPTH": "DEPTH_4_BIT"}, ColorDepth.DEPTH_4_BIT),
        ("auto", {"PROMPT_TOOLKIT_COLOR_DEPTH": "many"}, None),
    ],
)
def test_how_many_colours_there_are(
    when: str,
    environ: dict[str, str],
    depth: ColorDepth | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("NO_COLOR", "PROMPT_TOOLKIT_COLOR_DEPTH"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    assert colour_depth(when) == depth
