"""Where and how strongly to steer: a grid of sites and strengths, tried on validation rows, against its price."""

from mmsteer.search.cells import Cell, CellFile, Place
from mmsteer.search.grid import STRENGTHS, Grid, default_sites
from mmsteer.search.search import Search, divided, search

__all__ = ["STRENGTHS", "Cell", "CellFile", "Grid", "Place", "Search", "default_sites", "divided", "search"]
