"""Measures manycore beside what people would use instead, on this machine, in one run; and how its own costs grow."""
