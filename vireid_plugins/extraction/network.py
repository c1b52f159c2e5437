"""One place for `TEST.EXTRACTION`: a network that computes its features in a fast form, checked against the exact one.

Shapes: `B` images, `D` embedding.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from fastreid.config import CfgNode
from torch import Tensor, nn

from vireid_plugins.data.datasets.base import MODALITIES
from vireid_plugins.errors import FeatureError, require_name
from vireid_plugins.extraction.forms import Form, Runner, fastest
from vireid_plugins.extraction.single_modality import SingleModality

logger = logging.getLogger("fastreid." + __name__)
EXACT, FAST = "exact", "fast"
# Least cosine between fast and exact features, and on how many images of the first batch it is measured.
LEAST_COSINE, CHECKED = 0.9995, 16


def network_for(cfg: CfgNode, model: nn.Module) -> nn.Module:
    """Return the network that extracts features as `TEST.EXTRACTION` says: `model`, or a `FastNetwork` of it.

    Raises:
        ConfigError: the key has another value.
    """
    require_name("TEST.EXTRACTION", cfg.TEST.EXTRACTION, (EXACT, FAST))
    if cfg.TEST.EXTRACTION == EXACT:
        return model
    if torch.device(cfg.MODEL.DEVICE).type != "cpu":
        logger.warning("TEST.EXTRACTION: fast is for a CPU; on %s features are computed exactly", cfg.MODEL.DEVICE)
        return model
    return FastNetwork(model, cfg.INPUT.SIZE_TEST)


def form_of(network: nn.Module) -> str:
    """Return how a network of `network_for` has computed its features."""
    return network.form if isinstance(network, FastNetwork) else EXACT


class FastNetwork(nn.Module):
    """A trained network whose features are computed in the fastest form of this machine.

    The form is made at the first batch and compared with the network on it. If the form fails or its features are too
    far off, a warning says so, and all features are the network's own.

    Args:
        model: the network; its weights must not change afterwards.
        size: height and width of its images.

    Attributes:
        form: what computes the features; `exact` before the first batch.
    """

    def __init__(self, model: nn.Module, size: Sequence[int]) -> None:
        super().__init__()
        self.exact, self.size = model, list(size)
        self.training = model.training
        self.form = EXACT
        self._runners: dict[int, Runner] | None = None

    def forward(self, batch: Mapping[str, Any]) -> Tensor:
        """Return the features (B, D) of a batch with `images` and `modalities`."""
        if self._runners is None:
            # The weights are copied, which must not make tensors that an exporter refuses.
            with torch.inference_mode(False), torch.no_grad():
                self._runners = self._made(batch)
        if not self._runners:
            exact: Tensor = self.exact(batch)
            return exact
        return _run(self._runners, batch["images"], batch["modalities"].cpu())

    def _made(self, batch: Mapping[str, Any]) -> dict[int, Runner]:
        """Return a runner for each modality; none if the form fails."""
        form = fastest()
        if form.missing:
            logger.warning(
                "TEST.EXTRACTION: fast is faster with %s: pip install %s",
                ", ".join(form.missing),
                " ".join(form.missing),
            )
        try:
            runners, cosine = self._checked(form, batch)
        except Exception as error:  # a form may fail in any way, and the features are there without it
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            logger.warning("TEST.EXTRACTION: features are computed exactly, since %s failed: %s", form.name, reason)
            return {}
        self.form = form.name
        logger.info("Extraction: %s; least cosine to the exact features on the first batch %.6f", form.name, cosine)
        return runners

    def _checked(self, form: Form, batch: Mapping[str, Any]) -> tuple[dict[int, Runner], float]:
        """Return the runners of a form, and their least cosine to the exact features of the first images.

        Raises:
            FeatureError: the cosine is too low.
        """
        model = getattr(self.exact, "module", self.exact)
        images = batch["images"][:CHECKED].cpu()
        runners, least = {}, 1.0
        # Both networks see the images, of whichever modality they are: the next batch may be of the other one.
        for modality in MODALITIES:
            single = SingleModality(model, modality, normalize=False).eval()
            # Whoever watches the network watches that one; an exporter would compile what a hook does.
            single.model._forward_hooks.clear()
            single.model._forward_pre_hooks.clear()
            runners[modality] = form.make(single, self.size)
            modalities = torch.full((len(images),), modality)
            exact = self.exact({"images": images, "modalities": modalities})
            cosine = float(F.cosine_similarity(_run(runners, images, modalities).double(), exact.double()).min())
            if not cosine >= LEAST_COSINE:
                raise FeatureError(f"the cosine to the exact features is {cosine:.6f}, below {LEAST_COSINE}")
            least = min(least, cosine)
        return runners, least


def _run(runners: Mapping[int, Runner], images: Tensor, modalities: Tensor) -> Tensor:
    """Return the features (B, D), computed for one modality after the other."""
    features: Tensor | None = None
    for modality in modalities.unique().tolist():
        rows = (modalities == modality).nonzero()[:, 0]
        some = runners[modality](images if len(rows) == len(images) else images[rows])
        if features is None:
            features = some.new_empty((len(images), some.shape[1]))
        features[rows] = some
    assert features is not None
    return features
