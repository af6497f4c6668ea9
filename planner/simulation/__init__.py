"""Several sources on one ring of workers: what each policy makes of queues over time."""
