"""Renders templates with ansible-core: {"vars": path, "templates": [...]} on stdin, a list of answers on stdout.

An answer is {"value": Python's repr} or {"error": message}.
"""

import json
import logging
import os
import sys

os.environ["ANSIBLE_DEPRECATION_WARNINGS"] = "False"
os.environ["ANSIBLE_SYSTEM_WARNINGS"] = "False"
logging.disable(logging.CRITICAL)

from ansible.parsing.dataloader import DataLoader  # noqa: E402
from ansible.plugins.loader import init_plugin_loader  # noqa: E402
from ansible.template import Templar, trust_as_template  # noqa: E402

init_plugin_loader([])
asked = json.load(sys.stdin)
loader = DataLoader()
loader.set_basedir(os.path.dirname(asked["vars"]))
variables = loader.load_from_file(asked["vars"], trusted_as_template=True)
answers = []
for template in asked["templates"]:
    templar = Templar(loader=loader, variables=variables)
    try:
        answers.append({"value": repr(templar.template(trust_as_template(template)))})
    except Exception as error:
        answers.append({"error": str(error)})
json.dump(answers, sys.stdout)
