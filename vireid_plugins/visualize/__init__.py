"""Figures of a trained model (rank lists, CMC, DIR, t-SNE, Grad-CAM, distances, training curves) and an HTML report."""

from vireid_plugins.visualize.cmc import Cmc, cmc_curve, draw_cmc
from vireid_plugins.visualize.contact_sheet import contact_sheet
from vireid_plugins.visualize.dir_curve import Dir, dir_curve, draw_dir
from vireid_plugins.visualize.distances import Separation, draw_separation, separation
from vireid_plugins.visualize.embedding_map import draw_embedding_map, embedding_map
from vireid_plugins.visualize.grad_cam import pair_maps, pairs_of
from vireid_plugins.visualize.pair_sheet import draw_pairs
from vireid_plugins.visualize.rank_lists import RankList, rank_lists
from vireid_plugins.visualize.ranking import choose, nearest, rank_lists_of, rank_trial
from vireid_plugins.visualize.retrieve import Extraction, extract
from vireid_plugins.visualize.style import Style
from vireid_plugins.visualize.training_curves import draw_training, read_metrics, read_run

__all__ = [
    "Cmc",
    "Dir",
    "Extraction",
    "RankList",
    "Separation",
    "Style",
    "choose",
    "cmc_curve",
    "contact_sheet",
    "dir_curve",
    "draw_cmc",
    "draw_dir",
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
    "rank_trial",
    "read_metrics",
    "read_run",
    "separation",
]
