"""What an operator does, written once for every front end; knows no model format."""
