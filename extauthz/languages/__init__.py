"""Text to policy: YAML becomes the policy set, CEL becomes conditions that satisfy `extauthz.model.policy.Condition`.

Pure: what a text refers to is handed in by the caller. Errors are collected with their places, never raised one by one.
"""
