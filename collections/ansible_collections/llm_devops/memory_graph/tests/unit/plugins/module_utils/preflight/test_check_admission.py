# Copyright the llm-devops memory-graph authors
# SPDX-License-Identifier: Apache-2.0
"""The API server's answers to a dry run of a Pod, recorded from Kubernetes 1.34, and the findings they become."""

from __future__ import annotations

import pytest
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._error_messages import api_error
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.cluster._kubeconfig import ClusterConnection
from ansible_collections.llm_devops.memory_graph.plugins.module_utils.preflight import (
    _check_access,
    _check_admission,
    _dry_run_pod,
    _pod_security,
)
from ansible_collections.llm_devops.memory_graph.tests.unit.plugins.module_utils.preflight.contexts import (
    context_of,
    messages,
    workload,
)

PATH = "/api/v1/namespaces/home/pods/api-preflight"
FORBIDDEN = 'pods "api-preflight" is forbidden: '
INVALID = (
    'Pod "api-preflight" is invalid: [spec.containers[0].volumeMounts[0].name: Not found: "x",'
    " spec.containers[1].image: Required value]"
)
LIMITS = (
    "[minimum cpu usage per Container is 1, but request is 10m, maximum memory usage per Container is 2Gi, but limit"
    " is 4Gi, memory max limit to request ratio per Container is 2, but provided ratio is 4.000000]"
)
PRIVILEGED = 'privileged (container "main" must not set securityContext.privileged=true)'
RESTRICTED = (
    'allowPrivilegeEscalation != false (containers "main", "side" must set'
    ' securityContext.allowPrivilegeEscalation=false), runAsNonRoot != true (pod or containers "main", "side" must'
    " set securityContext.runAsNonRoot=true)"
)
POLICY = "ValidatingAdmissionPolicy 'labels' with binding 'labels' denied request: pods need the label team"
WEBHOOK = 'failed calling webhook "inject.example.org": failed to call webhook: Post "https://none.home.svc:443/"'
NO_RIGHT = 'User "jane" cannot patch resource "pods" in API group "" in the namespace "home"'
NO_ACCOUNT = 'error looking up service account home/nobody: serviceaccount "nobody" not found'
NO_CLASS = "no PriorityClass with name none-such was found"
NO_RUNTIME = 'pod rejected: RuntimeClass "gvisor" not found'
NO_LIMITS = "failed quota: team: must specify limits.memory for: main,side; requests.cpu for: main,side"
REFUSED = "a dry run of a pod of Deployment/api is refused, and its controller's pods may be"
USED_UP = "exceeded quota: team, requested: limits.memory=4Gi, used: limits.memory=0, limited: limits.memory=1Gi"


def answer(message, status=403, reason="Forbidden", causes=()):
    """An error as the transport raises it."""
    text = FORBIDDEN + message if reason == "Forbidden" else message
    details = {"name": "api-preflight", "kind": "pods", "causes": list(causes)}
    body = {"kind": "Status", "message": text, "reason": reason, "details": details, "code": status}
    return api_error("PATCH", PATH, status, body, ClusterConnection("https://cluster.invalid", "kubeconfig"))


def invalid(field):
    return answer(INVALID, 422, "Invalid", [{"reason": "FieldValueNotFound", "message": "x", "field": field}])


def judged(*answers, objects=(), pod=None, kind="Deployment", more=None):
    refused = list(answers)
    context = context_of(workload(kind, pod=pod), *objects, answers={PATH: refused, **(more or {})})
    _check_admission.admission(context)
    assert refused == [], "every answer was asked for"
    return context


PROBLEMS = [
    (
        answer(f'violates PodSecurity "baseline:latest": {PRIVILEGED}'),
        f"Deployment/api does not meet the namespace's level baseline: {PRIVILEGED}",
    ),
    (
        answer(f'violates PodSecurity "restricted:v1.34": {RESTRICTED}'),
        f"Deployment/api does not meet the namespace's level restricted: {RESTRICTED}",
    ),
    (answer(NO_ACCOUNT), "Deployment/api needs ServiceAccount 'nobody' in home, which does not exist"),
    (answer(NO_CLASS), "Deployment/api needs PriorityClass 'none-such', which does not exist"),
    (answer(NO_RUNTIME), "Deployment/api needs RuntimeClass 'gvisor', which does not exist"),
    (answer(LIMITS), f"a LimitRange of namespace home refuses the pods of Deployment/api: {LIMITS.strip('[]')}"),
    (
        answer(NO_LIMITS),
        f"Deployment/api must say {NO_LIMITS.partition('must specify ')[2]}, or ResourceQuota 'team' refuses its pods",
    ),
    (
        invalid("spec.containers[0].volumeMounts[0].name"),
        f"the pod template of Deployment/api is invalid: {INVALID.partition(' is invalid: ')[2]}",
    ),
    (
        answer(
            "failed to create typed patch object (home/api-preflight; /v1, Kind=Pod):"
            ' .spec.containers[name="main"].imagePulPolicy: field not declared in schema',
            500,
            "",
        ),
        'the pod template of Deployment/api is invalid: spec.containers[name="main"].imagePulPolicy is no field of it',
    ),
]


@pytest.mark.parametrize(("refusal", "sentence"), PROBLEMS)
def test_the_answer_is_the_problem(refusal, sentence):
    context = judged(refusal)
    assert messages(context.problems) == [sentence]
    assert all(problem["way_out"] for problem in context.problems)
    assert (context.notes, context.not_asked) == ([], set())


def test_a_used_up_quota_is_no_finding():
    """A rolling update would be counted beside what it replaces; the sum is the check of quotas."""
    context = judged(answer(USED_UP))
    assert (context.problems, context.notes, context.not_asked) == ([], [], set())


TERMINATING = {"reason": "NamespaceTerminating", "message": "namespace home is being terminated", "field": "x"}


@pytest.mark.parametrize(
    "refusal",
    [
        answer('namespaces "home" not found', 404, "NotFound"),
        answer("unable to create new content in namespace home because it is being terminated", causes=[TERMINATING]),
    ],
)
def test_a_namespace_that_is_missing_or_on_its_way_out_is_told_by_its_own_check(refusal):
    context = judged(refusal)
    assert (context.problems, context.notes, context.not_asked) == ([], [], {"Deployment/api"})


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        (
            answer(
                'Pod "api-preflight" is invalid: spec: Forbidden: pod updates may not change fields other than ...',
                422,
                "Invalid",
                [{"reason": "FieldValueForbidden", "message": "x", "field": "spec"}],
            ),
            f"{REFUSED}: spec: Forbidden: pod updates may not change fields other than ...",
        ),
        (
            answer(POLICY, 422, "Invalid", [{"message": POLICY}]),
            f"{REFUSED}: {POLICY}",
        ),
        (
            answer(f"Internal error occurred: {WEBHOOK}", 500, "InternalError"),
            f"{REFUSED}: Internal error occurred: {WEBHOOK}",
        ),
        (
            answer('admission webhook "old.example.org" does not support dry run', 400, "BadRequest"),
            f'{REFUSED}: admission webhook "old.example.org" does not support dry run',
        ),
        (
            answer(f'admission webhook "p.example.org" denied the request: {NO_LIMITS}', 403, "Denied"),
            f'{REFUSED}: admission webhook "p.example.org" denied the request: {NO_LIMITS}',
        ),
        (
            answer('admission webhook "p.example.org" denied the request: you may not patch pods here', 403, "Denied"),
            f'{REFUSED}: admission webhook "p.example.org" denied the request: you may not patch pods here',
        ),
        (
            answer("unable to validate against any security context constraint: []"),
            f"{REFUSED}: unable to validate against any security context constraint: []",
        ),
        (
            answer(NO_RIGHT),
            "whether the pods of Deployment/api are admitted was not asked: you may not patch pods in namespace home",
        ),
    ],
)
def test_what_is_no_judgement_is_a_note_and_leaves_the_rest_to_be_computed(refusal, sentence):
    live = {"/api/v1/namespaces/home": {"metadata": {"labels": {_pod_security.ENFORCE: "baseline"}}}}
    context = judged(refusal, pod={"hostNetwork": True, "priorityClassName": "none-such"}, more=live)
    assert messages(context.notes) == [sentence]
    assert messages(context.problems) == [
        "Deployment/api does not meet the namespace's level baseline: hostNetwork: false"
    ]
    _check_access.references(context)
    assert messages(context.problems)[1:] == ["Deployment/api needs PriorityClass 'none-such', which does not exist"]


def test_every_refusal_is_asked_for_by_leaving_out_what_was_refused():
    pod = {"serviceAccountName": "nobody", "priorityClassName": "none-such", "runtimeClassName": "gvisor"}
    refusals = [answer(text) for text in (NO_ACCOUNT, NO_CLASS, NO_RUNTIME, LIMITS)]
    security = answer(f'violates PodSecurity "baseline:latest": {PRIVILEGED}')
    context = judged(*refusals, security, pod=pod)
    assert len(context.problems) == 5
    applied = context.cluster.applied
    assert len(applied) == 5
    assert pod.items() <= applied[0]["spec"].items()
    assert not pod.keys() & applied[3]["spec"].keys()
    assert "resources" not in applied[4]["spec"]["containers"][0]


def test_a_refusal_that_stays_ends_the_questions():
    context = judged(answer(LIMITS), answer(LIMITS))
    assert len(context.problems) == 1
    assert context.not_asked == {"Deployment/api"}


def test_without_resources_a_quota_that_wants_them_says_nothing():
    context = judged(answer(LIMITS), answer(NO_LIMITS))
    assert len(context.problems) == 1


def test_references_that_were_judged_are_not_looked_up_again():
    context = judged(pod={"serviceAccountName": "nobody", "priorityClassName": "none-such"})
    _check_access.references(context)
    assert (context.problems, context.notes) == ([], [])


def created(kind, name, **more):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more}


@pytest.mark.parametrize("kind", ["ServiceAccount", "PriorityClass", "RuntimeClass"])
def test_a_reference_to_an_object_of_the_release_is_left_out(kind):
    field = _dry_run_pod.POD_REFERENCES[kind]
    context = judged(pod={field: "new"}, objects=[created(kind, "new")])
    assert field not in context.cluster.applied[0]["spec"]
    context = judged(pod={field: "new"}, objects=[created(kind, "another")])
    assert context.cluster.applied[0]["spec"][field] == "new"


def test_the_default_service_account_is_made_by_a_controller():
    missing = 'error looking up service account home/default: serviceaccount "default" not found'
    context = judged(answer(missing), answer(missing))
    assert (context.problems, context.notes) == ([], [])


def test_a_limit_range_of_the_release_may_be_another_than_the_one_that_refuses():
    context = judged(answer(LIMITS), objects=[created("LimitRange", "usual", spec={"limits": []})])
    assert context.problems == []
    assert messages(context.notes)[0].endswith(", as it is before the release changes it")


@pytest.mark.parametrize("kind", ["LimitRange", "ResourceQuota"])
def test_a_quota_that_wants_limits_may_change_with_the_release(kind):
    assert judged(answer(NO_LIMITS), objects=[created(kind, "team", spec={})]).problems == []


def labelled(level, name="home"):
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {_pod_security.ENFORCE: level}},
    }


LEVELS = [
    pytest.param("", "restricted", [], "restricted", id="raised"),
    pytest.param("baseline", "restricted", ["baseline"], "restricted", id="raised-from-another"),
    pytest.param("restricted", "privileged", ["restricted"], "", id="lowered"),
    pytest.param("restricted", "restricted", ["restricted"], "restricted", id="as-it-is"),
    pytest.param("restricted", "restricted", [], "", id="as-it-is-and-met"),
]


@pytest.mark.parametrize(("live", "planned", "refusals", "level"), LEVELS)
def test_pod_security_is_that_of_the_namespace_as_it_will_be(live, planned, refusals, level):
    answers = [answer(f'violates PodSecurity "{refusing}:latest": {PRIVILEGED}') for refusing in refusals]
    more = {"/api/v1/namespaces/home": labelled(live)}
    context = judged(*answers, objects=[labelled(planned)], more=more)
    sentences = [message.partition(":")[0] for message in messages(context.problems)]
    assert sentences == [f"Deployment/api does not meet the namespace's level {level}"] * bool(level)


@pytest.mark.parametrize(("level", "problems"), [("restricted", 1), ("privileged", 0)])
def test_in_a_new_namespace_nothing_is_asked_and_the_level_is_the_release_s_own(level, problems):
    context = context_of(workload(pod={"serviceAccountName": "nobody"}), labelled(level))
    context.absent = {"home"}
    _check_admission.admission(context)
    assert context.cluster.applied == []
    assert len(context.problems) == problems
    _check_access.references(context)
    assert "needs ServiceAccount 'nobody' in home" in messages(context.problems)[-1]
