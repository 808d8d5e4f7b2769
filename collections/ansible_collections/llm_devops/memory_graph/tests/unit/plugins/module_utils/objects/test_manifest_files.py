# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""A directory of manifests: order, names, what is left out, and whose files are touched."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import ManifestError
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest import Ref
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._manifest_files import (
    LIST,
    changes,
    file_names,
    manifests,
    texts,
    write,
)


def manifest(kind, name, version="v1", **more):
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **more}


OBJECTS = [
    manifest("Service", "web"),
    manifest("Deployment", "web", "apps/v1"),
    manifest("Secret", "key", data={"k": "dmFsdWU="}),
    manifest("ConfigMap", "settings", data={"b": "2", "a": "1"}),
    manifest("Namespace", "demo"),
]
NAMES = ["namespace-demo.yaml", "configmap-settings.yaml", "deployment-web.yaml", "service-web.yaml"]


def rendered(objects):
    return texts(manifests(objects, "demo")[0])


def bring(folder, objects):
    made_changes = changes(folder, rendered(objects))
    write(folder, made_changes)
    return [change.name for change in made_changes]


def test_files_stand_in_the_order_of_applying_and_the_list_is_last():
    assert list(rendered(OBJECTS)) == [*NAMES, LIST]


def test_secrets_are_named_and_not_written():
    written, secrets = manifests(OBJECTS, "demo")
    assert [str(at) for at in secrets] == ["Secret/key"]
    assert "dmFsdWU=" not in str(texts(written))


def test_equal_objects_give_equal_bytes():
    other = [manifest("ConfigMap", "settings", data={"a": "1", "b": "2"})]
    assert rendered([OBJECTS[3]]) == rendered(other)


def test_files_belong_to_no_applyset():
    assert "applyset" not in str(rendered(OBJECTS))


def test_names_grow_only_where_they_must():
    refs = [
        Ref("", "Service", "a", "web"),
        Ref("", "Service", "b", "web"),
        Ref("rbac", "Role", "a", "system:view"),
        Ref("x.io", "Thing", "a", "t"),
        Ref("y.io", "Thing", "a", "t"),
    ]
    assert file_names(refs) == [
        "service-a-web.yaml",
        "service-b-web.yaml",
        "role-system_view.yaml",
        "thing.x.io-a-t.yaml",
        "thing.y.io-a-t.yaml",
    ]


def test_two_objects_never_share_a_file():
    with pytest.raises(ManifestError, match="file name of another object"):
        file_names([Ref("", "Role", "a", "x:y"), Ref("", "Role", "a", "x_y")])


def test_a_second_run_has_nothing_to_do(tmp_path):
    assert bring(tmp_path, OBJECTS) == [*NAMES, LIST]
    assert bring(tmp_path, OBJECTS) == []


def test_what_left_goes_and_what_others_wrote_stays(tmp_path):
    bring(tmp_path, OBJECTS)
    (tmp_path / "service-web.yaml").write_text("kind: Service # by hand\n")
    (tmp_path / "notes.txt").write_text("mine")
    assert bring(tmp_path, OBJECTS[3:]) == ["deployment-web.yaml", LIST]
    remaining = {file.name for file in tmp_path.iterdir()}
    assert remaining == {"namespace-demo.yaml", "configmap-settings.yaml", LIST, "service-web.yaml", "notes.txt"}


@pytest.mark.parametrize("name", ["configmap-settings.yaml", LIST])
def test_somebody_elses_file_is_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("resources: [mine.yaml]\n")
    with pytest.raises(ManifestError, match="was not written by this module"):
        changes(tmp_path, rendered(OBJECTS))


def test_a_list_never_reaches_out_of_its_directory(tmp_path):
    folder = tmp_path / "objects"
    bring(folder, OBJECTS[4:])
    text = (folder / LIST).read_text()
    outside = tmp_path / "outside.yaml"
    outside.write_text(text)
    (folder / LIST).write_text(text + "- ../outside.yaml\n")
    bring(folder, OBJECTS[4:])
    assert outside.exists()
