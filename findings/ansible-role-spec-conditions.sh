#!/usr/bin/env bash
# Role argument validation of ansible-core ignores required_if, mutually_exclusive and required_together where they stand
# beside the top-level `options` of meta/argument_specs.yml: the same words are enforced inside an option of type dict, and
# for modules. A role that relies on them accepts what it means to refuse, without a warning.
# Seen 2026-11-27 with ansible-core 2.19.14 (2.21.5 on Python 3.13 does the same):
#   mode=external without url, required_if beside options      -> accepted
#   the same two options inside a dict option                  -> refused, "… are missing: url found in nested"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ansible-core==2.19.14
mkdir -p "$folder/roles/spec/meta" "$folder/roles/spec/tasks"
cat >"$folder/roles/spec/meta/argument_specs.yml" <<'YAML'
argument_specs:
  main:
    options:
      mode: {type: str, choices: [inside, external]}
      url: {type: str}
    required_if: [[mode, external, [url]]]
  nested:
    options:
      nested:
        type: dict
        options:
          mode: {type: str, choices: [inside, external]}
          url: {type: str}
        required_if: [[mode, external, [url]]]
YAML
echo '- ansible.builtin.debug: {msg: ran}' | tee "$folder/roles/spec/tasks/main.yml" >"$folder/roles/spec/tasks/nested.yml"
play() { # entry point, variables
  cat >"$folder/play.yml" <<YAML
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: spec, tasks_from: $1}
      vars: $2
YAML
  ANSIBLE_ROLES_PATH=$folder/roles ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_INVENTORY_UNPARSED_WARNING=false \
    "$folder/venv/bin/ansible-playbook" "$folder/play.yml" 2>&1
}
"$folder/venv/bin/ansible" --version | sed -n 1p
if ! top=$(play main '{mode: external}'); then
  printf '%s\nbehaviour has changed: refused beside options\n' "$top" >&2
  exit 1
fi
echo "beside options: accepted"
if inside=$(play nested '{nested: {mode: external}}'); then
  echo "behaviour has changed: accepted inside a dict option" >&2
  exit 1
fi
grep -o "mode is external but all of the following are missing: url found in nested" <<<"$inside" | head -n 1
