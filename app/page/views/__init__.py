"""One file per view of the page; each has a function ``show`` that draws an answer."""
