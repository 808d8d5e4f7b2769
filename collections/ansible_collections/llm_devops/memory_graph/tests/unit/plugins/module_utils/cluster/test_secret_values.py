# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""No value of a Secret in any words, whoever's they are and however they write it."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils import _ansible
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._secret_values import HIDDEN, SecretValues
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.objects._redact import redacted
from hypothesis import assume, given
from hypothesis import strategies as st

KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\nsecond/line+of/it==\n-----END KEY-----"
ENV = "user=me\npassword=s3cr3t!pw\n"


def secret(**content):
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, **content}


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def secret_values_of(*objects):
    values = SecretValues()
    for obj in objects:
        values.add(obj)
    return values


values = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=4, max_size=60).filter(
    lambda text: len(text.strip()) > 3 and any(item.isalnum() for item in text)
)


@given(values, st.sampled_from(["data", "stringData"]), st.sampled_from(["plain", "base64", "json", "url", "cut"]))
def test_a_value_is_hidden_in_whatever_form_it_is_quoted(value, part, form):
    assume(value.lower() not in ("true", "false", "null", "none"))
    written = {"plain": value, "base64": encoded(value), "json": json.dumps(value), "url": quote(value, safe=""),
               "cut": value[: max(len(value) - 3, 25)]}[form]  # fmt: skip
    obj = secret(**{part: {"k": encoded(value) if part == "data" else value}})
    sentence = "the webhook said: {} is not allowed"
    assume(written not in sentence.format(HIDDEN))  # a value such as valu is in the words that take its place
    assert written not in secret_values_of(obj).hide(sentence.format(written))


@pytest.mark.parametrize(
    "text",
    ["MIIEvQIBADANBgkqhkiG9w0BAQ… is no key", "line 3 is second/line+of/it==", 'parsing "s3cr3t!pw": invalid',
     encoded(KEY), KEY.replace("\n", " "), json.dumps(KEY), "password=s3cr3t!pw"],
)  # fmt: skip
def test_a_line_a_part_and_a_word_of_a_long_value_are_hidden(text):
    hidden = secret_values_of(secret(stringData={"key": KEY, "env": ENV})).hide(f"refused: {text} (403)")
    assert HIDDEN in hidden
    assert not any(part in hidden for part in ("MIIEvQIBADANB", "second/line", "s3cr3t!pw", encoded(KEY)[:30]))


def test_numbers_and_nested_values_are_hidden_too():
    values = secret_values_of(secret(data={"pin": 73310099, "cfg": {"password": "hunter2"}}, other=["swordfish9"]))
    hidden = values.hide("got &value{Value:73310099}, map[password:hunter2] and swordfish9")
    assert hidden == f"got &value{{Value:{HIDDEN}}}, map[password:{HIDDEN}] and {HIDDEN}"


def test_secrets_in_lists_are_known_and_our_own_record_is_not():
    listed = {"kind": "SecretList", "items": [{"metadata": {"name": "s"}, "data": {"k": encoded("hunter2")}}]}
    record = secret(
        type="llm-devops.memory-graph/release.v1", data={"release.json": encoded("Deployment/web and more")}
    )
    assert (
        secret_values_of({"kind": "List", "items": [listed["items"][0] | {"kind": "Secret"}]}).hide("hunter2") == HIDDEN
    )
    assert (
        secret_values_of(listed, record).hide("Deployment/web and more hunter2") == f"Deployment/web and more {HIDDEN}"
    )


def test_names_of_the_release_and_short_values_stay_readable():
    database = {"kind": "StatefulSet", "metadata": {"name": "postgres"},
                "spec": {"containers": [{"name": "db", "image": "registry/pg-16:1"}]}}  # fmt: skip
    values = secret_values_of(
        secret(stringData={"user": "postgres", "image": "pg-16", "n": "1", "on": "true"}), database
    )
    sentence = "StatefulSet/postgres failed after 1 s: Pod postgres-0: registry/pg-16:1 true"
    assert values.hide(sentence) == sentence
    pin = secret(stringData={"pin": "42"})
    assert secret_values_of(pin).hide("pin 42 is too short", about=pin) == f"pin {HIDDEN} is too short"


def test_of_a_common_word_only_others_words_are_cleared():
    values = secret_values_of(secret(stringData={"level": "debug", "password": "hunter2"}))
    assert values.hide("LOG_LEVEL: info → debug, hunter2", plain=False) == f"LOG_LEVEL: info → debug, {HIDDEN}"
    assert values.hide("the level is debug") == f"the level is {HIDDEN}"


def test_of_a_secret_only_what_it_is_called_is_shown():
    obj = secret(type="Opaque", data={"a": "hunter2"}, stringdata={"b": "hunter2"}, Data=["hunter2"])
    assert "hunter2" not in json.dumps(redacted(obj, b"k" * 32))
    listed = {"kind": "SecretList", "items": [{"metadata": {"name": "s"}, "data": {"k": "hunter2"}}]}
    annotated = secret(data={"a": "x"}) | {"metadata": {"name": "s", "annotations": {"last": "hunter2"}}}
    result = [_ansible._without_values(item) for item in (obj, listed, annotated, {**obj, "kind": "secret"}, "hunter2")]
    assert "hunter2" not in json.dumps(result)
