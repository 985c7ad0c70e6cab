"""A mesh on one machine: pods as network namespaces, each with an application and a sidecar, and a table of requests.

    network -> stage -> steps

Needs root, and leaves nothing behind.
"""
