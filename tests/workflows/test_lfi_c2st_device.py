"""The two-sample test on torch, carried for several pairs at once: the same scores as on numpy."""

from __future__ import annotations

from functools import partial

import pytest

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("scipy")

from hepflow_lfi import mlp, mlp_torch  # noqa: E402
from hepflow_lfi.c2st import c2st, c2st_many  # noqa: E402

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


@pytest.fixture
def pairs():
    rng = np.random.default_rng(20260301)
    reference = rng.normal(size=(250, 2)).astype(np.float32)
    shifts = np.array([0.0, 0.4, 3.0], np.float32)
    return [(reference, (shift + rng.normal(size=(250, 2))).astype(np.float32)) for shift in shifts]


@pytest.mark.parametrize("device", DEVICES)
def test_a_few_epochs_give_the_weights_that_numpy_gives(device):
    rng = np.random.default_rng(1)
    features = rng.normal(size=(3, 450, 2)).astype(np.float32)
    labels = (features[:, :, 0] > 0).astype(np.float32)
    fitted = [
        fit(features, labels, hidden=20, seed=1, max_epochs=3)
        for fit in (mlp.fit_stack, partial(mlp_torch.fit_stack, device=device))
    ]
    assert fitted[1].weights == pytest.approx(fitted[0].weights, abs=2e-5)
    assert (fitted[1].epochs == fitted[0].epochs).all()


@pytest.mark.parametrize("device", DEVICES)
def test_scores_on_torch_are_those_on_numpy_within_their_scatter(device, pairs):
    ours = c2st_many(pairs, fit=partial(mlp_torch.fit_stack, device=device))
    seeds = [[c2st(*pair, seed=seed).score for seed in (1, 2, 3)] for pair in pairs]
    for score, others in zip(ours, seeds, strict=True):
        spread = max(others) - min(others)
        assert score.score == pytest.approx(others[0], abs=max(spread, 0.02))
        assert all(epochs > mlp.PATIENCE_EPOCHS for epochs in score.epochs)


def test_pairs_scored_together_have_the_scores_they_have_alone(pairs):
    together = c2st_many(pairs)
    alone = [c2st(*pair) for pair in pairs]
    for one, other in zip(together, alone, strict=True):
        assert one.folds == pytest.approx(other.folds, abs=0.02)
