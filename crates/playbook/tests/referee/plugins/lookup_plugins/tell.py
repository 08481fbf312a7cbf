DOCUMENTATION = """
name: tell
short_description: tells
description: tells
author: me
options:
  _terms: {description: terms}
  word:
    description: word
    default: none
    type: str
    env: [{name: TELL_WORD}]
    vars: [{name: tell_word}]
  count: {description: count, type: int, default: 1}
"""
from ansible.plugins.lookup import LookupBase
from ansible.errors import AnsibleError, AnsibleLookupError
class LookupModule(LookupBase):
    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        if terms and terms[0] == "fail":
            raise AnsibleError("told to fail")
        if terms and terms[0] == "bug":
            return 1 / 0
        if terms and terms[0] == "string":
            return "text"
        if terms and terms[0] == "vars":
            return [variables[terms[1]]]
        if terms and terms[0] == "hostvars":
            return [variables["hostvars"][terms[1]][terms[2]]]
        if terms and terms[0] == "templar":
            return [self._templar.template(variables[terms[1]])]
        if terms and terms[0] == "undef":
            return [self._templar.template(variables["needs_missing"])]
        if terms and terms[0] == "trust":
            return ["{{ 1 + 1 }}"]
        return ["%s %s %s" % (term, self.get_option("word"), self.get_option("count")) for term in terms]
