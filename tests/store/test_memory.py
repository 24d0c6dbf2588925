import pytest
from store_contract import StoreContract

from stream.errors import Fatal
from stream.ports import Store
from stream.store.memory import MemoryDisk, MemoryStore


class TestMemoryStore(StoreContract):
    @pytest.fixture(autouse=True)
    def _disk(self) -> None:
        self.disk = MemoryDisk()

    def open(self) -> Store:
        return MemoryStore(self.disk)

    def test_disk_in_use_is_not_opened_again(self) -> None:
        self.open()
        with pytest.raises(Fatal):
            self.open()
