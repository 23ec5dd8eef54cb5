"""The unrolled critic against derivations on paper.

Critic f(x) = phi x or phi^2 x, generator g(z) = theta z, one real value x and one latent value z. The critic
descends f(fake) - f(real); the generator's loss is minus the critic's score of the fake.
"""

import pytest
import torch

from hea_loop.generators.unrolling import DescentRule, DescentState, unroll

THETA, PHI, Z, X, ETA = 0.7, 0.4, 1.3, 2.0, 0.05


def generator_gradient(critic, rule, steps, *, phi=PHI, second_moment=0.0):
    """d(-f(g(z); phi_k)) / d(theta) by the code under test."""
    theta = torch.tensor([THETA], dtype=torch.float64, requires_grad=True)
    fake = theta * Z
    state = DescentState(
        torch.tensor([phi], dtype=torch.float64), torch.tensor([second_moment], dtype=torch.float64)
    )
    ahead = unroll(lambda p: (critic(p, fake) - critic(p, X)).sum(), state, rule, steps)
    (gradient,) = torch.autograd.grad(-critic(ahead, fake).sum(), theta)
    return float(gradient), float(ahead.detach())


def linear(p, value):
    return p * value


def squared(p, value):
    return p * p * value


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_plain_steps_of_a_linear_critic_match_the_paper_derivation(steps):
    # loss phi (theta z - x): phi_k = phi - k eta (theta z - x);
    # d(-phi_k theta z)/dtheta = -phi_k z + k eta z * theta z
    gradient, ahead = generator_gradient(linear, DescentRule(ETA, decay=None), steps)
    phi_k = PHI - steps * ETA * (THETA * Z - X)
    assert ahead == pytest.approx(phi_k, rel=1e-12)
    assert gradient == pytest.approx(-phi_k * Z + steps * ETA * Z * THETA * Z, rel=1e-12)


def test_the_unrolled_gradient_differs_from_one_that_treats_the_future_critic_as_constant():
    gradient, ahead = generator_gradient(linear, DescentRule(ETA, decay=None), 3)
    assert abs(gradient - (-ahead * Z)) > 0.1


def test_zero_steps_give_the_plain_adversarial_gradient():
    gradient, ahead = generator_gradient(linear, DescentRule(ETA, decay=None), 0)
    assert ahead == PHI
    assert gradient == pytest.approx(-PHI * Z, rel=1e-12)


def test_two_steps_of_a_curved_critic_carry_the_second_derivative():
    # loss phi^2 d with d = theta z - x: phi_k = phi (1 - 2 eta d)^k;
    # d(phi_k^2)/dtheta = -4 k eta z phi^2 (1 - 2 eta d)^(2k-1); the score is phi_k^2 theta z
    k = 2
    shrink = 1 - 2 * ETA * (THETA * Z - X)
    gradient, ahead = generator_gradient(squared, DescentRule(ETA, decay=None), k)
    assert ahead == pytest.approx(PHI * shrink**k, rel=1e-12)
    score_slope = -4 * k * ETA * Z * PHI**2 * shrink ** (2 * k - 1)
    assert gradient == pytest.approx(-(score_slope * THETA * Z + PHI**2 * shrink ** (2 * k) * Z), rel=1e-12)


def test_a_root_mean_square_step_matches_the_paper_derivation():
    # g = theta z - x, v = a v0 + (1 - a) g^2 + floor, phi_1 = phi - eta g / sqrt(v);
    # dphi_1/dtheta = -eta z (v - (1 - a) g^2) / v^(3/2)
    decay, before, floor = 0.9, 0.3, 1e-8
    g = THETA * Z - X
    v = decay * before + (1 - decay) * g * g + floor
    gradient, ahead = generator_gradient(
        linear, DescentRule(ETA, decay=decay, floor=floor), 1, second_moment=before
    )
    assert ahead == pytest.approx(PHI - ETA * g / v**0.5, rel=1e-12)
    slope = -ETA * Z * (v - (1 - decay) * g * g) / v**1.5
    assert gradient == pytest.approx(-(slope * THETA * Z + ahead * Z), rel=1e-12)


def test_a_clipped_weight_answers_no_more_to_the_generator():
    # phi_1 lies beyond the bound, so it is the bound whatever theta is: only the direct term is left
    gradient, ahead = generator_gradient(linear, DescentRule(ETA, decay=None, clip=0.41), 1)
    assert ahead == 0.41
    assert gradient == pytest.approx(-0.41 * Z, rel=1e-12)


def test_unrolled_steps_are_the_steps_that_the_critic_really_takes_next():
    rule = DescentRule(0.01, clip=0.5)
    batch = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))

    def loss(p):
        return torch.tanh(batch @ p).mean()

    state = rule.start(torch.tensor([0.3, -0.9, 0.1], dtype=torch.float64))
    ahead = unroll(loss, state, rule, 4)
    for _ in range(4):
        state, _ = rule.step(loss, state, differentiable=False)
    assert torch.allclose(ahead, state.parameters, rtol=0, atol=1e-15)
    assert state.parameters.abs().max() <= 0.5


def test_unrolling_leaves_the_present_critic_as_it_was():
    state = DescentState(torch.tensor([PHI]), torch.tensor([0.2]))
    unroll(lambda p: (p * 3.0).sum(), state, DescentRule(ETA), 3)
    assert state.parameters.tolist() == torch.tensor([PHI]).tolist()
    assert state.second_moment.tolist() == torch.tensor([0.2]).tolist()
    assert not state.parameters.requires_grad
