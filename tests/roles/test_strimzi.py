"""The objects that the role kafka renders for Strimzi, read by the classes that Strimzi's operators read it with.

Their fields and types are those of the CustomResourceDefinitions, which are made of them and published with the
operator alone. A field that no class knows, the API server would drop without a word.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.maven import JarSet, jars, program

from .test_backend_roles import render, run

__all__ = ["render", "run"]
STRIMZI = JarSet(
    "strimzi",
    ("io.strimzi:api:0.51.0",),
    "87d3813dce64de14ca474313621dc89733bdbc44e38097349ea85d48e712b2aa",
)
READER = Path(__file__).with_name("StrimziFields.java")
EVERYTHING = {
    "kafka_mode": "strimzi",
    "kafka_strimzi_version": "4.1.0",
    "kafka_client_namespaces": ["apps"],
    "kafka_image_pull_secrets": ["registry"],
    "kafka_tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "kafka_priority_class": "high",
}


def unknown(*files: Path) -> list[str]:
    """Return the fields of the files that Strimzi's classes do not have."""
    done = subprocess.run(
        [program("java"), "-cp", f"{jars(STRIMZI)}/*", str(READER), *map(str, files)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_strimzi_knows_every_field(render, tmp_path: Path) -> None:
    assert len(render("kafka", **EVERYTHING)) == 12
    assert unknown(*(tmp_path / "objects").glob("kafka*.yaml")) == []


def test_a_field_that_strimzi_does_not_know_is_found(render, tmp_path: Path) -> None:
    render("kafka", **EVERYTHING)
    (pool,) = (tmp_path / "objects").glob("kafkanodepool*.yaml")
    pool.write_text(pool.read_text().replace("deleteClaim:", "deleteClaims:").replace("topologyKey:", "topologyKeys:"))
    (cluster,) = (tmp_path / "objects").glob("kafka-*.yaml")
    cluster.write_text(cluster.read_text().replace("scram-sha-512", "scram-sha-513"))
    results = set(unknown(pool, cluster))
    assert {line.rpartition(".")[2] for line in results if "no field" in line} == {
        "Volumes[]: no field deleteClaims",
        "PodAffinityTerm: no field topologyKeys",
    }
    assert "scram-sha-513" in "".join(results)
