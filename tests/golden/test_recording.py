"""What recording says of a room's file, and that an addition leaves all else as it is."""

import torch
from recorded import Recording


def recording(folder, **outputs):
    made = Recording("toys")
    made.path = folder / "toys.npz"
    for name, value in outputs.items():
        made.add(name, lambda value=value: {"value": torch.tensor([value])})
    return made


def test_outputs_are_new_changed_gone_or_as_before(tmp_path):
    first = recording(tmp_path, a=1.0, b=2.0).write()
    assert (len(first.added), first.changed, first.gone, first.unchanged) == (2, [], [], 0)
    before = (tmp_path / "toys.npz").read_bytes()
    again = recording(tmp_path, a=1.0 + 1e-7, b=2.0).write()
    assert (again.added, again.changed, again.gone, again.unchanged) == ([], [], [], 2)
    assert (tmp_path / "toys.npz").read_bytes() == before
    added = recording(tmp_path, a=1.0, b=2.0, c=3.0).write()
    assert [key.partition("/")[0] for key in added.added] == ["c"] and not added.changed and added.unchanged == 2
    last = recording(tmp_path, a=1.5, c=3.0).write()
    assert [[key[0] for key in keys] for keys in (last.added, last.changed, last.gone)] == [[], ["a"], ["b"]]
    recording(tmp_path, a=1.5, c=3.0).check("a")
