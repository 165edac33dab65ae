"""The page, in Gradio."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import gradio as gr
from gradio import Error

from mmsteer.errors import MmsteerError
from mmsteer.schedules.timeline import number_text
from mmsteer.steering.names import quoted
from mmsteer.studio.curves import SCRIPT, STYLE, TEMPLATE, schedule_of
from mmsteer.studio.outputs import side_by_side
from mmsteer.studio.recipe import save_recipe
from mmsteer.studio.workshop import MODELS, Asked, Workshop

SLOTS = 3
"""Attributes that have a curve each."""

PROMPTS = {"text": "Tell me about your day.", "audio": "a slow piano melody"}
EVERY_S = 0.3
"""How often the page is updated with how far the work is."""

LENGTHS = {"text": 48, "audio": 4}
FIRST = "note:C"
"""The direction that is chosen where it is there: its effect needs no training to be noticed."""

AXES = {"text": "tokens", "audio": "seconds"}


class Page:
    """The page of one workshop.

    Args:
        workshop: What it works on.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    def build(self) -> Any:
        """The page, not yet served."""
        with gr.Blocks(title="mmsteer studio", analytics_enabled=False) as blocks:
            gr.Markdown("# mmsteer studio\nFind directions, draw how strongly they act, compare before and after.")
            self._material()
            with gr.Row():
                with gr.Column(min_width=340):
                    self._question()
                with gr.Column(min_width=340):
                    slots = [self._slot(place) for place in range(SLOTS)]
            self._fields = [fields for fields, _ in slots]
            self._curves = [curve for _, curve in slots]
            with gr.Row():
                make = gr.Button("Compare", variant="primary", elem_id="compare")
                stop = gr.Button("Stop", variant="stop", elem_id="stop")
            made = gr.HTML("", elem_id="outputs", padding=False)
            receipt = gr.Textbox(label="What was applied", elem_id="receipt", lines=3, interactive=False)
            with gr.Row():
                name = gr.Textbox("tried", label="Name of the recipe", elem_id="recipe-name")
                save = gr.Button("Save as recipe", elem_id="save", scale=0, min_width=160)
            saved = gr.Textbox(label="Recipe", elem_id="saved", interactive=False)
            asked = [*self._asked, *(part for slot in self._fields for part in slot)]
            shown = [made, receipt, self._status]
            make.click(self._compare, asked, shown, show_progress="minimal", api_visibility="private")
            stop.click(self._workshop.stop, None, None, queue=False, api_visibility="private")
            save.click(said(self._save), [name, *asked], saved, api_visibility="private")
            self._wire(blocks)
        return blocks

    def _material(self) -> None:
        with gr.Row():
            self._model = gr.Dropdown(
                list(dict.fromkeys([*self._workshop.models, *MODELS])),
                value=self._workshop.models[0],
                label="Model",
                elem_id="model",
                info="others by --model",
            )
            self._load = gr.Button("Load", elem_id="load", scale=0, min_width=110)
        with gr.Accordion("Directions", open=False):
            gr.Markdown(f"Files are those of `{self._workshop.folder}`.")
            with gr.Row():
                self._file = gr.Textbox(label="File of directions", elem_id="file", placeholder="style.safetensors")
                self._read = gr.Button("Read", elem_id="read", scale=0, min_width=110)
            with gr.Row():
                self._data = gr.Textbox(label="Rows, or a folder for each label", elem_id="data")
                self._probe = gr.Dropdown(["mean-difference", "logistic", "pca"], label="Probe")
                self._find = gr.Button("Find", elem_id="find", scale=0, min_width=110)
        self._status = gr.Textbox("no model is loaded yet", label="Status", elem_id="status", interactive=False)

    def _question(self) -> None:
        prompt = gr.Textbox(PROMPTS["text"], label="Prompt", elem_id="prompt", lines=3)
        image = gr.Image(label="Image", type="pil", visible=False, elem_id="image")
        length = gr.Number(LENGTHS["text"], label="Length in tokens", minimum=0.1, maximum=2048, elem_id="length")
        temperature = gr.Slider(0, 2, 0, step=0.05, label="Temperature", elem_id="temperature")
        seed = gr.Number(0, precision=0, minimum=0, label="Seed", elem_id="seed")
        self._asked = [prompt, image, length, temperature, seed]

    def _slot(self, place: int) -> tuple[tuple[Any, ...], Any]:
        """The fields of an attribute, and its curve."""
        with gr.Accordion(f"Attribute {place + 1}", open=place == 0):
            direction = gr.Dropdown([], label="Direction", elem_id=f"direction-{place}")
            with gr.Row():
                strength = gr.Number(0.1, label="Strength", step=0.01, elem_id=f"strength-{place}")
                more = gr.Textbox(label="Further", placeholder="at generated on text.14", elem_id=f"more-{place}")
            curve = gr.HTML(
                "[]",
                html_template=TEMPLATE,
                css_template=STYLE,
                js_on_load=SCRIPT,
                elem_id=f"curve-{place}",
                length=LENGTHS["text"],
                unit=AXES["text"],
            )
            schedule = gr.Textbox(
                label="Schedule", elem_id=f"schedule-{place}", placeholder="as drawn; empty is always 1"
            )
        curve.change(said(self._drawn), curve, schedule, show_progress="hidden", api_visibility="private")
        return (direction, strength, schedule, more), curve

    def _wire(self, blocks: Any) -> None:
        prompt, image, length, temperature, _ = self._asked
        choices = [slot[0] for slot in self._fields]
        fresh = [self._status, prompt, image, length, temperature, *self._curves, *choices]
        for start in (blocks.load, self._load.click):
            start(said(self._loaded), self._model, fresh, api_visibility="private")
        found = [self._status, *choices]
        self._read.click(said(self._taken(self._workshop.read)), self._file, found, api_visibility="private")
        self._find.click(
            said(self._taken(self._workshop.find)), [self._data, self._probe], found, api_visibility="private"
        )
        length.change(self._stretched, length, self._curves, show_progress="hidden", api_visibility="private")

    def _loaded(self, name: str) -> list[Any]:
        workshop = self._workshop
        if workshop.name != name:
            workshop.load(name)
        kind = workshop.model.output_kind
        axis = {"length": LENGTHS[kind], "unit": AXES[kind]}
        return [
            f"{name} is loaded, with {len(workshop.directions)} directions",
            PROMPTS[kind],
            gr.update(visible=workshop.model.sees),
            gr.update(value=LENGTHS[kind], label=f"Length in {AXES[kind]}"),
            workshop.model.sampling.temperature,
            *(gr.HTML("[]", **axis) for _ in range(SLOTS)),
            *self._choices(),
        ]

    def _taken(self, take: Callable[..., Sequence[str]]) -> Callable[..., list[Any]]:
        def taken(*words: str) -> list[Any]:
            return [f"there are {', '.join(take(*words))}", *self._choices()]

        return taken

    def _choices(self) -> list[Any]:
        names = sorted(self._workshop.directions)
        first = FIRST if FIRST in names else names[0] if names else None
        return [gr.update(choices=["", *names], value=first if not place else "") for place in range(SLOTS)]

    def _stretched(self, length: float) -> list[Any]:
        return [gr.HTML(length=length) for _ in range(SLOTS)]

    def _drawn(self, points: str) -> str:
        return schedule_of(points, self._workshop.model.output_kind)

    def _compare(self, *fields: Any) -> Iterator[tuple[Any, Any, str]]:
        """The outputs when they are there, and until then how far they are.

        Raises:
            Error: Of Gradio: they cannot be made.
        """
        done = ["0 %"]
        with ThreadPoolExecutor(1) as pool:
            work = pool.submit(
                self._workshop.compare, _asked(fields), lambda share, what: done.append(_far(share, what))
            )
            while not wait([work], EVERY_S).done:
                yield gr.skip(), gr.skip(), done[-1]
        try:
            made = work.result()
        except MmsteerError as refusal:
            yield gr.skip(), gr.skip(), str(refusal)
            raise Error(str(refusal), print_exception=False) from None
        yield side_by_side(self._workshop.model, made), made.receipt, "done"

    def _save(self, name: str, *fields: Any) -> str:
        path = save_recipe(self._workshop, _asked(fields), name)
        return f"{path}: run it with `mmsteer run {path}`"


def _far(share: float, what: str) -> str:
    return f"{what}: {share:.0%} of both"


def said(work: Callable[..., Any]) -> Callable[..., Any]:
    """The same work; what mmsteer refuses stands on the page.

    Args:
        work: What a button does.
    """

    def shown(*values: Any) -> Any:
        try:
            return work(*values)
        except MmsteerError as refusal:
            raise Error(str(refusal), print_exception=False) from None

    return shown


def _asked(fields: Sequence[Any]) -> Asked:
    prompt, image, length, temperature, seed, *slots = fields
    lines = [_line(*slots[start : start + 4]) for start in range(0, len(slots), 4)]
    return Asked(prompt, image, float(length), float(temperature), int(seed), tuple(line for line in lines if line))


def _line(direction: str | None, strength: float, schedule: str, more: str) -> str:
    if not direction:
        return ""
    return " ".join(part for part in (quoted(direction), number_text(strength), schedule.strip(), more.strip()) if part)
