"""fast-reid's vision transformer (Dosovitskiy et al., ICLR 2021) as stem and stages.

    stem: the convolution of the patches -> (B, C, h, w)
    stage1 .. stage4: a quarter of the blocks each -> (B, 1 + h w, C); class token and positions come before the first
    block, the norm after the last

Overlapping patches (`MODEL.BACKBONE.STRIDE_SIZE` below 16) and embeddings of the camera and, as if it were one, of the
modality are those of TransReID (He et al., ICCV 2021).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from fastreid.config import CfgNode
from fastreid.layers import trunc_normal_
from fastreid.modeling.backbones.vision_transformer import Attention, VisionTransformer
from torch import Tensor, cat, nn, tensor, zeros

from vireid_plugins.config.keys import arguments, declare
from vireid_plugins.errors import ConfigError, require_name
from vireid_plugins.layers.streams import require_known
from vireid_plugins.modeling.backbones.tokens import Grid

PATCH = 16
STAGES = 4
# By MODEL.BACKBONE.DEPTH. The first two are fast-reid's; `small` is an early one of timm's, not DeiT's. `tiny` is
# DeiT's (Touvron et al., ICML 2021).
SIZES: dict[str, dict[str, Any]] = {
    "base": {"embed_dim": 768, "depth": 12, "num_heads": 12, "mlp_ratio": 4.0, "qkv_bias": True},
    "small": {"embed_dim": 768, "depth": 8, "num_heads": 8, "mlp_ratio": 3.0, "qk_scale": 768**-0.5},
    "tiny": {"embed_dim": 192, "depth": 12, "num_heads": 3, "mlp_ratio": 4.0, "qkv_bias": True},
}


@dataclass(frozen=True, kw_only=True)
class ViTOptions:
    """`MODEL.VIT`.

    Args:
        eps: epsilon of every layer norm of a ViT, as its weights were trained with: 1e-6 in timm's, torchvision's and
            fast-reid's, 1e-5 in PMT's.
        blocks: number of blocks that are kept of those of MODEL.BACKBONE.DEPTH, the first ones; 0 keeps all.
        modality_embedding: add a learned vector of the modality, times MODEL.BACKBONE.SIE_COE, to every token of a
            ViT (the camera embedding of TransReID, with the two modalities as cameras).
        cameras: the numbers of the cameras in training and at test, to add a learned vector of the camera, times
            MODEL.BACKBONE.SIE_COE, to every token of a ViT (TransReID's side information); empty adds none. Images
            without a camera cannot be embedded then, so there is no search and no export.

    Raises:
        ConfigError: `eps` is not above 0, `blocks` is negative, or `cameras` are no different whole numbers.
    """

    eps: float = 1e-6
    blocks: int = 0
    modality_embedding: bool = False
    cameras: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not self.eps > 0:
            raise ConfigError(f"MODEL.VIT.EPS: must be above 0, got {self.eps}")
        if self.blocks < 0:
            raise ConfigError(f"MODEL.VIT.BLOCKS: must be 0 (all) or more, got {self.blocks}")
        numbers = list(self.cameras)
        if any(type(number) is not int for number in numbers) or len(set(numbers)) < len(numbers):
            raise ConfigError(f"MODEL.VIT.CAMERAS: must be different whole numbers, such as [1, 2, 3]; got {numbers}")


declare("MODEL.VIT", ViTOptions)


class FusedAttention(Attention):
    """fast-reid's attention without the matrix over pairs of tokens in memory; equal but for rounding."""

    def forward(self, x: Tensor) -> Tensor:
        """Transform a sequence (B, T, C)."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.num_heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        dropped = self.attn_drop.p if self.training else 0.0
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropped, scale=self.scale)
        out: Tensor = self.proj_drop(self.proj(mixed.transpose(1, 2).flatten(2)))
        return out


class TokenEmbedding(nn.Module):
    """Puts the class token in front of the patches and adds positions, perhaps also the modality and the camera.

    Args:
        backbone: whose class token, positions and dropout are taken.
        modality_factor: of the modality's embedding; 0: there is none.
        cameras: numbers of the cameras that have an embedding.
        camera_factor: of the camera's embedding.

    Attributes:
        seen: (B,) the cameras of the images of the next call, on the host; see `MultiStreamBackbone.see_cameras`.
    """

    seen: Tensor | None = None

    def __init__(
        self, backbone: Any, modality_factor: float = 0.0, cameras: Sequence[int] = (), camera_factor: float = 1.0
    ) -> None:
        super().__init__()
        self.cls_token, self.pos_embed, self.pos_drop = backbone.cls_token, backbone.pos_embed, backbone.pos_drop
        self.grid = Grid(backbone.patch_embed.num_y, backbone.patch_embed.num_x)
        self.modality_factor = modality_factor
        if modality_factor:
            self.modality_embed = nn.Parameter(zeros(2, 1, self.cls_token.shape[-1]))
            trunc_normal_(self.modality_embed, std=0.02)
        self.takes_cameras, self.camera_factor = bool(cameras), camera_factor
        if cameras:
            self.rows = {camera: row for row, camera in enumerate(cameras)}
            self.camera_embed = nn.Parameter(zeros(len(cameras), 1, self.cls_token.shape[-1]))
            trunc_normal_(self.camera_embed, std=0.02)

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        """Return the sequence (B, 1 + h w, C) of a map of patches (B, C, h, w)."""
        if x.shape[2:] != (self.grid.height, self.grid.width):
            raise ConfigError(
                f"INPUT.SIZE_TEST: a ViT has positions for {self.grid.height} x {self.grid.width} patches, and got "
                f"images of {x.shape[2]} x {x.shape[3]}; test with INPUT.SIZE_TRAIN"
            )
        # `len` would fix the number of images of an exported network.
        token = self.cls_token.expand(x.shape[0], -1, -1)
        tokens = cat([token, x.flatten(2).transpose(1, 2)], dim=1) + self.pos_embed
        if self.modality_factor:
            index = require_known(modalities).to(x.device, non_blocking=True)
            tokens = tokens + self.modality_factor * self.modality_embed[index]
        # An empty batch asks for shapes.
        if self.takes_cameras and len(x):
            rows = self._rows(len(x)).to(x.device, non_blocking=True)
            tokens = tokens + self.camera_factor * self.camera_embed[rows]
        out: Tensor = self.pos_drop(tokens)
        return out

    def _rows(self, count: int) -> Tensor:
        """Return the row of the embedding (B,) of every image's camera.

        Raises:
            ConfigError: the images have no camera, or one that has no embedding.
        """
        if self.seen is None or len(self.seen) != count:
            raise ConfigError(
                f"MODEL.VIT.CAMERAS: this network was built for images of known cameras {list(self.rows)}, and gets "
                f"{count} without one; it can be trained and scored, but not search or be exported"
            )
        cameras = self.seen.tolist()
        if unknown := sorted(set(cameras) - set(self.rows)):
            raise ConfigError(
                f"MODEL.VIT.CAMERAS: images of camera {unknown[0]}, which is none of {list(self.rows)}; list all "
                "cameras of training and test"
            )
        return tensor([self.rows[camera] for camera in cameras])


class FirstBlock(nn.Module):
    """The embedding of the tokens, and the first block."""

    takes_modalities = True

    def __init__(self, tokens: nn.Module, block: nn.Module) -> None:
        super().__init__()
        self.tokens, self.block = tokens, block

    def forward(self, x: Tensor, modalities: Tensor | None = None) -> Tensor:
        """Return the sequence (B, T, C) of a map of patches (B, C, h, w)."""
        out: Tensor = self.block(self.tokens(x, modalities))
        return out


class LastBlock(nn.Module):
    """The last block, and the norm after it."""

    def __init__(self, block: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.block, self.norm = block, norm

    def forward(self, x: Tensor) -> Tensor:
        """Transform a sequence (B, 1 + h w, C)."""
        out: Tensor = self.norm(self.block(x))
        return out


def one_size(cfg: CfgNode, name: str = "a ViT") -> list[int]:
    """Return the size (H, W) of all images.

    Args:
        cfg: the configuration.
        name: the network that needs it, for messages.

    Raises:
        ConfigError: sizes at training and test differ.
    """
    size, test = list(cfg.INPUT.SIZE_TRAIN), list(cfg.INPUT.SIZE_TEST)
    if size != test:
        raise ConfigError(
            f"INPUT.SIZE_TEST: must equal INPUT.SIZE_TRAIN {size} with {name}, whose positions are those of one size; "
            f"got {test}"
        )
    return size


def build_vit(cfg: CfgNode) -> nn.Module:
    """Build fast-reid's transformer with the keys of its own builder and those of `MODEL.VIT`.

    Raises:
        ConfigError: the depth is unknown, sizes at training and test differ, an image is smaller than a patch, or the
            stride is not two whole numbers with which patches touch or overlap.
    """
    options, node = ViTOptions(**arguments(cfg.MODEL.VIT)), cfg.MODEL.BACKBONE
    require_name("MODEL.BACKBONE.DEPTH", node.DEPTH, SIZES)
    size = one_size(cfg)
    if min(size) < PATCH:
        raise ConfigError(f"INPUT.SIZE_TRAIN: must be at least one patch of {PATCH} x {PATCH} pixels, got {size}")
    stride = list(node.STRIDE_SIZE)
    if len(stride) != 2 or not all(type(step) is int and 1 <= step <= PATCH for step in stride):
        raise ConfigError(
            f"MODEL.BACKBONE.STRIDE_SIZE: must be two whole numbers from 1 to {PATCH}, the side of a patch, such as "
            f"({PATCH}, {PATCH}) for patches side by side or (12, 12) for overlapping ones; got {node.STRIDE_SIZE}"
        )
    chosen = SIZES[node.DEPTH]
    if options.blocks > chosen["depth"]:
        raise ConfigError(f"MODEL.VIT.BLOCKS: '{node.DEPTH}' has {chosen['depth']} blocks, got {options.blocks}")
    model = VisionTransformer(
        img_size=size,
        patch_size=PATCH,
        stride_size=node.STRIDE_SIZE,
        drop_rate=node.DROP_RATIO,
        attn_drop_rate=node.ATT_DROP_RATE,
        drop_path_rate=node.DROP_PATH_RATIO,
        **{**chosen, "depth": options.blocks or chosen["depth"]},
    )
    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            module.eps = options.eps
        elif type(module) is Attention:
            # The same parameters and options; fast-reid's builder takes no class of attention.
            module.__class__ = FusedAttention
    return model  # type: ignore[no-any-return]


def pieces_of(backbone: Any, cfg: CfgNode) -> tuple[list[nn.Module], list[list[nn.Module]], Grid]:
    """Cut the transformer: its stem, its stages and the layout of their sequences.

    A stage always has a quarter of the blocks of `MODEL.BACKBONE.DEPTH`: with fewer (`MODEL.VIT.BLOCKS`) the rest are
    identities, so that a block has one name, whatever their number.
    """
    options = ViTOptions(**arguments(cfg.MODEL.VIT))
    count = SIZES[cfg.MODEL.BACKBONE.DEPTH]["depth"]
    blocks = [*backbone.blocks, *(nn.Identity() for _ in range(count - len(backbone.blocks)))]
    if options.cameras and cfg.MODEL.STREAMS.COUNT > 1 and cfg.MODEL.STREAMS.SEPARATE_STAGES:
        raise ConfigError(
            "MODEL.VIT.CAMERAS: the first stage takes the cameras of a whole batch, and MODEL.STREAMS.SEPARATE_STAGES "
            f"{cfg.MODEL.STREAMS.SEPARATE_STAGES} divides it; set that to 0, with which the patch embeddings stay apart"
        )
    factor = cfg.MODEL.BACKBONE.SIE_COE
    tokens = TokenEmbedding(backbone, factor if options.modality_embedding else 0.0, options.cameras, factor)
    blocks[0], blocks[-1] = FirstBlock(tokens, blocks[0]), LastBlock(blocks[-1], backbone.norm)
    length = count // STAGES
    stages = [blocks[first : first + length] for first in range(0, count, length)]
    return [backbone.patch_embed.proj], stages, tokens.grid
