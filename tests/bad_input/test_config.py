"""Configurations and overrides that are wrong."""

from pathlib import Path

import pytest
from desk import TRAIN, TRAIN_REGDB, Case, check, write

CASES = {
    "no such file": Case(
        "tools/train_net.py --config-file nothing.yml",
        ("config file 'nothing.yml' does not exist; unknown shipped config 'nothing.yml'; available: LLCM/agw.yml"),
    ),
    "shipped config that is misspelled": Case(
        "tools/train_net.py --config-file configs/SYSU/rwim.yml",
        "SYSU/wrim.yml",
    ),
    "no YAML": Case(
        "tools/train_net.py --config-file c.yml",
        "config file 'c.yml' is not valid YAML: while parsing",
        write("c.yml", "A: [1, 2"),
    ),
    "a list": Case(
        "tools/train_net.py --config-file c.yml",
        "config file 'c.yml' must hold keys and values, not list",
        write("c.yml", "- A"),
    ),
    "YAML that builds objects": Case(
        "tools/train_net.py --config-file c.yml",
        "config file 'c.yml' is not valid YAML: could not determine a constructor",
        write("c.yml", "SEED: !!python/object/apply:os.system ['touch ran']"),
    ),
    "Python": Case(
        "tools/train_net.py --config-file c.py",
        "config file 'c.py'",
        write("c.py", "import os\nos.system('touch ran')\ncfg = {}\n"),
    ),
    "an expression": Case(
        TRAIN + "SOLVER.BASE_LR __import__('os').mkdir('ran')",
        "SOLVER.BASE_LR",
    ),
    "base missing": Case(
        "tools/train_net.py --config-file c.yml",
        "config file 'gone.yml' cannot be read: No such file",
        write("c.yml", "_BASE_: gone.yml"),
    ),
    "its own base": Case(
        "tools/train_net.py --config-file c.yml",
        "config file 'c.yml' is its own _BASE_",
        write("c.yml", "_BASE_: c.yml"),
    ),
    "unknown key": Case(
        "tools/train_net.py --config-file c.yml",
        "config file 'c.yml': unknown key 'SOLVER.MAX_EPOCHS' (did you mean 'SOLVER.MAX_EPOCH'?)",
        write("c.yml", "SOLVER: {MAX_EPOCHS: 3}"),
    ),
    "wrong type": Case(
        "tools/train_net.py --config-file c.yml",
        "config file 'c.yml': 'SOLVER.MAX_EPOCH' must be a whole number like 120; got 'many'",
        write("c.yml", "SOLVER: {MAX_EPOCH: many}"),
    ),
    "half a pair": Case(
        TRAIN + "SOLVER.MAX_EPOCH",
        "'SOLVER.MAX_EPOCH' has no value; overrides are KEY value or KEY=value",
    ),
    "unknown override": Case(
        TRAIN + "MODEL.HEAD.NAME x",
        "command line: unknown key 'MODEL.HEAD' (did you mean 'MODEL.HEADS'?)",
    ),
    "key of a value": Case(
        TRAIN + "SEED.X 1",
        "command line: 'SEED' is a value and has no key 'X'",
    ),
    "meta-architecture": Case(
        TRAIN + "MODEL.META_ARCHITECTURE WRIM",
        "MODEL.META_ARCHITECTURE: unknown value 'WRIM'; available: Baseline",
    ),
    "backbone": Case(
        TRAIN + "MODEL.STREAMS.BACKBONE build_vgg",
        "MODEL.STREAMS.BACKBONE: unknown value 'build_vgg'; available: build_",
    ),
    "backbone without a cut": Case(
        TRAIN + "MODEL.STREAMS.BACKBONE build_mobilenetv3_backbone",
        "MODEL.STREAMS.BACKBONE: unknown value 'build_mobilenetv3_backbone'",
    ),
    "head": Case(
        TRAIN + "MODEL.HEADS.NAME Neck",
        "MODEL.HEADS.NAME: unknown value 'Neck'; available: ",
    ),
    "loss": Case(
        TRAIN + "MODEL.LOSSES.NAME ['Centre']",
        "MODEL.LOSSES.NAME: unknown value 'Centre'; available: ",
    ),
    "sampler": Case(
        TRAIN + "DATALOADER.SAMPLER_TRAIN Random",
        "DATALOADER.SAMPLER_TRAIN: unknown value 'Random'; available: ApartSampler, BalancedCross",
    ),
    "transform": Case(
        TRAIN + "INPUT.VIEWS.VISIBLE [['Mirror']]",
        "INPUT.VIEWS: unknown value 'Mirror'; available: ",
    ),
    "transform of the first epochs": Case(
        TRAIN + "INPUT.FIRST_VIEWS.INFRARED [['Mirror']]",
        "INPUT.FIRST_VIEWS: unknown value 'Mirror'; available: ",
    ),
    "probability": Case(
        TRAIN + "INPUT.VIEWS.VISIBLE [['Flip@often']]",
        "'Flip@often'",
    ),
    "attention": Case(
        TRAIN + "MODEL.ATTENTION.STAGE3 ['CBAM']",
        "MODEL.ATTENTION.STAGE3: unknown value 'CBAM'; available: ",
    ),
    "attention that is no text": Case(
        TRAIN + "MODEL.ATTENTION.STAGE3 [['NonLocal',2]]",
        "MODEL.ATTENTION.STAGE3: unknown value '['NonLocal', 2]'; available: ",
    ),
    "protocol": Case(
        TRAIN + "TEST.PROTOCOLS ['sysu/all']",
        "unknown value 'sysu/all'; available: ",
    ),
    "protocol that is no text": Case(
        TRAIN + "TEST.PROTOCOLS [None]",
        "TEST.PROTOCOLS: unknown value 'None'; available: ",
    ),
    "protocol of another set": Case(
        TRAIN + "TEST.PROTOCOLS ['regdb/v2i']",
        "TEST.PROTOCOLS: ",
    ),
    "data set": Case(
        TRAIN + "DATASETS.NAMES ('SYSU',)",
        "DATASETS.NAMES: unknown value 'SYSU'; available: ",
    ),
    "batch": Case(
        TRAIN + "SOLVER.IMS_PER_BATCH 10",
        ("SOLVER.IMS_PER_BATCH: 10 is not P x 2 x K images; with DATALOADER.NUM_INSTANCE 2 it must be a multiple of 4"),
    ),
    "batch of too many": Case(
        TRAIN + "SOLVER.IMS_PER_BATCH 400",
        "the training set has 5 identities with both modalities, but a batch needs 100",
    ),
    "no epoch": Case(
        TRAIN + "SOLVER.MAX_EPOCH 0",
        "SOLVER.MAX_EPOCH: must be at least 1, got 0",
    ),
    "no evaluation": Case(
        TRAIN + "TEST.EVAL_PERIOD 0",
        "TEST.EVAL_PERIOD: must be at least 1, got 0",
    ),
    "seed too large": Case(
        TRAIN + "SEED 202406011230",
        "SEED: must be at most 4294967295, got 202406011230",
    ),
    "size of one number": Case(
        TRAIN + "INPUT.SIZE_TRAIN [32]",
        "INPUT.SIZE_TRAIN: must be two whole numbers above 0, height and width, such as [288, 144]; got [32]",
    ),
    "size of zero": Case(
        TRAIN + "INPUT.SIZE_TEST [0,32]",
        "INPUT.SIZE_TEST: must be two whole numbers above 0, height and width, such as [288, 144]; got [0, 32]",
    ),
    "infinite rate": Case(
        TRAIN + "SOLVER.BASE_LR 1e999",
        "'SOLVER.BASE_LR': must be a finite number, got inf",
    ),
    "infinite number in a list": Case(
        TRAIN + "INPUT.REA.VALUE [0.0,1e999,0.0]",
        "'INPUT.REA.VALUE': must be a finite number, got inf",
    ),
    "negative rate": Case(
        TRAIN + "SOLVER.BASE_LR -0.1",
        "SOLVER.BASE_LR: must be at least 0, got -0.1",
    ),
    "share above 1": Case(
        TRAIN + "TEST.RERANK.LAMBDA 1.5",
        "TEST.RERANK.LAMBDA: must be at most 1, got 1.5",
    ),
    "average": Case(
        TRAIN + "SOLVER.EMA_DECAY 1.0",
        "SOLVER.EMA_DECAY: must be at least 0 (no average) and below 1, got 1.0",
    ),
    "fp16 on a CPU": Case(
        TRAIN + "SOLVER.AMP.ENABLED True",
        "SOLVER.AMP.DTYPE: float16 needs a CUDA device; on a CPU use bfloat16",
    ),
    "no CUDA": Case(
        TRAIN + "MODEL.DEVICE cuda",
        "MODEL.DEVICE: torch finds no CUDA device for 'cuda'; use cpu",
    ),
    "no such CUDA device": Case(
        TRAIN + "MODEL.DEVICE cuda:9",
        "MODEL.DEVICE",
    ),
    "no device": Case(
        TRAIN + "MODEL.DEVICE gpu",
        "MODEL.DEVICE: invalid device 'gpu'; use cpu, cuda or cuda:N",
    ),
    "interpolation": Case(
        TRAIN + "INPUT.INTERPOLATION cubic",
        "INPUT.INTERPOLATION: unknown value 'cubic'; available: bicubic, bilinear",
    ),
    "optimiser": Case(
        TRAIN + "SOLVER.OPT Lion",
        "SOLVER.OPT: torch.optim has no 'Lion'; use Adam, AdamW or SGD",
    ),
    "frozen layers": Case(
        TRAIN + "MODEL.FREEZE_LAYERS ['neck'] SOLVER.FREEZE_ITERS 5",
        "MODEL.FREEZE_LAYERS: 'neck' matches no parameter; names begin with ",
    ),
    "split": Case(
        TRAIN_REGDB + "DATASETS.REGDB.SPLIT 11",
        "DATASETS.REGDB.SPLIT: RegDB has the splits 1 to 10, got 11",
    ),
    "training list": Case(
        TRAIN + "DATASETS.SYSU.TRAIN all",
        "DATASETS.SYSU.TRAIN: unknown value 'all'; available: train, trainval",
    ),
    "expected results": Case(
        TRAIN + "TEST.EXPECTED_RESULTS [['SYSUMM01','mAP']]",
        "TEST.EXPECTED_RESULTS: invalid row ['SYSUMM01', 'mAP']; a row is ",
    ),
    "parts of a batch": Case(
        TRAIN + "SOLVER.ACCUMULATE 3",
        "SOLVER.ACCUMULATE: 4 identities per batch and process cannot be divided into 3 parts",
    ),
    "fast-reid's switches": Case(
        TRAIN + "INPUT.REA.ENABLED True",
        "INPUT.REA.ENABLED: has no effect here; list the transforms in INPUT.VIEWS instead",
    ),
    "metric": Case(
        TRAIN + "TEST.METRIC l1",
        "TEST.METRIC: unknown value 'l1'; available: cosine, euclidean, inner_product",
    ),
    "metric and re-ranking": Case(
        TRAIN + "TEST.METRIC inner_product TEST.RERANK.ENABLED True",
        (
            "TEST.RERANK.ENABLED: re-ranking needs a distance, but TEST.METRIC is inner_product; set it to "
            "cosine or euclidean"
        ),
    ),
    "metric and expansion": Case(
        TRAIN + "TEST.METRIC euclidean TEST.AQE.ENABLED True",
        "TEST.AQE.ENABLED: query expansion needs the cosine, but TEST.METRIC is euclidean",
    ),
    "metric and affinity": Case(
        TRAIN + "TEST.METRIC euclidean TEST.AIM.ENABLED True",
        "TEST.AIM.ENABLED: affinity inference needs the cosine, but TEST.METRIC is euclidean",
    ),
    "affinity and re-ranking": Case(
        TRAIN + "TEST.AIM.ENABLED True TEST.RERANK.ENABLED True",
        "TEST.AIM.ENABLED: affinity inference and re-ranking (TEST.RERANK.ENABLED) exclude each other",
    ),
    "neighbors of no tested protocol": Case(
        TRAIN + "TEST.AIM.ENABLED True TEST.AIM.NEIGHBORS [['regdb/*',4,1]]",
        "TEST.AIM.NEIGHBORS: no row is for sysu/",
    ),
    "no neighbors": Case(
        TRAIN + "TEST.AIM.ENABLED True TEST.AIM.NEIGHBORS []",
        "TEST.AIM.NEIGHBORS: needs a row [protocol or pattern, k1, k2], such as ['*', 8, 2]; got []",
    ),
    "neighbors": Case(
        TRAIN + "TEST.AIM.NEIGHBORS [['*',0,2]]",
        (
            "TEST.AIM.NEIGHBORS: invalid row ['*', 0, 2]; a row is [protocol or pattern, k1, k2] with numbers of at "
            "least 1, such as ['sysu/*', 20, 6]"
        ),
    ),
    "aspect draw": Case(
        TRAIN + "INPUT.REA.ASPECT_DRAW evenly",
        "INPUT.REA.ASPECT_DRAW: unknown value 'evenly'; available: even, log",
    ),
    "erased area": Case(
        TRAIN + "INPUT.REA.AREA [0.4,0.02]",
        "INPUT.REA.AREA: must be the smallest and the largest value, both above 0, got [0.4, 0.02]",
    ),
    "spread of the classifier": Case(
        TRAIN + "MODEL.HEADS.CLASSIFIER_STD -0.1",
        "MODEL.HEADS.CLASSIFIER_STD: must be 0 or more, got -0.1",
    ),
    "no weight of a feature": Case(
        TRAIN + "TEST.FEATURE.NECK_WEIGHT 0.0",
        ("TEST.FEATURE: POOLED_WEIGHT and NECK_WEIGHT must be 0 or more, and one of them above 0; got 0.0 and 0.0"),
    ),
    "augmentation": Case(
        TRAIN + "INPUT.AUGMENT gpu",
        "INPUT.AUGMENT: unknown value 'gpu'; available: device, host",
    ),
    "workers": Case(
        TRAIN + "DATALOADER.NUM_WORKERS -1",
        "DATALOADER.NUM_WORKERS: must be at least 0, got -1",
    ),
    "kept checkpoints": Case(
        TRAIN + "SOLVER.CHECKPOINT_KEEP -2",
        "SOLVER.CHECKPOINT_KEEP: must be at least 0, got -2",
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_config_with_a_mistake_ends_in_one_message(case: Case, desk: Path) -> None:
    check(case, desk)
