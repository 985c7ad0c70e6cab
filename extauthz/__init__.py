"""Authorization at the Envoy proxy.

Importing the package does nothing: no environment is read, no library is loaded.
"""

__version__ = "0.1.0"
