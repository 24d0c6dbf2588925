import pytest
from english_words import get_english_words_set
from hypothesis import settings

from stream.core.dictionary import AnagramIndex, build_index

settings.register_profile("core", deadline=None, max_examples=60)
settings.load_profile("core")


@pytest.fixture(scope="session")
def default_index() -> AnagramIndex:
    return build_index(get_english_words_set(["gcide"]))
