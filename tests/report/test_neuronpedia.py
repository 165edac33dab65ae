"""Features as Neuronpedia's batches: the fields that SAEDashboard 0.8.0 writes, and numbers counted by hand."""

import json

import pytest
import torch

from mmsteer.errors import DictionaryError
from mmsteer.latents.token_states import token_states
from mmsteer.report.neuronpedia import Source, write_neuronpedia
from mmsteer.sae import SparseDictionary
from mmsteer.types import Positions, Sample, Site
from mmsteer.worlds.training.dictionary_data import Group

SITE = Site("text", 1)
# NeuronpediaDashboardFeature.to_dict and NeuronpediaDashboardActivation.to_dict of SAEDashboard 0.8.0.
FEATURE = (
    "feature_index neuron_alignment_indices neuron_alignment_values neuron_alignment_l1 correlated_neurons_indices "
    "correlated_neurons_l1 correlated_neurons_pearson correlated_features_indices correlated_features_l1 "
    "correlated_features_pearson neg_str neg_values pos_str pos_values frac_nonzero freq_hist_data_bar_values "
    "freq_hist_data_bar_heights logits_hist_data_bar_heights logits_hist_data_bar_values n_prompts_total "
    "n_tokens_in_prompt dataset decoder_weights_dist activations vector"
)
ACTIVATION = "bin_min bin_max bin_contains tokens values qualifying_token_index"


def test_batches_have_the_fields_and_the_numbers(talker, tmp_path):
    samples = (Sample("a", "say red cup", output="the cup is red"), Sample("b", "say blue table"))
    decoder = torch.nn.functional.normalize(torch.randn(5, 32, generator=torch.Generator().manual_seed(1)), dim=1)
    # The last feature never passes its threshold.
    threshold = torch.tensor([0.0, 0.0, 0.0, 0.0, 1e6])
    zeros = torch.zeros
    found = SparseDictionary(decoder.T.contiguous(), zeros(5), decoder, zeros(32), threshold)
    found = found.at(SITE, talker.fingerprint)
    group = Group("rows.jsonl", samples, Positions("all"), 4)
    count = write_neuronpedia(tmp_path / "new", talker, found, group, Source("small"))
    batch = json.loads((tmp_path / "new" / "batch-0.json").read_text())
    skipped = json.loads((tmp_path / "new" / "skipped_indexes.json").read_text())
    assert (batch["model_id"], batch["layer"], batch["sae_set"]) == ("small", 1, "mmsteer")
    assert len(batch["features"]) == count
    assert [*(one["feature_index"] for one in batch["features"]), *skipped["skipped_indexes"]] == [0, 1, 2, 3, 4]
    read = list(token_states(talker, samples, SITE))
    for feature in batch["features"]:
        assert set(feature) == set(FEATURE.split())
        z = [
            (one.states @ decoder[feature["feature_index"]])[one.chosen(Positions("all"))].clamp(min=0) for one in read
        ]
        every = torch.cat(z)
        assert feature["frac_nonzero"] == pytest.approx(float((every > 0).double().mean()), abs=1e-5)
        assert sum(feature["freq_hist_data_bar_heights"]) == int((every > 0).sum())
        first = feature["activations"][0]
        assert set(first) == set(ACTIVATION.split())
        assert first["values"][first["qualifying_token_index"]] == max(first["values"])
        assert first["bin_max"] == pytest.approx(float(every.max()), abs=1e-3)
        assert len(first["tokens"]) == len(first["values"])
    with pytest.raises(DictionaryError, match="not overwritten"):
        write_neuronpedia(tmp_path / "new", talker, found, group, Source("small"))
