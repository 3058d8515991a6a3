"""The tasks this stack knows: real work in pure Python, one file a theme. The README says how to add yours."""
