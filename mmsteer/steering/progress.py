"""How far each row's thoughts have got: what positions `thinking` and `answer` are judged by, token by token."""

import torch
from torch import Tensor

from mmsteer.errors import PositionsError
from mmsteer.types import Call, Forward, Layout, Marks, open_behind, thoughts, with_thoughts


class Progress:
    """Whether thoughts are open behind each token of a sequence, for every row, on the rows' device.

    Kept by cache position, so that drafts that were not taken are written over.
    """

    def __init__(self, marks: Marks, forward: Forward, call: Call, longest: int) -> None:
        """A sequence begins.

        Args:
            marks: What opens and closes thoughts.
            forward: Its first forward.
            call: What is known of it.
            longest: Most tokens that it may get.

        Raises:
            PositionsError: It cannot be told whether its thoughts are open.
        """
        self._marks = marks
        start, device = int(forward.start), _ids(forward).device
        # A tensor made in inference mode could be written in it alone.
        with torch.inference_mode(mode=False):
            # Column p tells what is open before position p.
            self._open = torch.zeros(forward.rows, max(longest, start + forward.width) + 1, dtype=torch.bool)
            self._open = self._open.to(device)
            if start:
                self._open[:, start] = _opened(forward, call).to(device)

    def note(self, layout: Layout, forward: Forward) -> Layout:
        """The layout of a forward, each generated token a thought or part of the answer."""
        return Layout(with_thoughts(layout.kinds, self.step(forward)), layout.origin)

    def step(self, forward: Forward) -> Tensor:
        """Which tokens of a forward are thoughts, (rows, tokens) bool."""
        ids, start = _ids(forward), forward.start
        if isinstance(start, Tensor):
            places = start.reshape(1).to(ids.device)
            before = self._open.index_select(1, places).squeeze(1)
            behind = open_behind(ids, self._marks, before)
            self._open.index_copy_(1, places + 1 + torch.arange(ids.shape[1], device=ids.device), behind)
        else:
            end = start + 1 + ids.shape[1]
            self._make_room(end)
            before = self._open[:, start].clone()
            behind = open_behind(ids, self._marks, before)
            self._open[:, start + 1 : end] = behind
        return thoughts(behind, before)

    def _make_room(self, places: int) -> None:
        # A loop of the user's own may go on past what was planned for.
        if places > self._open.shape[1]:
            with torch.inference_mode(mode=False):
                self._open = torch.nn.functional.pad(self._open, (0, places - self._open.shape[1]))

    def from_position(self, origin: int, steps: int) -> Tensor:
        """Which tokens were thoughts from a cache position on, (steps, rows) bool; False where none was."""
        either = (self._open[:, :-1] | self._open[:, 1:])[:, origin : origin + steps]
        return torch.nn.functional.pad(either, (0, steps - either.shape[1])).T


def _opened(forward: Forward, call: Call) -> Tensor:
    if call.thinks is None:
        raise PositionsError(
            f"the sequence begins with a cache of {int(forward.start)} tokens that were not seen here, so it cannot be "
            "told whether its thoughts are open; call generate with all tokens, or begin with an empty cache"
        )
    return torch.tensor(call.thinks).repeat_interleave(forward.rows // len(call.thinks))


def _ids(forward: Forward) -> Tensor:
    if forward.ids is None:
        raise PositionsError(
            "the model was given embeddings, in which the tokens around thoughts cannot be found; give it input_ids, "
            "or write `generated` for all that it puts out"
        )
    return forward.ids
