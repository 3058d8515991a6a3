"""How manycore's costs grow: with items, slots, bytes, clients, and with what it has done before."""
