"""The HTML page of a report: its template, styles and scripts, and what fills them."""
