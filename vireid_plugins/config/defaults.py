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
    _add_methods(cfg)
    _add_solver(cfg)
    _add_test(cfg)


def _add_input(cfg: CfgNode) -> None:
    cfg.INPUT.VIEWS = CN()
    # Views of a visible image, each a list of transforms in order; "Name@p" applies it with probability p. The names
    # are in TRANSFORM_REGISTRY. Two views here and one below make a batch [V1, V2, I1].
    cfg.INPUT.VIEWS.VISIBLE = [["PadCrop", "Flip@0.5", "Erasing@0.5"]]
    # Views of an infrared image.
    cfg.INPUT.VIEWS.INFRARED = [["PadCrop", "Flip@0.5", "Erasing@0.5"]]
    # Where images are augmented: "host", one by one in the loader's processes, or "device", whole batches where the
    # network is. The distribution is the same, the drawn numbers are not.
    cfg.INPUT.AUGMENT = "host"
    # CAJ and MSCMNet copy channels and erase in the normalised image, which is not the same as before normalisation
    # (differences up to 0.39). Erasing then writes INPUT.REA.VALUE / 255.
    cfg.INPUT.AFTER_NORM = False
    # Brightness: the image is multiplied by a number from U(1 - this, 1 + this).
    cfg.INPUT.BRIGHTNESS = 0.5
    # Erasing: smallest and largest share of the image's area; INPUT.REA.VALUE fills the rectangle.
    cfg.INPUT.REA.AREA = [0.02, 0.4]
    # Erasing: smallest and largest height / width of the rectangle.
    cfg.INPUT.REA.ASPECT = [0.3, 3.33]
    # Erasing: height / width is drawn evenly in the logarithm ("log", as torchvision and IDKL do) or evenly ("even",
    # as the code of AGW, CAJ, DEEN and MSCMNet does, whose rectangles are taller).
    cfg.INPUT.REA.ASPECT_DRAW = "log"
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
    # Folder for decoded and resized images, kept as one memory-mapped array a list of files (images x H x W x 3
    # bytes); empty is none. Stale and torn arrays are made again; several runs may share it.
    cfg.DATALOADER.CACHE = ""
    # Seconds after which a loader's worker that gives no batch is reported; 0 waits for ever.
    cfg.DATALOADER.TIMEOUT = 60
    cfg.DATASETS.REGDB = CN()
    # Which of RegDB's ten splits is trained and tested, 1 to 10; a number in print is the mean over all ten.
    cfg.DATASETS.REGDB.SPLIT = 1


def _add_streams(cfg: CfgNode) -> None:
    # Maps inside the stages are computed again in the backward pass instead of kept: less memory, more time.
    cfg.MODEL.CHECKPOINT_STAGES = False
    # torch.compile for the stem and the stages with their attention; the first steps take a minute.
    cfg.MODEL.COMPILE = False
    # On several devices: batch norms take their mean and variance over all of them.
    cfg.MODEL.SYNC_BN = False
    cfg.MODEL.STREAMS = CN()
    # Copies of the stem: 1 shared, 2 one a modality, 4 one a modality and view (stream = 2 * modality + view).
    cfg.MODEL.STREAMS.COUNT = 1
    # How many stages after the stem are copied with it.
    cfg.MODEL.STREAMS.SEPARATE_STAGES = 0
    # The fast-reid backbone that is cut into stem and stages, a name in fast-reid's BACKBONE_REGISTRY.
    cfg.MODEL.STREAMS.BACKBONE = "build_resnet_backbone"
    # ResNet's max-pool: "fastreid" has padding 0 and ceil mode, "torchvision" padding 1. The same weights give other
    # features with each; "auto" takes what the pretrained weights were trained with.
    cfg.MODEL.STREAMS.MAX_POOL = "auto"
    # Accept pretrained weights that leave parts of the backbone as they are initialized; False: they fill it wholly, or
    # it is an error that says what is missing.
    cfg.MODEL.BACKBONE.PRETRAIN_PARTIAL = False
    # The same for MODEL.WEIGHTS and the whole network; classifiers of other identities never have to fit.
    cfg.MODEL.WEIGHTS_PARTIAL = False


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
    # s, one a stage, a number or a pair [height, width]: kernel and stride of the compression; empty: map size / last
    # map size per axis, so that all attend over one grid.
    cfg.MODEL.ATTENTION.MIIM.STRIDE = []
    # One a stage: own weights for each modality.
    cfg.MODEL.ATTENTION.MIIM.SEPARATE = [True, True, False, False]
    # Heads of the attention.
    cfg.MODEL.ATTENTION.MIIM.HEADS = 8
    # Average pooling of keys and values; 1 is none. At least two keys must be left.
    cfg.MODEL.ATTENTION.MIIM.KV_POOL = 2
    # False: X * G; True: X * (1 + G).
    cfg.MODEL.ATTENTION.MIIM.RESIDUAL = False
    # X of the product: the "raw" map, the "normalized" one (MIIM's batch norm without weights), or "relu" of it.
    cfg.MODEL.ATTENTION.MIIM.OPERAND = "raw"
    # Non-local block of AGW and MSCMNet.
    cfg.MODEL.ATTENTION.NONLOCAL = CN()
    # Width of theta, phi and g: 1 in AGW; 0 is half of the map's channels, as in MSCMNet.
    cfg.MODEL.ATTENTION.NONLOCAL.INNER = 0
    # Information purifier of IDKL.
    cfg.MODEL.ATTENTION.PURIFIER = CN()
    # Channels are divided by this inside a mask.
    cfg.MODEL.ATTENTION.PURIFIER.REDUCTION = 16
    # Masks m_e, m_r: "channel" from feature maps pooled by GeM (paper) or "full" (released code).
    cfg.MODEL.ATTENTION.PURIFIER.MASK = "channel"
    # IN: with weights and running statistics (released code) or plain (paper).
    cfg.MODEL.ATTENTION.PURIFIER.AFFINE = False


def _add_losses(cfg: CfgNode) -> None:
    # Standard deviation of the classifier's initial weights; 0 initializes it as torch's nn.Linear.
    cfg.MODEL.HEADS.CLASSIFIER_STD = 0.01
    # Standard deviation of the BNNeck's initial weights around 1.
    cfg.MODEL.HEADS.NECK_STD = 0.0
    # Output width of the MLP on the pooled feature, `inputs.projection`; 0 is no MLP.
    cfg.MODEL.HEADS.PROJECTION_DIM = 0
    losses = cfg.MODEL.LOSSES
    # On several devices: each loss sees the images of all of them, with gradient, not its own device's alone.
    losses.GATHER = False
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
    # CMKIC of WRIM-Net, on `inputs.projection`.
    losses.CMKIC = CN()
    # lambda1, weight.
    losses.CMKIC.SCALE = 1.0
    # Iterations over which the weight rises linearly from 0 to SCALE; 0: none.
    losses.CMKIC.RAMP_ITERS = 0
    # tau.
    losses.CMKIC.TEMPERATURE = 0.1
    # K, the number of hardest positives of an anchor; 0: half of them.
    losses.CMKIC.K_HARD = 0
    # The denominator holds all positives of the anchor, not the one in the numerator alone.
    losses.CMKIC.OTHER_POSITIVES = False

    _add_baseline_losses(losses)
    _add_idkl_losses(losses)


def _add_baseline_losses(losses: CfgNode) -> None:
    # Weighted regularised triplet of AGW.
    losses.WRT = CN()
    # Branches it is put on; empty: all, with their mean.
    losses.WRT.ON = []
    # Weight.
    losses.WRT.SCALE = 1.0
    # Weights as the released code computes them: its negative term vanishes at large distances (half of it is gone at
    # about 14 with one negative, at 17.8 with 56 equal ones).
    losses.WRT.RELEASED_EPS = False
    # Enhanced squared-difference triplet of CAJ.
    losses.ESD = CN()
    # Branches it is put on; empty: all, with their mean.
    losses.ESD.ON = []
    # Weight.
    losses.ESD.SCALE = 1.0
    # gamma, factor of the square.
    losses.ESD.GAMMA = 1.0
    # See WRT.RELEASED_EPS.
    losses.ESD.RELEASED_EPS = False
    # Hetero-centre loss.
    losses.HETERO_CENTRE = CN()
    # Branches it is put on; empty: all, with their mean.
    losses.HETERO_CENTRE.ON = []
    # Weight.
    losses.HETERO_CENTRE.SCALE = 1.0
    # QCT of MSCMNet.
    losses.QCT = CN()
    # Branches it is put on; empty: all, with their mean.
    losses.QCT.ON = []
    # Weight.
    losses.QCT.SCALE = 1.0
    # Margin of the negative part.
    losses.QCT.MARGIN = 0.7
    # a, share of the quadruple centre beside the dual centre; 0 in the released code.
    losses.QCT.QUAD_WEIGHT = 0.0
    # L_ICG of ICRE.
    losses.ICG = CN()
    # Branches it is put on; empty: all, with their mean.
    losses.ICG.ON = []
    # lambda, weight.
    losses.ICG.SCALE = 0.5
    # "tolerance": pull beyond rho1, centres apart up to rho2; "hinge": pull, and a hinge to the nearest other centre.
    losses.ICG.FORM = "tolerance"
    # On L2-normalized features.
    losses.ICG.NORMALIZE = True
    # rho1, tolerance of the pull or margin of the hinge; None is the form's own: 0.01 (tolerance), 0.3 (hinge).
    losses.ICG.RHO1 = None
    # rho2, separation of two identities' centres in the tolerance form.
    losses.ICG.RHO2 = 0.7
    # CPM of DEEN.
    losses.CPM = CN()
    # Weight.
    losses.CPM.SCALE = 0.8
    # m, margin.
    losses.CPM.MARGIN = 0.2
    # Orthogonality of DEEN's branches.
    losses.ORTHOGONALITY = CN()
    # Weight.
    losses.ORTHOGONALITY.SCALE = 0.01


def _add_idkl_losses(losses: CfgNode) -> None:
    for name, weight in (("TGSA", 0.6), ("CSA", 0.8), ("MDR", 1.0)):
        # L_tgsa, L_csa and L_mdr of IDKL.
        losses[name] = CN()
        # lambda2 (TGSA), lambda3 (CSA), weight of MDR.
        losses[name].SCALE = weight
        # Direction of the divergences: "printed", "reversed" or "symmetric".
        losses[name].KL = "printed"
        # "batchmean", a scale that does not depend on the batch, or the paper's "sum" over samples.
        losses[name].REDUCTION = "batchmean"
    # Add the instance-wise form on logits (released code).
    losses.CSA.INSTANCE_WISE = False
    # "cross": with the true cross affinity (paper); "mixture": without it (released code).
    losses.TGSA.FORM = "cross"
    # "cross": with the true cross affinity (paper); "mixture": over half mixtures (released code).
    losses.MDR.FORM = "cross"
    # Add the instance-wise form on logits (released code).
    losses.MDR.INSTANCE_WISE = False
    # With the alignment of graphs; without on RegDB in the released code.
    losses.MDR.GRAPH = True
    # L_e + L_r of IDKL's purifier.
    losses.PURIFIER = CN()
    # lambda1, weight.
    losses.PURIFIER.SCALE = 0.1
    # "paper": softplus; "released": exp(relu) - 1 and relu.
    losses.PURIFIER.FORM = "paper"
    # L_C + L_D, the modality heads of IDKL.
    losses.MODALITY_HEADS = CN()
    # Weight.
    losses.MODALITY_HEADS.SCALE = 1.0
    # Labels of the confusers: "true", behind a gradient reversal (paper), or "pseudo" (released code).
    losses.MODALITY_HEADS.CONFUSER_LABELS = "true"
    # Over the heads of L_C, and over those of L_D: "sum" (paper, eq. 2-4) or "mean".
    losses.MODALITY_HEADS.REDUCTION = "sum"


def _add_methods(cfg: CfgNode) -> None:
    cfg.MODEL.IDKL = CN()
    # "paper": confusers behind a gradient reversal and discriminators at several depths, L_e on the purified
    # classifier; "released": one modality head a branch on the neck feature, L_e on a classifier of its own.
    cfg.MODEL.IDKL.FORM = "paper"
    # With the purifier; without, the raw specific branch takes the purified one's place (ablation).
    cfg.MODEL.IDKL.PURIFY = True
    # Weight of the identity losses of the purified branch: lambda1 in the paper, 1 in the released code.
    cfg.MODEL.IDKL.PURIFIED_WEIGHT = 0.1
    # Identity losses on the raw specific branch too (paper).
    cfg.MODEL.IDKL.RAW_IDENTITY = True
    # Weight of the reversed gradient.
    cfg.MODEL.IDKL.GRL_WEIGHT = 1.0
    cfg.MODEL.MSCM = CN()
    # The ALBs in order: what each relates the map of stage 3 to, "stem", "stage1", "stage2" or "stage3" (itself).
    cfg.MODEL.MSCM.RELATE = ["stem", "stage1", "stage2", "stage3"]
    # Channel tokens of an ALB.
    cfg.MODEL.MSCM.TOKENS = 256
    # Length of a head of the attention; it must divide H * W of stage 3's map.
    cfg.MODEL.MSCM.HEAD_DIM = 9
    # Outer residual of an ALB.
    cfg.MODEL.MSCM.RESIDUAL = False
    cfg.MODEL.DEEN = CN()
    # The expansion stands after this stage, and the next one is the last: 3, or 2 on RegDB.
    cfg.MODEL.DEEN.EXPAND_AFTER = 3
    # As released, the position block views C / 2 channels as C rows, which folds pairs of positions.
    cfg.MODEL.DEEN.PNL_FOLD = True
    # Dropout of the expanded maps.
    cfg.MODEL.DEEN.DROPOUT = 0.01
    cfg.MODEL.ICRE = CN()
    # The maps E that MPFR aggregates, among stem and stage1 .. stage4.
    cfg.MODEL.ICRE.STAGES = ["stage1", "stage2", "stage3"]
    # d, width of F_id and of SDCE.
    cfg.MODEL.ICRE.DIM = 512
    # Heads of SDCE's attentions.
    cfg.MODEL.ICRE.HEADS = 8
    # Masks M_s: softmax over the stages instead of a sigmoid each.
    cfg.MODEL.ICRE.MASK_SOFTMAX = False
    # Fusion of the masked maps: "sum" or "concat".
    cfg.MODEL.ICRE.FUSION = "sum"


def _add_wrim(cfg: CfgNode) -> None:
    cfg.MODEL.WRIM = CN()
    # N: horizontal parts of the last map (R_1 .. R_N).
    cfg.MODEL.WRIM.PARTS = 2
    # M: horizontal parts of the map before it (Q_1 .. Q_M); 0 is the global branch Q_g alone.
    cfg.MODEL.WRIM.AUX_PARTS = 0
    # lambda2: weight of the losses of the auxiliary branch; 0 leaves the branch out.
    cfg.MODEL.WRIM.AUX_WEIGHT = 0.5
    # What the MLP of Z takes of R_g: its "pooled" feature, before the BNNeck, or its "neck" feature, after it.
    cfg.MODEL.WRIM.PROJECTION_FROM = "pooled"
    # The test feature includes the auxiliary branch (Q_g; 7,168-d in ResNet-50 instead of 6,144-d).
    cfg.MODEL.WRIM.TEST_AUX = False


def _add_solver(cfg: CfgNode) -> None:
    # Autocast type when SOLVER.AMP.ENABLED: "float16" (CUDA only, with loss scaling) or "bfloat16".
    cfg.SOLVER.AMP.DTYPE = "float16"
    # Warm-up stepped once an epoch, as the AGW family does; its last epoch has the full rate. 0: SOLVER.WARMUP_ITERS.
    cfg.SOLVER.WARMUP_EPOCHS = 0
    # A batch is worked off in this many parts, each with a share of the identities, and their gradients averaged: less
    # memory, the same images a step. A loss sees its part alone.
    cfg.SOLVER.ACCUMULATE = 1
    # How many periodic checkpoints stay; the best and the final one always do. 0: all.
    cfg.SOLVER.CHECKPOINT_KEEP = 3
    # How many batches whose loss is infinite or NaN may be left out; one more ends the run, as the first one does at 0.
    # Above 0 the losses are read from the device at every step.
    cfg.SOLVER.SKIP_NONFINITE = 0
    # Losses are read from the device, checked and written every so many steps, and at the end of an epoch.
    cfg.SOLVER.METRICS_PERIOD = 10
    # d of the moving average of the weights, which is then evaluated and saved beside them; 0 keeps none.
    cfg.SOLVER.EMA_DECAY = 0.0


def _add_test(cfg: CfgNode) -> None:
    # Names in PROTOCOLS; all are scored from one extraction, the first gives the metric that picks `model_best`.
    cfg.TEST.PROTOCOLS = []
    cfg.TEST.FEATURE = CN()
    # Weights of the cosines of pooled and BNNeck features in the similarity of two images: with 0 and 1 BNNeck
    # features alone are compared. DEEN has 0.1 and 0.9, MSCMNet on LLCM 1 and 1.
    cfg.TEST.FEATURE.POOLED_WEIGHT = 0.0
    # See POOLED_WEIGHT.
    cfg.TEST.FEATURE.NECK_WEIGHT = 1.0
    # L2-normalize a feature before a flip test adds the mirror image's, as CAJ does. With two weights it always is.
    cfg.TEST.FEATURE.NORMALIZE = False
    # k-reciprocal re-ranking, when TEST.RERANK.ENABLED (K1, K2, LAMBDA beside it): "ordinary" takes neighbours from all
    # images, "query_only" from the queries alone.
    cfg.TEST.RERANK.FORM = "ordinary"
    # Rows [data set, score, value in percent, tolerance], as ["SYSUMM01", "mAP", 75.4, 1.0], checked against the first
    # protocol's scores after the last epoch or --eval-only; the run fails where one is missed.
    cfg.TEST.EXPECTED_RESULTS = []
    # Also write the extracted features to <OUTPUT_DIR>/features_<data set>.npz, for `vireid score`.
    cfg.TEST.SAVE_FEATURES = False
    # Also score random features, the floor under every number.
    cfg.TEST.COMPARE_RANDOM = False
