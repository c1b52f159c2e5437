import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cluster_inputs import Floats, chosen, fixture, normal, unit
from torch import Tensor

from vireid_plugins.modeling.losses.memory_contrast import MemoryContrast, MemoryInputs, MemoryTerm
from vireid_plugins.unsupervised.memory import changed, contrast


def start() -> Floats:
    return unit(normal(20005, 12, 32))


def step_of(step: int) -> tuple[Floats, Floats]:
    """Rows (32, 32) before normalization and labels."""
    y = chosen(21500 + step, 12, 4, 8)
    return 1.5 * start()[y] + normal(22500 + step, 32, 32), y


@pytest.mark.parametrize("rule", ["mean", "hard"])
@pytest.mark.parametrize("momentum", [0.1, 0.2])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_memory_equals_released_steps(rule: str, momentum: float, dtype: torch.dtype) -> None:
    double = dtype == torch.float64
    prefix = f"b_{rule}_m{momentum}_{'f64' if double else 'f32'}_"
    stored = {key.removeprefix(prefix): v for key, v in fixture("adca").items() if key.startswith(prefix)}
    memory = torch.from_numpy(start()).to(dtype)
    for step in range(6):
        rows, labels = step_of(step)
        x = torch.from_numpy(rows).to(dtype).requires_grad_()
        normalized = F.normalize(x)
        loss = contrast(normalized, torch.from_numpy(labels), memory)
        loss.backward()
        memory = changed(memory, normalized, labels, rule=rule, momentum=momentum)
        np.testing.assert_allclose(loss.item(), stored["loss"][step], rtol=1e-12 if double else 1e-5)
        if double:
            np.testing.assert_allclose(x.grad, stored["grad"][step], rtol=1e-12, atol=1e-13)
            np.testing.assert_allclose(memory, stored["memory"][step], rtol=1e-12, atol=1e-13)
    if not double:
        np.testing.assert_allclose(memory, stored["memory_end"], atol=1e-5)


def by_loops(memory: Tensor, rows: Tensor, labels: Floats, rule: str, momentum: float) -> Tensor:
    """The rules row by row."""
    after = memory.clone()
    if rule == "hard":
        for y in set(labels.tolist()) - {-1}:
            own = rows[torch.from_numpy(labels == y)]
            least = own[(own @ memory[y]).argmin()]
            after[y] = F.normalize(momentum * memory[y] + (1 - momentum) * least, dim=0)
        return after
    for x, y in zip(rows, labels.tolist(), strict=True):
        if y >= 0:
            after[y] = F.normalize(momentum * after[y] + (1 - momentum) * x, dim=0)
    return after


@pytest.mark.parametrize("rule", ["mean", "hard"])
def test_changed_of_uneven_clusters_equals_loops(rule: str) -> None:
    generator = torch.Generator().manual_seed(0)
    memory, rows = (F.normalize(torch.randn(n, 8, generator=generator, dtype=torch.float64)) for n in (6, 40))
    labels = np.random.RandomState(0).randint(-1, 5, 40)
    labels[:20] = np.where(labels[:20] == 3, 0, labels[:20])
    kept = memory.clone()
    found = changed(memory, rows, labels, rule=rule, momentum=0.2)
    torch.testing.assert_close(found, by_loops(memory, rows, labels, rule, 0.2), rtol=1e-12, atol=1e-13)
    assert torch.equal(memory, kept)
    # The last cluster is in no row.
    assert torch.equal(found[5], memory[5])


@pytest.mark.parametrize("rule", ["mean", "hard"])
def test_changed_without_labels_is_the_memory(rule: str) -> None:
    memory = torch.eye(3)
    assert torch.equal(changed(memory, torch.ones(2, 3), np.array([-1, -1]), rule=rule, momentum=0.1), memory)


def test_changed_with_momentum_one_is_the_memory() -> None:
    memory = torch.from_numpy(start())
    rows, labels = step_of(0)
    after = changed(memory, F.normalize(torch.from_numpy(rows)), labels, rule="mean", momentum=1.0)
    torch.testing.assert_close(after, memory, rtol=1e-12, atol=1e-14)


def test_contrast_equals_loops_in_value_and_gradient() -> None:
    torch.manual_seed(0)
    memory = F.normalize(torch.randn(4, 6, dtype=torch.float64))
    rows = F.normalize(torch.randn(5, 6, dtype=torch.float64)).requires_grad_()
    labels, temperature = torch.tensor([2, 0, -1, 3, 2]), 0.2
    expected = torch.zeros((), dtype=torch.float64)
    for row, label in zip(rows, labels.tolist(), strict=True):
        if label >= 0:
            powers = [torch.exp(row @ center / temperature) for center in memory]
            expected = expected - torch.log(powers[label] / sum(powers)) / 4
    found = contrast(rows, labels, memory, temperature=temperature)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
    gradients = [torch.autograd.grad(value, rows)[0] for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-14)


def test_memory_contrast_takes_temperature_count_matrix_and_weight_of_its_term() -> None:
    generator = torch.Generator().manual_seed(0)
    memory, through, rows = (F.normalize(torch.randn(n, 6, generator=generator)) for n in (4, 4, 5))
    labels = torch.tensor([2, 0, -1, 3, 2])
    x = [rows.clone().requires_grad_() for _ in range(2)]
    term = MemoryTerm("own", x[0], labels, memory, through, count=7.0, weight=0.5)
    columns = (torch.zeros(5), torch.zeros(5, dtype=torch.long), torch.zeros(5))
    found = MemoryContrast()(MemoryInputs({}, *columns, terms=(term, term), temperature=0.3))["own"]
    once = contrast(x[1], labels, memory, temperature=0.3, through=through, count=7.0)
    # Two halves under one name.
    torch.testing.assert_close(found, once)
    torch.testing.assert_close(torch.autograd.grad(found, x[0]), torch.autograd.grad(once, x[1]))
    assert once != contrast(rows, labels, memory, temperature=0.3)


def test_contrast_leaves_out_rows_without_a_cluster() -> None:
    memory = F.normalize(torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    rows = F.normalize(torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    labels = torch.tensor([0, -1, 3, -1, 2, 2])
    x = rows.clone().requires_grad_()
    value = contrast(x, labels, memory, temperature=0.1)
    value.backward()
    torch.testing.assert_close(value, F.cross_entropy((rows @ memory.T / 0.1)[labels >= 0], labels[labels >= 0]))
    assert (x.grad[labels < 0] == 0).all()
    assert contrast(rows, torch.full((6,), -1), memory) == 0


def test_contrast_with_another_matrix_changes_the_gradient_alone() -> None:
    rows, labels = step_of(0)
    memory = torch.from_numpy(start())
    through = memory.roll(1, 0)
    values, gradients = [], []
    for matrix in (None, memory, through):
        x = F.normalize(torch.from_numpy(rows)).requires_grad_()
        values.append(contrast(x, torch.from_numpy(labels), memory, through=matrix))
        values[-1].backward()
        gradients.append(x.grad)
    assert values[0] == values[1] == values[2]
    assert torch.equal(gradients[0], gradients[1])
    probabilities = (F.normalize(torch.from_numpy(rows)) @ memory.T / 0.05).softmax(1)
    expected = (probabilities - F.one_hot(torch.from_numpy(labels), 12)) @ through / 0.05 / 32
    torch.testing.assert_close(gradients[2], expected)
