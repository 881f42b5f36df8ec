"""Finds the folders that travel with the program: presets (`configs`) and models written for it (`assets`)."""

from pathlib import Path

from robo_rl.errors import UserError

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str, package: Path = _PACKAGE) -> Path:
    """The folder `name`: inside the package when installed from a wheel, beside it in a checkout.

    Raises:
        UserError: it is in neither place.
    """
    places = (package / name, package.parent / name)
    for place in places:
        if place.is_dir():
            return place
    looked = " and ".join(str(place) for place in places)
    raise UserError(f"The folder '{name}' of robo_rl is missing: looked for {looked}. Install the package again.")


def configs() -> Path:
    """The folder of the presets, `*.yaml`."""
    return folder("configs")


def asset(name: str) -> Path:
    """The path of one file of `assets`, e.g. `grasp_scene.xml`.

    Raises:
        UserError: there is no such file.
    """
    assets = folder("assets")
    path = assets / name
    if not path.is_file():
        known = ", ".join(sorted(entry.name for entry in assets.iterdir() if entry.is_file())) or "none"
        raise UserError(f"There is no asset '{name}' in {assets}. Known assets: {known}.")
    return path
