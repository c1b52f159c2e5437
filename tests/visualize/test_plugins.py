import pytest
from fastreid.modeling.meta_arch import build_model
from helpers import ROOT, python, small_cfg
from narrow import wide

from vireid_plugins.config.check import registered
from vireid_plugins.evaluation import PROTOCOLS
from vireid_plugins.visualize.plugins import REGISTRIES, network_size, plugins


def test_plugins_lists_every_registered_name_once_and_ours_with_a_line() -> None:
    found = plugins()
    assert len(found) == len(REGISTRIES) + 1
    for (_, rows), (_, _, registry) in zip(found.items(), REGISTRIES, strict=False):
        assert [row.name for row in rows] == registered(registry)
    assert [row.name for row in found["protocols (TEST.PROTOCOLS)"]] == list(PROTOCOLS)
    ours = [row for rows in found.values() for row in rows if row.package == "vireid_plugins"]
    assert len(ours) > 50
    assert not [row.name for row in ours if not row.line]
    assert {"SYSUMM01", "IDKL", "QCT", "NonLocal", "BranchHead"} <= {row.name for row in ours}


def test_network_size_counts_parameters_and_operations() -> None:
    cfg = small_cfg("SYSU/one_stream.yml", "MODEL.HEADS.NUM_CLASSES", "10")
    with wide():
        size = network_size(cfg, batch=2)
    # ResNet-18 without its classifier, a neck, ten identities.
    assert size.millions * 1e6 == pytest.approx(11_176_512 + 2 * 512 + 10 * 512)
    assert size.gmac > 0.05
    assert size.images_per_second > 0
    assert not cfg.is_frozen()


def test_network_size_counts_the_products_of_attention() -> None:
    cfg = small_cfg("SYSU/pmt.yml", "MODEL.HEADS.NUM_CLASSES", "10")
    net = build_model(cfg)
    width, tokens = 192, 1 + 5 * 2  # 64 x 32 in patches of 16, 12 apart
    blocks = len([name for name, _ in net.named_modules() if name.endswith(".attn")])
    products = tokens * (12 * width**2 + 2 * tokens * width)
    patches = (tokens - 1) * 3 * 16 * 16 * width
    assert network_size(cfg, batch=1).gmac * 1e9 == pytest.approx(blocks * products + patches)


def test_list_plugins_lists_names_and_sizes_a_config() -> None:
    listed = python("tools/list_plugins.py")
    assert listed.returncode == 0, listed.stderr
    assert "llcm/v2i_transposed" in listed.stdout
    config = str(ROOT / "configs/demo/one_stream.yml")
    sized = python("tools/list_plugins.py", "--config-file", config, "MODEL.DEVICE", "cpu")
    assert "parameters" in sized.stdout, sized.stderr
