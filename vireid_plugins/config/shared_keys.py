"""Keys that belong to no single class: input, data, streams, heads, solver, evaluation."""

from vireid_plugins.config.keys import Key, declare_table

# Rows (pattern of protocols, k1, k2): what SAAI's public code runs; its `*` is that of RegDB.
AIM_NEIGHBORS = (
    ("sysu/*/all/1shot", 4, 1),
    ("sysu/*/indoor/1shot", 2, 2),
    ("sysu/*/10shot", 20, 6),
    ("*", 8, 2),
)

_VIEW = [["PadCrop", "Flip@0.5", "Erasing@0.5"]]
_STAGE = (
    'Attention modules in stage {}, names in ATTENTION_REGISTRY: "Name" at its end, "Name@2" after block 2, counted '
    "from 0."
)

# fmt: off
declare_table(
    Key("SEED", 0, "Seed of every random generator; each process adds its rank. -1: draw a seed and log it."),

    Key("LOGGERS", [],
        "Services that a run also sends its losses and scores to, names in LOGGER_REGISTRY: wandb, mlflow."),

    Key("INPUT.VIEWS.VISIBLE", _VIEW,
        'Views of a visible image, each a list of transforms in order; "Name@p" applies one with probability p, '
        '"First|Second" one of two or more, at even odds. The names are in TRANSFORM_REGISTRY; all transforms after '
        "the entry Normalize work on the normalized image. Two visible views and one infrared view make a batch "
        "[V1, V2, I1]."),
    Key("INPUT.VIEWS.INFRARED", _VIEW, "Views of an infrared image."),
    Key("INPUT.FIRST_EPOCHS", 0, "Number of epochs that begin the run with INPUT.FIRST_VIEWS (PMT's first phase)."),
    Key("INPUT.FIRST_VIEWS.VISIBLE", [],
        "Views of a visible image in these epochs, as many as later; empty: INPUT.VIEWS.VISIBLE."),
    Key("INPUT.FIRST_VIEWS.INFRARED", [], "Views of an infrared image in these epochs; empty: INPUT.VIEWS.INFRARED."),
    Key("INPUT.AUGMENT", "host",
        'Where images are augmented: "host", one by one in the loader\'s processes, or "device", whole batches on the '
        "network's device. The distribution is the same; the random numbers differ."),
    Key("INPUT.AFTER_NORM", False,
        "Copy channels and erase in the normalized image, as CAJ and MSCMNet do; the result differs from doing so "
        "before normalization by up to 0.39. Erasing then writes INPUT.REA.VALUE / 255."),
    Key("INPUT.JITTER", 0.3,
        "BrightnessContrast: brightness and contrast are multiplied by numbers from U(1 - this, 1 + this)."),
    Key("INPUT.BLUR.SIZE", 21, "GaussianBlur: side of the kernel in pixels, odd."),
    Key("INPUT.BLUR.SIGMA", [0.1, 3.0], "GaussianBlur: smallest and largest standard deviation in pixels."),
    Key("INPUT.BRIGHTNESS", 0.5, "Brightness: the image is multiplied by a number from U(1 - this, 1 + this)."),
    Key("INPUT.MRLE.BETA", 0.3,
        "MRLE: all channels become one mixture, with factors drawn from Beta(this, this) and divided by their sum."),
    Key("INPUT.RRLE.BETA", 0.4,
        "RRLE: in a rectangle, the brightest pixel of each channel becomes 255 times a number from Beta(this, this)."),
    Key("INPUT.RRLE.T_MIN", 0.1,
        "RRLE: rectangles are drawn until some pixel is darker than this times what it was; above 0, at most 1."),
    Key("INPUT.RRLE.AREA", [0.02, 0.4], "RRLE: smallest and largest fraction of the image's area."),
    Key("INPUT.RRLE.ASPECT", [0.3, 3.3333333],
        "RRLE: smallest and largest height / width of a rectangle, drawn uniformly."),
    Key("INPUT.REA.AREA", [0.02, 0.4],
        "Erasing: smallest and largest fraction of the image's area; the rectangle is filled with INPUT.REA.VALUE."),
    Key("INPUT.REA.ASPECT", [0.3, 3.33], "Erasing: smallest and largest height / width of the rectangle."),
    Key("INPUT.REA.ASPECT_DRAW", "log",
        'Erasing: height / width is drawn log-uniformly ("log", as in torchvision and IDKL) or uniformly ("even", as '
        "in the code of AGW, CAJ, DEEN and MSCMNet, whose rectangles are taller)."),
    Key("INPUT.REA.FILL", "value",
        'Erasing: "value" fills the rectangle with INPUT.REA.VALUE, "noise" with standard normal numbers in the '
        "normalized image (SAAI)."),
    Key("INPUT.PADDING.VALUE", 0,
        "PadCrop: value of the INPUT.PADDING.SIZE pixels added on each side before the crop; with INPUT.PADDING.MODE "
        '"symmetric" they show the mirror image at the border instead (SAAI).'),
    Key("INPUT.ADAPTIVE_GRAY.LUMA_PROB", 0.5,
        "Probability that AdaptiveGray applies luma once it has drawn it as one of its four choices (p of CAJ)."),
    Key("INPUT.INTERPOLATION", "bilinear", "Interpolation when resizing: nearest, bilinear, bicubic or lanczos."),
    Key("INPUT.INTERPOLATION_TEST", "", "Interpolation of test images; empty: INPUT.INTERPOLATION."),

    Key("INPUT.THERMAL.LOW", 0.0,
        "Images of more than 8 bits: the value, a count or a temperature, that becomes 0 in every image. With "
        "INPUT.THERMAL.HIGH, for radiometric images. Both 0: see INPUT.THERMAL.PERCENTILES."),
    Key("INPUT.THERMAL.HIGH", 0.0, "The value that becomes 255; see INPUT.THERMAL.LOW."),
    Key("INPUT.THERMAL.PERCENTILES", [1.0, 99.0],
        "Images of more than 8 bits that use less than a quarter of their scale, such as counts of a 14-bit sensor in "
        "a file of 16 bits, or that have no scale: these percentiles of each image's values become 0 and 255. Images "
        "that use more are divided by 256."),

    Key("DATASETS.SYSU.TRAIN", "trainval",
        'Training identities of SYSU-MM01: "trainval" is the training set of every paper (395 identities); "train" '
        "excludes the 99 validation identities, which then pick the best epoch (SYSUMM01Val)."),
    Key("DATASETS.REGDB.SPLIT", 1,
        "RegDB split to train and test on, 1 to 10; papers report the mean over all ten."),
    Key("DATASETS.OWN.ROOT", "",
        "OwnFolder: the folder of your own images, with visible/<identity>/* and infrared/<identity>/* unless a table "
        "or a pattern says otherwise; empty: the folder `own` below the data root."),
    Key("DATASETS.OWN.CSV", "",
        "OwnFolder: a table of the images with the columns path (below the folder), identity, modality, and perhaps "
        "camera and split (train, test)."),
    Key("DATASETS.OWN.PATTERN", "",
        "OwnFolder: a regular expression on the paths below the folder, with the groups identity and modality, and "
        "perhaps camera and split, such as (?P<modality>rgb|ir)/(?P<identity>[0-9]+)_c(?P<camera>[0-9]+).*"),
    Key("DATASETS.OWN.TEST_SHARE", 0.5,
        "OwnFolder: share of the identities that are tested and not trained, above 0; 1 tests all. Not read where the "
        "images have a split."),
    Key("DATASETS.OWN.SEED", 0, "OwnFolder: seed that draws the test identities."),

    Key("DATALOADER.CACHE", "",
        "Folder for decoded and resized images, one memory-mapped array per list of files (images x H x W x 3 bytes), "
        "which fills as images are read; empty: no cache. Outdated or truncated arrays are replaced; several runs may "
        "share the folder."),
    Key("DATALOADER.TIMEOUT", 60,
        "Seconds without a batch after which a stuck loader worker is reported; 0: never. Workers that start or use "
        "the processor are not stuck, and may take ten times as long."),

    Key("MODEL.CHECKPOINT_STAGES", False,
        "Recompute each stage's activations in the backward pass instead of storing them: less memory, more time."),
    Key("MODEL.RECOMPUTE_ACTIVATIONS", False,
        "Recompute the outputs of ReLUs behind batch norms and of residual blocks in the backward pass instead of "
        "storing them: a quarter less memory for about a tenth more time, and the same gradients to the bit."),
    Key("MODEL.COMPILE", False,
        "Apply torch.compile to the stem and to the stages with their attention; the first steps take a minute."),
    Key("MODEL.SYNC_BN", False, "On several devices: batch norms compute mean and variance over all of them."),
    Key("MODEL.STREAMS.COUNT", 1,
        "Copies of the stem: 1 shared, 2 one per modality, 4 one per modality and view (stream = 2 * modality + "
        "view)."),
    Key("MODEL.STREAMS.SEPARATE_STAGES", 0, "Number of stages after the stem that are copied with it."),
    Key("MODEL.STREAMS.BACKBONE", "build_resnet_backbone",
        "Backbone that is cut into stem and stages, a name in fast-reid's BACKBONE_REGISTRY; build_timm_backbone "
        "builds MODEL.TIMM.NAME."),
    Key("MODEL.STREAMS.TOKENS", "class",
        'With a ViT, what the heads get of the last tokens: "class", the class token; "patches", a '
        'feature map of the patches, for part pooling and map modules; "mean", their mean. Other backbones do not read '
        "it."),
    Key("MODEL.STREAMS.MAX_POOL", "auto",
        'Max-pooling of ResNet: "fastreid" has padding 0 and ceil mode, "torchvision" padding 1. The two give '
        'different features with the same weights; "auto" uses the one the pretrained weights were trained with.'),
    Key("MODEL.BACKBONE.PRETRAIN_PARTIAL", False,
        "Accept pretrained weights that do not fill the whole backbone; otherwise they are an error that names what "
        "is missing. What is missing stays random, and a WARNING names it."),
    Key("MODEL.WEIGHTS_PARTIAL", False,
        "Accept a checkpoint (MODEL.WEIGHTS) that does not fill the whole network. What it does not fill stays random, "
        "or pretrained in a new training, and a WARNING names it. Classifiers of other identities never have to fit."),
    Key("MODEL.WEIGHTS_AVERAGED", True,
        "Take the averaged weights of a checkpoint that has them, whatever SOLVER.EMA_DECAY is now; False: the weights "
        "of its last step. The log says which."),
    *(Key(f"MODEL.ATTENTION.STAGE{number}", [], _STAGE.format(number)) for number in range(1, 5)),
    Key("MODEL.HEADS.CLASSIFIER_STD", 0.01,
        "Standard deviation of the classifier's initial weights; 0: initialize it like torch's nn.Linear."),
    Key("MODEL.HEADS.NECK_STD", 0.0, "Standard deviation of the BNNeck's initial weights around 1."),
    Key("MODEL.HEADS.PROJECTION_DIM", 0,
        "Output width of the MLP on the pooled feature, which losses read as `projection`; 0: no MLP."),
    Key("MODEL.LOSSES.EPOCHS", [],
        'Rows [loss, first, last], such as ["HardTriplet", 7, 0]: a loss of MODEL.LOSSES.NAME that is used in some '
        "epochs only, counted from 1; last 0 is the end of the run."),
    Key("MODEL.LOSSES.GATHER", False,
        "On several devices: each loss sees the images of all of them, with gradients, not only its own."),

    Key("SOLVER.AMP.DTYPE", "float16",
        'Autocast type with SOLVER.AMP.ENABLED: "float16" (CUDA only, with loss scaling) or "bfloat16".'),
    Key("SOLVER.LR_FACTORS", [],
        'Rows [pattern, factor]: parameters whose whole name matches the regular expression have that factor times '
        "their rate; the first row that matches counts."),
    Key("SOLVER.WARMUP_EPOCHS", 0,
        "Epochs of a warm-up that steps once per epoch, as in the AGW family; the last one has the full rate. 0: warm "
        "up over SOLVER.WARMUP_ITERS iterations."),
    Key("SOLVER.ACCUMULATE", 1,
        "Number of gradient-accumulation steps per batch; identities are divided among the steps. Less memory, the "
        "same images per update. Each loss sees only the images of its step."),
    Key("SOLVER.CHECKPOINT_KEEP", 0,
        "Number of epochs whose weights are kept as files of their own, besides the best and the last: the latest of "
        "those after which the run was saved (SOLVER.CHECKPOINT_PERIOD)."),
    Key("SOLVER.SKIP_NONFINITE", 0,
        "Number of batches with an infinite or NaN loss that may be skipped; one more ends the run. Above 0, losses "
        "are read from the device at every step."),
    Key("SOLVER.METRICS_PERIOD", 10,
        "Steps between two reads of the losses from the device, when they are checked and written; they are also read "
        "at the end of an epoch."),
    Key("SOLVER.EMA_DECAY", 0.0,
        "Decay d of the moving average of the weights, which is then evaluated and saved with them; 0: no average."),

    Key("TEST.PROTOCOLS", [],
        "Names in PROTOCOLS, or patterns such as sysu/*, with /open at their end for open sets; features are extracted "
        "once for all of them, and the first one's metric picks `model_best`."),
    Key("TEST.EXTRACTION", "exact",
        'How features are computed on a CPU: "exact", as in training, or "fast", in the fastest form there is: '
        "bfloat16 if the processor has AMX, else onnxruntime if it is installed, else channels-last float32. If their "
        "cosine to the exact features is below 0.9995 on the first batch, they are computed exactly."),
    Key("TEST.FEATURE.POOLED_WEIGHT", 0.0,
        "Weight of the cosine of pooled features in the similarity of two images; 0 compares BNNeck features alone. "
        "DEEN uses 0.1 and a BNNeck weight of 0.9, MSCMNet on LLCM 1 and 1."),
    Key("TEST.FEATURE.NECK_WEIGHT", 1.0, "Weight of the cosine of BNNeck features in the similarity of two images."),
    Key("TEST.FEATURE.NORMALIZE", False,
        "L2-normalize a feature before a flip test adds that of the mirrored image, as CAJ does; always done when both "
        "weights above are set."),
    Key("TEST.RERANK.FORM", "ordinary",
        'Form of k-reciprocal re-ranking with TEST.RERANK.ENABLED (K1, K2, LAMBDA): "ordinary" takes neighbors from '
        'all images, "query_only" from the queries alone.'),
    Key("TEST.AIM.ENABLED", False,
        "Affinity inference (SAAI): rank by the similarities of two images to their nearest gallery images, added to "
        "their own. It looks at the whole gallery at once, and the printed row says so."),
    Key("TEST.AIM.NEIGHBORS", [list(row) for row in AIM_NEIGHBORS],
        "Affinity inference: rows [protocol, k1, k2], a name in PROTOCOLS or a pattern such as sysu/*; the first that "
        "matches counts. The default is what SAAI's public code runs."),
    Key("TEST.EXPECTED_RESULTS", [],
        'Rows [data set, score, value in percent, tolerance], such as ["SYSUMM01", "mAP", 75.4, 1.0], compared with '
        "the first protocol's scores after the last epoch or --eval-only; a miss fails the run."),
    Key("TEST.SAVE_FEATURES", False,
        "Also write the features of all test images, also of those that no protocol in TEST.PROTOCOLS uses, to "
        "<OUTPUT_DIR>/features_<data set>.npz, for `vireid score`."),
    Key("TEST.COMPARE_RANDOM", False, "Also score random features, as a lower bound to compare with."),
)
# fmt: on
