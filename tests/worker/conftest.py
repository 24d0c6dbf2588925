import pytest

from stream.testing.pipeline import FakePipeline
from stream.testing.process import FakeProcess

TEXTS = ("cat dog", "cat", "listen", "cat tea")


@pytest.fixture
def counted() -> FakePipeline:
    """A pipeline that has counted `TEXTS`, one transaction each; its worker is closed.

    The totals are act 3, dgo 1, eilnst 1, aet 1, in 6 changelog records.
    """
    pipeline = FakePipeline()
    worker = FakeProcess(pipeline.cluster, pipeline.names, pipeline.fold)
    for text in TEXTS:
        pipeline.submit(text)
        pipeline.drain(worker)
    worker.worker.close()
    return pipeline
