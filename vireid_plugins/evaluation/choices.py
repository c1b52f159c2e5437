"""Names of metrics and re-ranking forms. Imports nothing, so that `--help` can list them quickly."""

# Values of `TEST.METRIC`, and their names in tables.
METRICS = {
    "cosine": "cosine distance",
    "euclidean": "squared Euclidean distance, features not normalized",
    "inner_product": "inner product, features not normalized",
}
# Values of `evaluate_ranking`'s `drop` and `cmc`.
DROP_NAMES = ("none", "sysu", "same_camera")
CMCS = ("ordinary", "distinct_id")
# Forms of k-reciprocal re-ranking; see `rerank`.
RERANK_FORMS = ("ordinary", "query_only")
