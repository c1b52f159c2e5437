"""Methods, one folder each. Importing this package registers their parts."""

from vireid_plugins.methods import deen, icre, idkl, mscm, wrim

__all__ = ["deen", "icre", "idkl", "mscm", "wrim"]
