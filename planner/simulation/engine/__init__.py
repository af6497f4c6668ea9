"""One run, instant by instant: queues, links and decisions as numbers in two arrays.

The functions of these modules, `tables` and `kernel` apart, run compiled and plain alike: they
take the run's `Layout` and its arrays of integers and floats, and know nothing else.
"""
