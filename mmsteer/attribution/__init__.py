"""Attribution: what tokens, patches, frames, components, features and vectors have to do with an output."""

from mmsteer.attribution.attribute import Attribution, attribute
from mmsteer.attribution.baselines import Resampled
from mmsteer.attribution.metrics import find_words, log_probability, of_words
from mmsteer.attribution.probe_samples import ProbeSamples
from mmsteer.attribution.techniques import TECHNIQUES, Effort, check_parts, check_states
from mmsteer.attribution.training import Learned, attribute_training
from mmsteer.attribution.units import ComponentUnits, FeatureUnits, FrameUnits, TokenUnits, Units, VectorUnits
from mmsteer.attribution.vector_samples import VectorSamples

__all__ = [
    "TECHNIQUES",
    "Attribution",
    "ComponentUnits",
    "Effort",
    "FeatureUnits",
    "FrameUnits",
    "Learned",
    "ProbeSamples",
    "Resampled",
    "TokenUnits",
    "Units",
    "VectorSamples",
    "VectorUnits",
    "attribute",
    "attribute_training",
    "check_parts",
    "check_states",
    "find_words",
    "log_probability",
    "of_words",
]
