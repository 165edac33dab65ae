"""Whole calls beside peers, on a small model."""


def test_whole_calls_and_many_of_them(benchmark, talker_folder):
    given = ("--model", talker_folder)
    tables = benchmark("calls.py", *given, "--tokens", 4, "--rows", 2, "--rounds", 1, name="calls")
    ((title, rows),) = tables.items()
    assert title == "4 new tokens, 2 rows"
    ours, *peers = rows
    assert (ours["toolkit"], ours["same tokens"], ours["its call / ours"]["median"]) == ("mmsteer", True, 1.0)
    assert {"repsteer", "hidden-directions", "transformer-lens"} <= {one["toolkit"] for one in peers}
    (many,) = benchmark("calls.py", *given, "--many", 20, name="many_calls")["Many calls in one session"]
    assert many["calls"] == 20
    assert many["last over first"] < 3
