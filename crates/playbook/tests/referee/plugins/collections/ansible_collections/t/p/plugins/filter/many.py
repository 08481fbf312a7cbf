from ansible.errors import AnsibleFilterError
from ansible_collections.t.p.plugins.module_utils.near import near
def fails(value):
    raise AnsibleFilterError("not %s" % value)
class FilterModule(object):
    def filters(self):
        return {"near": near, "fails": fails}
