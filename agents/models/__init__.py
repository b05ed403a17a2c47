"""Models: one small protocol, the backends that speak to models, and the one way in which agents call them.

`model` has the protocol and its types, `choose` makes a model of settings, `calls` is what agents use.
"""
