"""Attribution: what tokens, patches, components, features and vectors have to do with an output."""

from mmsteer.attribution.attribute import Attribution, attribute
from mmsteer.attribution.metrics import log_probability, of_words
from mmsteer.attribution.techniques import TECHNIQUES, Effort
from mmsteer.attribution.units import ComponentUnits, FeatureUnits, TokenUnits, Units, VectorUnits

__all__ = [
    "TECHNIQUES",
    "Attribution",
    "ComponentUnits",
    "Effort",
    "FeatureUnits",
    "TokenUnits",
    "Units",
    "VectorUnits",
    "attribute",
    "log_probability",
    "of_words",
]
