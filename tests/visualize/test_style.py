"""What is in the files of figures: fonts, photographs, sizes, and text that is whole and large enough."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pypdf
import pytest
from helpers import often
from matplotlib import font_manager
from matplotlib.text import Text

from vireid_plugins import visualize
from vireid_plugins.data.datasets import SYSUMM01
from vireid_plugins.data.decode import read_image
from vireid_plugins.errors import ConfigError
from vireid_plugins.evaluation.open_set import CURVE
from vireid_plugins.visualize import RankList, Separation, Style
from vireid_plugins.visualize._mpl import save
from vireid_plugins.visualize.cmc import Cmc
from vireid_plugins.visualize.dir_curve import Dir
from vireid_plugins.visualize.embedding_map import MapPoint
from vireid_plugins.visualize.grad_cam import PairMaps
from vireid_plugins.visualize.panels import panels_in
from vireid_plugins.visualize.style import DEFAULT, SERIES, require_font

COLUMN = Style(width=8, dpi=100)
NAME = "WRIMNet (a_folder_with_a_rather_long_name_and_$a_seed$_12)"


def ranks(tree: Path, style: Style) -> Any:
    paths = [Path(path) for path, _, _ in SYSUMM01(root=str(tree)).gallery[:10]]
    one = RankList(paths[0], paths, [True] * 10, [False] * 9 + [True])
    return visualize.rank_lists([one, one], style=style, names=[NAME, NAME])


def pairs(tree: Path, style: Style) -> Any:
    image, heat = np.full((64, 32, 3), 90, np.uint8), np.linspace(0, 1, 64 * 32, dtype=np.float32).reshape(64, 32)
    return visualize.draw_pairs([PairMaps(image, image, heat, heat, 0.5)] * 2, style, [NAME, NAME])


def histograms(tree: Path, style: Style) -> Any:
    one = Separation(np.linspace(0, 2, 5), np.array([1.5, 0.5, 0, 0]), np.array([0, 1, 1, 0.0]), 0.3, 1.0)
    return visualize.draw_separation([(NAME, one), (NAME, one)], style)


def cmc(tree: Path, style: Style) -> Any:
    values = np.linspace(30, 100, 20)
    return visualize.draw_cmc(
        [Cmc(NAME, values, 31.5, "sysu", "rank position"), Cmc("b", values, 3, "sysu", "")], style
    )


def dir_(tree: Path, style: Style) -> Any:
    values = np.linspace(30, 100, len(CURVE))
    return visualize.draw_dir([Dir(NAME, values, 0.05, "sysu/open"), Dir("b", values, 0.05, "sysu/open")], style)


def plane(tree: Path, style: Style) -> Any:
    return visualize.draw_embedding_map([MapPoint(n, -n, n // 2, n % 2, "") for n in range(30)], NAME, style)


def training(tree: Path, style: Style) -> Any:
    points = [(1.0, 2.0), (2.0, 1e-5)]
    return visualize.draw_training({"total_loss": points, "loss_a": points, "lr": points, "mAP": points}, NAME, style)


FIGURES = {draw.__name__: draw for draw in (ranks, pairs, histograms, cmc, dir_, plane, training)}
Draw = Callable[[Path, Style], Any]


@pytest.fixture(params=often(FIGURES, "pairs", "plane"))
def draw(request: pytest.FixtureRequest) -> Draw:
    return FIGURES[request.param]


def test_save_as_pdf_embeds_fonts_that_publishers_accept(draw: Draw, tree: Path, tmp_path: Path) -> None:
    figure = draw(tree, COLUMN)
    assert save(figure, tmp_path / "a.pdf", COLUMN) == ""
    page = pypdf.PdfReader(tmp_path / "a.pdf").pages[0]
    assert float(page.mediabox.width) <= 8 / 2.54 * 72 + 0.01
    fonts = [font.get_object() for font in page["/Resources"]["/Font"].values()]
    assert fonts
    for font in fonts:
        assert font["/Subtype"] == "/Type0"
        (below,) = font["/DescendantFonts"]
        assert below.get_object()["/Subtype"] == "/CIDFontType2"
        assert "/FontFile2" in below.get_object()["/FontDescriptor"]
    assert "/Type3" not in str(fonts)
    # The same figure is the same file.
    save(figure, tmp_path / "b.pdf", COLUMN)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_save_as_pdf_holds_photographs_without_loss(tree: Path, tmp_path: Path) -> None:
    style = Style(dpi=150, size=(20, 10))
    paths = [Path(path) for path, _, _ in SYSUMM01(root=str(tree)).gallery[:2]]
    save(visualize.rank_lists([RankList(paths[0], paths[1:], [True])], style=style), tmp_path / "a.pdf", style)
    pictures = pypdf.PdfReader(tmp_path / "a.pdf").pages[0].images
    # The page turns them over.
    kept = [np.asarray(picture.image.convert("RGB"))[::-1] for picture in pictures]
    expected = [read_image(str(path), (118, 59)) for path in paths]
    assert len(kept) == 2
    for image in expected:
        assert any(image.shape == one.shape and (image == one).all() for one in kept)


def test_save_as_svg_writes_text_as_outlines_and_no_date(draw: Draw, tree: Path, tmp_path: Path) -> None:
    save(draw(tree, COLUMN), tmp_path / "a.svg", COLUMN)
    text = (tmp_path / "a.svg").read_text()
    assert text.rstrip().endswith("</svg>")
    assert "<text" not in text
    assert "<dc:date>" not in text


def test_figures_in_a_column_have_whole_text_of_six_points_and_more(draw: Draw, tree: Path) -> None:
    figure = draw(tree, COLUMN)
    with COLUMN.applied():
        figure.savefig(io.BytesIO(), format="png")
    width, height = 72 * figure.get_size_inches()
    renderer = figure._get_renderer()
    scale = 72 / figure.dpi
    seen = [one for one in figure.findobj(Text) if one.get_text().strip() and one.get_visible()]
    # Ticks beyond the axes are not drawn.
    drawn = [one for one in seen if not one.get_text().replace("\N{MINUS SIGN}", "").replace(".", "").isdigit()]
    assert drawn
    for text in seen:
        assert text.get_fontsize() >= 6
    for text in drawn:
        box = text.get_window_extent(renderer)
        assert box.x0 * scale >= -0.5, text
        assert box.x1 * scale <= width + 0.5, text
        assert box.y0 * scale >= -0.5, text
        assert box.y1 * scale <= height + 0.5, text


def test_require_font_of_one_that_a_pdf_cannot_embed_names_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(font_manager, "findfont", lambda *_, **__: "/fonts/Serif.OTF")
    with pytest.raises(ConfigError, match=r"--font: 'Serif' is no TrueType font \('/fonts/Serif\.OTF'\)"):
        require_font("Serif")


def test_figures_in_another_font_and_size_use_them(draw: Draw, tree: Path, tmp_path: Path) -> None:
    style = Style(font="DejaVu Serif", font_size=9, dpi=60)
    figure = draw(tree, style)
    assert {one.get_fontname() for one in figure.findobj(Text) if one.get_text()} == {"DejaVu Serif"}
    save(figure, tmp_path / "a.pdf", style)
    assert b"DejaVuSerif" in (tmp_path / "a.pdf").read_bytes()
    assert b"DejaVuSans" not in (tmp_path / "a.pdf").read_bytes()


def test_font_that_is_missing_names_those_there_are(tree: Path) -> None:
    with pytest.raises(ConfigError, match=r"--font: 'Nosuch' is not installed; available: .*DejaVu Sans, "):
        cmc(tree, Style(font="Nosuch"))


def test_figures_are_shown_by_notebooks(draw: Draw, tree: Path) -> None:
    png = draw(tree, Style(dpi=40))._repr_png_()
    assert png.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"width": 0.5}, "--width: must be from 2 to 120, got 0.5"),
        ({"dpi": 5000}, "--dpi: must be from 30 to 2400, got 5000"),
        ({"font_size": float("nan")}, "--font-size: must be from 4 to 40, got nan"),
        ({"columns": 0}, "--columns: must be from 1 to 50, got 0"),
        ({"size": (0.0, 5.0)}, "--size: height and width must be from 1 to 1000 mm"),
    ],
)
def test_style_with_a_number_out_of_range_names_it(option: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Style(**option)


def test_save_of_too_many_pixels_says_so_before_they_are_drawn(tmp_path: Path) -> None:
    with Style(dpi=2400).applied():
        figure = visualize.draw_training({"lr": [(1, 1)]}, style=Style(dpi=2400, width=100))
    with pytest.raises(ConfigError, match=r"the picture would have .* pixels on a side"):
        save(figure, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_series_differ_in_lightness_or_hue_without_red_green_vision() -> None:
    """Deuteranopia as Viénot, Brettel and Mollon model it (1999)."""
    linear = np.array([[int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)] for color in SERIES]) ** 2.2
    seen = linear @ np.array([[0.293, 0.707, 0.0], [0.293, 0.707, 0.0], [-0.022, 0.022, 1.0]]).T
    apart = np.linalg.norm(seen[:, None] - seen, axis=-1) + np.eye(len(SERIES))
    assert apart.min() > 0.03


def test_curves_of_a_panel_differ_in_line_style_too_and_iterations_are_whole() -> None:
    names = ["total_loss", *(f"loss_{n}" for n in range(len(SERIES)))]
    axes = visualize.draw_training({name: [(17, 2.0), (35, 1.0)] for name in names}).axes[0]
    looks = [(line.get_color(), line.get_linestyle()) for line in axes.lines]
    assert len(set(looks)) == len(names)
    assert all(one[1] != other[1] for one, other in itertools.pairwise(looks))
    assert all(tick == int(tick) for tick in axes.get_xticks())


@pytest.mark.parametrize("name", ["png", "jpg", "jpeg", "pdf", "svg"])
def test_save_of_a_drawn_figure_writes_every_format(tmp_path: Path, name: str) -> None:
    figure, _ = panels_in(DEFAULT, 1, 0.5)
    assert save(figure, tmp_path / f"a.{name}", DEFAULT) == ""
    assert (tmp_path / f"a.{name}").read_bytes()[:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0", b"%PDF", b"<?xm")
