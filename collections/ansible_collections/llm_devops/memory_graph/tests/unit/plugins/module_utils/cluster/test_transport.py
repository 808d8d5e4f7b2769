# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The transport: its proxy, the retries while a cluster is away, and the form of a body."""

from __future__ import annotations

import json

import pytest
import yaml
from ansible_collections.llm_devops.memory_graph.plugins.module_utils._errors import (
    ClusterError,
    ConfigError,
    ManifestError,
)
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster import _transport
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._proxy import parsed, proxy_for
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._retry import (
    RetryableFailure,
    RetryWindow,
)

ENVIRON = {"HTTPS_PROXY": "http://proxy:3128"}


@pytest.mark.parametrize(
    ("server", "no_proxy", "proxied"),
    [
        ("https://api.example:6443", "", True),
        ("https://127.0.0.1:6443", "", False),
        ("https://[::1]:6443", "", False),
        ("https://localhost:6443", "", False),
        ("https://api.example", "example", False),
        ("https://api.example", ".example", False),
        ("https://example", ".example", True),
        ("https://notexample", "example", True),
        ("https://api.example", "*.example", False),
        ("https://api.example", "other, *", False),
        ("https://10.1.2.3:6443", "10.1.0.0/16", False),
        ("https://10.2.2.3:6443", "10.1.0.0/16", True),
        ("https://10.1.2.3:6443", "10.1.2.3", False),
        ("https://[fd00::7]:6443", "fd00::/8", False),
        ("https://api.example:6443", "api.example:6443", False),
        ("https://api.example:6443", "api.example:443", True),
        ("http://api.example", "", False),
    ],
)
def test_the_environments_proxy_is_used_as_kubectl_would(server, no_proxy, proxied):
    assert bool(proxy_for(server, None, None, {**ENVIRON, "NO_PROXY": no_proxy})) is proxied


def test_a_named_proxy_is_used_for_loopback_too_and_whatever_no_proxy_says():
    assert proxy_for("https://127.0.0.1", "http://named", None, {"NO_PROXY": "*", **ENVIRON}).host == "named"
    assert proxy_for("https://127.0.0.1", "http://named", "127.0.0.0/8", {}) is None


def test_the_option_no_proxy_wins_over_the_environments():
    assert proxy_for("https://api", None, "other", {**ENVIRON, "NO_PROXY": "api"})
    assert proxy_for("https://api", None, "api", ENVIRON) is None


def test_credentials_of_a_proxy_are_taken_out_of_what_is_shown():
    proxy = parsed("http://jane:p%40ss@proxy:8080")
    assert (proxy.url, proxy.user, proxy.password) == ("http://proxy:8080", "jane", "p@ss")
    assert "p@ss" not in repr(proxy)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("socks5://me:pass@proxy:1080", "proxy socks5://proxy:1080 is a SOCKS proxy, which is not supported"),
        ("ftp://proxy", "proxy ftp://proxy is not a URL"),
        ("http://proxy:many", "proxy http://proxy:many is not a URL"),
        ("http://:3128", "names no host"),
    ],
)
def test_a_proxy_that_is_not_http_is_refused(url, sentence):
    with pytest.raises(ConfigError, match=sentence):
        parsed(url)


class ManualClock:
    """Time that passes only when somebody waits."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def wait(self, seconds):
        self.now += seconds


def failure(**more):
    return RetryableFailure(ClusterError("it is away"), "connection refused", **more)


def keep_trying(clock, attempt, **more):
    while True:
        clock.wait(attempt.pause(failure(**more)))


def test_the_window_ends_and_the_sentence_has_the_number_of_tries():
    clock = ManualClock()
    attempt = RetryWindow(60, clock).attempt()
    with pytest.raises(ClusterError, match=r"it is away \(tried \d+ times in 60 s\)"):
        keep_trying(clock, attempt)
    assert clock.now == pytest.approx(60)


def test_nobody_waits_once_somebody_has_waited_in_vain():
    clock = ManualClock()
    window = RetryWindow(60, clock)
    with pytest.raises(ClusterError):
        keep_trying(clock, window.attempt())
    assert window.exhausted()
    with pytest.raises(ClusterError, match=r"it is away$"):
        window.attempt().pause(failure())
    clock.wait(31)
    assert not window.exhausted()  # worth another try


def test_an_idle_hour_is_no_absence():
    clock = ManualClock()
    window = RetryWindow(60, clock)
    window.attempt().pause(failure())
    clock.wait(3600)
    assert window.attempt().pause(failure()) < 1


def test_retry_after_is_honoured_and_bounded():
    assert RetryWindow(60, ManualClock()).attempt().pause(failure(retry_after_s=7)) == 7
    assert RetryWindow(60, ManualClock()).attempt().pause(failure(retry_after_s=3600)) == 30
    assert RetryWindow(5, ManualClock()).attempt().pause(failure(retry_after_s=30)) == 5


def test_what_rarely_passes_is_tried_a_few_times_only():
    clock = ManualClock()
    attempt = RetryWindow(60, clock).attempt()
    with pytest.raises(ClusterError, match=r"\(tried 3 times in [0-2] s\)"):
        keep_trying(clock, attempt, max_tries=3)


def test_an_absence_is_reported_once_when_it_ends():
    clock = ManualClock()
    window = RetryWindow(60, clock)
    for _request in range(3):
        window.attempt().pause(failure())
    clock.wait(12)
    assert window.answered() == "waited 12 s for it (connection refused); 3 requests were sent again"
    assert not window.answered()


def test_an_absence_is_reported_once_while_it_lasts():
    clock = ManualClock()
    window = RetryWindow(60, clock)
    attempt = window.attempt()
    attempt.pause(failure())
    assert not window.notice()
    clock.wait(4)
    attempt.pause(failure())
    assert window.notice() == "does not answer (connection refused); it is waited for, 60 s at most"
    assert not window.notice()


def test_a_hiccup_is_not_reported():
    window = RetryWindow(60, ManualClock())
    window.attempt().pause(failure())
    assert not window.answered()


@pytest.mark.parametrize(
    "character", ["smile \U0001f600", "\x7f\x85\x9f\u2028\u2029\ufeff\uffff\x01", "\\ud83d\\ude00", "ü"]
)
def test_a_body_is_json_and_yaml(character):
    body = _transport._encoded({"said": character})
    assert json.loads(body) == yaml.safe_load(body) == {"said": character}


def test_half_a_character_is_refused_before_anything_is_sent():
    with pytest.raises(ManifestError, match="half a character"):
        _transport._encoded({"said": "cut \ud83d"})
