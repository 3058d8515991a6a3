"""The fleets that this stack deploys, on `manycore.worker`: settings and composition, no machinery."""
