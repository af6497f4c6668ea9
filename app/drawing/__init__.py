"""Pictures as plain shapes, which an SVG file, a page and a PNG file show alike."""
