"""Contiguous stages on one worker each: dynamic programs, an integer program, AR-MDI's shares."""
