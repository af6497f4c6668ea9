"""Analytic latency planner for one neural network on several devices.

Data flows one way: a ``ModelProfile``, a ``Cluster`` and an ``AccuracyModel`` give a
``CostTable``; its arrays are a ``Problem``; a solver answers with a ``Result``; that becomes a
``Plan``, which the cost model evaluates once more.

Sources: DISCO (Qin et al., WACV 2024), AR-MDI (Li et al., 2022), MS-MDI (Li et al., 2023).
"""
