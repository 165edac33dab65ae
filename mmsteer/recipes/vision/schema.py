"""Images in a recipe: where they are from, what is asked about them, pairs, and contrastive decoding."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from mmsteer.probes.bounds import Count, Seed
from mmsteer.recipes.part import PATH, Part, PathText, Text, by_key, has

Split = Literal["random", "popular", "adversarial"]


class Scenes(Part):
    """Scenes of the rendered world, whose truth is known."""

    n: Count
    split: Literal["train", "validation", "test", "demos"]
    seed: Seed
    cluttered: bool = Field(default=False, description="whether more objects stand in them, some of them out of place")
    detailed: bool = Field(
        default=False, description="whether two kinds of objects of each place are faint, and likely to be there"
    )


class SceneImages(Part):
    """Images of the rendered world."""

    scenes: Scenes


class Coco(Part):
    """Images of COCO, or of one's own in its layout, with the objects that CHAIR takes for the truth."""

    folder: PathText = Field(
        description="holds annotations/instances_SPLIT.json, annotations/captions_SPLIT.json (of one's own images "
        "optional) and the folder SPLIT with the images"
    )
    split: Text = Field(description="any name; COCO's own are train2014 and val2014")
    ids: Annotated[Text | None, PATH] = Field(
        description="a file that names the images: one id a line, or JSON lines with image_id"
    )
    n: Count | None = Field(description="how many to draw; null for all that `ids` names")
    seed: Seed = Field(description="seed of the draw")


class CocoImages(Part):
    """Images of COCO."""

    coco: Coco


class Folder(Part):
    """Anybody's images, with the objects in each."""

    images: PathText = Field(description="the folder with the images")
    objects: PathText = Field(
        description='a file {"name.jpg": ["dog", "tv"]}, or of instances as COCO has them; in COCO\'s names of objects'
    )


class FolderImages(Part):
    """Images of a folder."""

    folder: Folder


class Amber(Part):
    """Images of AMBER in the published layout; descriptions are judged by its own words and metrics."""

    folder: PathText = Field(
        description="AMBER's folder data: annotations.json, query_all.json (or query/), relation.json, safe_words.txt"
    )
    images: PathText = Field(description="the folder with AMBER_1.jpg, AMBER_2.jpg, ...")
    n: Count | None = Field(description="how many to draw; null for all")
    seed: Seed = Field(description="seed of the draw")


class AmberImages(Part):
    """Images of AMBER."""

    amber: Amber


Images = SceneImages | CocoImages | FolderImages | AmberImages


class Captions(Part):
    """The model describes each image."""

    prompt: Text
    tokens: Count = Field(description="at most this many tokens")
    temperature: Annotated[float, Field(ge=0, le=1000)] = Field(description="0 is greedy")
    beams: Annotated[int, Field(ge=1, le=100)]
    compat: Literal["fixed", "pattern", "wordnet"] = Field(description="how CHAIR reads the captions")
    nouns: Literal["coco", "open"] = Field(
        default="coco",
        description="which words are judged: those for COCO's classes, or also those for other common things, such as "
        "lamps; of rendered scenes alone, whose whole truth is known",
    )


class Pope(Part):
    """The model is asked about objects, yes or no."""

    splits: Annotated[tuple[Split, ...], Field(min_length=1)]
    files: Annotated[dict[Split, Text], PATH] = Field(
        default={},
        description="question files as POPE publishes them, for the test and for choosing, each by the images that it "
        "shows; where there are none, questions are built from the truth",
    )
    images: Annotated[Text | None, PATH] = Field(
        default=None, description="the folder with the images that the files name"
    )
    seed: Seed = Field(description="seed of the questions that are built")
    answer: Literal["text", "logits"] = Field(description="what the model writes, or which word is likelier to come")
    words: tuple[Text, Text] = Field(default=("Yes", "No"), description="the words whose logits are compared")
    tokens: Count = Field(description="at most this many tokens an answer")
    parser: Literal["strict", "official", "vcd", "lmms"] = Field(description="how answers are read")
    prefill: Text | None = Field(
        default=None, description="what the answer begins with, such as `The answer is`; the model goes on from there"
    )
    template: dict[str, Any] = Field(
        default={}, description="arguments of the chat template, such as `{enable_thinking: false}`"
    )

    @model_validator(mode="after")
    def _asked(self) -> "Pope":
        if idle := sorted(set(self.files) - set(self.splits)):
            raise ValueError(f"files has {', '.join(idle)}, which splits does not ask for")
        if self.images is not None and not self.files:
            raise ValueError("images is the folder with the images that files name; give files, too")
        return self


class Ask(Part):
    """What the model is asked about each image."""

    caption: Captions | None = None
    pope: Pope | None = None

    @model_validator(mode="after")
    def _something(self) -> "Ask":
        if self.caption is None and self.pope is None:
            raise ValueError("ask for a caption, for answers (pope), or for both")
        return self


class SceneDemos(Part):
    """Demonstrations of the rendered world."""

    scenes: Scenes
    matched: bool = Field(description="the loose caption replaces objects, instead of naming more of them")


class FileDemos(Part):
    """Demonstrations of a file in VTI's format: image, question, value, h_value a line."""

    file: PathText
    images: PathText = Field(description="the folder with the images")


Demos = Annotated[
    Annotated[SceneDemos, Tag("(scenes)")] | Annotated[FileDemos, Tag("(file)")],
    Discriminator(lambda demos: "(file)" if has(demos, "file") else "(scenes)"),
]


class CaptionPairs(Part):
    """True captions against hallucinated ones of the same images."""

    contrast: Literal["captions"]
    demos: Demos
    ending: Literal["shared", "written"] = Field(description="whether both captions are made to end alike")
    seed: Seed


class CounterfactualPairs(Part):
    """Scenes without an object against the same scenes with it, in the same words up to a decision."""

    contrast: Literal["counterfactual"]
    scenes: Scenes
    decision: Literal["go on", "object", "answer"]
    seed: Seed
    shown: Literal["own", "exchanged"] = Field(
        default="own",
        description="exchanged, the pairs take each other's images: what depends on no object in particular, for "
        "`without`",
    )


class MentionPairs(Part):
    """Mentions of what is there against mentions of what is not."""

    contrast: Literal["mentions"]
    scenes: Scenes
    seed: Seed


class AnswerPairs(Part):
    """Questions answered truly and falsely."""

    contrast: Literal["answers"]
    scenes: Scenes
    balanced: bool
    seed: Seed


class MaskedPairs(Part):
    """Masked copies against the whole image, for sites of the vision tower."""

    contrast: Literal["masked"]
    demos: Demos
    copies: Count
    ratio: Annotated[float, Field(gt=0, lt=1)] = Field(description="share of the patches that is masked")
    averaged: bool = Field(
        default=False,
        description="average the copies of an image while they are read, to save memory; for paired probes",
    )
    seed: Seed


class NoImagePairs(Part):
    """The prompt with its image against the prompt alone."""

    contrast: Literal["no_image"]
    demos: Demos
    answered: bool = Field(description="read at the end of the true caption, instead of the prompt")
    seed: Seed


class LanguagePriorPairs(Part):
    """Hallucinated captions against a refusal, both without any image."""

    contrast: Literal["language_prior"]
    demos: Demos
    refusal: Text = Field(description="what the model would say where it sees nothing")
    seed: Seed


Described = Annotated[
    Annotated[SceneImages, Tag("(scenes)")]
    | Annotated[CocoImages, Tag("(coco)")]
    | Annotated[FolderImages, Tag("(folder)")],
    by_key("scenes", "coco", "folder"),
]


class SensitivityPairs(Part):
    """Places in the model's own captions whose next word the image changes most, against those it changes least."""

    contrast: Literal["sensitivity"]
    images: Described = Field(description="what is described")
    prompt: Text
    tokens: Count = Field(description="at most this many tokens a caption")


class OwnMentionPairs(Part):
    """Words in the model's own captions: those for what is there against the same words for what is not."""

    contrast: Literal["own_mentions"]
    images: Described = Field(description="what is described; what is really there is known of it")
    prompt: Text
    tokens: Count = Field(description="at most this many tokens a caption")
    read: Literal["sentence", "object", "name"] = Field(
        description="the end of the text that is read: before the sentence that names the object, before its name, or "
        "behind its name"
    )


Pairs = Annotated[
    CaptionPairs
    | CounterfactualPairs
    | MentionPairs
    | AnswerPairs
    | MaskedPairs
    | NoImagePairs
    | LanguagePriorPairs
    | OwnMentionPairs
    | SensitivityPairs,
    Field(discriminator="contrast"),
]


Number = float | Text


class Vcd(Part):
    """Against what the model says of a noisy image."""

    strength: Number
    cutoff: Number
    step: int | Text = Field(description="how far the image is diffused, of 1000")


class Icd(Part):
    """Against what the model says when it is told to be confused."""

    strength: Number
    cutoff: Number
    prefix: Text | None = Field(default=None, description="what is said before each prompt; null for mmsteer's words")


class TextOnly(Part):
    """Against what the model says without any image."""

    strength: Number
    cutoff: Number


class Verify(Part):
    """The model is asked about each object that its caption names, and what it denies is left out."""

    least: Number = Field(description="log-odds of yes over no under which an object is denied")
    image: Literal["own", "next"] = Field(
        default="own",
        description="which picture the questions show; next, the one after it, is a control, in which as many objects "
        "of a batch are denied",
    )
    words: tuple[Text, Text] = Field(default=("Yes", "No"), description="the answers whose first tokens are compared")


class Decode(Part):
    """What one would use instead of steering: contrastive decoding, or captions that are verified."""

    vcd: Vcd | None = None
    icd: Icd | None = None
    text_only: TextOnly | None = None
    verify: Verify | None = None

    @model_validator(mode="after")
    def _one(self) -> "Decode":
        if len([one for one in (self.vcd, self.icd, self.text_only, self.verify) if one is not None]) != 1:
            raise ValueError("name one of vcd, icd, text_only and verify")
        return self
