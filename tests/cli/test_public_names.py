import pytest

import burnish
from burnish.recipes.stages import METHODS


@pytest.mark.parametrize("name", dir(burnish))
def test_every_public_name_leads_somewhere(name: str):
    assert getattr(burnish, name) is not None


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_same_in_python_and_in_a_recipe(name: str):
    assert getattr(burnish, name) is METHODS[name].load()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'stf'"):
        burnish.stf  # noqa: B018
