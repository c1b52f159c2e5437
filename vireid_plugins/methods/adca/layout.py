"""How ADCA's public code (ACM MM 2022, repository yangbincv/ADCA) names its parameters: as AGW, without relations."""

from vireid_plugins.io.checkpoint_layout import DUAL_STREAM, Layout, Rule

# A classifier that the code has and never trains.
WITHOUT_CLASSIFIER: tuple[Rule, ...] = ((r"classifier\.weight", None), *DUAL_STREAM)
LAYOUTS = {"adca": Layout("SYSU/adca.yml", WITHOUT_CLASSIFIER)}
