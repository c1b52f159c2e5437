"""Pictures: contact sheets and rank lists."""

from vireid_plugins.analysis.contact_sheet import contact_sheet
from vireid_plugins.analysis.rank_lists import RankList, rank_lists
from vireid_plugins.analysis.retrieve import extract, nearest, rank_lists_of

__all__ = ["RankList", "contact_sheet", "extract", "nearest", "rank_lists", "rank_lists_of"]
