"""A service that searches a gallery over HTTP, and its page: `vireid serve` (docs/service.md).

A request passes `guard` (who may ask, how often, how much), is understood by `app`, and its query is answered by
`finder` together with those that have come at the same time (`batching`). What is known of the gallery's images, and
their pictures, come from `catalog`.
"""
