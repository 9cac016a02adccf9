"""Losses against arithmetic by hand and PyTorch's own."""

import pytest
import torch
from torch.nn import functional

from devotools.losses import segmentation_loss, soft_dice_loss


def test_soft_dice_by_hand():
    logits = torch.zeros(1, 1, 2, 2)  # probability 0.5 everywhere
    target = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert float(soft_dice_loss(logits, target)) == pytest.approx(1 - (2 * 0.5 + 1) / (2 + 1 + 1))


def test_soft_dice_is_the_mean_over_pictures_not_over_pixels():
    logits = torch.full((2, 1, 4, 4), -30.0)
    target = torch.zeros(2, 1, 4, 4)
    target[0] = 1  # one picture all missed, one empty and rightly so
    assert float(soft_dice_loss(logits, target)) == pytest.approx((1 - 1 / 17) / 2, abs=1e-6)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_right_answers_cost_nothing_and_wrong_ones_do(value):
    target = torch.full((2, 1, 8, 8), value)
    right = torch.where(target > 0, 30.0, -30.0)
    assert float(segmentation_loss(right, target)) == pytest.approx(0, abs=1e-6)
    assert float(segmentation_loss(-right, target)) > 30


def test_the_loss_is_cross_entropy_plus_dice_and_has_a_slope():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 1, 5, 7, generator=generator, requires_grad=True)
    target = (torch.rand(3, 1, 5, 7, generator=generator) > 0.5).float()
    p = torch.sigmoid(logits)
    entropy = -(target * p.log() + (1 - target) * (1 - p).log()).mean()
    loss = segmentation_loss(logits, target)
    torch.testing.assert_close(loss, entropy + soft_dice_loss(logits, target))
    loss.backward()
    assert torch.isfinite(logits.grad).all()
    assert (torch.sign(logits.grad) == torch.where(target > 0, -1, 1)).all()


def test_a_larger_smooth_lets_made_up_nuclei_in_an_empty_picture_weigh_more():
    def slope(smooth):
        logits = torch.full((1, 1, 64, 64), -9.0)
        logits[..., 20:37, 20:37] = 1.0  # a nucleus where there is none
        logits.requires_grad_()
        soft_dice_loss(logits, torch.zeros(1, 1, 64, 64), smooth=smooth).backward()
        return float(logits.grad[0, 0, 28, 28])

    assert slope(50.0) > 10 * slope(1.0) > 0


def test_huge_logits_stay_finite():
    logits, target = torch.tensor([[[[1e4, -1e4]]]]), torch.tensor([[[[0.0, 1.0]]]])
    assert torch.isfinite(segmentation_loss(logits, target))
    assert float(functional.softplus(torch.tensor(1e4))) == pytest.approx(1e4)
