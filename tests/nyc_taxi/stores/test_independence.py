"""No store imports another: what two stores need is in ``nyc_taxi.stores`` itself."""

from __future__ import annotations

from itertools import permutations

import grimp

from nyc_taxi.stores import STORES

PACKAGES = sorted({store.__module__.rpartition(".")[0] for store in STORES})


def test_every_store_has_a_folder_of_its_own() -> None:
    assert len(PACKAGES) == len(STORES)
    assert all(package.startswith("nyc_taxi.stores.") for package in PACKAGES)


def test_no_store_imports_another() -> None:
    graph = grimp.build_graph("nyc_taxi", cache_dir=None)
    # The list of stores imports all of them, and is no way from one to another.
    for module in graph.find_modules_directly_imported_by("nyc_taxi.stores"):
        graph.remove_import(importer="nyc_taxi.stores", imported=module)
    chains = {
        (importer, imported): graph.find_shortest_chain(importer, imported, as_packages=True)
        for importer, imported in permutations(PACKAGES, 2)
    }
    assert {pair: chain for pair, chain in chains.items() if chain} == {}
