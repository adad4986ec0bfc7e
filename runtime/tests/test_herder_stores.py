"""What a worker's own topics take and refuse."""

from contextlib import closing

import pytest

from millstream.broker.embedded.log import open_embedded
from millstream.errors import BrokerError
from millstream.herder.stores import open_stores
from millstream.lifecycle import SystemClock


def test_offsets_that_the_log_refuses_are_stored_in_no_part(path: str) -> None:
    with closing(open_embedded(f"sqlite:{path}", {"max.message.bytes": "500"})) as broker:
        owner = broker.own()
        stores = open_stores(broker, owner.epoch, SystemClock(), lambda event: None)
        with pytest.raises(
            BrokerError, match=r"the offsets of connector 'c' were refused: .*raise max\.message\.bytes"
        ):
            stores.offsets.write("c", [({"file": "a"}, {"position": 1}), ({"file": "b"}, {"position": "1" * 1000})])
        assert stores.offsets.of("c") == []
        stores.offsets.write("c", [({"file": "a"}, {"position": 1})])
        assert stores.offsets.of("c") == [({"file": "a"}, {"position": 1})]
        stores.close()
        owner.release()
