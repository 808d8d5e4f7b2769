#!/usr/bin/env bash
# ansible-core compiles what plugins of a collection import anew in every run: its collection loader reads the source and
# calls compile() itself, writes no bytecode and reads none. A plugin file itself is cached, as it is loaded in another way.
# So large module_utils that action plugins and filters import on the controller cost their compilation in each
# ansible-playbook.
# Seen 2026-11-27 with ansible-core 2.19.14, after a run:
#   the filter plugin of the collection          -> bytecode
#   the module_utils that it imports             -> none
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet ansible-core==2.19.14
collection=$folder/collections/ansible_collections/example/compiled
mkdir -p "$collection/plugins/filter" "$collection/plugins/module_utils"
printf 'namespace: example\nname: compiled\nversion: 1.0.0\nreadme: README.md\nauthors: [nobody]\n' >"$collection/galaxy.yml"
echo 'WORD = "hello"' >"$collection/plugins/module_utils/word.py"
cat >"$collection/plugins/filter/greet.py" <<'PYTHON'
from ansible_collections.example.compiled.plugins.module_utils.word import WORD


class FilterModule:
    def filters(self):
        return {"greet": lambda name: f"{WORD} {name}"}
PYTHON
cat >"$folder/play.yml" <<'YAML'
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {msg: "{{ 'you' | example.compiled.greet }}"}
YAML
env -u PYTHONDONTWRITEBYTECODE ANSIBLE_COLLECTIONS_PATH="$folder/collections" ANSIBLE_LOCALHOST_WARNING=false \
  ANSIBLE_INVENTORY_UNPARSED_WARNING=false "$folder/venv/bin/ansible-playbook" "$folder/play.yml" | grep 'hello you'
"$folder/venv/bin/ansible" --version | sed -n 1p
plugin=$(find "$collection/plugins/filter" -name '*.pyc' | wc -l)
imported=$(find "$collection/plugins/module_utils" -name '*.pyc' | wc -l)
echo "bytecode files: plugin $plugin, what it imports $imported"
if [[ $plugin != 1 || $imported != 0 ]]; then
  echo "behaviour has changed" >&2
  exit 1
fi
