from pathlib import Path

import pytest

from stream.errors import Misconfigured
from stream.store.slots import claim_slot


def test_second_worker_takes_the_next_slot_with_another_id(tmp_path: Path) -> None:
    with claim_slot(tmp_path, "g", None) as first, claim_slot(tmp_path, "g", None) as second:
        assert first.folder != second.folder
        assert first.instance_id != second.instance_id


def test_restarted_worker_takes_its_slot_and_id_again(tmp_path: Path) -> None:
    with claim_slot(tmp_path, "g", None) as first:
        before = first.folder, first.instance_id
    with claim_slot(tmp_path, "g", None) as again:
        assert (again.folder, again.instance_id) == before


def test_groups_do_not_share_slots(tmp_path: Path) -> None:
    with claim_slot(tmp_path, "g", None) as one, claim_slot(tmp_path, "g/../h", None) as other:
        assert one.folder.parent != other.folder.parent
        assert other.folder.parent.parent == tmp_path


def test_named_instance_runs_once(tmp_path: Path) -> None:
    with claim_slot(tmp_path, "g", "one") as slot:
        assert slot.instance_id == "one"
        with pytest.raises(Misconfigured, match="is already running"):
            claim_slot(tmp_path, "g", "one")
        with claim_slot(tmp_path, "g", "two"):
            pass
    with claim_slot(tmp_path, "g", "one"):
        pass


def test_state_folder_that_cannot_be_created_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Misconfigured, match="cannot be used"):
        claim_slot(tmp_path / "file", "g", None)
