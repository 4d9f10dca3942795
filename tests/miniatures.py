"""Data sets of a few tracks in the layouts of the official archives."""

import csv
from pathlib import Path

import numpy as np
import soundfile

DYNAMIC = "annotations/annotations averaged per song/dynamic (per second annotations)"
STATIC = "annotations/annotations averaged per song/song_level"


def sound(path: Path, seconds: float = 0.6) -> Path:
    """A short tone, as MP3 where the name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.3 * np.sin(np.arange(int(seconds * 22050)) * 0.1).astype(np.float32)
    soundfile.write(path, tone, 22050, format="MP3" if path.suffix == ".mp3" else None)
    return path


def table(path: Path, header: str, rows: list) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        file.write(header + "\n")
        csv.writer(file).writerows(rows)
    return path


def jamendo(folder: Path, low: bool = False) -> Path:
    """Three tracks, one per split."""
    rows = {
        "train": "track_0000948\tartist_000087\talbum_000149\t48/948.mp3\t212.7\tmood/theme---happy\tmood/theme---fun",
        "validation": "track_0003346\tartist_000517\talbum_000521\t46/3346.mp3\t195.0\tmood/theme---calm",
        "test": "track_0003524\tartist_000530\talbum_000552\t24/3524.mp3\t266.1\tmood/theme---melodic",
    }
    header = "TRACK_ID\tARTIST_ID\tALBUM_ID\tPATH\tDURATION\tTAGS\n"
    lists = folder / "data" / "splits" / "split-0"
    lists.mkdir(parents=True)
    (folder / "data" / "splits" / "split-1").mkdir()
    for split, row in rows.items():
        (lists / f"autotagging_moodtheme-{split}.tsv").write_text(header + row + "\n")
        (lists.parent / "split-1" / f"autotagging_moodtheme-{split}.tsv").write_text(header)
        path = folder / "raw_30s" / "audio" / row.split("\t")[3]
        sound(path.with_suffix(".low.mp3" if low else ".mp3"))
    names = "TRACK_ID\tARTIST_ID\tALBUM_ID\tTRACK_NAME\tARTIST_NAME\tALBUM_NAME\tRELEASEDATE\tURL\n"
    (folder / "data" / "raw.meta.tsv").write_text(
        names + 'track_0000948\tartist_000087\talbum_000149\tOne "take\tBoth\tAlbum\t2005-04-12\thttp://x\n'
    )
    return folder


DEAM = {  # as published: id -> valence, arousal; of EmoMusic's songs a calm one is rated happy and so on
    "2": (3.1, 3.0), "3": (3.5, 3.3), "4": (5.7, 5.5), "5": (4.4, 5.3), "7": (5.8, 6.4), "10": (4.0, 4.7),
    "12": (5.5, 3.0), "13": (3.2, 5.0), "17": (4.4, 6.8), "18": (5.6, 2.5), "19": (6.6, 4.5),
    "1001": (4.8, 6.1), "2058": (3.8, 5.8),
}  # fmt: skip


def deam(folder: Path, audio: bool = True, dynamic: str | None = "in order") -> Path:
    """13 songs. dynamic: "in order" contradicts the static columns of ids up to 1000, "as published" does not."""
    songs = [(song, v, v / 4, a, a / 5) for song, (v, a) in DEAM.items()]
    header = "song_id, valence_mean, valence_std, arousal_mean, arousal_std"
    table(folder / STATIC / "static_annotations_averaged_songs_1_2000.csv", header, songs[:-1])
    longer = "song_id, valence_mean, valence_std, valence_max_mean, arousal_mean, arousal_std, arousal_max_mean"
    extra = [(s, v, sv, 9, a, sa, 9) for s, v, sv, a, sa in songs[-1:]]
    table(folder / STATIC / "static_annotations_averaged_songs_2000_2058.csv", longer, extra)
    table(
        folder / "metadata" / "metadata_2013.csv",
        '"song_id","file_name","Artist","Song title","start","end","Genre"',
        [("2", "\t2.mp3", "The New Mystikal Troubadours\t", "\tTonight\t", "0.48", "1.33", "Blues\t")],
    )
    table(
        folder / "metadata" / "metadata_2014.csv",
        "Id,Artist,Album,Track,Genre,segment start,segment end",
        [("1001", "Jahzzar", "Album", "Track", "Folk", "1", "46", "a label", "another")],
    )
    for dimension, index in (("valence", 0), ("arousal", 1)):
        if dynamic is None:
            break
        flip = dynamic == "in order"
        rows = []
        for song, ratings in DEAM.items():
            mean = (ratings[1 - index if flip and int(song) <= 1000 else index] - 5) / 4
            rows.append((song, mean - 0.1, mean + 0.1, mean if int(song) > 2000 else ""))
        table(folder / DYNAMIC / f"{dimension}.csv", "song_id, sample_15000ms, sample_15500ms, sample_16000ms", rows)
    for song in DEAM if audio else ():
        sound(folder / "MEMD_audio" / f"{song}.mp3")
    return folder


EMOMUSIC = {"2": (3.0, 3.1, "development"), "3": (3.3, 3.5, "evaluation"), "4": (5.5, 5.7, "development")}


def emomusic(folder: Path) -> Path:
    """Three excerpts: id -> valence, arousal, set of MediaEval 2013."""
    rows = [(song, a, a / 4, v, v / 5) for song, (v, a, _) in EMOMUSIC.items()]
    header = "song_id,mean_arousal,std_arousal,mean_valence,std_valence"
    table(folder / "annotations" / "static_annotations.csv", header, rows)
    table(
        folder / "annotations" / "songs_info.csv",
        '"song_id","file_name","Artist","Song title","start of the segment (min.sec)",'
        '"end of the segment (min.sec)","Genre","Mediaeval 2013 set"',
        [
            (song, f"\t{song}.mp3", f"Artist {song}\t", "\tSong", "\t0.1", "\t0.55", "\tBlues", part)
            for song, (_, _, part) in EMOMUSIC.items()
        ],
    )
    for song in EMOMUSIC:
        sound(folder / "clips_45seconds" / f"{song}.mp3")
    return folder


def pmemo(folder: Path) -> Path:
    """Two rated choruses and one that is not."""
    table(
        folder / "PMEmo2019" / "annotations" / "static_annotations.csv",
        "musicId,Arousal(mean),Valence(mean)",
        [("1", 0.4, 0.575), ("4", 0.2625, 0.2875)],
    )
    header = "musicId,fileName,title,artist,album,duration,chorus_start_time,chorus_end_time"
    names = [("1", "2 Chainz", 32.1), ("4", "21 Savage", 28.09), ("6", "Nobody", 30)]
    rows = [
        (song, f"{song}.mp3", "Title, with comma", artist, "Album", s, "02:35", "03:05") for song, artist, s in names
    ]
    table(folder / "PMEmo2019" / "metadata.csv", header, rows)
    for song in ("1", "4", "6"):
        sound(folder / "PMEmo2019" / "chorus" / f"{song}.mp3")
    return folder


def panda4q(folder: Path) -> Path:
    """Four clips, one per quadrant, two of one artist."""
    header = (
        '"Song","Artist","Title","Quadrant","PQuad","MoodsTotal","Moods","MoodsFoundStr","MoodsStr","MoodsStrSplit",'
        '"Genres","GenresStr","Sample","SampleURL"'
    )
    clips = [("MT1", "Ann", "Q1", "Happy; Fun"), ("MT2", "Ben", "Q2", "Harsh"), ("MT3", "Ben", "Q3", "Sad; Bleak")]
    clips.append(("MT4", "Cyd", "Q4", "Calm/Peaceful"))
    rows = [(s, a, "T", q, 1, 2, 2, "", m, m.replace("/", "; "), 1, "Pop", 1, "http://x") for s, a, q, m in clips]
    table(folder / "panda_dataset_taffc_metadata.csv", header, rows)
    table(folder / "panda_dataset_taffc_annotations.csv", '"Song","Quadrant"', [(s, q) for s, _, q, _ in clips])
    for song, _, quadrant, _ in clips:
        sound(folder / quadrant / f"{song}.mp3")
    return folder


def panda4q_table(folder: Path, splits: tuple[str, ...] = ("train", "train", "validation", "test") * 3) -> Path:
    """Clips of a second with a split, valence and arousal, each by an artist of its own."""
    words = [("Happy; Fun", "Q1", 7.0, 6.5), ("Harsh;Fierce", "Q2", 4.0, 7.0), ("Sad", "Q3", 3.0, 3.5)]
    words.append(("Calm/Peaceful; Happy", "Q4", 6.5, 3.0))
    rows = []
    for number, split in enumerate(splits):
        moods, quadrant, valence, arousal = words[number % 4]
        row = (f"MT{number}", f"Artist {number}", "T", quadrant, valence + number / 20, arousal + number / 30)
        rows.append((*row, moods, "Pop", split))
        (folder / "audio").mkdir(parents=True, exist_ok=True)
        tone = 0.3 * np.sin(np.arange(48000) * (0.05 + 0.01 * number)).astype(np.float32)
        soundfile.write(folder / "audio" / f"MT{number}.opus", tone, 48000, format="OGG", subtype="OPUS")
    table(folder / "metadata.csv", "song_id,artist,title,quadrant,valence,arousal,tags,genres,split", rows)
    return folder


def merge(folder: Path, kind: str = "balanced", inside: str = ".") -> Path:
    """Four clips, one per quadrant; the last has no mood words. inside: where the quadrants are."""
    songs = [("MT1", "Q1", "Ann", "Happy, Fun", 0.75, 0.875), ("A2", "Q2", "Ben", "Harsh", 1, 0)]
    songs += [("MT3", "Q3", "Ben", "Sad,Calm/Peaceful", 0.25, 0.125), ("A4", "Q4", "Cyd", "", 0.25, 0.5)]
    header = "Song,Quadrant,AllMusic Id,Artist,Title,Duration,Moods,MoodsAll,MoodsAllWeights,Genres"
    rows = [(song, q, "MT9", artist, "T", 240, 2, words, "10,5", "Pop") for song, q, artist, words, *_ in songs]
    table(folder / f"merge_audio_{kind}_metadata.csv", header, rows)
    values = [(s, arousal, valence) for s, *_, arousal, valence in songs]
    table(folder / f"merge_audio_{kind}_av_values.csv", "Song,Arousal,Valence", values)
    for split, parts in (("70_15_15", (2, 3)), ("40_30_30", (1, 2))):
        for name, part in zip(("train", "validate", "test"), np.split(np.arange(4), parts), strict=True):
            path = folder / "tvt_dataframes" / f"tvt_{split}" / f"tvt_{split}_{name}_audio_{kind}.csv"
            table(path, "Song,Quadrant", [songs[row][:2] for row in part])
    for song, quadrant, *_ in songs:
        sound(folder / inside / quadrant / f"{song}.mp3")
    return folder


def emopia(folder: Path) -> Path:
    """Four clips of three videos; the lists know two of the videos."""
    import pretty_midi

    names = ["Q1_0vLPYiPN7qY_0", "Q1_0vLPYiPN7qY_1", "Q3__BK2o77sTc0_2", "Q4_new_1"]
    (folder / "midis").mkdir(parents=True)
    for name in names:
        midi = pretty_midi.PrettyMIDI()
        midi.instruments.append(pretty_midi.Instrument(0))
        midi.instruments[0].notes = [pretty_midi.Note(80, 60 + i, 0.2 * i, 0.2 * i + 0.2) for i in range(4)]
        midi.write(str(folder / "midis" / f"{name}.mid"))
    table(folder / "label.csv", "ID,4Q,annotator", [(name, name[1], "A") for name in names])
    table(folder / "split_train.csv", "fname,label", [(names[0], "Q1")])
    table(folder / "split_test.csv", "fname,label", [(names[2], "Q3")])
    table(folder / "split_val.csv", "fname,label", [])
    return folder
