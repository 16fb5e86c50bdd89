"""Which version of netshare this is."""

from importlib import metadata

try:
    VERSION = metadata.version("netshare-traces")
except metadata.PackageNotFoundError:  # a checkout that is not installed
    VERSION = "(not installed)"
