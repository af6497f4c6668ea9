"""Every way to distribute a model, as a plan: the papers' baselines and the optimum."""
