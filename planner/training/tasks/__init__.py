"""Small tasks on data that ships inside Python packages (extra ``training``)."""
