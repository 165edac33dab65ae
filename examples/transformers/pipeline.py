"""A steered pipeline of transformers: whatever calls the model inside the `with` is steered.

python examples/transformers/pipeline.py bundled:text
"""

import sys

import transformers

import mmsteer

SEA = [
    "The waves broke over the reef.",
    "A ship sailed out of the harbour.",
    "Salt spray wet the deck.",
    "The tide carried the boat to the shore.",
    "Gulls cried above the anchored fleet.",
    "Sailors lowered the nets into the deep.",
    "The lighthouse warned of the rocks.",
    "A storm drove the sailors to the bay.",
]
OTHER = [
    "The train left the station.",
    "She typed a letter at her desk.",
    "The oven warmed the kitchen.",
    "A teacher wrote on the blackboard.",
    "The farmer ploughed the dry field.",
    "They painted the fence on Sunday.",
    "The clerk counted the coins.",
    "A cat slept under the table.",
]


def find(adapter: mmsteer.api.AnyAdapter) -> dict[str, mmsteer.Direction]:
    """The direction of a topic, from a few sentences."""
    samples = [mmsteer.Sample(text, mmsteer.Raw(text)) for text in SEA + OTHER]
    read = mmsteer.record(adapter, samples, "text.*", positions=mmsteer.Positions("all"), pool="mean")
    labels = ["sea"] * len(SEA) + ["other"] * len(OTHER)
    return mmsteer.sweep(mmsteer.MeanDifference(), read, labels, family="topic", task="multiclass").directions


def main(model: str, line: str = "topic:sea 0.2") -> tuple[str, str]:
    """What a pipeline answers without steering, and with it."""
    adapter = mmsteer.load(model)
    pipeline = transformers.pipeline("text-generation", model=adapter.model, tokenizer=adapter.processor)
    options = {"max_new_tokens": 24, "do_sample": False, "return_full_text": False}
    plain = pipeline("Tell me about your day.", **options)[0]["generated_text"]
    with mmsteer.steer(adapter, line, find(adapter)) as session:
        steered = pipeline("Tell me about your day.", **options)[0]["generated_text"]
    print(f"unsteered: {plain}\nsteered:   {steered}\n{session.receipt()}")
    return plain, steered


if __name__ == "__main__":
    main(sys.argv[1])
