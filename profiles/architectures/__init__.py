"""Networks of the papers that no installable package gives, written from their descriptions.

Only scripts and tests import these modules: they need torch, the profiles made of them do not.
"""
