"""Rows of a made-up library, as `m2e report` shows them."""

import numpy as np

MOODS = (  # from calm to energetic
    "meditative calm soft ambient sad relaxing melancholic nostalgic dream romantic love hopeful deep emotional dark"
    " space cool dramatic playful happy groovy fun upbeat powerful epic sexy tense heavy angry party energetic"
).split()
ADJECTIVES = "Blue Silent Golden Broken Distant Little Wild Last Electric Paper Slow Burning Northern Hollow".split()
NOUNS = "River Morning Machine Garden Lantern Harbour Dancer Winter Mirror Signal Thunder Orchard Train Echo".split()
TONICS = "C C# D D# E F F# G G# A A# B".split()
ATTRIBUTES = ("energy", "danceability", "acousticness", "instrumentalness", "liveness", "speechiness")


def rows(count: int, seed: int = 0) -> list[dict]:
    """`count` tracks with correlated values, a few that stand out, and one that failed."""
    random = np.random.default_rng(seed)
    valence = np.clip(5.1 + 0.8 * random.standard_normal(count), 1, 9)
    arousal = np.clip(4.8 + 0.9 * random.standard_normal(count) + 0.2 * (valence - 5), 1, 9)
    energy = np.clip((arousal - 2) / 6 + 0.08 * random.standard_normal(count), 0, 1)
    artists = [f"The {a} {b}s" for a in ADJECTIVES for b in NOUNS]
    made = []
    for i in range(count):
        artist = artists[int(random.integers(len(artists)) * random.random())]
        title = f"{random.choice(ADJECTIVES)} {random.choice(NOUNS)}"
        album = f"{random.choice(NOUNS)} Songs"
        liveliness = np.array([energy[i], *random.beta(2, 4, len(ATTRIBUTES) - 1)])
        near = np.clip((arousal[i] - 2.5) * 6 + 8 * random.random(4) - 4 * random.random(4), 0, len(MOODS) - 1)
        made.append(
            {
                "path": f"/music/{artist}/{album}/{i % 12 + 1:02d} {title} {i}.flac",
                "title": title,
                "artist": artist,
                "album": album,
                "year": int(random.integers(1962, 2026)),
                "duration": float(np.clip(220 + 70 * random.standard_normal(), 20, 900)),
                "valence": float(valence[i]),
                "arousal": float(arousal[i]),
                "moods": list(dict.fromkeys(MOODS[int(place)] for place in near)),
                "key": f"{TONICS[int(random.triangular(0, 3, 12))]} {random.choice(['major', 'minor'], p=[0.6, 0.4])}",
                "tempo": float(np.clip(random.normal(118, 24), 50, 210)),
                "attributes": dict(zip(ATTRIBUTES, map(float, liveliness), strict=True)),
                "model": "m2e-small",
            }
        )
    if count > 3:
        made[1] |= {"title": "A very long drone", "duration": 5400.0}
        made[2] |= {"attributes": made[2]["attributes"] | {"speechiness": 0.99}, "warnings": ["It ends in the middle."]}
        made.append({"path": "/music/broken.mp3", "error": "/music/broken.mp3: holds no audio."})
    return made
