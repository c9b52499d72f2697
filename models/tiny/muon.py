"""The Muon optimiser (kellerjordan.github.io/posts/muon): momentum whose steps are orthogonal matrices.

Every direction of a matrix moves equally far, also those with a small gradient. Only for hidden matrices.
"""

import torch


def orthogonal(matrices):
    """Matrices [count, rows, columns] with singular values pulled to about 1, by five Newton-Schulz steps."""
    x = matrices.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = x @ x.mT
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.mT if tall else x).float()


class Muon:
    """Steps matrices of one shape together."""

    def __init__(self, matrices, rate, momentum=0.95):
        self.rate, self.momentum = rate, momentum
        shapes = {}
        for matrix in matrices:
            shapes.setdefault(matrix.shape, []).append(matrix)
        self.groups = [(group, torch.zeros_like(torch.stack(group), requires_grad=False)) for group in shapes.values()]

    @torch.no_grad()
    def step(self, factor):
        """One step at `factor` times the learning rate."""
        for group, average in self.groups:
            gradient = torch.stack([matrix.grad for matrix in group])
            average.lerp_(gradient, 1 - self.momentum)
            rows, columns = group[0].shape
            length = self.rate * factor * max(1, rows / columns) ** 0.5
            for matrix, change in zip(group, orthogonal(gradient.lerp(average, self.momentum))):
                matrix.add_(change, alpha=-length)

    def state_dict(self):
        return [average for _, average in self.groups]

    def load_state_dict(self, state):
        for (_, average), saved in zip(self.groups, state):
            average.copy_(saved)
