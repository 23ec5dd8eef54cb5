"""Learned models of properties on compositions: the data-driven half of the prediction loop.

:mod:`hea_loop.surrogates.composition_gp` holds one Gaussian process of one property,
:mod:`hea_loop.surrogates.property_surrogate` several properties at several fidelities,
:mod:`hea_loop.surrogates.elastic` G, B and nu as first-principles data correct the linear combination.
Nothing is imported here: these modules need torch, which is loaded where it is used.
"""
