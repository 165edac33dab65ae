"""What training moves: float32 weights with a decoder of unit rows."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Weights(nn.Module):
    """Encoder and decoder of a dictionary in training, on hidden states of unit mean square norm.

    Both matrices have a row a feature. They start as the same random unit rows; the decoder's stay of unit length, so
    that a penalty on activations cannot be dodged by small activations on long rows.

    Source: Gao et al. 2024, arXiv:2406.04093, appendix A (tied start, unit rows, projected gradient).
    """

    def __init__(self, mean: Tensor, features: int, seed: int) -> None:
        """Draw the rows.

        `mean`: mean of the scaled hidden states, (width,): where the decoder's bias starts.
        """
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        rows = functional.normalize(torch.randn(features, len(mean), generator=generator), dim=1).to(mean.device)
        self.encoder = nn.Parameter(rows)
        self.encoder_bias = nn.Parameter(torch.zeros(features, device=mean.device))
        self.decoder = nn.Parameter(rows.clone())
        self.decoder_bias = nn.Parameter(mean.clone())

    @property
    def features(self) -> int:
        """Number of features."""
        return len(self.encoder_bias)

    def bias(self) -> Tensor:
        """The encoder's bias for hidden states from which nothing is subtracted: the same function for less work."""
        return self.encoder_bias - self.encoder @ self.decoder_bias

    @torch.no_grad()
    def keep_rows_unit(self) -> None:
        """Bring the decoder's rows back to unit length."""
        self.decoder.div_(self.decoder.norm(dim=1, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny))

    @torch.no_grad()
    def project_gradient(self) -> None:
        """Take the part off the decoder's gradient that would only change lengths, which Adam would carry along."""
        grad = self.decoder.grad
        if grad is not None:
            grad.sub_((grad * self.decoder).sum(dim=1, keepdim=True) * self.decoder)
