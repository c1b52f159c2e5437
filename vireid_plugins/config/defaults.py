"""Every key this package adds to fast-reid's defaults, each with its meaning and its symbol in the papers."""

from fastreid.config import CfgNode

CN = CfgNode


def add_vireid_config(cfg: CfgNode) -> None:
    """Add the keys to `cfg`. A second call changes nothing."""
    if "STREAMS" in cfg.MODEL:
        return
    # Seed of every random generator, rank added; -1 draws one and logs it.
    cfg.SEED = 0
    _add_input(cfg)
    _add_data(cfg)
    _add_streams(cfg)
    _add_attention(cfg)
    _add_losses(cfg)
    _add_wrim(cfg)
    _add_solver(cfg)
    _add_test(cfg)


def _add_input(cfg: CfgNode) -> None:
    cfg.INPUT.VIEWS = CN()
    # Views of a visible image, each a list of transforms in order; "Name@p" applies it with probability p. The names
    # are in TRANSFORM_REGISTRY. Two views here and one below make a batch [V1, V2, I1].
    cfg.INPUT.VIEWS.VISIBLE = [["PadCrop", "Flip@0.5", "Erasing@0.5"]]
    # Views of an infrared image.
    cfg.INPUT.VIEWS.INFRARED = [["PadCrop", "Flip@0.5", "Erasing@0.5"]]
    # Erasing: smallest and largest share of the image's area; INPUT.REA.VALUE fills the rectangle.
    cfg.INPUT.REA.AREA = [0.02, 0.4]
    # Erasing: smallest and largest height / width of the rectangle.
    cfg.INPUT.REA.ASPECT = [0.3, 3.33]
    # PadCrop: value of the INPUT.PADDING.SIZE pixels added on each side before the crop.
    cfg.INPUT.PADDING.VALUE = 0
    cfg.INPUT.ADAPTIVE_GRAY = CN()
    # Probability that AdaptiveGray, having drawn luma (one of its four draws), applies it (p of CAJ).
    cfg.INPUT.ADAPTIVE_GRAY.LUMA_PROB = 0.5
    # Interpolation of the resize: nearest, bilinear, bicubic or lanczos.
    cfg.INPUT.INTERPOLATION = "bilinear"


def _add_data(cfg: CfgNode) -> None:
    cfg.DATASETS.SYSU = CN()
    # Which training identities of SYSU-MM01: "trainval" is the training set of every paper (395 identities),
    # "train" leaves the 99 validation identities out, and they choose the epoch (SYSUMM01Val).
    cfg.DATASETS.SYSU.TRAIN = "trainval"
    cfg.DATASETS.REGDB = CN()
    # Which of RegDB's ten splits is trained and tested, 1 to 10; a number in print is the mean over all ten.
    cfg.DATASETS.REGDB.SPLIT = 1


def _add_streams(cfg: CfgNode) -> None:
    cfg.MODEL.STREAMS = CN()
    # Copies of the stem: 1 shared, 2 one a modality, 4 one a modality and view (stream = 2 * modality + view).
    cfg.MODEL.STREAMS.COUNT = 1
    # How many stages after the stem are copied with it.
    cfg.MODEL.STREAMS.SEPARATE_STAGES = 0
    # The fast-reid backbone that is cut into stem and stages, a name in fast-reid's BACKBONE_REGISTRY.
    cfg.MODEL.STREAMS.BACKBONE = "build_resnet_backbone"
    # ResNet's max-pool: "fastreid" has padding 0 and ceil mode, "torchvision" padding 1. The same weights give other
    # features, so the key follows the source of the weights.
    cfg.MODEL.STREAMS.MAX_POOL = "fastreid"


def _add_attention(cfg: CfgNode) -> None:
    cfg.MODEL.ATTENTION = CN()
    # Map modules of ATTENTION_REGISTRY in stage 1: "Name" at its end, "Name@2" after its zero-based block 2.
    cfg.MODEL.ATTENTION.STAGE1 = []
    # The same in stage 2.
    cfg.MODEL.ATTENTION.STAGE2 = []
    # The same in stage 3.
    cfg.MODEL.ATTENTION.STAGE3 = []
    # The same in stage 4.
    cfg.MODEL.ATTENTION.STAGE4 = []
    # MIIM of WRIM-Net.
    cfg.MODEL.ATTENTION.MIIM = CN()
    # r, one a stage: channels are compressed C -> C / r.
    cfg.MODEL.ATTENTION.MIIM.REDUCTION = [2, 2, 4, 4]
    # s, one a stage: kernel and stride of the compression; empty: map size / last map size, so that all attend over
    # one grid.
    cfg.MODEL.ATTENTION.MIIM.STRIDE = []
    # One a stage: own weights for each modality.
    cfg.MODEL.ATTENTION.MIIM.SEPARATE = [True, True, False, False]
    # Heads of the attention.
    cfg.MODEL.ATTENTION.MIIM.HEADS = 8
    # Average pooling of keys and values; 1 is none.
    cfg.MODEL.ATTENTION.MIIM.KV_POOL = 2
    # False: F * G; True: F * (1 + G).
    cfg.MODEL.ATTENTION.MIIM.RESIDUAL = False


def _add_losses(cfg: CfgNode) -> None:
    # Output width of the MLP on the pooled feature, `bundle.projection`; 0 is no MLP.
    cfg.MODEL.HEADS.PROJECTION_DIM = 0
    losses = cfg.MODEL.LOSSES
    # Cross-entropy, label-smoothed.
    losses.LABEL_SMOOTH_CE = CN()
    # Branches it is put on; empty: all, with their mean.
    losses.LABEL_SMOOTH_CE.ON = []
    # Weight.
    losses.LABEL_SMOOTH_CE.SCALE = 1.0
    # epsilon, mass spread over all classes.
    losses.LABEL_SMOOTH_CE.EPSILON = 0.1
    # Hard triplet on pooled, un-normalised features.
    losses.HARD_TRIPLET = CN()
    # Branches it is put on; empty: all, with their mean.
    losses.HARD_TRIPLET.ON = []
    # Weight.
    losses.HARD_TRIPLET.SCALE = 1.0
    # Margin of the hinge.
    losses.HARD_TRIPLET.MARGIN = 0.3
    # CMKIC of WRIM-Net, on `bundle.projection`.
    losses.CMKIC = CN()
    # lambda1, weight.
    losses.CMKIC.SCALE = 1.0
    # tau.
    losses.CMKIC.TEMPERATURE = 0.1
    # K, the number of hardest positives of an anchor; 0: half of them.
    losses.CMKIC.K_HARD = 0


def _add_wrim(cfg: CfgNode) -> None:
    cfg.MODEL.WRIM = CN()
    # N: horizontal parts of the last map (R_1 .. R_N).
    cfg.MODEL.WRIM.PARTS = 2
    # M: horizontal parts of the map before it (Q_1 .. Q_M); 0 is the global branch Q_g alone.
    cfg.MODEL.WRIM.AUX_PARTS = 0
    # lambda2: weight of the losses of the auxiliary branch; 0 leaves the branch out.
    cfg.MODEL.WRIM.AUX_WEIGHT = 0.5


def _add_solver(cfg: CfgNode) -> None:
    # Autocast type when SOLVER.AMP.ENABLED: "float16" (CUDA only, with loss scaling) or "bfloat16".
    cfg.SOLVER.AMP.DTYPE = "float16"
    # Warm-up stepped once an epoch, as the AGW family does; its last epoch has the full rate. 0: SOLVER.WARMUP_ITERS.
    cfg.SOLVER.WARMUP_EPOCHS = 0


def _add_test(cfg: CfgNode) -> None:
    # Names in PROTOCOLS; all are scored from one extraction, the first gives the metric that picks `model_best`.
    cfg.TEST.PROTOCOLS = []
    # k-reciprocal re-ranking, when TEST.RERANK.ENABLED (K1, K2, LAMBDA beside it): "ordinary" takes neighbours from all
    # images, "query_only" from the queries alone.
    cfg.TEST.RERANK.FORM = "ordinary"
    # Also write the extracted features to <OUTPUT_DIR>/features_<data set>.npz, for tools/evaluate_features.py.
    cfg.TEST.SAVE_FEATURES = False
    # Also score random features, the floor under every number.
    cfg.TEST.COMPARE_RANDOM = False
