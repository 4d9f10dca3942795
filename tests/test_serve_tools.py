"""The MCP server, started and asked over stdin and stdout by the client of the SDK."""

import asyncio
import os
import sys
from pathlib import Path

import libraries
import pytest

mcp = pytest.importorskip("mcp", reason='mcp is in the extra "mcp"')

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "examples" / "moonlight_sonata.ogg"
CALLS = {
    "status": ("status", {}),
    "search": ("search", {"query": "valence > 3, not calm", "sort": "-valence", "limit": 2}),
    "wrong query": ("search", {"query": "valence >"}),
    "wrong limit": ("search", {"query": "calm", "limit": 100000}),
    "similar": ("similar", {"track_id": 1, "limit": 3}),
    "playlist": ("playlist", {"plan": {"like": [5], "count": 4}}),
    "track": ("track", {"track_id": 3}),
    "no track": ("track", {"track_id": 99}),
    "predict": ("predict", {"path": str(CLIP)}),
    "no file": ("predict", {"path": "/no/such.mp3"}),
    "link": ("predict", {"path": "http://127.0.0.1:1/a.mp3"}),
}


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """{name: answer} of all CALLS, and "tools"."""
    db = libraries.make(tmp_path_factory.mktemp("mcp") / "library.db")
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    server = mcp.StdioServerParameters(
        command=sys.executable,
        args=["-c", "from m2e.cli import main; main()", "mcp", "--db", str(db), "--device", "cpu"],
        env={"PYTHONPATH": path, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        cwd=tmp_path_factory.mktemp("elsewhere"),
    )

    async def ask():
        async with mcp.Client(server) as client:
            found = {"tools": (await client.list_tools()).tools}
            for name, (tool, arguments) in CALLS.items():
                found[name] = await client.call_tool(tool, arguments)
            return found

    return asyncio.run(asyncio.wait_for(ask(), 300))


def sentence(answer):
    assert answer.is_error
    return answer.content[0].text


def test_tools_are_typed_and_documented(answers):
    tools = {tool.name: tool for tool in answers["tools"]}
    assert set(tools) == {"status", "search", "similar", "playlist", "track", "predict"}
    for tool in tools.values():
        assert tool.description and tool.annotations.read_only_hint and tool.output_schema
        for argument in tool.input_schema["properties"].values():
            assert argument.get("description") or "$ref" in argument, tool.name


def test_status(answers):
    status = answers["status"].structured_content
    assert status["tracks"] == 12 and status["moods"] == ["calm", "happy", "sad"]


def test_search(answers):
    found = answers["search"].structured_content
    assert found["total"] == 4 and [track["id"] for track in found["tracks"]] == [11, 9]
    assert "at character" in sentence(answers["wrong query"])
    assert "less than or equal to 200" in sentence(answers["wrong limit"])


def test_similar(answers):
    found = answers["similar"].structured_content["result"]
    assert [track["id"] for track in found] == [2, 3, 4] and found[0]["similarity"] > found[1]["similarity"]


def test_playlist(answers):
    found = answers["playlist"].structured_content["result"]
    assert len(found) == 4 and len({track["id"] for track in found}) == 4


def test_track(answers):
    track = answers["track"].structured_content
    assert track["title"] == "Title 2" and len(track["record"]["moods"]) == 3
    assert "no track 99" in sentence(answers["no track"])


def test_predict(answers):
    record = answers["predict"].structured_content
    assert record["path"] == str(CLIP) and 1 <= record["valence"] <= 9 and record["chords"]
    assert "/no/such.mp3: no such file." in sentence(answers["no file"])
    assert "Links are not fetched" in sentence(answers["link"])
