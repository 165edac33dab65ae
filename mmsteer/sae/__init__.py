"""Sparse dictionaries: train, read, write, splice."""

from mmsteer.sae.architecture import Architecture, Pass
from mmsteer.sae.coefficients import COEFFICIENTS, CoefficientRule
from mmsteer.sae.combined import combined_direction, natural_strength
from mmsteer.sae.dictionary import SparseDictionary
from mmsteer.sae.directions import feature_direction, with_thresholds
from mmsteer.sae.edit import Change, latent_edit, spliced
from mmsteer.sae.formats import read_dictionary, write_sae_lens
from mmsteer.sae.largest import BatchTopK, TopK, matryoshka
from mmsteer.sae.pearson import Correlation
from mmsteer.sae.progress import progress_bar
from mmsteer.sae.quality import Quality, measure
from mmsteer.sae.recovery import Recovery, loss_recovered
from mmsteer.sae.selectors import SELECTORS, Selector, select
from mmsteer.sae.source import Chunks, Held, Shuffled, Source
from mmsteer.sae.thresholds import Gated, JumpReLU
from mmsteer.sae.training import Status, Training, assist_training, train_dictionary
from mmsteer.sae.usage import Usage, usage

__all__ = [
    "COEFFICIENTS",
    "SELECTORS",
    "Architecture",
    "BatchTopK",
    "Change",
    "Chunks",
    "CoefficientRule",
    "Correlation",
    "Gated",
    "Held",
    "JumpReLU",
    "Pass",
    "Quality",
    "Recovery",
    "Selector",
    "Shuffled",
    "Source",
    "SparseDictionary",
    "Status",
    "TopK",
    "Training",
    "Usage",
    "assist_training",
    "combined_direction",
    "feature_direction",
    "latent_edit",
    "loss_recovered",
    "matryoshka",
    "measure",
    "natural_strength",
    "progress_bar",
    "read_dictionary",
    "select",
    "spliced",
    "train_dictionary",
    "usage",
    "with_thresholds",
    "write_sae_lens",
]
