from stream.tools.chaos.leaders import reassignment_errors, reassignment_request, with_next_leaders
from stream.tools.chaos.proxy.wire import Writer, read_header


def test_every_partition_gets_another_leader_and_nodes_stay_balanced() -> None:
    replicas = {"a": {0: [1, 2, 3], 1: [2, 1, 3], 2: [3, 1, 2]}, "b": {0: [1, 3, 2]}}
    moved = with_next_leaders(replicas, 3)
    assert moved == {"a": {0: [2, 3, 1], 1: [3, 1, 2], 2: [1, 2, 3]}, "b": {0: [2, 3, 1]}}


def test_leader_is_one_of_the_replicas() -> None:
    assert with_next_leaders({"a": {0: [5, 2, 3]}}, 5) == {"a": {0: [2, 3, 5]}}


def test_request_names_all_replicas() -> None:
    frame = reassignment_request({"ab": {0: [2, 1]}})
    header = read_header(frame)
    assert (header.api, header.version, header.client) == (45, 0, None)
    # a topic with a two-letter name and one partition, 0, with replicas 2 and 1; each struct ends with tags
    assert frame.endswith(b"\x02\x03ab\x02\0\0\0\0\x03\0\0\0\x02\0\0\0\x01\0\0\0")


def test_response_is_read_with_the_error_of_each_partition() -> None:
    writer = Writer(flexible=True)
    writer.integer(1, 4)
    writer.tags()
    writer.integer(0, 4)
    writer.integer(0, 2)
    writer.string(None)

    def write_partition(number: int) -> None:
        writer.integer(number, 4)
        writer.integer(39 * number, 2)
        writer.string(None)
        writer.tags()

    def write_topic(name: bytes) -> None:
        writer.string(name)
        writer.array([0, 1], write_partition)
        writer.tags()

    writer.array([b"a"], write_topic)
    writer.tags()
    assert reassignment_errors(writer.frame()) == [0, 0, 39]
