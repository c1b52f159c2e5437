"""What evaluation lets a user choose by name. Imports nothing: command lines list the names."""

# What `TEST.METRIC` takes, and how tables call it.
METRICS = {
    "cosine": "cosine distance",
    "euclidean": "squared Euclidean distance, features not normalized",
    "inner_product": "inner product, features not normalized",
}
# Of k-reciprocal re-ranking, see `rerank`.
RERANK_FORMS = ("ordinary", "query_only")
