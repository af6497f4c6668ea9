"""Plotly figures of plain values; nothing here is worked out or drawn by Streamlit."""
