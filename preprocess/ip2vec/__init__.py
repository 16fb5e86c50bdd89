"""IP2Vec: vectors of ports and protocols that were learnt from public data."""

from netshare.preprocess.ip2vec.model import IP2Vec

__all__ = ["IP2Vec"]
