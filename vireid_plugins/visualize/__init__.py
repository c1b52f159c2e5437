"""Figures of a trained model (rank lists, t-SNE, Grad-CAM, distances, training curves) and an HTML report."""

from vireid_plugins.visualize.contact_sheet import contact_sheet
from vireid_plugins.visualize.distances import Separation, draw_separation, separation
from vireid_plugins.visualize.embedding_map import draw_embedding_map, embedding_map
from vireid_plugins.visualize.grad_cam import draw_pairs, pair_maps, pairs_of
from vireid_plugins.visualize.rank_lists import RankList, rank_lists
from vireid_plugins.visualize.retrieve import Extraction, extract, nearest, rank_lists_of
from vireid_plugins.visualize.training_curves import draw_training, read_metrics, read_run

__all__ = [
    "Extraction",
    "RankList",
    "Separation",
    "contact_sheet",
    "draw_embedding_map",
    "draw_pairs",
    "draw_separation",
    "draw_training",
    "embedding_map",
    "extract",
    "nearest",
    "pair_maps",
    "pairs_of",
    "rank_lists",
    "rank_lists_of",
    "read_metrics",
    "read_run",
    "separation",
]
