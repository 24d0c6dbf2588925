"""The contract of a store: a suite that every store passes."""

from abc import ABC, abstractmethod

import pytest

from stream.ports import Checkpoint, Store

CHECKPOINT = Checkpoint(changelog_offset=7, input_offset=3)


class StoreContract(ABC):
    """Subclasses open a store; a reopened store contains the data of the previous one."""

    @abstractmethod
    def open(self) -> Store: ...

    def test_new_store_is_empty_and_has_no_checkpoint(self) -> None:
        store = self.open()
        assert store.checkpoint is None
        assert dict(store.items()) == {}

    def test_totals_and_checkpoint_are_written_together(self) -> None:
        store = self.open()
        store.write({b"act": b"1", b"eilnst": b"2"}, CHECKPOINT)
        assert dict(store.items()) == {b"act": b"1", b"eilnst": b"2"}
        assert store.checkpoint == CHECKPOINT

    def test_reopened_store_has_the_last_write_and_its_checkpoint(self) -> None:
        store = self.open()
        store.write({b"act": b"1"}, CHECKPOINT)
        store.write({b"act": b"2", b"b": b"1"}, Checkpoint(9, 5))
        store.close()
        reopened = self.open()
        assert dict(reopened.items()) == {b"act": b"2", b"b": b"1"}
        assert reopened.checkpoint == Checkpoint(9, 5)

    def test_checkpoint_may_lack_an_input_offset(self) -> None:
        store = self.open()
        store.write({}, Checkpoint(4, None))
        store.close()
        assert self.open().checkpoint == Checkpoint(4, None)

    @pytest.mark.parametrize("input_offset", [None, 3])
    def test_checkpoint_marks_an_interrupted_restore_until_the_next_write(
        self, input_offset: int | None
    ) -> None:
        interrupted = Checkpoint(7, input_offset, is_restoring=True)
        store = self.open()
        store.write({b"act": b"1"}, interrupted)
        store.close()
        store = self.open()
        assert store.checkpoint == interrupted
        assert dict(store.items()) == {b"act": b"1"}
        store.write({}, Checkpoint(9, 5))
        store.close()
        assert self.open().checkpoint == Checkpoint(9, 5)

    def test_checkpoint_never_goes_back(self) -> None:
        store = self.open()
        store.write({}, CHECKPOINT)
        with pytest.raises(AssertionError):
            store.write({}, Checkpoint(6, 3))

    def test_items_are_only_totals_in_the_order_of_their_keys(self) -> None:
        store = self.open()
        store.write({b"b": b"2", b"a": b"1", b"zz": b"3"}, CHECKPOINT)
        assert list(store.items()) == [(b"a", b"1"), (b"b", b"2"), (b"zz", b"3")]

    def test_key_may_start_with_any_byte_but_nul(self) -> None:
        store, keys = self.open(), [bytes([byte]) for byte in (1, 32, 48, 65, 96, 97, 123, 255)]
        store.write(dict.fromkeys(keys, b"1"), CHECKPOINT)
        store.close()
        assert [key for key, _ in self.open().items()] == keys

    def test_closing_twice_is_harmless(self) -> None:
        store = self.open()
        store.close()
        store.close()
