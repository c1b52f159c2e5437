"""Methods, a folder each. Importing this package registers their parts; a new method is one more line."""

from vireid_plugins.methods import (  # noqa: F401
    adca,
    deen,
    icre,
    idkl,
    mpanet,
    mscm,
    pgm,
    pmt,
    rle,
    saai,
    wrim,
)
