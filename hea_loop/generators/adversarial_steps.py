"""One step of an unrolled Wasserstein GAN, for several seeds at once, with every gradient written out.

The step is the algorithm of M. Arjovsky, S. Chintala, L. Bottou (ICML 2017, PMLR 70:214, algorithm 1: critic
updates with RMSProp and clipped weights) with the generator's gradient taken through k further updates of the
critic (L. Metz et al. 2016, arXiv:1611.02163, eqs. 5 to 8). It gives the numbers of automatic differentiation
through :func:`hea_loop.generators.unrolling.unroll`, to rounding, without building a graph; see
:mod:`hea_loop.generators.explicit_gradients`.

With ``v' = d v + (1 - d) g^2``, ``r = (v' + floor)^(-1/2)``, ``phi' = clip(phi - eta g r)``, and the derivative
``lambda`` of the generator's loss with respect to ``phi'`` (zero where the clip holds) and ``nu`` with respect
to ``v'``, the derivative with respect to ``g`` is ``u = -eta r lambda + 2 (1 - d) g nu``, where ``nu`` is ``d``
times that of the next step plus ``eta g r^3 lambda / 2``; ``lambda`` of the step before is ``lambda`` plus the
critic's Hessian times ``u``.
"""

from __future__ import annotations

from typing import Any

import torch

from hea_loop.generators.captured import captured
from hea_loop.generators.explicit_gradients import Parameters, ScoreGradient, backward, forward
from hea_loop.generators.feed_forward import FeedForward
from hea_loop.generators.unrolling import DescentRule

__all__ = ["UnrolledSteps"]


class _Descent:
    """RMSProp in place, by the rule of :class:`DescentRule`, with a step size that may change."""

    def __init__(self, rule: DescentRule, like: Any) -> None:
        if rule.decay is None:
            raise ValueError("the written-out step is that of RMSProp")
        self.decay, self.clip, self.floor = rule.decay, rule.clip, rule.floor
        # a tensor, so that a captured graph reads the value of the day
        self.minus_rate = torch.full((1, 1), -rule.learning_rate, dtype=like.dtype, device=like.device)
        self.moment = torch.zeros_like(like)
        self._root, self._change = torch.empty_like(like), torch.empty_like(like)

    def step(self, flat: Any, gradient: Any) -> None:
        """Update parameters ``E x d``."""
        self.ahead(flat, gradient, self.moment, self.moment, self._root, self._change, flat)
        if self.clip is not None:
            flat.clamp_(-self.clip, self.clip)

    def ahead(
        self, flat: Any, gradient: Any, before: Any, moment: Any, root: Any, change: Any, new: Any
    ) -> None:
        """Write the next parameters before the clip to ``new``, with ``v'``, ``r`` and ``g r`` on the way."""
        torch.mul(before, self.decay, out=moment)
        moment.addcmul_(gradient, gradient, value=1 - self.decay)
        torch.add(moment, self.floor, out=root)
        root.rsqrt_()
        torch.mul(gradient, root, out=change)
        torch.addcmul(flat, change, self.minus_rate, out=new)


class _LookedAhead:
    """One unrolled update of the critic: what it made, and what its derivative needs."""

    def __init__(self, critic: FeedForward, coefficients: Any, like: Any, rows: slice) -> None:
        members = len(like)
        self.slope = ScoreGradient(critic, coefficients, members, rows=rows, second=True)
        self.moment, self.root, self.change, self.unclipped, self.kept = (
            torch.empty_like(like) for _ in range(5)
        )
        self.new = Parameters.zeros(critic, members, like)


class UnrolledSteps:
    """The state of ``E`` trainings and the step that advances all of them.

    Args:
        generator: The network from requests (latent vector, then p conditions) to m logits.
        critic: The network from pairs (m fractions times ``contrast``, then p conditions) to a score.
        theta: Parameters of the generators at the start, ``E x d``; device and type are those of the training.
        phi: Parameters of the critics, ``E x d``; clipped here.
        contrast: What fractions are multiplied by in the critic's input, shape ``E``.
        descent: RMSProp of the generator.
        rule: RMSProp of the critic, with the bound of its weights.
        critic_steps: Updates of the critic for each of the generator.
        unrolled_steps: k.
        batch_size: b.

    Attributes:
        requests: Input of a step, ``E x (critic_steps + 1) x b x (latent + p)``; the last batch is the one by
            which the generator is updated.
        pairs: Input of a step, ``E x (critic_steps + 1) x 2b x (m + p)``: real pairs, then the conditions of the
            false ones in their last p columns; the step fills the false fractions in.
        critic_loss: Of the last update of the critic, before it, shape ``E``.
        generator_loss: Of the last update of the generator, before it, shape ``E``.
    """

    def __init__(
        self,
        generator: FeedForward,
        critic: FeedForward,
        theta: Any,
        phi: Any,
        contrast: Any,
        *,
        descent: DescentRule,
        rule: DescentRule,
        critic_steps: int,
        unrolled_steps: int,
        batch_size: int,
    ) -> None:
        e, b, m = len(theta), batch_size, generator.sizes[-1]
        self.theta, self.phi = Parameters(generator, theta), Parameters(critic, phi)
        theta, phi = self.theta.flat, self.phi.flat
        if rule.clip is not None:
            self.phi.flat.clamp_(-rule.clip, rule.clip)
        self._descent, self._rule = _Descent(descent, theta), _Descent(rule, phi)
        self._rates = descent.learning_rate, rule.learning_rate

        batches = critic_steps + 1
        self.requests = theta.new_zeros(e, batches, b, generator.sizes[0])
        self.pairs = theta.new_zeros(e, batches, 2 * b, critic.sizes[0])
        self.critic_loss, self.generator_loss = theta.new_zeros(e), theta.new_zeros(e)
        self._asked = self.requests.view(e, batches * b, -1)
        self._false = self.pairs[:, :, b:, :m]
        self._contrast = contrast.to(theta).view(e, 1, 1, 1)
        self._hidden = [theta.new_zeros(e, batches * b, w) for w in generator.sizes[1:-1]]
        # views of the single batches, made once
        self._batches = [self.pairs[:, j] for j in range(batches)]
        self._last_false, last = self.pairs[:, -1, b:], slice(critic_steps * b, None)
        self._last_asked, self._last_hidden = self._asked[:, last], [h[:, last] for h in self._hidden]
        self._logits, self._alloys = (theta.new_zeros(e, batches * b, m) for _ in range(2))
        self._last_alloys, self._all_alloys = self._alloys[:, last], self._alloys.view_as(self._false)
        self._adjoints = [theta.new_zeros(e, b, w) for w in generator.sizes[1:-1]]
        self._slope = Parameters.zeros(generator, e, theta)

        share = theta.new_full((b,), 1 / b)
        distance = torch.cat([-share, share])  # minus the estimate of the Wasserstein distance
        false = slice(b, 2 * b)
        self._distance = ScoreGradient(critic, distance, e, rows=false)
        self._look = [_LookedAhead(critic, distance, phi, false) for _ in range(unrolled_steps)]
        self._score = ScoreGradient(critic, -share, e, rows=slice(None))
        self._answer_gradient = theta.new_zeros(e, b, critic.sizes[0])
        self._fraction_gradient = self._answer_gradient[:, :, :m]
        self._logit_gradient, self._alloy_gradient = (theta.new_zeros(e, b, m) for _ in range(2))
        self._mean_gradient = theta.new_zeros(e, b, 1)
        self._nu, self._work = torch.zeros_like(phi), torch.empty_like(phi)
        self._along = Parameters.zeros(critic, e, phi)
        self._launch = self._advance

    def state(self) -> list[Any]:
        """Every tensor that a step carries on to the next."""
        return [self.theta.flat, self.phi.flat, self._descent.moment, self._rule.moment]

    def step(self, left: float = 1.0) -> None:
        """Update all critics and generators by what stands in :attr:`requests` and :attr:`pairs`.

        Args:
            left: Factor of both step sizes.
        """
        self._descent.minus_rate.fill_(-self._rates[0] * left)
        self._rule.minus_rate.fill_(-self._rates[1] * left)
        self._launch()

    def capture(self) -> bool:
        """Capture the step as a CUDA graph where that can be; see :func:`hea_loop.generators.captured.captured`."""
        graph = captured(self._advance, self.state())
        if graph is not None:
            self._launch = graph.replay
        return graph is not None

    def _advance(self) -> None:
        self._answer()
        for batch in self._batches[:-1]:
            self._distance.at(self.phi, batch)
            if batch is self._batches[-2]:
                self._distance.loss(self.phi, self.critic_loss)
            self._rule.step(self.phi.flat, self._distance.gradient.flat)
        self._differentiate_answers()
        self._update_generator()

    def _answer(self) -> None:
        """Fill in the fractions of the false pairs of all batches: the generator stays until the last."""
        forward(self.theta, self._asked, self._hidden)
        torch.baddbmm(self.theta.biases[-1], self._hidden[-1], self.theta.transposed[-1], out=self._logits)
        torch.softmax(self._logits, -1, out=self._alloys)
        torch.mul(self._all_alloys, self._contrast, out=self._false)

    def _differentiate_answers(self) -> None:
        """Gradient of the generator's loss with respect to the pairs of the last batch, through k updates."""
        batch = self._batches[-1]
        rule, at, moment = self._rule, self.phi, self._rule.moment
        for look in self._look:
            look.slope.at(at, batch)
            rule.ahead(
                at.flat, look.slope.gradient.flat, moment, look.moment, look.root, look.change, look.unclipped
            )
            if rule.clip is None:
                look.new.flat.copy_(look.unclipped)
            else:
                torch.clamp(look.unclipped, -rule.clip, rule.clip, out=look.new.flat)
            torch.eq(look.unclipped, look.new.flat, out=look.kept)
            at, moment = look.new, look.moment
        self._score.at(at, self._last_false)
        self._score.loss(at, self.generator_loss)
        out = self._answer_gradient.zero_()
        self._score.add_input_gradient(at, out)

        slope, nu = self._score.gradient.flat, self._nu.zero_()
        for j in range(len(self._look) - 1, -1, -1):
            look, at = self._look[j], self._look[j - 1].new if j else self.phi
            slope.mul_(look.kept)
            along = self._through_the_rule(look, slope, nu)
            look.slope.differentiate(at, batch, along, out, inner=j > 0)
            if j:
                slope.add_(look.slope.curvature.flat)

    def _through_the_rule(self, look: _LookedAhead, slope: Any, nu: Any) -> Parameters:
        """u, the derivative with respect to the gradient of one update; ``nu`` is carried one update back."""
        along, decay = self._along.flat, self._rule.decay
        torch.mul(slope, look.root, out=along)
        along.mul_(self._rule.minus_rate)
        torch.mul(look.change, look.root, out=self._work)
        nu.mul_(decay).addcmul_(along, self._work, value=-0.5)
        along.addcmul_(look.slope.gradient.flat, nu, value=2 * (1 - decay))
        return self._along

    def _update_generator(self) -> None:
        torch.mul(self._fraction_gradient, self._contrast[:, 0], out=self._alloy_gradient)
        # through the softmax s: s (g - sum(g s))
        weighted = torch.mul(self._alloy_gradient, self._last_alloys, out=self._logit_gradient)
        torch.sum(weighted, -1, keepdim=True, out=self._mean_gradient)
        weighted.addcmul_(self._last_alloys, self._mean_gradient, value=-1)
        backward(
            self.theta,
            self._last_asked,
            self._last_hidden,
            self._logit_gradient,
            self._adjoints,
            self._slope,
        )
        self._descent.step(self.theta.flat, self._slope.flat)
