"""Every shipped config, by the tester. Sizes were counted once at full size; some follow from the layers, as noted."""

from typing import ClassVar

import pytest
import torch
from fastreid.modeling.meta_arch import build_model
from helpers import CONFIGS, batch, begin_clusters, small_cfg, views_of
from method_tester import MethodTester, Size

from vireid_plugins.config import config_path, get_cfg
from vireid_plugins.errors import ConfigError


class TestOneStream(MethodTester):
    """ResNet-50's 23,508,032, a neck of 2 x 2,048 and a classifier of 2,048 an identity."""

    full: ClassVar = {
        "SYSU/one_stream.yml": Size(24_321_088, 6.08, 2048),
        "RegDB/one_stream.yml": Size(23_934_016, 4.05, 2048),
        "LLCM/one_stream.yml": Size(24_972_352, 6.08, 2048),
        "own/one_stream.yml": Size(24_321_088, 6.08, 2048),
    }
    small: ClassVar = ("SYSU/one_stream.yml", "demo/one_stream.yml")


class TestWRIMNet(MethodTester):
    """One-stream + MIIMs (1,246,720 + 1,838,080 + 788,480 + 3,149,824) + MLP + 2.5 more heads of 2,048."""

    full: ClassVar = {
        "SYSU/wrim.yml": Size(37_839_552, 7.01, 6144),
        "own/wrim.yml": Size(37_839_552, 7.01, 6144),
        "RegDB/wrim.yml": Size(36_484_800, 4.68, 6144),
        "LLCM/wrim.yml": Size(40_118_976, 7.01, 6144),
    }
    small: ClassVar = ("SYSU/wrim.yml", "demo/wrim.yml")


class TestAGW(MethodTester):
    full: ClassVar = {
        "SYSU/agw.yml": Size(24_359_311, 5.13, 2048),
        "RegDB/agw.yml": Size(23_972_239, 5.13, 2048),
        "LLCM/agw.yml": Size(25_010_575, 5.13, 2048),
        "own/agw.yml": Size(24_359_311, 5.13, 2048),
        "SYSU/caj.yml": Size(24_359_311, 5.13, 2048),
        "own/caj.yml": Size(24_359_311, 5.13, 2048),
        "RegDB/caj.yml": Size(23_972_239, 5.13, 2048),
        "LLCM/caj.yml": Size(25_010_575, 5.13, 2048),
    }


class TestDEEN(MethodTester):
    """On RegDB there is no stage 4."""

    full: ClassVar = {
        "SYSU/deen.yml": Size(42_037_792, 18.59, 12288),
        "RegDB/deen.yml": Size(13_094_176, 11.20, 6144),
        "LLCM/deen.yml": Size(42_689_056, 18.59, 12288),
        "own/deen.yml": Size(42_037_792, 18.59, 12288),
    }
    small: ClassVar = ("SYSU/deen.yml", "RegDB/deen.yml")


class TestIDKL(MethodTester):
    full: ClassVar = {
        "SYSU/idkl.yml": Size(49_778_490, 6.08, 2048),
        "own/idkl.yml": Size(49_778_490, 6.08, 2048),
        "RegDB/idkl.yml": Size(48_617_274, 6.08, 2048),
        "LLCM/idkl.yml": Size(51_732_282, 6.08, 2048),
        "SYSU/idkl_released.yml": Size(49_490_084, 6.84, 2048),
        "own/idkl_released.yml": Size(49_490_084, 6.84, 2048),
        "RegDB/idkl_released.yml": Size(48_328_868, 4.05, 2048),
        "LLCM/idkl_released.yml": Size(51_443_876, 6.84, 2048),
    }
    small: ClassVar = ("SYSU/idkl.yml", "SYSU/idkl_released.yml", "RegDB/idkl_released.yml")

    def test_idkl_leaves_the_specific_branch_out_at_inference(self) -> None:
        model = self.model("SYSU/idkl.yml").eval()
        ran = []
        for name, module in model.named_modules():
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
        model(batch(2, 1))
        assert any(name.startswith("backbone.stages.stage4") for name in ran)
        assert not [name for name in ran if name.startswith(("specific", "purifier", "heads.sp", "heads.confuser"))]


class TestMSCMNet(MethodTester):
    counted_on: ClassVar = "cpu"
    full: ClassVar = {
        "SYSU/mscm.yml": Size(42_855_488, 16.14, 2048),
        "own/mscm.yml": Size(42_855_488, 16.14, 2048),
        "RegDB/mscm.yml": Size(42_468_416, 16.14, 2048),
        "LLCM/mscm.yml": Size(43_506_752, 16.14, 4096),
        "SYSU/mscm_released.yml": Size(42_855_488, 16.14, 2048),
        "own/mscm_released.yml": Size(42_855_488, 16.14, 2048),
        "RegDB/mscm_released.yml": Size(42_468_416, 16.14, 2048),
        "LLCM/mscm_released.yml": Size(43_506_752, 16.14, 4096),
    }

    def test_mscm_has_four_stems_and_one_trunk(self) -> None:
        model = self.model("SYSU/mscm.yml")
        assert len(model.backbone.stem.copies) == 4
        assert not [name for name, _ in model.backbone.stages.named_modules() if "copies" in name]

    def test_mscm_refuses_another_size_at_test(self) -> None:
        with pytest.raises(ConfigError, match=r"INPUT\.SIZE_TEST: must equal INPUT\.SIZE_TRAIN \[64, 32\]"):
            self.model("SYSU/mscm.yml", "INPUT.SIZE_TEST", "[96, 32]")


class TestICRE(MethodTester):
    counted_on: ClassVar = "cpu"
    full: ClassVar = {
        "SYSU/icre.yml": Size(37_899_267, 10.11, 2048),
        "own/icre.yml": Size(37_899_267, 10.11, 2048),
        "RegDB/icre.yml": Size(37_512_195, 10.11, 2048),
        "LLCM/icre.yml": Size(38_550_531, 10.11, 2048),
    }


class WithClusters:
    """Of a method whose targets are clusters: an epoch of six in each modality.

    Its batches have clusters of both modalities in equal number, which the sampler does not ask for.
    """

    def model(self, config: str, *overrides: str) -> torch.nn.Module:
        model: torch.nn.Module = super().model(config, *overrides)  # type: ignore[misc]
        begin_clusters(model)
        return model

    def test_step_reads_nothing_from_the_device(self, config: str) -> None:
        """The clusters are read, on the host, where the loader leaves them."""
        model = self.model(config).to("meta")
        begin_clusters(model)
        found = batch(6, 2, views=(2, 1))
        losses = model(found | {"images": found["images"].to("meta")})
        sum(losses.values()).backward()
        assert {value.device.type for value in losses.values()} == {"meta"}


class TestADCA(WithClusters, MethodTester):
    """ResNet-50's 23,508,032, a second stem of 9,536 and a neck of 2 x 2,048."""

    full: ClassVar = {
        "SYSU/adca.yml": Size(23_521_664, 5.13, 2048),
        "SYSU/adca_stage1.yml": Size(23_521_664, 5.13, 2048),
        "RegDB/adca.yml": Size(23_521_664, 5.13, 2048),
        "RegDB/adca_stage1.yml": Size(23_521_664, 5.13, 2048),
        "own/adca.yml": Size(23_521_664, 5.13, 2048),
    }
    small: ClassVar = ("SYSU/adca.yml",)


class TestPGM(WithClusters, MethodTester):
    """AGW without its classifier."""

    full: ClassVar = {
        "SYSU/pgm.yml": Size(23_550_351, 5.13, 2048),
        "SYSU/pgm_stage1.yml": Size(23_550_351, 5.13, 2048),
        "RegDB/pgm.yml": Size(23_550_351, 5.13, 2048),
        "RegDB/pgm_stage1.yml": Size(23_550_351, 5.13, 2048),
        "own/pgm.yml": Size(23_550_351, 5.13, 2048),
    }
    # In the second the rule is hard.
    small: ClassVar = ("RegDB/pgm.yml", "SYSU/pgm.yml")


class TestPMT(MethodTester):
    """ViT-B/16 with 210 patches (85.8 M), a neck of 2 x 768 and a classifier of 768 an identity."""

    full: ClassVar = {
        "SYSU/pmt.yml": Size(86_114_304, 18.04, 768),
        "own/pmt.yml": Size(86_114_304, 18.04, 768),
        "RegDB/pmt.yml": Size(85_969_152, 18.04, 768),
        "LLCM/pmt.yml": Size(86_358_528, 18.04, 768),
    }


class TestRLE(MethodTester):
    """With SYSU-MM01's identities 26.8 M: ResNet-50, a second stem, and four heads of 2,048."""

    full: ClassVar = {
        "SYSU/rle.yml": Size(26_769_792, 9.12, 16384),
        "own/rle.yml": Size(26_769_792, 9.12, 16384),
        "RegDB/rle.yml": Size(9_404_800, 4.82, 8192),
        "LLCM/rle.yml": Size(29_374_848, 9.12, 16384),
    }

    def test_rle_refuses_a_map_of_too_few_rows(self) -> None:
        model = self.model("SYSU/rle.yml").eval()
        with pytest.raises(ConfigError, match=r"MODEL\.RLE\.PARTS: a feature map of 2 rows has no 3 stripes"):
            model({"images": torch.rand(1, 3, 32, 32), "modalities": torch.zeros(1, dtype=torch.long)})


class TestMPANet(MethodTester):
    """With SYSU-MM01's identities 41.2 M; its teachers, 11.3 M numbers more, are buffers."""

    full: ClassVar = {
        "SYSU/mpanet.yml": Size(41_192_518, 6.09, 14336),
        "own/mpanet.yml": Size(41_192_518, 6.09, 14336),
        "RegDB/mpanet.yml": Size(33_064_006, 4.06, 14336),
        "LLCM/mpanet.yml": Size(54_869_062, 6.09, 14336),
    }


class TestSAAI(MethodTester):
    """With SYSU-MM01's identities 44.0 M; its teachers, 12.9 M numbers more, are buffers."""

    full: ClassVar = {
        "SYSU/saai.yml": Size(43_990_080, 5.14, 16384),
        "own/saai.yml": Size(43_990_080, 5.14, 16384),
        "RegDB/saai.yml": Size(34_044_992, 5.14, 16384),
        "LLCM/saai.yml": Size(59_620_416, 5.14, 16384),
    }

    def test_saai_refuses_another_size_at_test(self) -> None:
        model = self.model("SYSU/saai.yml").eval()
        with pytest.raises(ConfigError, match=r"INPUT\.SIZE_TEST: gives a feature map of 6 x 2, but SAAI's"):
            model({"images": torch.rand(1, 3, 96, 32), "modalities": torch.zeros(1, dtype=torch.long)})

    def test_saai_needs_the_modality_of_an_image(self) -> None:
        with pytest.raises(ValueError, match="the batch needs `modalities`"):
            self.model("SYSU/saai.yml").eval()(torch.rand(1, 3, 64, 32))


class TestMixes(MethodTester):
    full: ClassVar = {
        "mix/mobilenet_arc_icg.yml": Size(2_654_112, 0.29, 256),
        "mix/osnet_miim_circle.yml": Size(3_895_652, 1.62, 512),
        "mix/regnet_nonlocal_cosface.yml": Size(6_298_176, 1.26, 768),
        "mix/resnest_wrim.yml": Size(39_765_760, 7.93, 6144),
        "mix/resnet_ibn_purifier_qct.yml": Size(25_398_272, 6.2, 2048),
    }
    small: ClassVar = tuple(full)
    # Their cuts are those of test_adapters, their methods' steps are above.
    costly: ClassVar = ("mix/resnest_wrim.yml", "mix/regnet_nonlocal_cosface.yml", "mix/resnet_ibn_purifier_qct.yml")
    # fast-reid's margins pick the labelled rows.
    reads: ClassVar = ("mix/mobilenet_arc_icg.yml", "mix/regnet_nonlocal_cosface.yml")


def test_methods_cover_every_config() -> None:
    tested = {name for tester in MethodTester.__subclasses__() for name in tester.full}
    assert tested == {name for name in CONFIGS if not name.startswith("demo")}


@pytest.mark.parametrize("name", [name for name in CONFIGS if name.startswith("demo")])
def test_demo_config_steps_and_scores_at_its_own_size(name: str) -> None:
    cfg = get_cfg()
    cfg.merge_from_file(config_path(name))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.HEADS.NUM_CLASSES", "4", "DATALOADER.NUM_INSTANCE", "2"])
    model = build_model(cfg).train()
    begin_clusters(model)
    size = tuple(cfg.INPUT.SIZE_TRAIN)
    losses = model(batch(4, 2, size=size, views=views_of(cfg)))
    sum(losses.values()).backward()
    assert all(torch.isfinite(value) for value in losses.values())
    assert torch.isfinite(model.eval()(batch(2, 1, size=size))).all()


@pytest.mark.parametrize(
    ("file", "words", "message"),
    [
        ("rle", ["MODEL.RLE.PARTS", "0"], r"MODEL\.RLE\.PARTS: must be 1 or more, got 0"),
        ("rle", ["MODEL.RLE.LAST_STAGE", "5"], r"MODEL\.RLE\.LAST_STAGE: must be 1 to 4, got 5"),
        (
            "rle",
            ["MODEL.RLE.LAST_STAGE", "3", "MODEL.HEADS.PROJECTION_DIM", "8"],
            r"MODEL\.HEADS\.PROJECTION_DIM: needs stage 4, which MODEL\.RLE\.LAST_STAGE leaves out",
        ),
        ("mpanet", ["MODEL.MPANET.PARTS", "-1"], r"MODEL\.MPANET\.PARTS: must be 0 or more, got -1"),
        ("saai", ["MODEL.SAAI.UPDATE_RATE", "1.5"], r"MODEL\.SAAI\.UPDATE_RATE: must be 0 to 1, got 1\.5"),
    ],
)
def test_methods_with_an_option_out_of_range_name_its_key(file: str, words: list[str], message: str) -> None:
    cfg = small_cfg(f"SYSU/{file}.yml", *words)
    cfg.MODEL.HEADS.NUM_CLASSES = 4
    with pytest.raises(ConfigError, match=message):
        build_model(cfg)
