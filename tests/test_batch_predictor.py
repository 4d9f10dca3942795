"""The callable of `m2e.batch`: any form of batch in, one typed row per track out."""

import pickle

import numpy as np
import pytest
import soundfile
import tiny

pa = pytest.importorskip("pyarrow")

from m2e.batch import RECORD_SCHEMA, Predictor, record_schema  # noqa: E402
from m2e.batch.schema import ATTRIBUTES, to_table  # noqa: E402
from m2e.checkpoints.load import load  # noqa: E402
from m2e.errors import ModelError, UsageError  # noqa: E402
from modeling_m2e import descriptors_m2e  # noqa: E402
from modeling_m2e.record_m2e import FailedTrack  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batch")
    tiny.pipeline().save_pretrained(folder / "tiny")
    for seed in (1, 2):
        soundfile.write(folder / f"{seed}.wav", tiny.waveform(4.0, seed), tiny.SAMPLING_RATE)
    (folder / "bad.wav").write_bytes(b"no audio")
    return folder


@pytest.fixture(scope="module")
def names(folder):
    return [str(folder / name) for name in ("1.wav", "bad.wav", "2.wav")]


@pytest.fixture(scope="module")
def predictor(folder):
    return Predictor(str(folder / "tiny"), "cpu", embedding=True)


@pytest.fixture(scope="module")
def expected(predictor, names):
    return predictor({"path": np.array(names)})


def test_rows_are_the_records_of_the_pipeline(folder, names, expected):
    pipe = load(folder / "tiny", device="cpu", include_embedding=True)
    size = pipe.model.config.embedding_size
    assert expected.schema == record_schema(size) and expected.column("path").to_pylist() == names
    first, bad, second = expected.to_pylist()
    for row, name in ((first, names[0]), (second, names[2])):
        record = pipe(name)
        np.testing.assert_array_equal(np.float32(row.pop("embedding")), record.embedding)
        absent = {"key_segments": None, "seconds_used": row["seconds_used"], "warnings": []}
        assert row == dict.fromkeys(record_schema().names) | absent | record.to_dict()
        assert row["seconds_used"] is None
    assert bad.pop("error").startswith(f"{names[1]}: ")
    assert {name for name, value in bad.items() if value is not None} == {"path", "model"}


@pytest.mark.parametrize("form", ["lists", "Table", "RecordBatch", "bytes", "named bytes", "audio"])
def test_every_form_of_a_batch_gives_the_same_rows(predictor, names, expected, form):
    content = [open(name, "rb").read() for name in names]
    batch = {
        "lists": {"id": [1, 2, 3], "path": names},
        "Table": pa.table({"path": names, "id": [1, 2, 3]}),
        "RecordBatch": pa.record_batch({"path": names}),
        "bytes": {"bytes": np.array(content, dtype=object)},
        "named bytes": pa.table({"path": names, "bytes": content}),
        "audio": {"audio": [{"path": name, "bytes": data} for name, data in zip(names, content, strict=True)]},
    }[form]
    found = predictor(batch)
    if form == "bytes":
        assert found.column("path").to_pylist() == [None] * 3
        assert found.column("error")[1].as_py().startswith("<bytes>: ")
        assert found.drop(["path", "error"]) == expected.drop(["path", "error"])
    else:
        assert found == expected


def test_rows_without_audio_and_batches_without_columns_are_named(predictor):
    (row,) = predictor({"path": [None]}).to_pylist()
    assert row["error"] == "<nothing>: the row has neither a path nor bytes." and row["path"] is None
    assert predictor(pa.table({"path": pa.array([], pa.string())})).num_rows == 0
    with pytest.raises(UsageError, match='the columns file, id: name one of them "path" or "bytes"'):
        predictor({"file": ["a.wav"], "id": [1]})


def test_it_travels_light_and_loads_once_per_process(predictor, folder, names, expected):
    travelled = pickle.dumps(predictor)
    assert len(travelled) < 1000
    again = pickle.loads(travelled)
    assert again.pipe is predictor.pipe and again({"path": names}) == expected
    with pytest.raises(ModelError, match="gone"):
        Predictor(str(folder / "gone/model"))({"path": names})


def test_a_column_of_nulls_keeps_its_type():
    failed = [FailedTrack("a.wav", "a.wav: is empty."), FailedTrack("caf\udce9.wav", "caf\udce9.wav: is empty.")]
    table = to_table(failed)
    assert table.schema == RECORD_SCHEMA and table.column("path")[1].as_py() == "caf\\udce9.wav"
    assert pa.concat_tables([table, to_table([])]).num_rows == 2
    assert to_table(failed, record_schema(4)).column("embedding").to_pylist() == [None, None]


def test_the_schema_has_every_attribute():
    assert ATTRIBUTES == descriptors_m2e.ATTRIBUTES
