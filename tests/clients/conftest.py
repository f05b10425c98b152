"""What tests of clients share that fetch one message, each from a folder of
its own."""
import pytest

from culver import numbered


@pytest.fixture
def user(instance):
    user = instance.users[0]
    user.empty()
    user.deliver(numbered(1))
    return user


@pytest.fixture
def home(instance):
    return instance.dir / f"client{len(list(instance.dir.glob('client*')))}"
