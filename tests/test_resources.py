import pytest

from robo_rl import resources
from robo_rl.errors import UserError


def test_checkout_has_assets_and_configs():
    assert resources.asset("grasp_scene.xml").is_file()
    assert resources.configs().name == "configs"


def test_a_wheel_finds_the_folder_inside_the_package_first(tmp_path):
    package = tmp_path / "site" / "robo_rl"
    (package / "assets").mkdir(parents=True)
    (package.parent / "assets").mkdir()
    assert resources.folder("assets", package) == package / "assets"


def test_a_checkout_finds_the_folder_beside_the_package(tmp_path):
    package = tmp_path / "robo_rl"
    package.mkdir()
    (tmp_path / "configs").mkdir()
    assert resources.folder("configs", package) == tmp_path / "configs"


def test_missing_things_are_named(tmp_path):
    with pytest.raises(UserError, match=r"'assets'.*Install"):
        resources.folder("assets", tmp_path / "robo_rl")
    with pytest.raises(UserError, match=r"'grasp\.xml'.*grasp_scene\.xml"):
        resources.asset("grasp.xml")
