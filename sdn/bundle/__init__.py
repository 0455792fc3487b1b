"""A host's support bundle, as `sos` lays it out, loaded into a shadow switch and asked there.

`read_bundle` finds and reads the files, `BundleShadow` loads them; what could not be loaded is listed, never dropped in
silence. Nothing here runs a command of the bundle or touches a host.
"""

from sdn.bundle.load import BundleShadow
from sdn.bundle.read import Bundle, BundleError, read_bundle

__all__ = ["Bundle", "BundleError", "BundleShadow", "read_bundle"]
