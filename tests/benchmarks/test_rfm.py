"""The machine in the span of some samples, beside a whole one of fewer."""


def test_all_samples_in_the_span_of_some_are_judged_as_well_as_some_alone(benchmark):
    tables = benchmark("rfm.py", "--centres", "--quick", name="rfm_centres")
    spanned, whole, trees = tables["All samples in the span of some"]
    assert (spanned["samples"], spanned["centres"], spanned["updates"]) == (1000, 82, 1)
    assert (whole["samples"], whole["centres"]) == (286, "all that train")
    assert (trees["samples"], trees["centres"]) == (1000, "leaves of at most 100")
    assert min(spanned["AUC"], whole["AUC"], trees["AUC"]) > 0.9
