"""ADMM does what its three equations say."""

from __future__ import annotations

import torch

from streamcodec.core.quantizer import Admm, UniformRounding


def test_updates_follow_the_method() -> None:
    z0 = torch.tensor([[0.4, 1.6]])
    admm = Admm(z0, rho=2.0)
    assert admm.r.tolist() == [[0.0, 2.0]]
    assert admm.u.tolist() == [[0.0, 0.0]]
    # rho/2 ||z - r + u||^2 = (0.16 + 0.16)
    torch.testing.assert_close(admm.penalty(z0), torch.tensor(0.32))
    z1 = torch.tensor([[0.3, 1.7]])
    admm.update(z1)
    torch.testing.assert_close(admm.r, torch.tensor([[0.0, 2.0]]))
    torch.testing.assert_close(admm.u, torch.tensor([[0.3, -0.3]]))
    admm.update(z1)  # z + u = 0.6, 1.4: the projection changes sides
    torch.testing.assert_close(admm.r, torch.tensor([[1.0, 1.0]]))
    torch.testing.assert_close(admm.u, torch.tensor([[-0.4, 0.4]]))


def test_admm_meets_the_lattice_where_the_optimum_is_half_way() -> None:
    target = torch.tensor([0.45, -1.2, 2.55, 0.0])
    z = target.clone().requires_grad_()
    admm = Admm(z.detach(), rho=1.0)
    for _ in range(300):
        loss = 0.5 * (z - target).square().sum() + admm.penalty(z)
        (gradient,) = torch.autograd.grad(loss, z)
        with torch.no_grad():
            z -= 0.3 * gradient
        admm.update(z)
    distance = (z.detach() - z.detach().round()).abs()
    free = (target - target.round()).abs()
    assert float(distance.mean()) < float(free.mean())
    assert admm.settle(z).tolist() == z.round().tolist()


def test_uniform_rounding_has_no_pull() -> None:
    z = torch.tensor([0.4, 1.6])
    uniform = UniformRounding()
    uniform.update(z)
    assert float(uniform.penalty(z)) == 0.0
    assert uniform.settle(z).tolist() == [0.0, 2.0]
