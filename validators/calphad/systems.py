"""pycalphad with everything that can be shared kept: models and phase records per set of components.

pycalphad's ``equilibrium`` builds models, compiles them and samples the energy surface anew in every call.
Here the first two happen once per process for each set of components (0.2 to 1.1 s), and what is left is the
work of :meth:`pycalphad.Workspace.recompute`: sample, convex hull, minimise.

Phase records of all nine elements could serve every subset in principle; in practice an alloy of five
elements then costs as much as one of nine (17 equilibria a second instead of 126), so there is one set of
records for each set of components, and the least recently used are dropped beyond ``_KEPT``.
"""

from __future__ import annotations

import math
import threading
import warnings
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hea_loop.composition import Composition
from validators.calphad.database import CalphadDatabase

__all__ = ["PRESSURE_PA", "RawEquilibrium", "StartingPoint", "System", "system_for"]

PRESSURE_PA: Final = 101325.0
"""Pressure of every equilibrium, Pa."""

_KEPT: Final = 96  # about 2 MB each
_DISORDERED: Final = 1e-4
"""Largest difference of a site fraction between equivalent sublattices at which an entry counts as disordered."""
_GRID_BYTES: Final = 64 * 2**20  # of all kept samplings of a process
_LOCK: Final = threading.RLock()


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """A point of a phase that a minimisation is to consider beside its own sampling.

    Attributes:
        phase: Its phase.
        site_fractions: In pycalphad's order, sublattice by sublattice, constituents alphabetical, those that
            are alone on a sublattice included.
        driving_force: J per mole of atoms by which it lies below the tangent plane of whoever found it.
        fraction: Mole fraction in a mixture that has the alloy's composition; zero for a point by itself.
    """

    phase: str
    site_fractions: tuple[float, ...]
    driving_force: float
    fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class RawEquilibrium:
    """What pycalphad answered at one composition and temperature, before anybody judged it.

    Attributes:
        names: Phase of each entry, ``n`` of them; a miscibility gap repeats a name. An entry of an ordered
            phase without order has the name of the disordered one (BCC_A2 where the model is BCC_B2).
        fractions: ``(n,)`` mole fraction of each entry.
        compositions: ``(n, c)`` atomic fractions of each entry.
        potentials: ``(c,)`` chemical potentials, J/mol; NaN where it did not converge.
        energy: Molar Gibbs energy, J/mol; NaN where it did not converge.
        overlooked: Largest driving force, J/mol, of a sampled point below the tangent plane.
    """

    names: tuple[str, ...]
    fractions: NDArray[np.float64]
    compositions: NDArray[np.float64]
    potentials: NDArray[np.float64]
    energy: float
    overlooked: float


class _GridCache:
    """Samplings that are used again, the least recently used dropped beyond a number of bytes."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any) -> Any:
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key][0]

    def put(self, key: Any, grid: Any) -> None:
        size = sum(values.nbytes for _, values in grid.data_vars.values())
        self._held[key] = (grid, size)
        self._bytes += size
        while self._bytes > self._budget:
            _, (_, freed) = self._held.popitem(last=False)
            self._bytes -= freed


_GRIDS: Final = _GridCache(_GRID_BYTES)


class System:
    """Models and phase records of one database for one set of elements.

    Args:
        database: The database.
        elements: Its elements, alphabetical, as the field writes them; the vacancy is always added, without
            which pycalphad drops BCC and HCP in silence.

    Raises:
        pycalphad.core.errors.DofError: No phase can be formed by these elements.
    """

    def __init__(self, database: CalphadDatabase, elements: tuple[str, ...]) -> None:
        from pycalphad import variables as v
        from pycalphad.core.errors import DofError
        from pycalphad.core.utils import filter_phases, instantiate_models

        from validators.calphad.records import SharedRecordFactory

        self.elements = elements
        self._parsed = database.parsed
        self._symbols = [e.upper() for e in elements]
        self._components = [*self._symbols, "VA"]
        self.phases = tuple(filter_phases(self._parsed, [v.Species(c) for c in self._components]))
        if not self.phases:
            raise DofError(f"no phase of {database.name} can be formed by {'-'.join(elements)}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the database's remarks have it, once
            self._models = instantiate_models(self._parsed, self._components, list(self.phases))
        self._disordered_states = self._order_models()
        self._records = SharedRecordFactory(self._parsed, self._components, [v.N, v.P, v.T], self._models)

    def _order_models(self) -> dict[str, tuple[str, list[list[tuple[int, ...]]]]]:
        """Ordered phases that carry a disordered one in their model, as BCC_B2 carries BCC_A2.

        pycalphad then leaves the disordered phase out and gives every entry the ordered one's name, whether or
        not there is order in it.

        Returns:
            Name of the ordered phase to that of the disordered one, and for each kind of equivalent sublattice
            (the same constituents) the positions of each sublattice's site fractions, in matching order.
        """
        out = {}
        for name in self.phases:
            hints = self._parsed.phases[name].model_hints
            if hints.get("ordered_phase") != name or "disordered_phase" not in hints:
                continue
            kinds: dict[tuple[str, ...], list[tuple[int, ...]]] = {}
            start = 0
            for constituents in self._models[name].constituents:
                species = tuple(sorted(str(c) for c in constituents))
                kinds.setdefault(species, []).append(tuple(range(start, start + len(species))))
                start += len(species)
            out[name] = (str(hints["disordered_phase"]), [k for k in kinds.values() if len(k) > 1])
        return out

    def _name_of(self, name: str, site_fractions: NDArray[np.float64]) -> str:
        """Name of an entry by the order that is in it."""
        if name not in self._disordered_states:
            return name
        disordered, kinds = self._disordered_states[name]
        alike = all(
            np.abs(site_fractions[list(other)] - site_fractions[list(kind[0])]).max() < _DISORDERED
            for kind in kinds
            for other in kind[1:]
        )
        return disordered if alike else name

    def _grid(self, temperature_K: float, density: tuple[int, int], *, keep: bool) -> Any:
        """The sampled energy surface: it depends on the temperature, not on the composition."""
        from pycalphad import calculate

        elsewhere, in_bcc = density
        grid = _GRIDS.get((self, temperature_K, density))
        if grid is None:
            grid = calculate(
                self._parsed,
                self._components,
                list(self.phases),
                model=self._models,
                phase_records=self._records,
                output="GM",
                fake_points=True,
                to_xarray=False,
                pdens=[{p: in_bcc for p in self.phases if p.startswith("BCC")}, elsewhere],
                T=[temperature_K],
                P=[PRESSURE_PA],
                N=[1.0],
            )
            if keep:
                _GRIDS.put((self, temperature_K, density), grid)
        return grid

    def _with_points(self, grid: Any, points: Sequence[StartingPoint], temperature_K: float) -> Any:
        """The sampled surface with further points at its end."""
        from pycalphad.core.composition_set import CompositionSet
        from pycalphad.core.light_dataset import LightDataset

        state = np.array([1.0, PRESSURE_PA, temperature_K])
        count, width = len(points), grid.Y.shape[-1]
        more: dict[str, Any] = {
            "X": np.zeros((count, len(self.elements))),
            "Phase": np.array([p.phase for p in points]),
            "Y": np.full((count, width), np.nan),
            "GM": np.zeros(count),
        }
        for k, point in enumerate(points):
            entry = CompositionSet(self._records[point.phase])
            fractions = np.array(point.site_fractions)
            entry.update(fractions, 1.0, state)
            more["X"][k] = entry.X
            more["Y"][k, : len(fractions)] = fractions
            more["GM"][k] = entry.energy
        variables = {
            name: (dims, np.concatenate([values, more[name][None, None, None]], axis=3))
            for name, (dims, values) in grid.data_vars.items()
        }
        return LightDataset(variables, coords=grid.coords, attrs=grid.attrs)

    def minimise(
        self,
        composition: Composition,
        temperature_K: float,
        density: tuple[int, int],
        *,
        keep_grid: bool = False,
        points: Sequence[StartingPoint] = (),
    ) -> RawEquilibrium:
        """Minimise the Gibbs energy at 101325 Pa and one mole of atoms.

        Args:
            composition: A composition of exactly this system's elements.
            temperature_K: Temperature, K.
            density: Points that pycalphad samples per degree of freedom of any phase, and of a bcc phase.
            keep_grid: Keep the sampled surface for the next composition at this temperature.
            points: Further points of the surface, for this call only.
        """
        from pycalphad import variables as v
        from pycalphad.core.eqsolver import _solve_eq_at_conditions
        from pycalphad.core.solver import Solver
        from pycalphad.core.starting_point import starting_point

        fractions = composition.fractions
        # The most abundant element depends on the others: so the independent ones sum to less than one.
        dependent = max(self.elements, key=lambda e: (fractions[e], e))
        conditions: dict[Any, list[float]] = {v.N: [1.0], v.P: [PRESSURE_PA], v.T: [temperature_K]}
        conditions |= {v.X(e.upper()): [fractions[e]] for e in self.elements if e != dependent}
        ordered = OrderedDict(sorted(conditions.items(), key=lambda item: str(item[0])))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # NaN is judged by who asked
            grid = self._grid(temperature_K, density, keep=keep_grid)
            if points:
                grid = self._with_points(grid, points, temperature_K)
            start = starting_point(ordered, self._records.state_variables, self._records, grid)
            # What Workspace.recompute does, with the grid above; the name is private, the pin is in pyproject
            found = _solve_eq_at_conditions(
                start,
                self._records,
                grid,
                list(ordered),
                self._records.state_variables,
                False,
                solver=Solver(),
            )
        return self._read(found, grid)

    def minimise_from(
        self, composition: Composition, temperature_K: float, mixture: Sequence[StartingPoint]
    ) -> RawEquilibrium:
        """Let pycalphad's solver go on from a mixture of phases, without any sampling.

        The sampled surface often holds no simplex that the two sides of a flat miscibility gap span, and the
        solver then begins with one phase only.

        Args:
            composition: A composition of exactly this system's elements.
            temperature_K: Temperature, K.
            mixture: Phases whose fractions add up to one and to the composition.
        """
        from pycalphad import variables as v
        from pycalphad.core.composition_set import CompositionSet
        from pycalphad.core.solver import Solver

        fractions = composition.fractions
        dependent = max(self.elements, key=lambda e: (fractions[e], e))
        conditions: dict[Any, float] = {v.N: 1.0, v.P: PRESSURE_PA, v.T: temperature_K}
        conditions |= {v.X(e.upper()): fractions[e] for e in self.elements if e != dependent}
        state = np.array([1.0, PRESSURE_PA, temperature_K])
        entries = []
        for point in mixture:
            entry = CompositionSet(self._records[point.phase])
            entry.update(np.array(point.site_fractions), point.fraction, state)
            entries.append(entry)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # NaN is judged by who asked
            result = Solver(remove_metastable=True).solve(entries, conditions)
        amounts = np.array([entry.NP for entry in entries])
        return RawEquilibrium(
            names=tuple(str(entry.phase_record.phase_name) for entry in entries),
            fractions=amounts,
            compositions=np.array([np.array(entry.X) for entry in entries]),
            potentials=np.array(result.chemical_potentials, dtype=float).copy(),
            energy=float(sum(entry.NP * entry.energy for entry in entries)) if result.converged else math.nan,
            overlooked=0.0,
        )

    def _read(self, found: Any, grid: Any) -> RawEquilibrium:
        count = len(self.elements)
        phases = found.Phase.reshape(-1)
        present = [i for i, name in enumerate(phases) if name not in {"", "_FAKE_"}]
        sites = found.Y.reshape(len(phases), -1)
        potentials = found.MU.reshape(-1)[:count].copy()
        driving = grid.X.reshape(-1, count)[count:] @ potentials - grid.GM.reshape(-1)[count:]
        return RawEquilibrium(
            names=tuple(self._name_of(str(phases[i]), sites[i]) for i in present),
            fractions=found.NP.reshape(-1)[present].copy(),
            compositions=found.X.reshape(-1, count)[present].copy(),
            potentials=potentials,
            energy=float(found.GM.reshape(-1)[0]),
            overlooked=float(driving.max()) if driving.size else 0.0,
        )


def system_for(database: CalphadDatabase, elements: tuple[str, ...]) -> System:
    """The system of these elements, built on first use and kept while it is in use.

    Raises:
        pycalphad.core.errors.DofError: No phase can be formed by these elements.
    """
    with _LOCK:
        system: System | None = database.systems.pop(elements, None)
        if system is None:
            system = System(database, elements)
        database.systems[elements] = system  # last in, so that the first is the least recently used
        while len(database.systems) > _KEPT:
            database.systems.pop(next(iter(database.systems)))
        return system
